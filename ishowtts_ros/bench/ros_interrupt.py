"""From an interrupting message to silence, and to the first audio of the interruption, over real DDS.

A client process has a long text spoken at the pace of speech, publishes an INTERRUPT request in its
midst, and notes when the last chunk of what was interrupted arrives (a player is silent when it has
played that chunk's 10 ms fade) and when the first of the new one does. Both times hold two passes through
DDS and rclpy's executors. The last line printed is one JSON document.

usage: python3 -m ishowtts_ros.bench.ros_interrupt [--engine espeak] [--interruptions 100] [--param NAME=VALUE]...
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import time
from typing import Sequence

from ishowtts.msg import SpeechRequest
import numpy as np
import rclpy
import yaml

from . import ros_client

LONG = 'I will now tell you at length about the history of this building, floor by floor and room by room. ' * 5
ALARM = 'Please step aside.'


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parse(argv)
    ros_client.isolate()
    overrides = {name: yaml.safe_load(value) for name, value in (a.split('=', 1) for a in arguments.param)}
    node = ros_client.NodeProcess('tts_node', {'engine': arguments.engine, **overrides})
    rclpy.init()
    client, chance = ros_client.SpeechClient(), random.Random(1)
    try:
        client.wait_until_active(node, 600.0)
        for warm in range(2):
            _interrupt(client, f'warm-{warm}', 0.1)
        measured = [_interrupt(client, str(number), chance.uniform(0.1, 1.0)) for number in range(arguments.interruptions)]
    finally:
        client.close()
        node.stop()
        rclpy.try_shutdown()
    result = {'engine': arguments.engine, 'interruptions': len(measured), 'machine': platform.machine()}
    for name, column in zip(('silence_ms', 'first_audio_ms'), zip(*measured)):
        milliseconds = np.array(column) * 1e3
        result[name] = {'p50': round(float(np.percentile(milliseconds, 50)), 2),
                        'p95': round(float(np.percentile(milliseconds, 95)), 2), 'max': round(float(milliseconds.max()), 2)}
    for name, what in (('silence_ms', 'interrupt -> last chunk of what was interrupted'),
                       ('first_audio_ms', 'interrupt -> first audio of the interruption')):
        print(f'{what} [ms]: p50 {{p50}}  p95 {{p95}}  max {{max}}'.format(**result[name]))
    print(json.dumps(result))
    return 0


def _interrupt(client: ros_client.SpeechClient, number: str, after: float) -> tuple[float, float]:
    """Interrupt a long utterance when `after` seconds of it have been published.

    :return: seconds from the interrupting message to the end of the old audio, and to the first of the new
    """
    long, alarm = f'long-{number}', f'alarm-{number}'
    client.request(id=long, text=LONG, policy=SpeechRequest.INTERRUPT)
    client.wait_for(lambda: long in client.recordings and _seconds(client.recordings[long]) >= after, 60.0, 'audio')
    published = time.monotonic()
    client.request(id=alarm, text=ALARM, policy=SpeechRequest.INTERRUPT)
    old = client.wait_for(lambda: client.ended(long), 60.0, 'end of what was interrupted')
    new = client.wait_for(lambda: client.recordings.get(alarm) and client.recordings[alarm].first_audio
                          and client.recordings[alarm], 60.0, 'audio of the interruption')
    return old.latest_audio - published, new.first_audio - published


def _seconds(recording: ros_client.Recording) -> float:
    return sum(len(chunk.samples) / chunk.sample_rate for chunk in list(recording.chunks))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='ros_interrupt', description=__doc__.splitlines()[0])
    parser.add_argument('--engine', default='espeak')
    parser.add_argument('--interruptions', type=int, default=100)
    parser.add_argument('--param', action='append', default=[], metavar='NAME=VALUE', help='any parameter of the node')
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())

"""First-audio latency and real-time factor over real DDS.

A client process publishes a text and waits for the first AudioChunk of it: that time holds two
passes through DDS and rclpy's executors (some milliseconds) and the engine's first chunk.
One utterance at a time and all its audio in a burst, so nothing waits for anything. The last line printed is one JSON document.

usage: python3 -m ishowtts_ros.bench.ros_latency [--engine espeak] [--utterances 200] [--param NAME=VALUE]...
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from typing import Sequence

import numpy as np

from . import ros_client

TEXTS = ('The battery is at forty percent.', 'Please step aside.', 'I will take the parcel to room twelve.',
         'Good morning! How may I help you today?', 'There is an obstacle on my left.')


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parse(argv)
    with ros_client.conversation(arguments, pacing='burst') as client:
        for warm in range(3):
            client.speak(id=f'warm-{warm}', text=TEXTS[0])
        measured = [_measure(client, number) for number in range(arguments.utterances)]
    latency, audio, work = (np.array(column) for column in zip(*measured))
    result = {
        'engine': arguments.engine, 'utterances': len(latency), 'machine': platform.processor() or platform.machine(),
        'first_audio_latency_ms': {name: round(float(value) * 1e3, 2) for name, value in (
            ('p50', np.percentile(latency, 50)), ('p95', np.percentile(latency, 95)), ('max', latency.max()))},
        'real_time_factor': round(float(work.sum() / audio.sum()), 5),
        'audio_s': round(float(audio.sum()), 2)}
    print('first-audio latency over DDS [ms]: p50 {p50}  p95 {p95}  max {max}'.format(**result['first_audio_latency_ms']))
    print(f"real-time factor: {result['real_time_factor']}  ({result['audio_s']} s of audio, {len(latency)} utterances)")
    print(json.dumps(result))
    return 0


def _measure(client: ros_client.SpeechClient, number: int) -> tuple[float, float, float]:
    """Seconds: latency, audio, work."""
    published = time.monotonic()
    recording = client.speak(id=f'utterance-{number}', text=TEXTS[number % len(TEXTS)])
    return recording.first_audio - published, recording.stats.audio_duration, recording.stats.synthesis_time


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = ros_client.parser('ros_latency', __doc__.splitlines()[0])
    parser.add_argument('--utterances', type=int, default=200)
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())

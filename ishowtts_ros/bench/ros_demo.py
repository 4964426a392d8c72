"""Hear it: starts the node as its own process, says a text on its topic, records what comes back.

usage: python3 -m ishowtts_ros.bench.ros_demo [--engine E] [--param NAME=VALUE]... [--output demo.wav] TEXT
"""

from __future__ import annotations

import argparse
import sys
import time

from . import ros_client
from ..core.audio import rms, write_wav
from ..core.types import UtteranceState


def main() -> int:
    arguments = _parse()
    try:
        with ros_client.conversation(arguments, arguments.timeout, pacing='burst') as client:
            published = time.monotonic()
            client.say(arguments.text)
            recording = client.wait_for(client.ended, arguments.timeout, 'end of the speech')
    except (TimeoutError, RuntimeError, ChildProcessError) as error:
        print(f'ishowtts: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if recording.states[-1] is not UtteranceState.FINISHED:
        print(f'ishowtts: {recording.states[-1].name} ({recording.code}): {recording.reason}', file=sys.stderr)
        return 1
    samples, stats = recording.samples, recording.stats
    write_wav(arguments.output, samples, recording.sample_rate)
    print(f'\n  text                 {arguments.text}\n'
          f'  engine, voice        {stats.engine}, {stats.voice}\n'
          f'  audio                {stats.audio_duration:.2f} s, {recording.sample_rate} Hz, RMS {rms(samples):.3f}'
          f' -> {arguments.output}\n'
          f'  real-time factor     {stats.real_time_factor:.4f}  ({stats.synthesis_time * 1e3:.1f} ms of work)\n'
          f'  first-audio latency  {(recording.first_audio - published) * 1e3:.1f} ms'
          '  (text published -> first audio received, over DDS)')
    return 0


def _parse() -> argparse.Namespace:
    parser = ros_client.parser('ros_demo', __doc__.splitlines()[0])
    parser.add_argument('text')
    parser.add_argument('--output', default='demo.wav')
    parser.add_argument('--timeout', type=float, default=600.0, help='s to wait, loading included')
    return parser.parse_args()


if __name__ == '__main__':
    sys.exit(main())

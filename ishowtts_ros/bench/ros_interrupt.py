"""From an interrupting message to silence, and to the first audio of the interruption, over real DDS.

Into the midst of a long text, spoken at the pace of speech, a client publishes an INTERRUPT request, and notes when
the last chunk of what was interrupted arrives and when the first of the new one does. Then, likewise, it calls
~/stop, and a player node in this process on a sound card that keeps the time notes when it last sounded: that
holds the player's 10 ms fade too, and leaves out only what a real sound card has in its own buffer.
All times hold two passes through DDS and rclpy's executors. The last line printed is one JSON document.

usage: ishowtts bench interrupt [--engine espeak] [--interruptions 100] [--param NAME=VALUE]...
"""

from __future__ import annotations

import argparse
from contextlib import contextmanager
import json
import platform
import random
import sys
import threading
import time
from typing import Iterator, Sequence

from ishowtts.msg import SpeechRequest
import numpy as np
from std_srvs.srv import Trigger

from . import ros_client
from ..executor import NodeExecutor
from ..player_node import PlayerNode
from .timed_sound_card import TimedSoundCard

LONG = 'I will now tell you at length about the history of this building, floor by floor and room by room. ' * 5
ALARM = 'Please step aside.'
SETTLED = 0.1       # s after the last chunk in which a player must have fallen silent
WHAT = {'last_chunk_ms': 'interrupt -> last chunk of what was interrupted',
        'first_audio_ms': 'interrupt -> first audio of the interruption',
        'player_silent_ms': 'stop -> silence at the output of the player'}


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parse(argv)
    chance, card = random.Random(1), TimedSoundCard()
    moments = [chance.uniform(0.1, 1.0) for _ in range(arguments.interruptions)]
    with ros_client.conversation(arguments) as client, _player(card):
        for warm in range(2):
            _interrupt(client, f'warm-{warm}', 0.1)
            _stop(client, card, f'warm-stop-{warm}', 0.1)
        measured = [(*_interrupt(client, str(number), after), _stop(client, card, f'stop-{number}', after))
                    for number, after in enumerate(moments)]
    _report(arguments.engine, measured)
    return 0


@contextmanager
def _player(card: TimedSoundCard) -> Iterator[None]:
    """A player node on that sound card, in a thread of its own."""
    player, executor = PlayerNode(card), NodeExecutor()
    executor.add_node(player)
    thread = threading.Thread(target=executor.spin_until_stopped, name='player')
    thread.start()
    try:
        yield
    finally:
        player.close()
        executor.stop()
        thread.join()
        executor.shutdown()


def _report(engine: str, measured: list[tuple[float, ...]]) -> None:
    """:param measured: seconds, a row for each interruption and a column for each of WHAT"""
    result = {'engine': engine, 'interruptions': len(measured), 'machine': platform.machine()}
    for (name, what), column in zip(WHAT.items(), zip(*measured)):
        milliseconds = np.array(column) * 1e3
        result[name] = {'p50': round(float(np.percentile(milliseconds, 50)), 2),
                        'p95': round(float(np.percentile(milliseconds, 95)), 2), 'max': round(float(milliseconds.max()), 2)}
        print(f'{what} [ms]: p50 {{p50}}  p95 {{p95}}  max {{max}}'.format(**result[name]))
    print(json.dumps(result))


def _interrupt(client: ros_client.SpeechClient, number: str, after: float) -> tuple[float, float]:
    """Interrupt a long utterance when `after` seconds of it have been published.

    :return: seconds from the interrupting message to the end of the old audio, and to the first of the new
    """
    long, alarm = f'long-{number}', f'alarm-{number}'
    _speak_until(client, long, after)
    published = time.monotonic()
    client.request(id=alarm, text=ALARM, policy=SpeechRequest.INTERRUPT)
    old = client.wait_for(lambda: client.ended(long), 60.0, 'end of what was interrupted')
    new = client.wait_for(lambda: client.recordings.get(alarm) and client.recordings[alarm].first_audio
                          and client.recordings[alarm], 60.0, 'audio of the interruption')
    return old.latest_audio - published, new.first_audio - published


def _stop(client: ros_client.SpeechClient, card: TimedSoundCard, utterance_id: str, after: float) -> float:
    """Stop a long utterance likewise.

    :return: seconds from the call to the end of the player's sound; 0 where it was in a pause of the speech
    """
    _speak_until(client, utterance_id, after)
    client.wait_for(lambda: card.sounded_last() > time.monotonic() - 0.02, 60.0, 'sound')
    called = time.monotonic()
    client.call(Trigger, 'ishowtts/stop')
    client.wait_for(lambda: client.ended(utterance_id), 60.0, 'end of what was stopped')
    client.wait_for(lambda: time.monotonic() > max(card.sounded_last(), called) + SETTLED, 60.0, 'silence')
    return max(card.sounded_last() - called, 0.0)


def _speak_until(client: ros_client.SpeechClient, utterance_id: str, after: float) -> None:
    client.request(id=utterance_id, text=LONG, policy=SpeechRequest.INTERRUPT)
    client.wait_for(lambda: utterance_id in client.recordings and _seconds(client.recordings[utterance_id]) >= after,
                    60.0, 'audio')


def _seconds(recording: ros_client.Recording) -> float:
    return sum(len(chunk.samples) / chunk.sample_rate for chunk in list(recording.chunks))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = ros_client.parser('ros_interrupt', __doc__.splitlines()[0])
    parser.add_argument('--interruptions', type=int, default=100)
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())

"""core/playback_clock.py: speaking lasts as long as the audio, however fast that was published."""

import queue
import time

import numpy as np
import pytest

from ishowtts_ros.core.playback_clock import PlaybackClock
from ishowtts_ros.core.types import AudioChunk


def chunk(seconds, last=False):
    return AudioChunk('u', 0, last, 1000, np.zeros(int(seconds * 1000), np.int16))


@pytest.fixture
def changes():
    return queue.Queue()


@pytest.fixture
def clock(changes):
    clock = PlaybackClock(lambda speaking: changes.put((speaking, time.monotonic())))
    yield clock
    clock.close()


def test_a_burst_of_chunks_counts_as_speaking_for_as_long_as_they_sound(clock, changes):
    for _ in range(3):
        clock.add(chunk(0.1))
    (on, began), (off, ended) = changes.get(timeout=5), changes.get(timeout=5)
    assert on and not off
    assert ended - began >= 0.299


def test_two_utterances_back_to_back_are_one_stretch_of_speaking(clock, changes):
    clock.add(chunk(0.1, last=True))
    clock.add(chunk(0.1, last=True))
    assert changes.get(timeout=5)[0] and not changes.get(timeout=5)[0]
    assert changes.empty()


def test_a_cut_ends_speaking_at_once(clock, changes):
    clock.add(chunk(60))
    began = changes.get(timeout=5)[1]
    clock.cut_off()
    assert changes.get(timeout=5)[1] - began < 5


def test_an_empty_chunk_is_not_speech(clock, changes):
    clock.add(chunk(0, last=True))
    clock.add(chunk(0.01))
    assert changes.get(timeout=5)[0]

"""core/prebuffer.py: a slow engine does not stutter."""

import numpy as np
import pytest

from ishowtts_ros.core.prebuffer import SpeechRate
from ishowtts_ros.core.types import UtteranceStats


FIRST = (0.0, 1.0)      # s of work for s of audio: a fast start, which says nothing once there is experience


def spoken(characters, audio, work):
    return UtteranceStats('u', 'e', 'v', 0, characters, audio_duration=audio, synthesis_time=work)


@pytest.mark.parametrize('real_time_factor', [1.05, 1.3, 2.0, 5.0])
@pytest.mark.parametrize('piece', [0.1, 1.5])
def test_playback_that_starts_at_the_prebuffer_never_runs_dry(real_time_factor, piece):
    """Simulated: pieces are made at the engine's pace, playing starts when prebuffer + one piece are there."""
    rate = SpeechRate()
    for characters in (20, 35, 80):
        rate.add(spoken(characters, 0.07 * characters, 0.07 * characters * real_time_factor), speed=1.0)
    duration = 0.07 * 100 * 1.1     # the next utterance is a tenth longer than its text suggests
    prebuffer = rate.prebuffer(100, 1.0, *FIRST)
    ends = np.minimum(np.arange(piece, duration + piece, piece), duration)     # of the pieces, in audio
    made = ends * real_time_factor                                             # when each is there
    begin = made[min(np.searchsorted(ends, prebuffer + piece), len(made) - 1)]
    heard_until = np.concatenate([[0], ends[:-1]])                             # audio needed before each piece
    assert (made <= begin + heard_until + 1e-9).all()
    assert prebuffer < 0.07 * 100 * 1.2, 'and it does not wait for all of it'


def test_a_fast_engine_and_an_unknown_one_start_at_once():
    rate = SpeechRate()
    assert rate.prebuffer(100, 1.0, *FIRST) == 0
    rate.add(spoken(100, 7.0, 6.9), 1.0)
    rate.add(spoken(100, 0.0, 5.0), 1.0)     # no audio: nothing learned
    assert rate.prebuffer(100, 1.0, *FIRST) == 0


def test_faster_speech_needs_less():
    rate = SpeechRate()
    rate.add(spoken(100, 7.0, 21.0), speed=1.0)
    assert rate.prebuffer(100, 2.0, *FIRST) == pytest.approx(rate.prebuffer(100, 1.0, *FIRST) / 2)


@pytest.mark.parametrize('real_time_factor', [1.05, 1.5, 3.0])
def test_the_first_utterance_goes_by_its_first_audio(real_time_factor):
    duration, piece = 0.07 * 100, 0.5
    prebuffer = SpeechRate().prebuffer(100, 1.0, piece * real_time_factor, piece)
    assert duration * (1 - 1 / real_time_factor) <= prebuffer < duration * 1.2
    assert real_time_factor * (duration - prebuffer) <= duration


def test_work_is_known_after_the_first_utterance():
    rate = SpeechRate()
    assert rate.work(10, 1.0) == np.inf
    rate.add(spoken(100, 7.0, 2.0), speed=1.0)
    assert rate.work(50, speed=1.0) == pytest.approx(1.2) and rate.work(50, speed=2.0) == pytest.approx(0.6)

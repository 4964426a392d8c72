"""core/prebuffer.py: a slow engine does not stutter."""

import numpy as np
import pytest

from ishowtts_ros.core.prebuffer import SpeechRate
from ishowtts_ros.core.types import UtteranceStats


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
    prebuffer = rate.prebuffer(100, speed=1.0)
    ends = np.minimum(np.arange(piece, duration + piece, piece), duration)     # of the pieces, in audio
    made = ends * real_time_factor                                             # when each is there
    begin = made[min(np.searchsorted(ends, prebuffer + piece), len(made) - 1)]
    heard_until = np.concatenate([[0], ends[:-1]])                             # audio needed before each piece
    assert (made <= begin + heard_until + 1e-9).all()
    assert prebuffer < 0.07 * 100 * 1.2, 'and it does not wait for all of it'


def test_a_fast_engine_and_an_unknown_one_start_at_once():
    rate = SpeechRate()
    assert rate.prebuffer(100, 1.0) == 0
    rate.add(spoken(100, 7.0, 6.9), 1.0)
    rate.add(spoken(100, 0.0, 5.0), 1.0)     # no audio: nothing learned
    assert rate.prebuffer(100, 1.0) == 0


def test_faster_speech_needs_less():
    rate = SpeechRate()
    rate.add(spoken(100, 7.0, 21.0), speed=1.0)
    assert rate.prebuffer(100, speed=2.0) == pytest.approx(rate.prebuffer(100, speed=1.0) / 2)

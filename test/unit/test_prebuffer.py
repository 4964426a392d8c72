"""core/prebuffer.py: a slow engine does not stutter."""

import numpy as np
import pytest

from ishowtts_ros.core.prebuffer import CUSHION, SpeechRate
from ishowtts_ros.core.types import UtteranceStats

FIRST = (0.0, 1.0)      # s of work for s of audio: a fast start, which says nothing once there is experience


def spoken(characters, audio, work):
    return UtteranceStats('u', 'e', 'v', 0, characters, audio_duration=audio, synthesis_time=work)


def assert_never_dry(prebuffer, real_time_factor, duration, piece):
    """Simulated: pieces are made at the engine's pace; playing starts when what is wanted is there, or all there is."""
    ends = np.minimum(np.arange(piece, duration + piece, piece), duration)     # of the pieces, in audio
    made = ends * real_time_factor                                             # when each is there
    wanted = prebuffer.seconds + prebuffer.pieces * piece
    begin = made[min(np.searchsorted(ends, wanted), len(made) - 1)]
    heard_until = np.concatenate([[0], ends[:-1]])                             # audio needed before each piece
    slack = begin + heard_until - made
    assert (slack[1:] >= min(0.1, slack[0])).all(), 'a tenth of a second to spare, unless all was gathered'


@pytest.mark.parametrize('real_time_factor', [0.2, 0.6, 0.9, 1.05, 1.3, 2.0, 5.0])
@pytest.mark.parametrize('piece', [0.1, 1.5])
def test_playback_never_runs_dry(real_time_factor, piece):
    rate = SpeechRate()
    for characters in (20, 35, 80):
        rate.add(spoken(characters, 0.07 * characters, 0.07 * characters * real_time_factor), speed=1.0)
    prebuffer = rate.prebuffer(100, 1.0, *FIRST)
    # the next utterance is a tenth longer than its text suggests
    assert_never_dry(prebuffer, real_time_factor, duration=0.07 * 100 * 1.1, piece=piece)
    assert prebuffer.seconds < 0.07 * 100 * 1.2, 'and it does not wait for all of it'


@pytest.mark.parametrize('real_time_factor', [0.2, 0.8, 1.05, 1.5, 3.0])
def test_the_first_utterance_goes_by_its_first_audio(real_time_factor):
    prebuffer = SpeechRate().prebuffer(100, 1.0, 0.5 * real_time_factor, 0.5)
    assert_never_dry(prebuffer, real_time_factor, duration=0.07 * 100, piece=0.5)


def test_a_fast_engine_starts_as_good_as_at_once():
    rate = SpeechRate()
    rate.add(spoken(100, 7.0, 0.035), 1.0)      # espeak
    rate.add(spoken(100, 0.0, 5.0), 1.0)        # no audio: nothing learned
    prebuffer = rate.prebuffer(100, 1.0, *FIRST)
    assert prebuffer.seconds == CUSHION and prebuffer.pieces < 0.01
    assert 0.005 * prebuffer.seconds < 0.001, 's until that is made'


def test_faster_speech_needs_less():
    rate = SpeechRate()
    rate.add(spoken(100, 7.0, 21.0), speed=1.0)
    normal, fast = (rate.prebuffer(100, speed, *FIRST).seconds - CUSHION for speed in (1.0, 2.0))
    assert fast == pytest.approx(normal / 2)


def test_work_is_known_after_the_first_utterance():
    rate = SpeechRate()
    assert rate.work(10, 1.0) == np.inf
    rate.add(spoken(100, 7.0, 2.0), speed=1.0)
    assert rate.work(50, speed=1.0) == pytest.approx(1.2) and rate.work(50, speed=2.0) == pytest.approx(0.6)

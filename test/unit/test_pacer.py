"""core/pacer.py: audio goes out at the pace of speech, one utterance after the other, and stops when told."""

import queue
import threading
import time

import numpy as np
import pytest

from ishowtts_ros.core import pacer as pacer_module
from ishowtts_ros.core.prebuffer import Prebuffer
from ishowtts_ros.core.pacer import Pacer, Pacing

RATE = 1000                  # Hz
DEADLINE = 20.0              # s; everything here takes a second at most, a loaded machine may take longer
REALTIME, BURST = Pacing('realtime', audio_lead=0.2), Pacing('burst')


def noise(seconds, seed=0):
    return np.random.default_rng(seed).integers(-30000, 30000, int(seconds * RATE)).astype(np.int16)


class Ear:
    """Hears a pacer, and when."""

    def __init__(self):
        self.chunks = []
        self.times = []
        self.finished = []
        self.speaking = queue.Queue()
        self.heard = threading.Condition(threading.RLock())     # its lock is the pacer's

    def publish(self, chunk):
        self.chunks.append(chunk)
        self.times.append(time.monotonic())
        self.heard.notify_all()

    def finish(self, track):
        self.finished.append((len(self.chunks), track))
        self.heard.notify_all()

    def wait(self, condition):
        with self.heard:
            assert self.heard.wait_for(condition, DEADLINE)

    def samples(self, utterance_id='a'):
        return np.concatenate([c.samples for c in self.chunks if c.utterance_id == utterance_id])


@pytest.fixture
def ear():
    return Ear()


@pytest.fixture
def pacer(ear):
    pacer = Pacer(ear.heard._lock, ear.publish, ear.finish, lambda speaking: ear.speaking.put((speaking, time.monotonic())))
    yield pacer
    pacer.close()


def test_audio_is_never_further_ahead_of_the_clock_than_the_lead(pacer, ear):
    track, audio = pacer.begin('a', RATE, REALTIME), noise(1.0)
    pacer.write(track, audio)
    pacer.finish(track)
    assert len(ear.chunks) == 1, 'the first chunk goes out at once'
    ear.wait(lambda: ear.finished)
    assert np.array_equal(ear.samples(), audio)
    assert ear.finished == [(len(ear.chunks), track)] and ear.chunks[-1].last
    published = np.cumsum([c.duration for c in ear.chunks])
    ahead = published - (np.array(ear.times) - ear.times[0])
    assert ahead.max() <= REALTIME.audio_lead + 0.012     # what is held back comes with the last chunk
    assert max(c.duration for c in ear.chunks[1:]) <= 0.051
    assert [c.sequence for c in ear.chunks] == list(range(len(ear.chunks)))


def test_a_burst_goes_out_as_it_comes_in(pacer, ear):
    track = pacer.begin('a', RATE, BURST)
    for _ in range(3):
        pacer.write(track, noise(10.0))
    pacer.finish(track)
    assert len(ear.chunks) == 4 and len(ear.samples()) == 30 * RATE and ear.finished
    pacer.cut_off(track)
    assert len(ear.chunks) == 4, 'what has ended cannot be cut off'


@pytest.mark.parametrize('pacing', [REALTIME, BURST])
def test_speaking_lasts_as_long_as_the_audio_of_utterances_back_to_back(pacer, ear, pacing):
    for name in 'ab':
        track = pacer.begin(name, RATE, pacing)
        pacer.write(track, noise(0.3))
        pacer.finish(track)
    (on, began), (off, ended) = ear.speaking.get(timeout=DEADLINE), ear.speaking.get(timeout=DEADLINE)
    assert on and not off and 0.599 <= ended - began < 5
    assert ear.speaking.empty()


def test_the_next_utterance_waits_for_the_end_of_the_one_before(pacer, ear):
    first, second = (pacer.begin(name, RATE, pacing) for name, pacing in (('a', REALTIME), ('b', BURST)))
    pacer.write(second, noise(0.1))
    pacer.finish(second)
    assert not ear.chunks and len(pacer) == 2
    pacer.write(first, noise(0.4))
    pacer.finish(first)
    ear.wait(lambda: len(ear.finished) == 2)
    names = [c.utterance_id for c in ear.chunks]
    assert names == sorted(names) and [c.last for c in ear.chunks].count(True) == 2


def test_what_is_cut_off_ends_now_in_a_fade_and_is_no_longer_speaking(pacer, ear):
    track = pacer.begin('a', RATE, Pacing('realtime', audio_lead=5.0))
    pacer.write(track, np.full(30 * RATE, 10000, np.int16))
    began = ear.speaking.get(timeout=DEADLINE)[1]
    pacer.cut_off(track)
    assert ear.chunks[-1].last and ear.chunks[-1].samples[-1] == 0 and len(ear.chunks[-1].samples) == 10
    assert ear.speaking.get(timeout=DEADLINE)[1] - began < 4
    assert pacer.takes_more(track)
    pacer.write(track, noise(1.0))
    assert len(ear.samples()) < 6 * RATE and not ear.finished


def test_one_cut_off_before_its_turn_ends_when_that_comes(pacer, ear):
    first, second = (pacer.begin(name, RATE, BURST) for name in 'ab')
    pacer.write(second, noise(0.1))
    pacer.write(first, noise(0.1))
    pacer.cut_off(second)
    assert [c.utterance_id for c in ear.chunks] == ['a']
    pacer.finish(first)
    assert [(c.utterance_id, c.last) for c in ear.chunks] == [('a', False), ('a', True), ('b', True)]
    assert not len(ear.samples('b')) and len(ear.finished) == 1 and not len(pacer)


def test_cutting_off_the_next_leaves_what_sounds_alone(pacer, ear):
    first, second = (pacer.begin(name, RATE, BURST) for name in 'ab')
    pacer.write(first, noise(0.5))
    pacer.finish(first)
    pacer.write(second, noise(60.0))
    pacer.cut_off(second)
    (_, began), (_, ended) = ear.speaking.get(timeout=DEADLINE), ear.speaking.get(timeout=DEADLINE)
    assert 0.499 <= ended - began < 30


def test_a_pause_falls_silent_and_goes_on_where_it_was(pacer, ear):
    track, audio = pacer.begin('a', RATE, REALTIME), noise(0.6)
    pacer.write(track, audio)
    pacer.pause()
    before = len(ear.chunks)
    assert ear.speaking.get(timeout=DEADLINE)[0] and not ear.speaking.get(timeout=DEADLINE)[0]
    pacer.finish(track)
    assert len(ear.chunks) == before and not ear.finished
    pacer.resume()
    ear.wait(lambda: ear.finished)
    assert np.array_equal(ear.samples(), audio) and ear.speaking.get(timeout=DEADLINE)[0]


def test_cut_off_out_of_the_silence_of_a_pause_makes_no_click(pacer, ear):
    track = pacer.begin('a', RATE, REALTIME)
    pacer.write(track, noise(0.6))
    pacer.pause()
    assert ear.speaking.get(timeout=DEADLINE)[0] and not ear.speaking.get(timeout=DEADLINE)[0]
    pacer.cut_off(track)
    assert ear.chunks[-1].last and not len(ear.chunks[-1].samples)


def write_when_taken(pacer, track, samples):
    """As an engine does that waits when it should. Returns the seconds it waited."""
    started = time.monotonic()
    with pacer.drained:
        assert pacer.drained.wait_for(lambda: pacer.takes_more(track), DEADLINE)
    waited = time.monotonic() - started
    pacer.write(track, samples)
    return waited


def test_an_engine_far_ahead_waits_until_there_is_room_or_its_utterance_is_cut_off(pacer, ear, monkeypatch):
    monkeypatch.setattr(pacer_module, 'MAX_WAITING', 0.5)
    track, took = pacer.begin('a', RATE, REALTIME), []

    def engine():
        for _ in range(100):
            took.append(write_when_taken(pacer, track, noise(0.1)))
    thread = threading.Thread(target=engine)
    thread.start()
    ear.wait(lambda: sum(c.duration for c in ear.chunks) > 0.5)
    with ear.heard:
        assert track.waiting <= 0.6 * RATE
    pacer.cut_off(track)
    thread.join(DEADLINE)
    assert len(took) == 100 and sum(took) > 0.1


def test_audio_is_gathered_until_the_rest_can_follow_without_a_gap(pacer, ear):
    track = pacer.begin('a', RATE, REALTIME)
    pacer.gather(track, Prebuffer(0.25, 0.5))
    for number in range(2):
        pacer.write(track, noise(0.1))
        assert not ear.chunks, number
    pacer.write(track, noise(0.1))      # 0.25 s, and half a piece more
    assert ear.chunks
    short = pacer.begin('b', RATE, REALTIME)
    pacer.gather(short, Prebuffer(60.0))
    pacer.write(short, noise(0.1))
    pacer.finish(short)                 # all of it is there: no reason to wait
    pacer.finish(track)
    ear.wait(lambda: len(ear.finished) == 2)


def test_what_is_cut_off_together_is_not_heard_one_after_the_other(pacer, ear):
    """Cutting the first off must not let the second, which is complete and in a burst, out for a moment."""
    first, second = pacer.begin('a', RATE, REALTIME), pacer.begin('b', RATE, BURST)
    pacer.write(first, noise(5))
    pacer.write(second, noise(1))
    pacer.finish(second)
    pacer.cut_off(first, second)
    assert not ear.finished and len(pacer) == 0
    assert [(c.utterance_id, c.last) for c in ear.chunks if c.last] == [('a', True), ('b', True)]
    assert len(ear.samples('b')) == 0


def test_nobody_waits_for_room_that_only_he_could_make(pacer, ear):
    """Two utterances of one pass: the first has not been finished yet, so the second must not wait for its turn."""
    first, second = pacer.begin('a', RATE, REALTIME), pacer.begin('b', RATE, REALTIME)
    pacer.write(first, noise(0.5))
    for _ in range(3):
        assert pacer.takes_more(second), 'it waits for the end of the first'
        pacer.write(second, noise(pacer_module.MAX_WAITING))
    pacer.finish(first)
    assert not pacer.takes_more(second)
    pacer.cut_off(second)
    ear.wait(lambda: len(ear.finished) == 1)


def test_the_last_chunk_of_a_track_that_was_cut_off_behind_another_is_still_to_come(pacer, ear):
    first, second = pacer.begin('a', RATE, REALTIME), pacer.begin('b', RATE, REALTIME)
    pacer.write(first, noise(0.3))
    pacer.cut_off(second)
    assert 'a' in pacer and 'b' in pacer and 'c' not in pacer
    pacer.finish(first)
    ear.wait(lambda: any(chunk.utterance_id == 'b' and chunk.last for chunk in ear.chunks))
    assert 'a' not in pacer and 'b' not in pacer

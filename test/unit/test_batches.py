"""core/synthesizer.py with an engine that speaks several utterances in one pass: together where nobody waits for it."""

import threading

import numpy as np
import pytest

from ishowtts_ros.core.failover import Failover
from ishowtts_ros.core.pacer import Pacing
from ishowtts_ros.core.synthesizer import MAX_TOGETHER, Synthesizer
from ishowtts_ros.core.types import ErrorCode, SpeechError, SynthesisSettings, Utterance, UtteranceState

QUEUED, STARTED, FINISHED, CANCELED, REJECTED, FAILED = UtteranceState
DEADLINE = 20.0     # s; everything here takes milliseconds
RATE = 1000         # Hz


class BatchEngine:
    """0.1 s of audio a word, in no time. Waits at the gate before each pass; remembers which texts went together."""

    name, sample_rate, has_solver = 'batches', RATE, True

    def __init__(self, batch_size):
        self.batch_size = batch_size
        self.passes = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def load(self, progress):
        pass

    def warmup(self, progress):
        pass

    def voice_for(self, language):
        return 'plain'

    def check_voice(self, name):
        pass

    def synthesize(self, text, settings, emit, canceled):
        self.gate.wait(DEADLINE)
        self.passes.append([text])
        emit(np.full(100 * len(text.split()), 1000, np.int16))

    def synthesize_batch(self, batch):
        self.entered.set()
        self.gate.wait(DEADLINE)
        self.passes.append([speech.text for speech in batch])
        failures = []
        for speech in batch:
            if 'fail' in speech.text:
                failures.append(SpeechError(ErrorCode.OUT_OF_MEMORY, 'no memory; lower the batch'))
            else:
                if not speech.canceled():
                    speech.emit(np.full(100 * len(speech.text.split()), 1000, np.int16))
                failures.append(None)
        return failures

    def close(self):
        pass


class Heard:
    def __init__(self):
        self.events, self.stats, self.samples = [], {}, {}

    def on_event(self, event):
        self.events.append((event.utterance_id, event.state))

    def on_audio(self, chunk):
        self.samples[chunk.utterance_id] = self.samples.get(chunk.utterance_id, 0) + len(chunk.samples)

    def on_stats(self, stats):
        self.stats[stats.utterance_id] = stats

    def on_speaking(self, speaking):
        pass


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def start(heard):
    started = []

    def start(batch_size):
        engine = BatchEngine(batch_size)
        synthesizer = Synthesizer(Failover(lambda: engine), SynthesisSettings, heard,
                                  pacing=lambda: Pacing('realtime', 0.1))
        started.append(synthesizer)
        synthesizer.start(lambda done, what: None).result(DEADLINE)
        synthesizer.accept(True)
        return engine, synthesizer
    yield start
    for synthesizer in started:
        synthesizer.close()


def hold_and_submit(engine, synthesizer, *utterances):
    """The first is synthesized and sounds for a while; the second is held at the gate until all others wait."""
    synthesizer.submit(Utterance('first', 'word ' * 100))
    with synthesizer._changed:
        assert synthesizer._changed.wait_for(lambda: 'first' in synthesizer._listener.stats, DEADLINE)
        for utterance in utterances:        # under the lock: all of them wait when the worker looks
            synthesizer.submit(utterance)


def until_spoken(synthesizer, count):
    with synthesizer._changed:
        assert synthesizer._changed.wait_for(lambda: len(synthesizer._listener.stats) >= count, DEADLINE)


def test_what_waits_together_while_another_sounds_goes_in_one_pass(start, heard):
    engine, synthesizer = start(3)
    hold_and_submit(engine, synthesizer, *(Utterance(name, f'word {name}') for name in 'abcd'))
    until_spoken(synthesizer, 4)
    assert engine.passes[1:] == [['word a', 'word b', 'word c']]        # d waits for its turn
    assert [name for name, state in heard.events if state is STARTED] == ['first', 'a', 'b', 'c']
    stats = [heard.stats[name] for name in 'abc']
    assert [s.audio_duration for s in stats] == pytest.approx([0.2] * 3)
    assert stats[0].synthesis_time == stats[1].synthesis_time == stats[2].synthesis_time > 0


def test_the_first_audio_is_never_delayed_for_a_batch(start):
    engine, synthesizer = start(3)
    engine.gate.clear()
    for name in 'abc':          # nothing sounds, nothing is known of the engine's speed: a goes alone
        synthesizer.submit(Utterance(name, f'word {name}'))
    engine.gate.set()
    until_spoken(synthesizer, 1)
    assert engine.passes[0] == ['word a']


def test_an_engine_for_which_batches_do_not_pay_gets_none(start):
    engine, synthesizer = start(1)
    hold_and_submit(engine, synthesizer, *(Utterance(name, f'word {name}') for name in 'ab'))
    until_spoken(synthesizer, 2)
    assert engine.passes[1:] == [['word a']]


def test_different_solver_settings_do_not_go_together(start):
    engine, synthesizer = start(3)
    hold_and_submit(engine, synthesizer, Utterance('a', 'word a'), Utterance('b', 'word b', voice='other', speed=2.0),
                    Utterance('c', 'word c', nfe_step=16))
    until_spoken(synthesizer, 3)
    assert engine.passes[1:] == [['word a', 'word b']]


def test_work_that_would_outlast_what_sounds_is_not_joined(start):
    engine, synthesizer = start(3)
    synthesizer._speech_rates['batches', 7].work = lambda length, speed: length     # a second a character
    hold_and_submit(engine, synthesizer, Utterance('a', 'abc'), Utterance('b', 'abcdef'), Utterance('c', 'ab'))
    until_spoken(synthesizer, 3)        # 10 s sound: 3 + 6 s of work fit, 2 more do not
    assert engine.passes[1:] == [['abc', 'abcdef']]


def test_only_so_much_speech_goes_together_as_may_come_before_something_urgent(start):
    engine, synthesizer = start(3)
    hold_and_submit(engine, synthesizer, *(Utterance(name, f'word {name} ' * 40) for name in 'abc'))    # 6.7 s each, as far as is known
    until_spoken(synthesizer, 3)
    assert len(engine.passes[1]) == 2 and 2 * 6.7 < MAX_TOGETHER < 3 * 6.7


def test_experience_with_other_settings_does_not_count(start):
    """With four times the steps a pass takes four times as long: until that has been seen, each goes alone."""
    engine, synthesizer = start(3)
    hold_and_submit(engine, synthesizer, *(Utterance(name, f'word {name}', nfe_step=32) for name in 'ab'))
    until_spoken(synthesizer, 2)
    assert engine.passes[1:] == [['word a']]


def test_one_that_fails_or_is_canceled_leaves_the_others_alone(start, heard):
    engine, synthesizer = start(3)
    engine.gate.clear()
    synthesizer.submit(Utterance('first', 'word ' * 100))
    engine.gate.set()
    until_spoken(synthesizer, 1)
    engine.gate.clear()
    with synthesizer._changed:
        for name, text in (('a', 'fail'), ('b', 'word b'), ('c', 'word c')):
            synthesizer.submit(Utterance(name, text))
    assert engine.entered.wait(DEADLINE) and ('c', STARTED) in heard.events
    assert synthesizer.cancel('b', ErrorCode.STOPPED, 'canceled')
    engine.gate.set()
    until_spoken(synthesizer, 4)
    assert synthesizer.cancel('first', ErrorCode.STOPPED, 'canceled') and synthesizer.wait_until_idle(DEADLINE)
    last = {name: state for name, state in heard.events}
    assert last == {'first': CANCELED, 'a': FAILED, 'b': CANCELED, 'c': FINISHED}
    assert heard.samples['c'] == 200 and not heard.samples['b']

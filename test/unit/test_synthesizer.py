"""core/synthesizer.py: every accepted utterance ends exactly once, whatever happens."""

import threading
import time

import numpy as np
import pytest
from stepping_engine import DEADLINE, SteppingEngine

from ishowtts_ros.core.admission import AdmissionRules
from ishowtts_ros.core.failover import Failover
from ishowtts_ros.core.pacer import Pacing
from ishowtts_ros.core.synthesizer import Limits, Synthesizer
from ishowtts_ros.core.types import ErrorCode, Policy, SpeechError, SynthesisSettings, Utterance, UtteranceState

QUEUED, STARTED, FINISHED, CANCELED, REJECTED, FAILED = UtteranceState


def test_an_utterance_is_queued_started_heard_and_finished_in_that_order(make, recorder):
    engine = SteppingEngine()
    synthesizer = make(engine)
    synthesizer.submit(Utterance('a', '  two   words '))
    assert synthesizer.wait_until_idle(DEADLINE)
    log = [entry for entry in recorder.log if entry[0]]
    assert log == [('a', QUEUED), ('a', STARTED), ('a', 'audio'), ('a', 'audio'), ('a', 'last'), ('a', FINISHED)]
    assert sum(len(c.samples) for c in recorder.chunks['a']) == 200
    stats = recorder.stats['a']
    assert (stats.engine, stats.voice, stats.nfe_step, stats.text_length) == ('stepping', 'plain', 7, 9)
    assert stats.audio_duration == pytest.approx(0.2) and stats.synthesis_time >= stats.first_audio_latency > 0


def test_one_thread_alone_touches_the_engine(make):
    engine = SteppingEngine()
    synthesizer = make(engine)
    synthesizer.submit(Utterance('a', 'word'))
    synthesizer.wait_until_idle(DEADLINE)
    synthesizer.close()
    assert engine.threads == {'synthesizer'} and engine.closed


def test_priority_decides_the_order_of_those_that_wait(speaking, recorder):
    engine, synthesizer = speaking(Utterance('first', 'word'))
    for name, priority in (('low', 1), ('normal', 128), ('high', 255), ('normal-2', 128)):
        synthesizer.submit(Utterance(name, 'word', priority=priority))
    engine.permits.release(5)
    assert synthesizer.wait_until_idle(DEADLINE)
    assert [name for name, what in recorder.log if what is STARTED] == ['first', 'high', 'normal', 'normal-2', 'low']


def test_a_request_overrides_settings_and_a_change_waits_for_the_next_utterance(speaking):
    current = SynthesisSettings(voice='plain', nfe_step=7)
    engine, synthesizer = speaking(Utterance('a', 'one two', nfe_step=32), settings=lambda: current)
    synthesizer.submit(Utterance('b', 'one'))
    current = SynthesisSettings(voice='robot', nfe_step=5)
    engine.permits.release(3)
    assert synthesizer.wait_until_idle(DEADLINE)
    assert [(s.voice, s.nfe_step) for s in engine.settings] == [('plain', 32), ('robot', 5)]


def test_cancel_ends_the_current_utterance_with_a_fade_and_the_next_is_spoken(make, recorder):
    engine = SteppingEngine(permits=1)
    synthesizer = make(engine)
    synthesizer.submit(Utterance('a', 'one two three'))
    synthesizer.submit(Utterance('b', 'one'))
    assert engine.speaking.wait(DEADLINE)
    while not recorder.chunks['a']:
        engine.speaking.clear()
        assert engine.speaking.wait(DEADLINE)
    assert synthesizer.cancel('a', 'stopped', 'enough')
    engine.permits.release(5)
    assert synthesizer.wait_until_idle(DEADLINE)
    assert recorder.states('a') == [QUEUED, STARTED, CANCELED] and recorder.states('b') == [QUEUED, STARTED, FINISHED]
    assert [c.last for c in recorder.chunks['a']][-1] and recorder.chunks['a'][-1].samples[-1] == 0
    assert recorder.events['a'][-1].code == 'stopped' and recorder.events['a'][-1].reason == 'enough'
    assert not synthesizer.cancel('a', 'stopped', 'again')


def test_cancel_takes_a_waiting_utterance_out_without_audio(speaking, recorder):
    engine, synthesizer = speaking(Utterance('a', 'one'))
    synthesizer.submit(Utterance('b', 'one'))
    assert synthesizer.cancel('b', 'stopped', 'not any more')
    engine.permits.release(2)
    assert synthesizer.wait_until_idle(DEADLINE)
    assert recorder.states('b') == [QUEUED, CANCELED] and not recorder.chunks['b']


def test_interrupt_cancels_everything_before_it(speaking, recorder):
    engine, synthesizer = speaking(*(Utterance(name, 'one two') for name in 'abc'))
    synthesizer.submit(Utterance('now', 'one', policy=Policy.INTERRUPT))
    engine.permits.release(10)
    assert synthesizer.wait_until_idle(DEADLINE)
    assert [recorder.states(name)[-1] for name in 'abc'] == [CANCELED] * 3
    assert all(recorder.events[name][-1].code == ErrorCode.INTERRUPTED for name in 'abc')
    assert recorder.states('now') == [QUEUED, STARTED, FINISHED]


def test_a_bad_interrupt_interrupts_nothing(speaking, recorder):
    engine, synthesizer = speaking(Utterance('a', 'one'))
    with pytest.raises(SpeechError):
        synthesizer.submit(Utterance('now', ' ', policy=Policy.INTERRUPT))
    engine.permits.release(1)
    assert synthesizer.wait_until_idle(DEADLINE)
    assert recorder.states('a')[-1] is FINISHED


def test_stop_counts_what_it_canceled_and_the_next_request_is_spoken(speaking, recorder):
    engine, synthesizer = speaking(*(Utterance(name, 'one two') for name in 'abc'))
    assert synthesizer.stop() == 3
    assert synthesizer.stop() == 0
    engine.permits.release(10)
    synthesizer.submit(Utterance('d', 'one'))
    assert synthesizer.wait_until_idle(DEADLINE)
    assert recorder.states('d')[-1] is FINISHED


@pytest.mark.parametrize('word, code, reason', [('fail', ErrorCode.OUT_OF_MEMORY, 'lower the batch'),
                                                ('break', ErrorCode.ENGINE_FAILED, 'ZeroDivisionError: a bug')])
def test_an_engine_error_fails_that_utterance_only(make, recorder, word, code, reason):
    synthesizer = make(SteppingEngine())
    synthesizer.submit(Utterance('a', f'good {word} good'))
    synthesizer.submit(Utterance('b', 'good'))
    assert synthesizer.wait_until_idle(DEADLINE)
    assert recorder.states('a') == [QUEUED, STARTED, FAILED] and recorder.states('b')[-1] is FINISHED
    assert recorder.events['a'][-1].code == code and reason in recorder.events['a'][-1].reason
    assert [c.last for c in recorder.chunks['a']].count(True) == 1


@pytest.mark.parametrize('fields, code, says', [
    ({'text': ''}, ErrorCode.EMPTY_TEXT, 'at least one word'),
    ({'text': 'x' * 51}, ErrorCode.TEXT_TOO_LONG, 'at most 50'),
    ({'voice': 'robo'}, ErrorCode.UNKNOWN_VOICE, 'robot'),
    ({'nfe_step': 129}, ErrorCode.INVALID_PARAMETER, '1 to 128'),
    ({'nfe_step': -1}, ErrorCode.INVALID_PARAMETER, '1 to 128'),
    ({'speed': 9.0}, ErrorCode.INVALID_PARAMETER, '0.25 to 4.0'),
    ({'speed': float(np.float32(0.1))}, ErrorCode.INVALID_PARAMETER, 'speed 0.1 is not in 0.25 to 4.0'),
    ({'speed': float('nan')}, ErrorCode.INVALID_PARAMETER, '0.25 to 4.0'),
])
def test_a_bad_request_is_rejected_with_its_cure(make, recorder, fields, code, says):
    synthesizer = make(SteppingEngine(), Limits(max_text_length=50))
    with pytest.raises(SpeechError, match=says) as error:
        synthesizer.submit(Utterance(**{'id': 'a', 'text': 'word', **fields}))
    assert error.value.code == code and not recorder.log


def test_two_utterances_of_one_id_cannot_be_under_way_together(speaking, recorder):
    engine, synthesizer = speaking(Utterance('a', 'one'))
    synthesizer.submit(Utterance('b', 'one'))
    for name in 'ab':
        with pytest.raises(SpeechError, match='another id') as error:
            synthesizer.submit(Utterance(name, 'one'))
        assert error.value.code == ErrorCode.DUPLICATE_ID
    engine.permits.release(3)
    assert synthesizer.wait_until_idle(DEADLINE)
    synthesizer.submit(Utterance('a', 'one'))
    assert synthesizer.wait_until_idle(DEADLINE)
    assert recorder.states('a') == [QUEUED, STARTED, FINISHED] * 2


def test_a_full_queue_rejects(speaking):
    _, synthesizer = speaking(Utterance('a', 'one'), limits=Limits(queue_depth=1))
    synthesizer.submit(Utterance('b', 'one'))
    with pytest.raises(SpeechError, match='queue_depth') as error:
        synthesizer.submit(Utterance('c', 'one'))
    assert error.value.code == ErrorCode.QUEUE_FULL


def test_a_dropped_utterance_is_told_for_whom(speaking, recorder):
    engine, synthesizer = speaking(Utterance('a', 'one'), limits=Limits(queue_depth=1),
                                   rules=lambda: AdmissionRules(overflow='drop_oldest'))
    synthesizer.submit(Utterance('b', 'one'))
    synthesizer.submit(Utterance('c', 'one'))
    assert recorder.states('b') == [QUEUED, CANCELED] and recorder.events['b'][-1].code == ErrorCode.DROPPED
    assert "'c'" in recorder.events['b'][-1].reason
    engine.permits.release(2)
    assert synthesizer.wait_until_idle(DEADLINE)
    assert recorder.states('c')[-1] is FINISHED


def test_what_has_waited_too_long_expires_while_another_is_spoken(speaking, recorder):
    engine, synthesizer = speaking(Utterance('a', 'one', received=time.monotonic()),
                                   rules=lambda: AdmissionRules(max_age=60.0))
    synthesizer.submit(Utterance('fresh', 'one', received=time.monotonic()))
    synthesizer.submit(Utterance('old', 'one', received=time.monotonic() - 61))
    synthesizer.expire()
    assert recorder.events['old'][-1].code == ErrorCode.EXPIRED and '60 s' in recorder.events['old'][-1].reason
    engine.permits.release(2)
    assert synthesizer.wait_until_idle(DEADLINE)
    assert recorder.states('fresh')[-1] is FINISHED and recorder.states('old') == [QUEUED, CANCELED]


def test_rules_change_from_one_request_to_the_next_and_a_refused_interrupt_interrupts_nothing(speaking, recorder):
    rules = AdmissionRules()
    engine, synthesizer = speaking(Utterance('a', 'one'), rules=lambda: rules)
    rules = AdmissionRules(dedupe_window=60.0)
    synthesizer.submit(Utterance('b', 'one'))
    for voice in ('', 'plain'):     # the default voice by its name is the same voice
        with pytest.raises(SpeechError, match='dedupe_window') as error:
            synthesizer.submit(Utterance('c', ' one ', voice=voice, policy=Policy.INTERRUPT))
        assert error.value.code == ErrorCode.DUPLICATE_TEXT
    engine.permits.release(2)
    assert synthesizer.wait_until_idle(DEADLINE)
    assert recorder.states('a')[-1] is FINISHED and recorder.states('b')[-1] is FINISHED


def test_nothing_is_accepted_before_and_after(make):
    synthesizer = make(SteppingEngine())
    synthesizer.accept(False)
    with pytest.raises(SpeechError, match='activate') as error:
        synthesizer.submit(Utterance('a', 'one'))
    assert error.value.code == ErrorCode.NOT_ACTIVE


def test_settings_that_cannot_be_read_fail_one_utterance_and_not_the_worker(make, recorder):
    answers = iter([SynthesisSettings(), RuntimeError('no such parameter')])

    def settings():
        answer = next(answers, SynthesisSettings())
        if isinstance(answer, Exception):
            raise answer
        return answer
    synthesizer = make(SteppingEngine(), settings=settings)
    for name in 'ab':       # settings are read at submit and at start
        synthesizer.submit(Utterance(name, 'one'))
        assert synthesizer.wait_until_idle(DEADLINE)
    assert recorder.states('a') == [QUEUED, FAILED] and 'no such parameter' in recorder.events['a'][-1].reason
    assert recorder.states('b') == [QUEUED, STARTED, FINISHED]


def test_close_cancels_what_is_under_way(speaking, recorder):
    engine, synthesizer = speaking(*(Utterance(name, 'one') for name in 'ab'))
    synthesizer.close()
    assert recorder.states('a')[-1] is CANCELED and recorder.states('b')[-1] is CANCELED
    assert engine.closed


@pytest.mark.parametrize('error, code', [(SpeechError(ErrorCode.INVALID_REFERENCE, 'silent'), ErrorCode.INVALID_REFERENCE),
                                         (RuntimeError('no disk'), ErrorCode.LOAD_FAILED)])
def test_a_load_that_fails_says_why(recorder, error, code):
    engine = SteppingEngine()
    engine.load_error = error
    synthesizer = Synthesizer(Failover(lambda: engine), SynthesisSettings, recorder)
    with pytest.raises(SpeechError, match=str(error)) as raised:
        synthesizer.start(lambda done, doing: None).result(DEADLINE)
    assert raised.value.code == code
    synthesizer.close()
    assert engine.closed


def test_requests_from_many_threads_each_end_exactly_once(make, recorder):
    synthesizer = make(SteppingEngine(), Limits(queue_depth=1000))
    numbers = np.random.default_rng(1)
    plans = [[(f'{thread}-{n}', int(numbers.integers(1, 255)), numbers.random() < 0.1) for n in range(50)] for thread in range(4)]

    def submit(plan):
        for name, priority, interrupt in plan:
            synthesizer.submit(Utterance(name, 'one two', priority=priority,
                                         policy=Policy.INTERRUPT if interrupt else Policy.QUEUE))
    threads = [threading.Thread(target=submit, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert synthesizer.wait_until_idle(DEADLINE)
    for plan in plans:
        for name, _, _ in plan:
            states = recorder.states(name)
            assert [s.terminal for s in states].count(True) == 1 and states[-1].terminal
            assert [c.last for c in recorder.chunks[name]].count(True) == (STARTED in states)


def test_the_next_utterance_is_synthesized_while_one_is_heard_but_no_more_than_that(make, recorder):
    engine = SteppingEngine()
    synthesizer = make(engine, pacing=Pacing('realtime'))
    for name in 'abc':
        synthesizer.submit(Utterance(name, 'word ' * 600))     # a minute each
    with synthesizer._changed:
        assert synthesizer._changed.wait_for(lambda: 'b' in recorder.stats, DEADLINE)
        assert synthesizer._changed.wait_for(lambda: not synthesizer._synthesizing, DEADLINE)
    assert recorder.states('a') == recorder.states('b') == [QUEUED, STARTED] and recorder.states('c') == [QUEUED]
    assert not recorder.chunks['b'] and recorder.stats['b'].audio_duration == pytest.approx(60)
    assert synthesizer.busy and synthesizer.stop() == 3
    assert synthesizer.wait_until_idle(DEADLINE)
    for name in 'ab':
        assert recorder.states(name)[-1] is CANCELED and [c.last for c in recorder.chunks[name]].count(True) == 1
    assert not recorder.chunks['c'] and sum(c.duration for c in recorder.chunks['a']) < 20


def test_cancel_silences_at_once_even_if_the_engine_is_slow_to_notice(make, recorder):
    engine = SteppingEngine(permits=1)
    engine_stuck = threading.Event()
    original, engine.synthesize = engine.synthesize, None

    def synthesize(text, settings, emit, canceled):
        original('one', settings, emit, canceled)
        assert engine_stuck.wait(DEADLINE)
        emit(np.full(100, 1000, np.int16))
    engine.synthesize = synthesize
    synthesizer = make(engine)
    synthesizer.submit(Utterance('a', 'one'))
    assert engine.speaking.wait(DEADLINE)
    with synthesizer._changed:
        assert synthesizer.cancel('a', 'stopped', 'enough')
        assert recorder.states('a')[-1] is CANCELED and recorder.chunks['a'][-1].last
        with pytest.raises(SpeechError):     # its statistics are still to come
            synthesizer.submit(Utterance('a', 'one'))
    engine_stuck.set()
    assert synthesizer.wait_until_idle(DEADLINE)
    assert [c.last for c in recorder.chunks['a']].count(True) == 1 and 'a' in recorder.stats


def test_pause_holds_everything_back_and_stop_works_meanwhile(make, recorder):
    synthesizer = make(SteppingEngine())
    synthesizer.pause()
    for name in 'abc':
        synthesizer.submit(Utterance(name, 'one two'))
    with synthesizer._changed:
        assert synthesizer._changed.wait_for(lambda: 'b' in recorder.stats, DEADLINE)
    assert not recorder.chunks and synthesizer.paused
    assert synthesizer.cancel('a', 'stopped', 'enough')
    assert recorder.states('a') == [QUEUED, STARTED, CANCELED]
    synthesizer.resume()
    assert synthesizer.wait_until_idle(DEADLINE)
    assert recorder.states('b')[-1] is FINISHED and recorder.states('c')[-1] is FINISHED
    synthesizer.pause()
    synthesizer.submit(Utterance('d', 'one two'))
    assert synthesizer.stop() == 1 and synthesizer.wait_until_idle(DEADLINE)


def test_stop_cancels_the_one_heard_and_the_one_synthesized_ahead_of_it(make, recorder):
    engine = SteppingEngine()
    synthesizer = make(engine, pacing=Pacing('realtime', 0.05))
    synthesizer.submit(Utterance('a', 'word ' * 100))     # 10 s of audio
    synthesizer.submit(Utterance('b', 'word'))
    with synthesizer._changed:
        assert synthesizer._changed.wait_for(lambda: len(engine.settings) == 2 and not synthesizer._synthesizing, DEADLINE)
        assert synthesizer.stop() == 2
    assert synthesizer.wait_until_idle(DEADLINE)
    for name in 'ab':
        assert recorder.states(name) == [QUEUED, STARTED, CANCELED]
        assert [c.last for c in recorder.chunks[name]].count(True) == 1
    assert not sum(len(c.samples) for c in recorder.chunks['b'])


def test_an_id_is_taken_until_the_last_chunk_of_its_utterance_has_gone(make, recorder):
    """One that was canceled behind another still has that to come: were the id used again, it would have two."""
    synthesizer = make(SteppingEngine(), pacing=Pacing('realtime', 0.05))
    synthesizer.submit(Utterance('a', 'word ' * 100))
    synthesizer.submit(Utterance('b', 'word'))
    with synthesizer._changed:
        assert synthesizer._changed.wait_for(lambda: 'b' in recorder.stats, DEADLINE)
        assert synthesizer.cancel('b', ErrorCode.STOPPED, 'canceled')
        with pytest.raises(SpeechError) as error:
            synthesizer.submit(Utterance('b', 'again'))
        assert error.value.code == ErrorCode.DUPLICATE_ID
    synthesizer.stop()
    assert synthesizer.wait_until_idle(DEADLINE)
    synthesizer.submit(Utterance('b', 'again'))


def test_closing_ends_a_load_at_its_next_step(recorder):
    engine, loading = SteppingEngine(), threading.Event()

    def endless(progress):
        while True:
            progress(0.5, 'downloading')
            loading.set()
    engine.load = endless
    synthesizer = Synthesizer(Failover(lambda: engine), SynthesisSettings, recorder)
    loaded = synthesizer.start(lambda done, doing: None)
    assert loading.wait(DEADLINE)
    synthesizer.close()
    with pytest.raises(SpeechError) as error:
        loaded.result(DEADLINE)
    assert error.value.code == ErrorCode.NOT_ACTIVE and engine.closed

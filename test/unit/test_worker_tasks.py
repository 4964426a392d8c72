"""core/worker_tasks.py as the synthesizer uses it: while the engine rests, in the thread that owns it."""

import threading

import pytest
from stepping_engine import DEADLINE, SteppingEngine

from ishowtts_ros.core.pacer import MAX_WAITING, Pacing
from ishowtts_ros.core.synthesizer import Limits
from ishowtts_ros.core.types import ErrorCode, SpeechError, Utterance, UtteranceState

QUEUED, STARTED, FINISHED, CANCELED, REJECTED, FAILED = UtteranceState


def test_a_task_runs_in_the_worker_between_two_utterances_and_blocks_nobody(speaking, recorder):
    engine, synthesizer = speaking(*(Utterance(name, 'one') for name in 'abc'))
    begun, go_on = threading.Event(), threading.Event()

    def task():
        begun.set()
        assert go_on.wait(DEADLINE)
        return threading.current_thread().name, recorder.states('a'), recorder.states('b')
    done = synthesizer.run_in_worker(task)
    engine.permits.release(10)
    assert begun.wait(DEADLINE)
    synthesizer.submit(Utterance('d', 'one'))       # neither waits for the task
    assert synthesizer.cancel('c', ErrorCode.STOPPED, 'canceled')
    go_on.set()
    assert done.result(DEADLINE) == ('synthesizer', [QUEUED, STARTED, FINISHED], [QUEUED])
    assert synthesizer.wait_until_idle(DEADLINE)
    assert recorder.states('b') == recorder.states('d') == [QUEUED, STARTED, FINISHED]


def test_tasks_and_utterances_take_turns_however_many_there_are(speaking, recorder):
    engine, synthesizer = speaking(*(Utterance(f'u{number}', 'one') for number in range(10)),
                                   limits=Limits(queue_depth=100))
    futures = [synthesizer.run_in_worker(lambda: sum(state is STARTED for _, state in recorder.log)) for _ in range(10)]
    engine.permits.release(100)
    assert [future.result(DEADLINE) for future in futures] == [*range(1, 11)]


def test_a_task_runs_while_inactive_and_while_as_much_is_ahead_as_may_be(make, recorder):
    synthesizer = make(SteppingEngine(), pacing=Pacing('realtime'))
    for name in 'abc':
        synthesizer.submit(Utterance(name, 'word ' * 600))
    with synthesizer._changed:
        assert synthesizer._changed.wait_for(lambda: 'b' in recorder.stats, DEADLINE)
    assert synthesizer.run_in_worker(lambda: 'ahead').result(DEADLINE) == 'ahead'
    assert recorder.states('c') == [QUEUED]
    synthesizer.accept(False)
    synthesizer.stop()
    assert synthesizer.run_in_worker(lambda: 'inactive').result(DEADLINE) == 'inactive'


@pytest.mark.parametrize('pacing', ['realtime', 'burst'])
def test_a_task_runs_while_the_engine_waits_in_the_midst_of_a_paused_utterance(make, recorder, pacing):
    engine = SteppingEngine()
    synthesizer = make(engine, pacing=Pacing(pacing))
    synthesizer.pause()
    words = int(MAX_WAITING * 10) + 50          # of 0.1 s each
    synthesizer.submit(Utterance('a', 'word ' * words))
    for number in range(3):
        done = synthesizer.run_in_worker(lambda: (threading.current_thread().name, number, 'a' in recorder.stats))
        assert done.result(DEADLINE) == ('synthesizer', number, False)
    with pytest.raises(SpeechError):
        synthesizer.run_in_worker(lambda: 1 / 0).result(DEADLINE)
    slow = threading.Event()
    waiting = synthesizer.run_in_worker(lambda: slow.wait(DEADLINE))
    assert synthesizer._jobs['a'].track.waiting == MAX_WAITING * 1000, 'and the engine waits on'
    if pacing == 'burst':
        synthesizer.resume()                    # in the midst of a task
        slow.set()
        assert waiting.result(DEADLINE) and synthesizer.wait_until_idle(DEADLINE)
        assert sum(len(chunk.samples) for chunk in recorder.chunks['a']) == words * 100
        assert recorder.states('a')[-1] is FINISHED and recorder.stats['a'].audio_duration == pytest.approx(words / 10)
    else:
        assert synthesizer.stop() == 1          # ends it, tasks or not
        slow.set()
        assert waiting.result(DEADLINE) and synthesizer.wait_until_idle(DEADLINE)
        assert recorder.states('a')[-1] is CANCELED


def test_a_task_that_fails_tells_its_caller_and_the_next_utterance_is_spoken(make, recorder):
    synthesizer = make(SteppingEngine())

    def refuse():
        raise SpeechError(ErrorCode.INVALID_REFERENCE, 'silent')
    for task, code in ((refuse, ErrorCode.INVALID_REFERENCE), (lambda: 1 / 0, ErrorCode.ENGINE_FAILED)):
        with pytest.raises(SpeechError) as error:
            synthesizer.run_in_worker(task).result(DEADLINE)
        assert error.value.code == code
    synthesizer.submit(Utterance('a', 'one'))
    assert synthesizer.wait_until_idle(DEADLINE) and recorder.states('a')[-1] is FINISHED


def test_close_answers_the_tasks_that_wait_and_those_that_come_too_late(speaking):
    _, synthesizer = speaking(Utterance('a', 'one'))
    waiting = [synthesizer.run_in_worker(lambda: None) for _ in range(3)]
    synthesizer.close()
    for future in (*waiting, synthesizer.run_in_worker(lambda: None)):
        with pytest.raises(SpeechError) as error:
            future.result(DEADLINE)
        assert error.value.code == ErrorCode.NOT_ACTIVE


def test_who_speaks_with_a_voice_or_waits_for_it_is_known(speaking):
    _, synthesizer = speaking(Utterance('now', 'one'))        # by the default voice
    synthesizer.submit(Utterance('later', 'one', voice='robot'))
    synthesizer.submit(Utterance('whoever', 'one'))                     # by whichever is current then
    synthesizer.submit(Utterance('sooner', 'one', voice='robot', priority=200))
    assert synthesizer.utterances_of('plain') == ['now']
    assert synthesizer.utterances_of('robot') == ['sooner', 'later']
    synthesizer.stop()
    assert synthesizer.utterances_of('plain') == synthesizer.utterances_of('robot') == []

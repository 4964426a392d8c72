"""The one worker thread: queue -> engine -> pacer; events and statistics of what happens on the way."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
import threading
import time
from typing import Any, Callable, Protocol

import numpy as np

from .admission import Admission, AdmissionRules
from .engine import Engine, Progress, Speech
from .failover import Failover
from .pacer import Pacer, Pacing, Track
from .prebuffer import SpeechRate
from .queue import SpeechQueue
from .text import clean
from .types import (as_speech_error, AudioChunk, ErrorCode, NFE_STEP_RANGE, Policy, SPEED_RANGE, SpeechError, SynthesisSettings,
                    Utterance, UtteranceEvent, UtteranceState, UtteranceStats)
from .worker_tasks import WorkerTasks

EVENT_TEXT_LENGTH = 200     # characters of the text that an event repeats
SOLVER_SETTINGS = ('nfe_step', 'cfg_strength', 'sway_sampling_coef')     # one pass has one schedule
MAX_TOGETHER = 15.0         # s of speech in one pass: once started, nothing more urgent comes before it
AHEAD = 2                   # utterances that may be started: one is heard while the next is synthesized


class Listener(Protocol):
    """Hears what happens, in the order in which it happens. Must not block; may be called from any thread."""

    def on_event(self, event: UtteranceEvent) -> None: ...

    def on_audio(self, chunk: AudioChunk) -> None: ...

    def on_stats(self, stats: UtteranceStats) -> None: ...

    def on_speaking(self, speaking: bool) -> None: ...


@dataclass(frozen=True)
class Limits:
    """What the synthesizer accepts."""

    queue_depth: int = 32           # utterances that may wait
    max_text_length: int = 10_000   # characters


@dataclass
class _Job:
    """An utterance that was started and has not ended."""

    utterance: Utterance
    engine: Engine
    settings: SynthesisSettings
    track: Track
    stats: UtteranceStats
    ended: threading.Event = field(default_factory=threading.Event)     # its terminal event has been told


class Synthesizer:
    """Speaks what is submitted, one utterance after the other.

    Every accepted utterance gets QUEUED and exactly one terminal event; every started one exactly
    one last chunk, and statistics when its synthesis has ended. Only the worker thread touches the
    engine, from load to close.

    :param engines: who speaks
    :param current_settings: asked once when an utterance starts, from the worker thread
    :param rules: asked at every request
    :param pacing: asked once when an utterance starts, from the worker thread
    """

    def __init__(self, engines: Failover, current_settings: Callable[[], SynthesisSettings], listener: Listener,
                 limits: Limits = Limits(), rules: Callable[[], AdmissionRules] = AdmissionRules,
                 pacing: Callable[[], Pacing] = Pacing):
        self._engines = engines
        self._current_settings = current_settings
        self._listener = listener
        self._limits = limits
        self._rules = rules
        self._pacing = pacing
        # Guards everything below, and the order of events and audio: they are told to the listener under it.
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._queue = SpeechQueue(limits.queue_depth)
        self._admission = Admission()
        self._pacer = Pacer(lock, listener.on_audio, self._on_finished, listener.on_speaking)
        self._tasks = WorkerTasks()
        self._jobs: dict[str, _Job] = {}                    # started and not ended, by utterance id
        self._synthesizing: set[str] = set()                # ids; some may have ended already, if they were canceled
        self._speech_rates: dict[tuple[str, int], SpeechRate] = defaultdict(SpeechRate)     # by engine and nfe_step
        self._task_was_last = False         # so it is an utterance's turn
        self._accepting = False
        self._closing = False
        self._loaded: Future = Future()
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Utterances in the queue."""
        return len(self._queue)

    @property
    def busy(self) -> bool:
        """Is an utterance being synthesized or published?"""
        return bool(self._synthesizing) or len(self._pacer) > 0

    @property
    def paused(self) -> bool:
        return self._pacer.paused

    def start(self, progress: Progress) -> Future:
        """Start the worker thread, which loads and warms the engine; the Future tells when, or why not."""
        self._thread = threading.Thread(target=self._run, args=(progress,), name='synthesizer', daemon=True)
        self._thread.start()
        return self._loaded

    def accept(self, accepting: bool) -> None:
        """Take requests from now on, or refuse them. Whoever takes them anew is not paused."""
        with self._changed:
            self._accepting = accepting
            if accepting:
                self._pacer.resume()

    def submit(self, utterance: Utterance) -> None:
        """Queue an utterance.

        :raises SpeechError: the request is rejected and nothing has changed
        """
        checked = self._check(utterance)
        with self._changed:
            if not self._accepting:
                raise SpeechError(ErrorCode.NOT_ACTIVE, 'the node is not active; activate it first '
                                                        '(ros2 lifecycle set <node> activate)')
            if self._under_way(utterance.id):
                raise SpeechError(ErrorCode.DUPLICATE_ID,
                                  f"an utterance with id '{utterance.id}' is under way; use another id or leave it empty")
            rules, now = self._rules(), time.monotonic()
            settings = checked.settings(self._current_settings())
            voice = settings.voice or self._engines.voice_for(settings.language)
            self._admission.check(checked, voice, rules, now)
            self.expire()
            if utterance.policy is Policy.INTERRUPT:
                self.stop(ErrorCode.INTERRUPTED, f"interrupted by utterance '{utterance.id}'")
            victim = self._queue.push(checked, rules.overflow)
            self._admission.accepted(checked, voice, rules, now)
            if victim:
                self._tell(victim, UtteranceState.CANCELED, ErrorCode.DROPPED,
                           f"dropped from the full queue for utterance '{utterance.id}' (parameter overflow)")
            self._tell(checked, UtteranceState.QUEUED)
            self._changed.notify_all()

    def expire(self) -> None:
        """Cancel what has waited for longer than `max_age`. For a timer; requests and turns do it too."""
        max_age = self._rules().max_age
        if not max_age:
            return
        with self._changed:
            for utterance in self._queue.remove_received_before(time.monotonic() - max_age):
                self._tell(utterance, UtteranceState.CANCELED, ErrorCode.EXPIRED,
                           f'it waited for more than {max_age:g} s (parameter max_age)')
            self._changed.notify_all()

    def cancel(self, utterance_id: str, code: str, reason: str) -> bool:
        """End one utterance, started or waiting. False if there is none of that id."""
        with self._changed:
            if job := self._jobs.get(utterance_id):
                self._end([job], UtteranceState.CANCELED, code, reason)
                return True
            utterance = self._queue.remove(utterance_id)
            if utterance:
                self._tell(utterance, UtteranceState.CANCELED, code, reason)
                self._changed.notify_all()
            return utterance is not None

    def stop(self, code: str = ErrorCode.STOPPED, reason: str = 'stopped') -> int:
        """End what has been started and drop what waits. Returns how many that were."""
        with self._changed:
            waiting, started = self._queue.clear(), list(self._jobs.values())
            self._end(started, UtteranceState.CANCELED, code, reason)
            for utterance in waiting:
                self._tell(utterance, UtteranceState.CANCELED, code, reason)
            self._changed.notify_all()
            return len(waiting) + len(started)

    def pause(self) -> None:
        """Fall silent at the next border between chunks; requests are still taken."""
        self._pacer.pause()

    def resume(self) -> None:
        """Go on where `pause` left off."""
        self._pacer.resume()

    def wait_until_idle(self, timeout: float | None = None) -> bool:
        """Wait until nothing is queued, synthesized or published; False if that took longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self.busy, timeout)

    def run_in_worker(self, task: Callable[[], Any]) -> Future:
        """Have the thread that owns the engine run a task; the Future has what came of it.

        That is between two utterances, or while the engine rests in the midst of a long one, since enough of it waits to be
        heard or speech is paused. An utterance that waits is started after at most one task. Active or not makes no difference.
        :raises SpeechError: by the Future: what the task raises, or NOT_ACTIVE if this is closed before its turn
        """
        with self._changed:
            self._changed.notify_all()
            self._pacer.drained.notify_all()
            return self._tasks.add(task)

    def utterances_of(self, voice: str) -> list[str]:
        """Ids of the utterances that are being spoken by a voice, or wait and ask for it by name."""
        with self._changed:
            started = [job.utterance.id for job in self._jobs.values()
                       if job.stats.voice == voice]
            return started + [utterance.id for utterance in self._queue if utterance.voice == voice]

    def close(self) -> None:
        """Cancel everything, close the engine and end the threads."""
        with self._changed:
            self._accepting = False
            self.stop(ErrorCode.NOT_ACTIVE, 'the node is shutting down')
            self._closing = True
            self._tasks.close()
            self._changed.notify_all()
        if self._thread:
            self._thread.join()
        self._pacer.close()

    def _check(self, utterance: Utterance) -> Utterance:
        """The utterance with its text cleaned. :raises SpeechError: what is wrong with it"""
        text = clean(utterance.text, self._limits.max_text_length)
        check_range('nfe_step', utterance.nfe_step, NFE_STEP_RANGE)
        check_range('speed', utterance.speed, SPEED_RANGE)
        if self._accepting and utterance.voice:
            self._engines.check_voice(utterance.voice)
        return Utterance(**{**utterance.__dict__, 'text': text})

    def _under_way(self, utterance_id: str) -> bool:
        return any(utterance_id in place for place in (self._synthesizing, self._jobs, self._queue, self._pacer))

    def _end(self, jobs: list[_Job], state: UtteranceState, code: str, reason: str) -> None:
        """Silence jobs and tell why. All at once: were one cut off before the next, that one could still be heard."""
        for job in jobs:
            del self._jobs[job.utterance.id]
            job.ended.set()
        self._pacer.cut_off(*(job.track for job in jobs))
        for job in jobs:
            self._tell(job.utterance, state, code, reason)
        self._changed.notify_all()

    def _on_finished(self, track: Track) -> None:
        """The pacer has published all of a track."""
        job = next(job for job in self._jobs.values() if job.track is track)
        del self._jobs[job.utterance.id]
        job.ended.set()
        self._tell(job.utterance, UtteranceState.FINISHED)
        self._changed.notify_all()

    def _run(self, progress: Progress) -> None:
        try:
            self._engines.load(self._unless_closing(progress))
        except BaseException as error:
            self._engines.close()
            self._loaded.set_exception(as_speech_error(error, ErrorCode.LOAD_FAILED))
            return
        self._loaded.set_result(None)
        while turn := self._next_turn():
            turn()
        self._engines.close()

    def _unless_closing(self, progress: Progress) -> Progress:
        """Loading may take minutes; nobody waits for it any more once this is closed."""
        def report(done: float, what: str) -> None:
            if self._closing:
                raise SpeechError(ErrorCode.NOT_ACTIVE, 'the node is shutting down')
            progress(done, what)
        return report

    def _next_turn(self) -> Callable[[], None] | None:
        """Wait for what is next: a task to run, or utterances, which are started, to speak. None when closing."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._closing or self._tasks or self._has_room())
                if self._closing:
                    return []
                self.expire()
                if self._tasks and not (self._task_was_last and self._has_room()):
                    self._task_was_last = True
                    return self._tasks.pop()
                if self._has_room() and (jobs := self._start_together()):
                    self._task_was_last = False
                    return partial(self._speak_all, jobs)

    def _has_room(self) -> bool:
        """Does an utterance wait, and may it be started?"""
        return len(self._queue) > 0 and len(self._pacer) < AHEAD

    def _start_together(self) -> list[_Job]:
        """Start the next utterance, and those that may go with it; none if it failed at once."""
        ahead = self._pacer.ahead
        jobs = self._start(self._queue.pop())
        while jobs and self._queue and self._may_join(self._queue.peek(), jobs, ahead):
            jobs += self._start(self._queue.pop())
        return jobs

    def _may_join(self, utterance: Utterance, jobs: list[_Job], ahead: float) -> bool:
        """May it be synthesized in one pass with these? Not if the first of them would be heard later for it.

        :param ahead: seconds of speech that will be heard before the first of them
        """
        first = jobs[0]
        if len(jobs) >= getattr(first.engine, 'batch_size', 1):
            return False
        settings = utterance.settings(self._current_settings())
        if any(getattr(settings, name) != getattr(first.settings, name) for name in SOLVER_SETTINGS):
            return False
        rate = self._rate(first)
        texts = [(len(job.utterance.text), job.settings.speed) for job in jobs] + [(len(utterance.text), settings.speed)]
        return (sum(rate.work(*text) for text in texts) <= ahead
                and sum(rate.audio(*text) for text in texts) <= MAX_TOGETHER)

    def _rate(self, job: _Job) -> SpeechRate:
        return self._speech_rates[job.engine.name, job.stats.nfe_step]

    def _start(self, utterance: Utterance) -> list[_Job]:
        """The started utterance; none when it failed at once."""
        try:
            engine, settings = self._engines.cast(utterance.settings(self._current_settings()))
            pacing = self._pacing()
        except Exception as error:      # the next utterance is not to blame
            failure = as_speech_error(error, ErrorCode.ENGINE_FAILED)
            self._tell(utterance, UtteranceState.FAILED, failure.code, str(failure))
            self._changed.notify_all()
            return []
        stats = UtteranceStats(
            utterance.id, engine.name, settings.voice or engine.voice_for(settings.language),
            settings.nfe_step if engine.has_solver else 0, len(utterance.text),
            queue_time=time.monotonic() - utterance.received)
        track = self._pacer.begin(utterance.id, engine.sample_rate, pacing)
        job = self._jobs[utterance.id] = _Job(utterance, engine, settings, track, stats)
        self._synthesizing.add(utterance.id)
        self._tell(utterance, UtteranceState.STARTED)
        return [job]

    def _speak_all(self, jobs: list[_Job]) -> None:
        """Synthesize what was started together; the main engine may have come back in the midst of starting."""
        for _, together in groupby(jobs, key=lambda job: id(job.engine)):
            self._speak(list(together))

    def _speak(self, jobs: list[_Job]) -> None:
        """Synthesize utterances of one engine, several of them in one pass."""
        engine, started, blocked = jobs[0].engine, time.monotonic(), 0.0
        rate = self._rate(jobs[0])

        def emitter(job: _Job) -> Callable[[np.ndarray], None]:
            def emit(samples: np.ndarray) -> None:
                nonlocal blocked
                duration = len(samples) / engine.sample_rate
                if not job.stats.audio_duration:
                    job.stats.first_audio_latency = time.monotonic() - started
                    self._pacer.gather(job.track, rate.prebuffer(
                        len(job.utterance.text), job.settings.speed, job.stats.first_audio_latency, duration))
                job.stats.audio_duration += duration
                blocked += self._rest(job.track)
                self._pacer.write(job.track, samples)
            return emit

        batch = [Speech(job.utterance.text, job.settings, emitter(job), job.ended.is_set) for job in jobs]
        try:
            failures = engine.synthesize_batch(batch) if len(batch) > 1 else [_synthesize(engine, batch[0])]
        except Exception as error:
            failures = [as_speech_error(error, ErrorCode.ENGINE_FAILED)] * len(batch)
        work = time.monotonic() - started - blocked
        audio = sum(job.stats.audio_duration for job in jobs)
        with self._changed:
            for job, failure in zip(jobs, failures):
                job.stats.synthesis_time = work * job.stats.audio_duration / audio if audio else work / len(jobs)
                self._conclude(job, failure)
            self._changed.notify_all()

    def _rest(self, track: Track) -> float:
        """Wait until the pacer takes more of a track, and run tasks meanwhile: the engine does nothing while it emits.

        :return: seconds
        """
        started = time.monotonic()
        while True:
            with self._changed:
                self._pacer.drained.wait_for(lambda: self._tasks or self._pacer.takes_more(track))
                if self._pacer.takes_more(track):
                    return time.monotonic() - started
                task = self._tasks.pop()
            task()

    def _conclude(self, job: _Job, failure: SpeechError | None) -> None:
        """Its synthesis has ended: well, with a failure, or because the utterance was ended before."""
        self._synthesizing.discard(job.utterance.id)
        self._listener.on_stats(job.stats)
        if failure or not job.ended.is_set():
            self._engines.report(job.engine, failure)
        if failure and not job.ended.is_set():
            self._end([job], UtteranceState.FAILED, failure.code, str(failure))
        elif not job.ended.is_set():
            self._rate(job).add(job.stats, job.settings.speed)
            self._pacer.finish(job.track)

    def _tell(self, utterance: Utterance, state: UtteranceState, code: str = '', reason: str = '') -> None:
        self._listener.on_event(
            UtteranceEvent(utterance.id, state, code, reason, utterance.text[:EVENT_TEXT_LENGTH]))


def _synthesize(engine: Engine, speech: Speech) -> SpeechError | None:
    try:
        engine.synthesize(speech.text, speech.settings, speech.emit, speech.canceled)
    except Exception as error:
        return as_speech_error(error, ErrorCode.ENGINE_FAILED)
    return None


def check_range(name: str, value: float, valid: tuple[float, float]) -> None:
    """Zero means "current" and passes. :raises SpeechError: INVALID_PARAMETER, naming the range"""
    low, high = valid
    if value and not low <= value <= high:
        raise SpeechError(ErrorCode.INVALID_PARAMETER, f'{name} {round(value, 6)} is not in {low} to {high}')

"""The one worker thread: queue -> engine -> chunks, events, statistics."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
import logging
import threading
import time
from typing import Callable, Protocol

from .admission import Admission, AdmissionRules
from .chunk_writer import ChunkWriter
from .engine import Engine, Progress
from .queue import SpeechQueue
from .text import clean
from .types import (AudioChunk, ErrorCode, NFE_STEP_RANGE, Policy, SPEED_RANGE, SpeechError, SynthesisSettings,
                    Utterance, UtteranceEvent, UtteranceState, UtteranceStats)

EVENT_TEXT_LENGTH = 200     # characters of the text that an event repeats

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Hears what happens, in the order in which it happens. Must not block; may be called from any thread."""

    def on_event(self, event: UtteranceEvent) -> None: ...

    def on_audio(self, chunk: AudioChunk) -> None: ...

    def on_stats(self, stats: UtteranceStats) -> None: ...


@dataclass(frozen=True)
class Limits:
    """What the synthesizer accepts."""

    queue_depth: int = 32           # utterances that may wait
    max_text_length: int = 10_000   # characters


@dataclass
class _Job:
    """The utterance being spoken."""

    utterance: Utterance
    canceled: threading.Event = field(default_factory=threading.Event)
    code: str = ''
    reason: str = ''


class Synthesizer:
    """Speaks what is submitted, one utterance at a time.

    Every accepted utterance gets QUEUED and exactly one terminal event; every started one exactly
    one last chunk. Only the worker thread touches the engine, from load to close.

    :param current_settings: asked once when an utterance starts, from the worker thread
    :param rules: asked at every request
    """

    def __init__(self, engine: Engine, current_settings: Callable[[], SynthesisSettings], listener: Listener,
                 limits: Limits = Limits(), rules: Callable[[], AdmissionRules] = AdmissionRules):
        self._engine = engine
        self._current_settings = current_settings
        self._listener = listener
        self._limits = limits
        self._rules = rules
        # Guards everything below, and the order of events: they are told to the listener under it.
        self._changed = threading.Condition(threading.RLock())
        self._queue = SpeechQueue(limits.queue_depth)
        self._admission = Admission()
        self._job: _Job | None = None
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
        """Is an utterance being synthesized?"""
        return self._job is not None

    def start(self, progress: Progress) -> Future:
        """Start the worker thread, which loads and warms the engine; the Future tells when, or why not."""
        self._thread = threading.Thread(target=self._run, args=(progress,), name='synthesizer', daemon=True)
        self._thread.start()
        return self._loaded

    def accept(self, accepting: bool) -> None:
        """Take requests from now on, or refuse them."""
        with self._changed:
            self._accepting = accepting

    def submit(self, utterance: Utterance) -> None:
        """Queue an utterance.

        :raises SpeechError: the request is rejected and nothing has changed
        """
        checked = self._check(utterance)
        with self._changed:
            if not self._accepting:
                raise SpeechError(ErrorCode.NOT_ACTIVE, 'the node is not active; activate it first '
                                                        '(ros2 lifecycle set <node> activate)')
            if utterance.id in self._queue or (self._job and self._job.utterance.id == utterance.id):
                raise SpeechError(ErrorCode.DUPLICATE_ID,
                                  f"an utterance with id '{utterance.id}' is under way; use another id or leave it empty")
            rules, now = self._rules(), time.monotonic()
            voice = checked.voice or self._current_settings().voice or self._engine.default_voice
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
        """End one utterance, current or waiting. False if there is none of that id."""
        with self._changed:
            if self._job and self._job.utterance.id == utterance_id:
                self._cancel_job(code, reason)
                return True
            utterance = self._queue.remove(utterance_id)
            if utterance:
                self._tell(utterance, UtteranceState.CANCELED, code, reason)
            return utterance is not None

    def stop(self, code: str = ErrorCode.STOPPED, reason: str = 'stopped') -> int:
        """End the current utterance and drop those that wait. Returns how many that were."""
        with self._changed:
            waiting = self._queue.clear()
            for utterance in waiting:
                self._tell(utterance, UtteranceState.CANCELED, code, reason)
            current = self._job is not None and not self._job.canceled.is_set()
            if current:
                self._cancel_job(code, reason)
            return len(waiting) + current

    def wait_until_idle(self, timeout: float | None = None) -> bool:
        """Wait until nothing is queued or spoken; False if that took longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and self._job is None, timeout)

    def close(self) -> None:
        """Cancel everything, close the engine and end the thread."""
        with self._changed:
            self._accepting = False
            self.stop(ErrorCode.NOT_ACTIVE, 'the node is shutting down')
            self._closing = True
            self._changed.notify_all()
        if self._thread:
            self._thread.join()

    def _check(self, utterance: Utterance) -> Utterance:
        """The utterance with its text cleaned. :raises SpeechError: what is wrong with it"""
        text = clean(utterance.text, self._limits.max_text_length)
        check_range('nfe_step', utterance.nfe_step, NFE_STEP_RANGE)
        check_range('speed', utterance.speed, SPEED_RANGE)
        if self._accepting and utterance.voice:
            self._engine.check_voice(utterance.voice)
        return Utterance(**{**utterance.__dict__, 'text': text})

    def _cancel_job(self, code: str, reason: str) -> None:
        if not self._job.canceled.is_set():
            self._job.code, self._job.reason = code, reason
            self._job.canceled.set()

    def _run(self, progress: Progress) -> None:
        try:
            # Loading is most of the way and warming the rest, as far as a person waiting can tell.
            self._engine.load(lambda done, what: progress(done / 2, what))
            self._engine.warmup(lambda done, what: progress((1 + done) / 2, what))
        except BaseException as error:
            self._engine.close()
            self._loaded.set_exception(as_speech_error(error, ErrorCode.LOAD_FAILED))
            return
        self._loaded.set_result(None)
        while job := self._next_job():
            self._speak(job)
        self._engine.close()

    def _next_job(self) -> _Job | None:
        """Wait for the next utterance; None when closing."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if self._closing:
                    return None
                self.expire()
                if self._queue:
                    break
            self._job = _Job(self._queue.pop())
            self._tell(self._job.utterance, UtteranceState.STARTED)
            return self._job

    def _speak(self, job: _Job) -> None:
        utterance, engine = job.utterance, self._engine
        settings = utterance.settings(self._current_settings())
        started = time.monotonic()
        stats = UtteranceStats(
            utterance.id, engine.name, settings.voice or engine.default_voice,
            settings.nfe_step if engine.has_solver else 0, len(utterance.text),
            queue_time=started - utterance.received)

        def publish(chunk: AudioChunk) -> None:
            if not chunk.sequence:
                stats.first_audio_latency = time.monotonic() - started
            self._listener.on_audio(chunk)

        writer = ChunkWriter(utterance.id, engine.sample_rate, publish)
        failure = None
        try:
            engine.synthesize(utterance.text, settings, writer.write, job.canceled.is_set)
        except Exception as error:
            failure = as_speech_error(error, ErrorCode.ENGINE_FAILED)
        stats.synthesis_time = time.monotonic() - started

        with self._changed:     # from here on it can no longer be canceled
            if job.canceled.is_set():
                ending = writer.cut_off, UtteranceState.CANCELED, job.code, job.reason
            elif failure:
                ending = writer.cut_off, UtteranceState.FAILED, failure.code, str(failure)
            else:
                ending = writer.finish, UtteranceState.FINISHED, '', ''
            end_audio, state, code, reason = ending
            end_audio()
            stats.audio_duration = writer.duration
            self._listener.on_stats(stats)
            self._tell(utterance, state, code, reason)
            self._job = None
            self._changed.notify_all()

    def _tell(self, utterance: Utterance, state: UtteranceState, code: str = '', reason: str = '') -> None:
        self._listener.on_event(
            UtteranceEvent(utterance.id, state, code, reason, utterance.text[:EVENT_TEXT_LENGTH]))


def check_range(name: str, value: float, valid: tuple[float, float]) -> None:
    """Zero means "current" and passes. :raises SpeechError: INVALID_PARAMETER, naming the range"""
    low, high = valid
    if value and not low <= value <= high:
        raise SpeechError(ErrorCode.INVALID_PARAMETER, f'{name} {value} is not in {low} to {high}')


def as_speech_error(error: BaseException, code: str) -> SpeechError:
    """Any error as one with a code; an unexpected one is logged with its traceback."""
    if isinstance(error, SpeechError):
        return error
    log.error('unexpected %s', type(error).__name__, exc_info=error)
    return SpeechError(code, f'{type(error).__name__}: {error}')

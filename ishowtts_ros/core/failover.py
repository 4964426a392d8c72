"""Which engine speaks: the main one, or the fallback for as long as the main one cannot."""

from __future__ import annotations

from dataclasses import replace
import logging
import threading
from typing import Callable, Mapping, Sequence

from .engine import ClonesVoices, Engine, Progress, ReportsDevice
from .types import as_speech_error, ErrorCode, SpeechError, SynthesisSettings
from .voices import Voice, VoiceRegistry

FAILURES = 3            # utterances in a row that the main engine may fail
RETRY_PERIOD = 30.0     # s between attempts to bring the main engine back

# Of these the request or the voice is to blame; another engine's turn would hide that.
_NOT_THE_ENGINE = {ErrorCode.UNKNOWN_VOICE, ErrorCode.INVALID_REFERENCE, ErrorCode.INVALID_PARAMETER,
                   ErrorCode.TEXT_TOO_LONG}

log = logging.getLogger(__name__)


class Failover:
    """A main engine, and possibly a fallback that speaks when the main one cannot be loaded or keeps failing.

    The worker thread calls `load`, `cast`, `report` and `close`. While the main engine is down, a
    thread of its own closes it, makes it anew and warms it up; the worker takes it back at the next
    `cast`. So one thread at a time touches an engine, as Engine demands. Voices are the main engine's
    all the time, so that what names them stays valid; the fallback speaks with its own for the language.

    :param make_main: makes the main engine, not yet loaded
    :param make_fallback: likewise; None: there is none, and the main engine's errors are the caller's
    :param voices: the cloned voices, for their languages
    """

    def __init__(self, make_main: Callable[[], Engine], make_fallback: Callable[[], Engine] | None = None,
                 voices: VoiceRegistry | None = None, retry_period: float = RETRY_PERIOD):
        self._make_main = make_main
        self._make_fallback = make_fallback
        self._registry = voices or VoiceRegistry()
        self._retry_period = retry_period
        self._main: Engine | None = None            # the latest one made; None before that was possible
        self._fallback: Engine | None = None
        self._problem: SpeechError | None = None    # why the main engine does not speak
        self._failures = 0                          # of the main engine, in a row
        self._recovered = threading.Event()         # the main engine is ready again
        self._closing = threading.Event()
        self._retry: threading.Thread | None = None

    @property
    def problem(self) -> str:
        """Why the main engine does not speak; '' while it does. Any thread."""
        problem, fallback = self._problem, self._fallback
        if problem is None or self._recovered.is_set() or fallback is None:
            return ''
        return f'{fallback.name} speaks instead: {problem}'

    def load(self, progress: Progress) -> None:
        """Load and warm up both engines. :raises SpeechError: neither can speak, or the fallback cannot"""
        if self._make_fallback:
            self._load_fallback()
        try:
            self._load_main(progress)
        except Exception as error:
            if self._fallback is None:
                raise
            self._give_up(as_speech_error(error, ErrorCode.LOAD_FAILED))

    def cast(self, settings: SynthesisSettings) -> tuple[Engine, SynthesisSettings]:
        """Who speaks the next utterance, and how."""
        if self._problem and self._recovered.is_set():
            log.warning('the main engine %s speaks again', self._main.name)
            self._problem, self._failures = None, 0
        if self._problem is None:
            return self._main, settings
        return self._fallback, replace(settings, voice='', language=settings.language or self._language(settings.voice))

    def report(self, engine: Engine, error: SpeechError | None) -> None:
        """How an utterance went that `engine` has spoken to its end, or failed to."""
        if engine is not self._main or self._fallback is None or self._problem:
            return      # of a batch, more may fail than it takes
        if error is None:
            self._failures = 0
        elif error.code not in _NOT_THE_ENGINE:
            self._failures += 1
            if self._failures >= FAILURES:
                self._give_up(error)

    def voices(self) -> Sequence[str]:
        """The main engine's. Any thread."""
        return self._main.voices() if self._main else self._registry.names()

    def voice_for(self, language: str) -> str:
        """The main engine's; '' if that could not even be made. Any thread."""
        return self._main.voice_for(language) if self._main else ''

    def check_voice(self, name: str) -> None:
        """:raises SpeechError: UNKNOWN_VOICE; any name may be right for a main engine that could not even be made"""
        if self._main:
            self._main.check_voice(name)

    def device_report(self) -> Mapping[str, object]:
        """See ReportsDevice; empty for a main engine that is down or has no such thing. Any thread."""
        main = self._main
        return main.device_report() if isinstance(main, ReportsDevice) and not self.problem else {}

    def check_cloning(self) -> None:
        """:raises SpeechError: NOT_SUPPORTED, the main engine clones no voices; ENGINE_UNAVAILABLE, it is down"""
        if self.problem:
            raise SpeechError(ErrorCode.ENGINE_UNAVAILABLE, f'the engine is not there now; {self.problem}')
        if not isinstance(self._main, ClonesVoices):
            raise SpeechError(ErrorCode.NOT_SUPPORTED, f"engine '{self._main.name}' clones no voices; its own cannot "
                              'be changed. Launch with engine: f5 (docs/f5.md)')

    def prepare_voice(self, voice: Voice) -> None:
        """See ClonesVoices. For the worker thread. :raises SpeechError: INVALID_REFERENCE; see `check_cloning`"""
        self.check_cloning()
        self._main.prepare_voice(voice)

    def close(self) -> None:
        self._closing.set()
        if self._retry:
            self._retry.join()
        for engine in (self._main, self._fallback):
            _close(engine)

    def _load_fallback(self) -> None:
        try:
            self._fallback = self._make_fallback()
            self._fallback.load(lambda done, what: None)
            self._fallback.warmup(lambda done, what: None)
        except Exception as error:
            failure = as_speech_error(error, ErrorCode.LOAD_FAILED)
            raise SpeechError(failure.code, f'the fallback engine cannot be loaded: {failure}') from error

    def _load_main(self, progress: Progress) -> None:
        self._main = self._make_main()
        # Loading is most of the way and warming the rest, as far as a person waiting can tell.
        self._main.load(lambda done, what: progress(done / 2, what))
        self._main.warmup(lambda done, what: progress((1 + done) / 2, what))

    def _give_up(self, error: SpeechError) -> None:
        log.error('%s speaks from now on: %s', self._fallback.name, error)
        self._problem = error
        self._recovered.clear()
        self._retry = threading.Thread(target=self._bring_back, name='engine_retry', daemon=True)
        self._retry.start()

    def _bring_back(self) -> None:
        """Try until the main engine is ready, or nobody waits for it."""
        def unless_closing(done: float, what: str) -> None:
            if self._closing.is_set():
                raise InterruptedError('closing')

        while not self._closing.wait(self._retry_period):
            try:
                _close(self._main)
                self._load_main(unless_closing)
                self._recovered.set()
                return
            except Exception as error:
                self._problem = as_speech_error(error, ErrorCode.LOAD_FAILED)
                log.warning('the main engine cannot be loaded yet: %s', error)

    def _language(self, voice: str) -> str:
        name = voice or self.voice_for('')
        return self._registry.get(name).language if name in self._registry else ''


def _close(engine: Engine | None) -> None:
    """Close an engine. Whatever is wrong with a broken one must hold up neither the other nor those who wait."""
    try:
        if engine:
            engine.close()
    except Exception as error:
        log.error('engine %s could not be closed: %s: %s', engine.name, type(error).__name__, error)

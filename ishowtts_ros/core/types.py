"""The nouns of the package: requests, settings, audio, events, statistics, errors.

Times are seconds; instants are `time.monotonic()` unless they say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
import logging

import numpy as np

PRIORITY_DEFAULT = 128
NFE_STEP_RANGE = (1, 128)     # solver steps
SPEED_RANGE = (0.25, 4.0)     # ratio to the voice's natural rate

log = logging.getLogger(__name__)


class ErrorCode:
    """What went wrong, for machines. Stable: clients compare against these strings."""

    EMPTY_TEXT = 'empty_text'
    INVALID_TEXT = 'invalid_text'
    TEXT_TOO_LONG = 'text_too_long'
    UNKNOWN_VOICE = 'unknown_voice'
    VOICE_EXISTS = 'voice_exists'
    VOICE_IN_USE = 'voice_in_use'
    NOT_SUPPORTED = 'not_supported'
    PATH_NOT_ALLOWED = 'path_not_allowed'
    NOT_SAVED = 'not_saved'
    UNKNOWN_ENGINE = 'unknown_engine'
    INVALID_PARAMETER = 'invalid_parameter'
    DUPLICATE_ID = 'duplicate_id'
    NOT_ACTIVE = 'not_active'
    QUEUE_FULL = 'queue_full'
    DROPPED = 'dropped'
    EXPIRED = 'expired'
    DUPLICATE_TEXT = 'duplicate_text'
    RATE_LIMITED = 'rate_limited'
    STOPPED = 'stopped'
    INTERRUPTED = 'interrupted'
    ENGINE_UNAVAILABLE = 'engine_unavailable'
    LOAD_FAILED = 'load_failed'
    ENGINE_FAILED = 'engine_failed'
    INVALID_REFERENCE = 'invalid_reference'
    NON_FINITE_AUDIO = 'non_finite_audio'
    OUT_OF_MEMORY = 'out_of_memory'


class SpeechError(Exception):
    """Something the caller can put right: `code` for machines, `str(error)` for people."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


def as_speech_error(error: BaseException, code: str) -> SpeechError:
    """Any error as one with a code; an unexpected one is logged with its traceback."""
    if isinstance(error, SpeechError):
        return error
    log.error('unexpected %s', type(error).__name__, exc_info=error)
    return SpeechError(code, f'{type(error).__name__}: {error}')


class Policy(IntEnum):
    """How a request treats what is already being said. Values as in SpeechRequest.msg."""

    QUEUE = 0
    INTERRUPT = 1


class UtteranceState(IntEnum):
    """Life of an utterance. Values as in UtteranceEvent.msg."""

    QUEUED = 1
    STARTED = 2
    FINISHED = 3
    CANCELED = 4
    REJECTED = 5
    FAILED = 6

    @property
    def terminal(self) -> bool:
        return self >= UtteranceState.FINISHED


@dataclass(frozen=True)
class SynthesisSettings:
    """How to speak. One snapshot is taken when an utterance starts and never changes."""

    voice: str = ''                     # '' = the engine's default voice
    language: str = ''                  # BCP 47; '' = the voice's own
    speed: float = 1.0                  # ratio to the voice's natural rate
    nfe_step: int = 7                   # solver steps (F5-TTS's number of function evaluations)
    cfg_strength: float = 2.0           # classifier-free guidance; 0 = off
    sway_sampling_coef: float = -1.0    # F5-TTS sway sampling; 0 = uniform time steps
    seed: int = -1                      # noise seed; -1 = a new one for every utterance


@dataclass(frozen=True)
class Utterance:
    """One accepted or to-be-accepted request. Zero values mean "what is current at the start"."""

    id: str
    text: str
    voice: str = ''
    language: str = ''
    nfe_step: int = 0
    speed: float = 0.0                  # ratio
    priority: int = PRIORITY_DEFAULT    # 1..255, higher first
    policy: Policy = Policy.QUEUE
    received: float = 0.0               # instant [s]

    def settings(self, current: SynthesisSettings) -> SynthesisSettings:
        """`current` with what this request asks for put over it."""
        asked = {name: value for name in ('voice', 'language', 'nfe_step', 'speed')
                 if (value := getattr(self, name))}
        return SynthesisSettings(**{**current.__dict__, **asked})


@dataclass(frozen=True)
class AudioChunk:
    """A piece of an utterance's audio, ready to be published."""

    utterance_id: str
    sequence: int                       # from 0
    last: bool
    sample_rate: int                    # Hz
    samples: np.ndarray                 # int16 [n_samples], mono

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True)
class UtteranceEvent:
    utterance_id: str
    state: UtteranceState
    code: str = ''
    reason: str = ''
    text: str = ''


@dataclass
class UtteranceStats:
    """How fast one utterance was synthesized. All times in seconds."""

    utterance_id: str
    engine: str
    voice: str
    nfe_step: int                       # 0 for engines without a solver
    text_length: int                    # characters
    audio_duration: float = 0.0
    synthesis_time: float = 0.0
    first_audio_latency: float = 0.0    # without queue_time
    queue_time: float = 0.0

    @property
    def real_time_factor(self) -> float:
        """Synthesis time over audio duration; 0 when there was no audio."""
        return self.synthesis_time / self.audio_duration if self.audio_duration else 0.0

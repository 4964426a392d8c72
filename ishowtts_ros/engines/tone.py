"""tone: a sine tone as long as the text, the same for the same input. For tests; it sounds like nothing else."""

from __future__ import annotations

from dataclasses import dataclass
import threading
from typing import Sequence

import numpy as np

from ..core.engine import Canceled, Emit, Progress
from ..core.types import ErrorCode, SpeechError, SynthesisSettings
from ..core.voices import VoiceRegistry, unknown_voice

_PITCHES = {'low': 220.0, 'middle': 440.0, 'high': 880.0}     # Hz


@dataclass(frozen=True)
class ToneConfig:
    """Load-time options."""

    sample_rate: int = 24000             # Hz
    seconds_per_character: float = 0.05  # s of tone at speed 1
    chunk: float = 0.1                   # s of audio handed over at a time
    real_time_factor: float = 0.0        # how slow to be: seconds of work for a second of audio
    load_time: float = 0.0               # s that loading takes
    fail_on: str = ''                    # a text that contains this makes synthesize fail


class ToneEngine:
    """See the module's text.

    :param config: load-time options
    :param voices: not used
    """

    name = 'tone'
    has_solver = False

    def __init__(self, config: ToneConfig, voices: VoiceRegistry):
        self._config = config
        self.sample_rate = config.sample_rate
        self._pause = threading.Event()     # never set: a wait that ends at its timeout

    def load(self, progress: Progress) -> None:
        for tenth in range(10):
            progress(tenth / 10, 'loading')
            self._pause.wait(self._config.load_time / 10)
        progress(1.0, 'loaded')

    def warmup(self, progress: Progress) -> None:
        progress(1.0, 'nothing to warm up')

    def voices(self) -> Sequence[str]:
        return sorted(_PITCHES)

    def voice_for(self, language: str) -> str:
        return 'middle'

    def check_voice(self, name: str) -> None:
        if name not in _PITCHES:
            raise unknown_voice(name, _PITCHES)

    def synthesize(self, text: str, settings: SynthesisSettings, emit: Emit, canceled: Canceled) -> None:
        config = self._config
        voice = settings.voice or self.voice_for(settings.language)
        self.check_voice(voice)
        if config.fail_on and config.fail_on in text:
            raise SpeechError(ErrorCode.ENGINE_FAILED, f"told to fail on '{config.fail_on}'")
        length = int(len(text) * config.seconds_per_character / settings.speed * self.sample_rate)
        phase = 2 * np.pi * _PITCHES[voice] / self.sample_rate * np.arange(length)
        tone = np.round(8000 * np.sin(phase)).astype(np.int16)
        step = int(config.chunk * self.sample_rate)
        for start in range(0, length, step):
            piece = tone[start:start + step]
            self._pause.wait(config.real_time_factor * len(piece) / self.sample_rate)
            if canceled():
                return
            emit(piece)

    def close(self) -> None:
        pass

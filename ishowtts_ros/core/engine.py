"""What an engine is. It knows text, settings and samples; nothing of ROS, queues, events or clocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Mapping, Protocol, runtime_checkable, Sequence

import numpy as np

from .types import SpeechError, SynthesisSettings
from .voices import Voice

Emit = Callable[[np.ndarray], None]         # int16 [n_samples] mono PCM, n_samples >= 1
Canceled = Callable[[], bool]               # cheap; ask it as often as work can be abandoned
Progress = Callable[[float, str], None]     # fraction done 0..1, what is being done


@dataclass(frozen=True)
class Speech:
    """One of the utterances of a batch: what Engine.synthesize is called with."""

    text: str
    settings: SynthesisSettings
    emit: Emit
    canceled: Canceled


class Engine(Protocol):
    """Turns text into speech.

    One thread at a time calls load, warmup, synthesize and close. `voices`, `voice_for` and
    `check_voice` may be called from any thread, and before loading if what they tell is known by then.
    Whatever goes wrong is raised as SpeechError; after an error in synthesize the engine
    is ready for the next utterance.
    """

    name: str
    sample_rate: int      # Hz, known once loaded
    has_solver: bool      # do nfe_step, cfg_strength, sway_sampling_coef and seed mean anything to it?

    def load(self, progress: Progress) -> None:
        """Get everything into memory."""

    def warmup(self, progress: Progress) -> None:
        """Do now what would make the first utterance slow: compile, capture, fill caches."""

    def voices(self) -> Sequence[str]:
        """The names that `SynthesisSettings.voice` accepts, sorted."""

    def voice_for(self, language: str) -> str:
        """The voice that an empty name stands for. :param language: BCP 47; '' = whichever"""

    def check_voice(self, name: str) -> None:
        """Raise SpeechError(UNKNOWN_VOICE), naming near matches, unless `name` can be spoken."""

    def synthesize(self, text: str, settings: SynthesisSettings, emit: Emit, canceled: Canceled) -> None:
        """Speak `text`, handing samples to `emit` as they come; return early once `canceled()`."""

    def close(self) -> None:
        """Give everything back. A closed engine can be loaded again."""


class BatchingEngine(Engine, Protocol):
    """An engine for which several utterances in one pass are less work than one after the other."""

    batch_size: int       # utterances that one pass may hold, known once warmed up; 1 = batches do not pay

    def synthesize_batch(self, batch: Sequence[Speech]) -> list[SpeechError | None]:
        """Speak up to `batch_size` utterances at once, each as `synthesize` would alone, in order.

        :return: for each of them what went wrong, or None
        """


@runtime_checkable
class ReportsDevice(Protocol):
    """What an engine also has if it computes on a device worth watching."""

    def device_report(self) -> Mapping[str, object]:
        """Where it computes, in what precision, which acceleration really ran and how much memory it holds.

        `device` comes first. Any thread; empty unless loaded.
        """


@runtime_checkable
class ClonesVoices(Protocol):
    """What an engine also has if it speaks with the voices of a VoiceRegistry, also with those added after it was loaded."""

    def prepare_voice(self, voice: Voice) -> None:
        """Get a voice ready that may not be in the registry yet.

        Called by the thread that loads and synthesizes, also out of an `emit`: what is being spoken does not change.

        :raises SpeechError: INVALID_REFERENCE, naming what is wrong with its recording
        """

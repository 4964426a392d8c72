"""How much audio must be there before the first of it sounds, so that a slow engine does not stutter."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
import math

from .types import UtteranceStats

WINDOW = 5          # utterances looked back over: the engine's settings may change
TYPICAL = 0.07      # s that a character of speech lasts, before anything is known of the voice
CUSHION = 0.15      # s for what delays audio on its way, and for what a sound card takes at once when it starts
MARGIN = 1.2        # by how much the next utterance may be longer or slower than was estimated


@dataclass(frozen=True)
class Prebuffer:
    """What must be there of an utterance before the first of it is published."""

    seconds: float = 0.0    # of audio
    pieces: float = 0.0     # and so much of the longest piece so far: what is played until the next one is there


class SpeechRate:
    """Learns from each utterance how fast the engine is and how long speech takes. For one thread."""

    def __init__(self):
        self._latest: deque[tuple[float, float, float]] = deque(maxlen=WINDOW)

    def add(self, stats: UtteranceStats, speed: float) -> None:
        """:param stats: of an utterance that was synthesized to its end"""
        if stats.audio_duration:
            self._latest.append((stats.synthesis_time, stats.audio_duration, stats.text_length / speed))

    def work(self, text_length: int, speed: float) -> float:
        """Seconds that synthesizing such a text will take at most, as far as is known; infinite before the first one."""
        if not self._latest:
            return math.inf
        work, _, characters = (sum(column) for column in zip(*self._latest))
        return MARGIN * work / characters * text_length / speed

    def audio(self, text_length: int, speed: float) -> float:
        """Seconds that such a text lasts, as far as is known; infinite before the first one."""
        if not self._latest:
            return math.inf
        _, audio, characters = (sum(column) for column in zip(*self._latest))
        return MARGIN * audio / characters * text_length / speed

    def prebuffer(self, text_length: int, speed: float, first_work: float, first_audio: float) -> Prebuffer:
        """What to gather so that the audio does not run dry.

        Of an engine slower than speech so much that the rest, duration - seconds, is synthesized while all of it is
        played: real_time_factor * (duration - seconds) <= duration.

        :param first_work: seconds that this utterance's first audio took; all there is to go by for the first utterance
        :param first_audio: length of that audio in seconds
        """
        work, audio, characters = first_work, first_audio, first_audio / TYPICAL
        if self._latest:
            work, audio, characters = (sum(column) for column in zip(*self._latest))
        real_time_factor = MARGIN * work / audio
        if real_time_factor <= 1.0:
            return Prebuffer(CUSHION, real_time_factor)
        duration = MARGIN * audio / characters * text_length / speed
        return Prebuffer(CUSHION + duration * (1.0 - 1.0 / real_time_factor), 1.0)

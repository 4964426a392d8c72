"""How much audio must be there before the first of it sounds, so that a slow engine does not stutter."""

from __future__ import annotations

from collections import deque
import math

from .types import UtteranceStats

WINDOW = 5          # utterances looked back over: the engine's settings may change
TYPICAL = 0.07      # s that a character of speech lasts, before anything is known of the voice
MARGIN = 1.2        # by how much the next utterance may be longer or slower than was estimated


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

    def prebuffer(self, text_length: int, speed: float, first_work: float, first_audio: float) -> float:
        """Seconds of audio to gather before the first of it is published; 0 while the engine is faster than speech.

        The rest, duration - prebuffer, is synthesized while all of it is played:
        real_time_factor * (duration - prebuffer) <= duration.

        :param first_work: seconds that this utterance's first audio took; all there is to go by for the first utterance
        :param first_audio: length of that audio in seconds
        """
        work, audio, characters = first_work, first_audio, first_audio / TYPICAL
        if self._latest:
            work, audio, characters = (sum(column) for column in zip(*self._latest))
        real_time_factor = work / audio
        if real_time_factor <= 1.0:
            return 0.0
        duration = MARGIN * audio / characters * text_length / speed
        return duration * (1.0 - 1.0 / (MARGIN * real_time_factor))

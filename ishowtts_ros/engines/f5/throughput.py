"""How fast this engine is on this machine, and so how long a chunk must be for the next one to be there in time.

F5-TTS makes a chunk of s seconds in work * steps * (reference + s) seconds, since every solver step runs over the
reference too. While a chunk of p seconds sounds, the next may therefore have p / (work * steps) - reference seconds;
and one shorter than what solves that for s = p cannot even be followed by its equal.
"""

from __future__ import annotations

from collections import deque
import math
from statistics import median

WINDOW = 5          # passes looked back over
SPARE = 0.8         # of a chunk's time that the next one may take: passes vary, and audio has a way to go


class Throughput:
    """Learns from every pass. Lengths are seconds of audio."""

    def __init__(self):
        self._work: deque[float] = deque(maxlen=WINDOW)     # s per solver step and second of reference and speech

    def add(self, work: float, nfe_step: int, length: float) -> None:
        """:param work: seconds for a pass of `nfe_step` steps over `length` seconds of reference and speech"""
        self._work.append(work / (nfe_step * length))

    def shortest(self, reference: float, nfe_step: int) -> float:
        """The shortest chunk that can be followed by its equal without a gap; infinite where none can."""
        share = self._share(nfe_step)
        return reference * share / (1 - share) if share < 1 else math.inf

    def following(self, chunk: float, reference: float, nfe_step: int) -> float:
        """The longest chunk that is there when one of `chunk` seconds has been played; infinite before the first pass."""
        share = self._share(nfe_step)
        return max(chunk / share - reference, 0.0) if share else math.inf

    def _share(self, nfe_step: int) -> float:
        """Of the time that reference and speech last, how much a pass over them takes, with something to spare."""
        return median(self._work) * nfe_step / SPARE if self._work else 0.0

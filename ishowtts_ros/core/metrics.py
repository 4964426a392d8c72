"""How the node has been doing: counts of outcomes, and latency and RTF of the latest utterances."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np

from .types import UtteranceEvent, UtteranceState, UtteranceStats

WINDOW = 100     # utterances that the percentiles look back over


class Metrics:
    """Fed by one thread at a time; may be read from any."""

    def __init__(self):
        self._outcomes: Counter[UtteranceState] = Counter()
        self._latest: deque[UtteranceStats] = deque(maxlen=WINDOW)
        self.last_failure = ''      # reason of the latest FAILED utterance; '' once another FINISHED

    def count(self, event: UtteranceEvent) -> None:
        self._outcomes[event.state] += 1
        if event.state is UtteranceState.FAILED:
            self.last_failure = event.reason
        elif event.state is UtteranceState.FINISHED:
            self.last_failure = ''

    def add(self, stats: UtteranceStats) -> None:
        if stats.audio_duration:
            self._latest.append(stats)

    def outcome(self, state: UtteranceState) -> int:
        """How many utterances came to `state`."""
        return self._outcomes[state]

    def real_time_factor(self) -> float:
        """Of the latest utterances together: their synthesis time over their audio; 0 before the first."""
        latest = list(self._latest)
        return sum(s.synthesis_time for s in latest) / sum(s.audio_duration for s in latest) if latest else 0.0

    def first_audio_latency(self, percentile: float) -> float:
        """Of the latest utterances, in seconds; 0 before the first."""
        latencies = [s.first_audio_latency for s in list(self._latest)]
        return float(np.percentile(latencies, percentile)) if latencies else 0.0

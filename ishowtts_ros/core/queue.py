"""The utterances that wait for their turn."""

from __future__ import annotations

import heapq
from itertools import count
from typing import Iterator

from .types import ErrorCode, SpeechError, Utterance


class SpeechQueue:
    """Bounded; higher priority first, then order of arrival. Not thread-safe: its owner holds the lock."""

    def __init__(self, depth: int):
        self.depth = depth                                  # utterances
        self._heap: list[tuple[int, int, Utterance]] = []
        self._arrival = count()

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Utterance]:
        """In the order in which they will be spoken."""
        return (entry[-1] for entry in sorted(self._heap))

    def __contains__(self, utterance_id: str) -> bool:
        return any(utterance.id == utterance_id for _, _, utterance in self._heap)

    def push(self, utterance: Utterance, overflow: str = 'reject') -> Utterance | None:
        """Add one; returns the one that had to make room for it.

        :param overflow: what to do when full: 'reject' the newcomer, 'drop_oldest' or 'drop_newest' of the
            lowest priority that waits; a newcomer of a still lower priority is rejected
        :raises SpeechError: QUEUE_FULL
        """
        victim = None
        if len(self._heap) >= self.depth:
            victim = self._victim(overflow)
            if victim is None or utterance.priority < victim.priority:
                raise SpeechError(ErrorCode.QUEUE_FULL,
                                  f'{len(self._heap)} utterances are waiting already; wait for FINISHED events, '
                                  'use policy INTERRUPT, or raise queue_depth')
            self.remove(victim.id)
        heapq.heappush(self._heap, (-utterance.priority, next(self._arrival), utterance))
        return victim

    def pop(self) -> Utterance:
        """The next one to speak. :raises IndexError: when empty"""
        return heapq.heappop(self._heap)[-1]

    def peek(self) -> Utterance:
        """The one that `pop` would give. :raises IndexError: when empty"""
        return self._heap[0][-1]

    def remove(self, utterance_id: str) -> Utterance | None:
        """Take one out, wherever it stands; None if it is not here."""
        for entry in self._heap:
            if entry[-1].id == utterance_id:
                self._heap.remove(entry)
                heapq.heapify(self._heap)
                return entry[-1]
        return None

    def remove_received_before(self, instant: float) -> list[Utterance]:
        """Take out those that have waited since before `instant` [s]."""
        old = [utterance for _, _, utterance in sorted(self._heap) if utterance.received < instant]
        return [self.remove(utterance.id) for utterance in old]

    def clear(self) -> list[Utterance]:
        """Take all out, in the order in which they would have been spoken."""
        removed = [entry[-1] for entry in sorted(self._heap)]
        self._heap.clear()
        return removed

    def _victim(self, overflow: str) -> Utterance | None:
        if overflow == 'reject':
            return None
        lowest = max(priority for priority, _, _ in self._heap)
        oldest_first = sorted(entry for entry in self._heap if entry[0] == lowest)
        return oldest_first[0 if overflow == 'drop_oldest' else -1][-1]

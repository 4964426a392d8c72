"""Which requests are let in: repetitions and floods are not."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .types import ErrorCode, SpeechError, Utterance

OVERFLOW = ('reject', 'drop_oldest', 'drop_newest')     # what a full queue does with one more


@dataclass(frozen=True)
class AdmissionRules:
    """What is let in and how long it may wait. Zero turns a rule off."""

    overflow: str = 'reject'        # one of OVERFLOW
    max_age: float = 0.0            # s that an utterance may wait
    dedupe_window: float = 0.0      # s in which the same text by the same voice is accepted once
    rate_limit: float = 0.0         # utterances/s in the long run; a second's worth may come at once


class Admission:
    """Remembers what was accepted. Not thread-safe: its owner holds the lock."""

    def __init__(self):
        self._accepted: deque[tuple[float, str, str]] = deque()     # instant, text, voice; oldest first
        self._allowance = 0.0       # utterances that the rate limit lets in now
        self._allowed_at = 0.0      # instant for which that was worked out

    def check(self, utterance: Utterance, voice: str, rules: AdmissionRules, now: float) -> None:
        """:raises SpeechError: DUPLICATE_TEXT or RATE_LIMITED; it counts as never asked"""
        while self._accepted and now - self._accepted[0][0] >= rules.dedupe_window:
            self._accepted.popleft()
        if any((text, by) == (utterance.text, voice) for _, text, by in self._accepted):
            raise SpeechError(ErrorCode.DUPLICATE_TEXT,
                              f'the same text was accepted less than {rules.dedupe_window:g} s ago (parameter dedupe_window)')
        # A token bucket: it fills at the limit's rate and holds one second of it, and one utterance at least.
        filled = self._allowance + (now - self._allowed_at) * rules.rate_limit
        self._allowance, self._allowed_at = min(filled, max(rules.rate_limit, 1.0)), now
        if rules.rate_limit and self._allowance < 1.0:
            raise SpeechError(ErrorCode.RATE_LIMITED,
                              f'more than {rules.rate_limit:g} utterances/s; ask again in '
                              f'{(1.0 - self._allowance) / rules.rate_limit:.2f} s, or raise rate_limit')

    def accepted(self, utterance: Utterance, voice: str, rules: AdmissionRules, now: float) -> None:
        """Count an utterance that passed the check."""
        if rules.rate_limit:
            self._allowance -= 1.0
        if rules.dedupe_window:
            self._accepted.append((now, utterance.text, voice))

"""Texts under way, and which of their chunks go through the model together."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Iterable, Sequence

import torch

from ...core.engine import Speech
from ...core.types import SpeechError
from .crossfade import CrossFader
from .prompt import Prompt


@dataclass(eq=False)
class Passage:
    """One text on its way from chunks to samples."""

    speech: Speech
    fader: CrossFader
    prompt: Prompt | None = None
    noise: torch.Generator | None = None    # its own: what it draws does not depend on the others
    chunks: deque[str] = field(default_factory=deque)       # not yet in a pass
    unheard: int = 0                        # chunks in the pass under way that have not been vocoded
    failure: SpeechError | None = None

    @property
    def goes_on(self) -> bool:
        return not self.failure and not self.speech.canceled()

    def fail(self, failure: SpeechError) -> None:
        self.failure = failure
        self.chunks.clear()


def by_solver(passages: Iterable[Passage]) -> list[list[Passage]]:
    """Those that one schedule can serve together, all in order."""
    groups: dict[tuple[int, float, float], list[Passage]] = {}
    for passage in passages:
        settings = passage.speech.settings
        key = (settings.nfe_step, settings.cfg_strength, settings.sway_sampling_coef)
        groups.setdefault(key, []).append(passage)
    return list(groups.values())


def next_pass(passages: Sequence[Passage], size: int) -> list[tuple[Passage, str]]:
    """Take up to `size` chunks, in order, of passages that are neither canceled nor failed."""
    taken = list(islice(((passage, chunk) for passage in passages if passage.chunks and passage.goes_on
                         for chunk in passage.chunks), size))
    for passage, _ in taken:
        passage.chunks.popleft()
        passage.unheard += 1
    return taken

"""From an engine's samples to an utterance's chunks."""

from __future__ import annotations

from typing import Callable

import numpy as np

from .audio import fade_out
from .types import AudioChunk

FADE = 0.01     # s


class ChunkWriter:
    """Numbers the chunks of one utterance and ends it with exactly one `last` chunk.

    The newest 10 ms are always held back: so the last chunk carries real audio, and an utterance
    that is cut off ends in a fade instead of a click.
    """

    def __init__(self, utterance_id: str, sample_rate: int, publish: Callable[[AudioChunk], None]):
        self.utterance_id = utterance_id
        self._sample_rate = sample_rate    # Hz
        self._publish = publish
        self._held = np.zeros(0, np.int16)
        self._hold = int(FADE * sample_rate)
        self._chunks = 0
        self._samples = 0

    @property
    def chunks(self) -> int:
        """Chunks published so far."""
        return self._chunks

    @property
    def duration(self) -> float:
        """Seconds of audio published so far."""
        return self._samples / self._sample_rate

    def write(self, samples: np.ndarray) -> None:
        """:param samples: int16 [n_samples]"""
        available = np.concatenate([self._held, samples])
        border = max(len(available) - self._hold, 0)
        self._held = available[border:]
        if border:
            self._send(available[:border], last=False)

    def drop(self) -> None:
        """Forget what is held back."""
        self._held = self._held[:0]

    def finish(self) -> None:
        """Publish what is held back as the last chunk."""
        self._send(self._held, last=True)

    def cut_off(self) -> None:
        """End early: publish what is held back, faded to silence, as the last chunk."""
        self._send(fade_out(self._held), last=True)

    def _send(self, samples: np.ndarray, last: bool) -> None:
        chunk = AudioChunk(self.utterance_id, self._chunks, last, self._sample_rate, samples)
        self._chunks += 1
        self._samples += len(samples)
        self._publish(chunk)

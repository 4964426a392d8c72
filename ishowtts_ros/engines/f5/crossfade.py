"""Join the waves of chunks as they come, with the cross-fade of f5-tts."""

from __future__ import annotations

import numpy as np


class CrossFader:
    """Gives out what is settled and holds back what the next wave will be faded into.

    All that comes out, put together, is what f5-tts's infer_batch_process makes of the same waves.
    """

    def __init__(self, overlap: int):
        """:param overlap: samples; 0 = waves are put one after the other"""
        self._overlap = overlap
        self._held = np.zeros(0, np.float32)

    def push(self, wave: np.ndarray, last: bool = False) -> np.ndarray:
        """:param wave: float32 [n]; :return: float32 [m], ready to be heard, possibly empty"""
        joined = self._join(wave)
        settled = len(joined) if last else max(0, len(joined) - self._overlap)
        self._held = joined[settled:]
        return joined[:settled]

    def _join(self, wave: np.ndarray) -> np.ndarray:
        overlap = min(len(self._held), len(wave))
        if not overlap:
            return np.concatenate([self._held, wave])
        faded = self._held[-overlap:] * np.linspace(1, 0, overlap) + wave[:overlap] * np.linspace(0, 1, overlap)
        return np.concatenate([self._held[:-overlap], faded.astype(np.float32), wave[overlap:]])


def to_pcm(wave: np.ndarray) -> np.ndarray:
    """:param wave: float [n], full scale = 1, clipped beyond; :return: int16 [n]"""
    return (wave.clip(-1.0, 1.0) * 32767).round().astype(np.int16)

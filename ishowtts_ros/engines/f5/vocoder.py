"""Mel -> waveform with Vocos (arXiv:2306.00814), through the vocos package."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .config import F5Config


class Vocoder:
    """A loaded Vocos."""

    @classmethod
    def load(cls, folder: Path, device: torch.device, config: F5Config) -> Vocoder:
        """Read config.yaml and pytorch_model.bin from `folder`.

        :raises SpeechError: LOAD_FAILED, naming the file and the first tensor that does not fit
        """
        raise NotImplementedError

    def decode(self, mel: Tensor) -> Tensor:
        """mel [B, n, 100] fp32 log mel -> waveform [B, n * 256] fp32 at 24 kHz, on the vocoder's device.

        :raises SpeechError: NON_FINITE_AUDIO
        """
        raise NotImplementedError

    def warmup(self, frames: int) -> None:
        """Decode `frames` once, so that compilation and kernel choice are done."""

    def close(self) -> None:
        """Release the weights and whatever was captured."""

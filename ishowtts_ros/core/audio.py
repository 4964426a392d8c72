"""PCM arithmetic and WAV files. Samples are int16 [n_samples], mono, unless a function says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO
import wave

import numpy as np

FULL_SCALE = 32768     # LSB


def rms(samples: np.ndarray) -> float:
    """Root mean square of int16 samples, relative to full scale (0..1); 0 for no samples."""
    if not len(samples):
        return 0.0
    return float(np.sqrt(np.mean(np.square(samples.astype(np.float64) / FULL_SCALE))))


def fade_out(samples: np.ndarray) -> np.ndarray:
    """The samples faded linearly to zero over their whole length."""
    return np.round(samples * np.linspace(1.0, 0.0, len(samples))).astype(np.int16)


def write_wav(path: str | Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write a 16-bit mono WAV file; `sample_rate` in Hz."""
    with open(path, 'wb') as file:
        write_wav_into(file, samples, sample_rate)


def write_wav_into(opened: BinaryIO, samples: np.ndarray, sample_rate: int, channels: int = 1) -> None:
    """The same into an open file; `channels` are interleaved in `samples`."""
    with wave.open(opened, 'wb') as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.astype('<i2').tobytes())

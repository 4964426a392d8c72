"""Resampling and mel spectrograms as F5-TTS was trained on them.

torchaudio has both, and tests hold these to it. It is not used, because its compiled part has to fit torch's version and
CUDA to the letter: that is so on few Jetsons, and it has stopped at version 2.11, while torch goes on.
"""

from __future__ import annotations

from functools import lru_cache
import math

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

from .config import HOP_LENGTH, MEL_CHANNELS, SAMPLE_RATE

N_FFT = 1024
_ZERO_CROSSINGS = 6                 # of the resampling filter, at either side
_ROLL_OFF = 0.99                    # where it cuts off, as a share of the lower rate's Nyquist frequency


def resample(wave: Tensor, rate: int) -> Tensor:
    """Band-limited interpolation: at each new instant a sinc, under a Hann window, of the samples around it.

    :param wave: float32 [n_samples] at `rate` Hz
    :return: float32 [n_samples * 24,000 / rate, rounded up] at 24 kHz
    """
    if rate == SAMPLE_RATE:
        return wave
    kernels, reach, stride = _resampling_kernels(rate)
    padded = F.pad(wave, (reach, reach + stride))
    phases = F.conv1d(padded[None, None], kernels[:, None], stride=stride)[0]       # [n_phases, n_strides]
    length = np.float32(len(wave) * len(kernels) / stride)      # float32, where torchaudio rounds
    return phases.T.flatten()[:math.ceil(length)]


def _resampling_kernels(rate: int) -> tuple[Tensor, int, int]:
    """Weights float32 [n_phases, 2 * reach + stride] of the samples around each of the new ones that begin in a stride.

    `stride` old samples last as long as `n_phases` new ones.
    """
    common = math.gcd(rate, SAMPLE_RATE)
    stride, n_phases = rate // common, SAMPLE_RATE // common
    cutoff = _ROLL_OFF * min(stride, n_phases)                  # zero crossings of the sinc in a stride
    reach = math.ceil(_ZERO_CROSSINGS * stride / cutoff)
    old = torch.arange(-reach, reach + stride, dtype=torch.float64) / stride
    new = torch.arange(n_phases) / n_phases                     # float32, where torchaudio rounds: the same to the bit
    distance = ((old - new[:, None]) * cutoff).clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = (distance * math.pi / (2 * _ZERO_CROSSINGS)).cos().square()
    return (torch.sinc(distance) * window * cutoff / stride).float(), reach, stride


def mel_spectrogram(wave: Tensor) -> Tensor:
    """Log-mel spectrogram as Vocos has it (f5-tts, model/modules.py: get_vocos_mel_spectrogram).

    :param wave: float32 [n_samples] at 24 kHz
    :return: float32 [n_samples // HOP_LENGTH + 1, MEL_CHANNELS], natural logarithm of amplitudes
    """
    spectrum = torch.stft(wave, N_FFT, HOP_LENGTH, window=_window(), center=True, return_complex=True).abs()
    return (spectrum.mT @ mel_filters()).clamp(min=1e-5).log()


@lru_cache(maxsize=1)
def _window() -> Tensor:
    return torch.hann_window(N_FFT)


@lru_cache(maxsize=1)
def mel_filters() -> Tensor:
    """Triangles of height 1, evenly spaced on the HTK mel scale from 0 to 12 kHz: float32 [N_FFT // 2 + 1, MEL_CHANNELS]."""
    nyquist = SAMPLE_RATE / 2
    frequencies = torch.linspace(0, nyquist, N_FFT // 2 + 1)[:, None]
    mels = torch.linspace(0, 2595 * math.log10(1 + nyquist / 700), MEL_CHANNELS + 2)
    corners = 700 * (10 ** (mels / 2595) - 1)
    rising = (frequencies - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - frequencies) / (corners[2:] - corners[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)

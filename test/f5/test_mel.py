"""Resampling and mel filters are torchaudio's, to the bit."""

from __future__ import annotations

from installed import imported
import pytest
import torch

from ishowtts_ros.engines.f5.mel import mel_filters, resample


@pytest.mark.parametrize('rate', [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000])
def test_resampling_equals_torchaudio(rate):
    """Also in length, which torchaudio rounds in 32 bits: 360,071 samples at 44.1 kHz show it."""
    transforms = imported('torchaudio.transforms')
    generator = torch.Generator().manual_seed(rate)
    for n_samples in (1, rate // 3, 3 * rate + 17, 360_071):
        wave = torch.randn(n_samples, generator=generator)
        assert torch.equal(resample(wave, rate), transforms.Resample(rate, 24_000)(wave))


def test_mel_filters_equal_torchaudio():
    expected = imported('torchaudio.functional').melscale_fbanks(513, 0.0, 12_000.0, 100, 24_000)
    assert torch.equal(mel_filters(), expected)


@pytest.mark.parametrize('rate', [16_000, 22_050, 44_100, 48_000])
def test_a_tone_stays_itself(rate):
    """Without torchaudio at hand: a sine below both Nyquist frequencies keeps its samples at the new instants."""
    time = torch.arange(rate, dtype=torch.float64) / rate
    new = torch.arange(24_000, dtype=torch.float64) / 24_000
    wave = resample((2 * torch.pi * 440 * time).sin().float(), rate)
    expected = (2 * torch.pi * 440 * new).sin().float()
    assert wave.shape == expected.shape
    assert (wave - expected)[500:-500].abs().max() < 1e-3

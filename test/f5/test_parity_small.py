"""The engine's mel equals upstream's from the same weights, noise and text: the full grid on a small architecture."""

from __future__ import annotations

from dataclasses import replace

import pytest

import torch

from reference import SMALL, Case, cosine, our_sampler, relative_error, upstream_mel

pytestmark = pytest.mark.usefixtures('upstream')

TOLERANCE = 1e-4
LENGTHS = (47, 203, 751, 1875)          # mel frames: 0.5 s, 2.2 s, 8 s, 20 s
BASE_LIKE = replace(SMALL, text_mask_padding=False, pe_attn_head=1)
QK_NORM = replace(SMALL, qk_norm='rms_norm')


def cases(nfe_step: int, seed: int, lengths: tuple[int, ...] = LENGTHS) -> list[Case]:
    return [Case(speech, prompt=30 + speech % 57, tokens=10 + speech // 12, nfe_step=nfe_step, seed=seed)
            for speech in lengths]


@pytest.mark.parametrize('padding', ['off', 'on'])
@pytest.mark.parametrize('seed', [0, 1, 2])
@pytest.mark.parametrize('nfe_step', [5, 7, 8, 16, 32])
def test_one_at_a_time(nfe_step, seed, padding):
    """Every length alone, at its own length and padded to a bucket."""
    sampler = our_sampler(padding=padding)
    for case in cases(nfe_step, seed):
        mel, = sampler.sample([case.request], **case.solver)
        assert relative_error(mel, upstream_mel(case)) <= TOLERANCE, case


@pytest.mark.parametrize('padding', ['off', 'on'])
@pytest.mark.parametrize('seed', [0, 1, 2])
@pytest.mark.parametrize('nfe_step', [5, 7, 8, 16, 32])
def test_batch_of_four(nfe_step, seed, padding):
    """Four requests of very different lengths in one pass give what upstream gives for each alone."""
    # 20 s makes the other three 20 s long as well: once per number of steps is enough
    batch = cases(nfe_step, seed, LENGTHS if seed == 0 else (47, 117, 203, 751))
    mels = our_sampler(padding=padding).sample([case.request for case in batch], **batch[0].solver)
    for mel, case in zip(mels, batch):
        assert relative_error(mel, upstream_mel(case)) <= TOLERANCE, case


@pytest.mark.parametrize('arch', [BASE_LIKE, QK_NORM], ids=['v0', 'qk_norm'])
@pytest.mark.parametrize('padding', ['off', 'on'])
def test_other_architectures(arch, padding):
    """F5TTS_Base's text padding and single rotary head, and models trained with qk_norm."""
    batch = cases(7, 0)[:2]
    mels = our_sampler(arch, padding=padding).sample([case.request for case in batch], **batch[0].solver)
    for mel, case in zip(mels, batch):
        assert relative_error(mel, upstream_mel(case, arch)) <= TOLERANCE


@pytest.mark.parametrize('change', [
    {'cfg_strength': 0.0}, {'cfg_strength': 3.5}, {'sway_sampling_coef': 0.0}, {'sway_sampling_coef': -0.6},
    {'nfe_step': 1}, {'nfe_step': 6}, {'nfe_step': 10}, {'nfe_step': 12}, {'nfe_step': 13},
    {'speech': 1, 'prompt': 20, 'tokens': 10}, {'tokens': 1}, {'prompt': 1}, {'speech': 1500, 'prompt': 1125},
], ids=str)
def test_other_settings(change):
    """Guidance off and strong, sway off and weak, every pruned schedule, and the extremes of the inputs."""
    case = replace(Case(speech=150), **change)
    mel, = our_sampler().sample([case.request], **case.solver)
    assert relative_error(mel, upstream_mel(case)) <= TOLERANCE


def test_duration_grows_with_a_long_text():
    """More tokens than frames: upstream lengthens the utterance, frame for frame the same here."""
    case = Case(speech=20, prompt=50, tokens=160)
    expected = upstream_mel(case)
    assert case.request.total_frames == 161 and len(expected) == 161 - 50
    mel, = our_sampler().sample([case.request], **case.solver)
    assert relative_error(mel, expected) <= TOLERANCE


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize('padding', ['off', 'on'])
def test_half_precision(dtype, padding):
    """Half precision stays close to upstream in fp32, batched and padded."""
    batch = cases(7, 0)[:3]
    mels = our_sampler(dtype=dtype, padding=padding).sample([case.request for case in batch], **batch[0].solver)
    for mel, case in zip(mels, batch):
        assert mel.dtype == torch.float32
        assert cosine(mel, upstream_mel(case)) >= 0.999


@pytest.mark.parametrize('change', [{'tokens': 41}, {'prompt': 71}, {'nfe_step': 8}, {'cfg_strength': 1.5},
                                    {'sway_sampling_coef': -0.9}, {'seed': 1}], ids=str)
def test_the_comparison_can_fail(change):
    """Each input matters far more than the tolerance: weights are not zeros that would make any code agree."""
    case = Case(speech=150)
    other = replace(case, **change)
    frames = 150
    assert relative_error(upstream_mel(other)[:frames], upstream_mel(case)) > 20 * TOLERANCE

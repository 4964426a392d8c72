"""Parity with upstream on the real 22-layer architecture, F5TTS_v1_Base, with random weights."""

from __future__ import annotations

import pytest

import torch

from reference import REAL, Case, cosine, our_sampler, relative_error, upstream_mel

pytestmark = pytest.mark.usefixtures('upstream')

SECOND = Case(speech=94, prompt=94, tokens=30, nfe_step=7)          # 1 s of speech
HALF_SECOND = Case(speech=47, prompt=24, tokens=15, nfe_step=7)     # a CPU without 16-bit arithmetic emulates it slowly
TEN_SECONDS = Case(speech=938, prompt=94, tokens=150, nfe_step=2)   # 10 s


@pytest.mark.parametrize('case', [SECOND, TEN_SECONDS], ids=['1s_nfe7', '10s_nfe2'])
def test_fp32(case):
    mel, = our_sampler(REAL).sample([case.request], **case.solver)
    assert relative_error(mel, upstream_mel(case, REAL)) <= 1e-4


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(dtype):
    mel, = our_sampler(REAL, dtype).sample([HALF_SECOND.request], **HALF_SECOND.solver)
    assert cosine(mel, upstream_mel(HALF_SECOND, REAL)) >= 0.999

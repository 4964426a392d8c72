"""The unmodified f5-tts package with given weights: what this engine's results are compared against.

Everything expensive is made once per test session and shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from ishowtts_ros.engines.f5 import weights
from ishowtts_ros.engines.f5.config import ARCHITECTURES, Architecture, F5Config
from ishowtts_ros.engines.f5.model import DiT
from ishowtts_ros.engines.f5.sampler import Sampler, SampleRequest

VOCAB_SIZE = 100
SMALL = Architecture(dim=32, depth=2, heads=2, dim_head=16, ff_mult=2, text_dim=16, conv_layers=2)
REAL = ARCHITECTURES['F5TTS_v1_Base']


@dataclass(frozen=True)
class Case:
    """One utterance to sample. Inputs follow from the numbers alone, so that results can be shared."""

    speech: int                 # mel frames to generate
    prompt: int = 70            # mel frames of reference
    tokens: int = 40
    nfe_step: int = 7
    cfg_strength: float = 2.0
    sway_sampling_coef: float = -1.0
    seed: int = 0

    @property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompt mel [prompt, 100] with the range of a log mel, and token ids [tokens]."""
        generator = torch.Generator().manual_seed(1000 * self.prompt + self.tokens + self.seed)
        return (torch.randn(self.prompt, 100, generator=generator) * 2 - 3,
                torch.randint(0, VOCAB_SIZE, (self.tokens,), generator=generator))

    @property
    def request(self) -> SampleRequest:
        mel, tokens = self.inputs
        return SampleRequest(mel, tokens, self.prompt + self.speech, seed=self.seed)

    @property
    def solver(self) -> dict:
        return {'nfe_step': self.nfe_step, 'cfg_strength': self.cfg_strength,
                'sway_sampling_coef': self.sway_sampling_coef}


@lru_cache(maxsize=None)
def upstream_model(arch: Architecture):
    """f5_tts's CFM with the random weights of `arch`."""
    from f5_tts.model import CFM
    from f5_tts.model import DiT as UpstreamDiT

    transformer = UpstreamDiT(
        dim=arch.dim, depth=arch.depth, heads=arch.heads, dim_head=arch.dim_head, ff_mult=arch.ff_mult,
        text_dim=arch.text_dim, text_mask_padding=arch.text_mask_padding, conv_layers=arch.conv_layers,
        pe_attn_head=arch.pe_attn_head, qk_norm=arch.qk_norm, mel_dim=arch.mel_dim, text_num_embeds=VOCAB_SIZE)
    missing, unexpected = transformer.load_state_dict(weights.random_weights(arch, VOCAB_SIZE), strict=False)
    assert missing == ['rotary_embed.inv_freq'] and not unexpected
    return CFM(transformer=transformer).eval()


@lru_cache(maxsize=None)
def upstream_mel(case: Case, arch: Architecture = SMALL) -> torch.Tensor:
    """What f5_tts generates, fp32 [speech, 100], for one request at a time."""
    mel, tokens = case.inputs
    sampled, _ = upstream_model(arch).sample(
        mel[None], tokens[None], case.prompt + case.speech, steps=case.nfe_step, cfg_strength=case.cfg_strength,
        sway_sampling_coef=case.sway_sampling_coef, seed=case.seed)
    return sampled[0, case.prompt:].float()


@lru_cache(maxsize=4)
def our_model(arch: Architecture = SMALL, dtype: torch.dtype = torch.float32) -> DiT:
    """This engine's model with the same weights."""
    fused = weights.fuse(weights.random_weights(arch, VOCAB_SIZE), arch)
    return DiT.from_fused(fused, arch, VOCAB_SIZE, torch.device('cpu'), dtype)


def our_sampler(arch: Architecture = SMALL, dtype: torch.dtype = torch.float32, **options) -> Sampler:
    return Sampler(our_model(arch, dtype), F5Config(**options))


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """|found - expected| / |expected| over all elements; shapes, and so durations, must be equal."""
    assert found.shape == expected.shape
    return ((found.float() - expected).norm() / expected.norm()).item()


def cosine(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape
    return torch.nn.functional.cosine_similarity(found.float().flatten(), expected.flatten(), dim=0).item()

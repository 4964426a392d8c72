"""Checkpoints: where they are, what is in them, and the fusion from published tensor names to this engine's.

Published names and shapes follow SWivid/F5-TTS, src/f5_tts/model/backbones/dit.py and model/modules.py.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Callable, Dict, Mapping

import torch
from torch import Tensor

from ...core.engine import Progress
from ...core.types import ErrorCode, SpeechError
from .config import Architecture

State = Dict[str, Tensor]

_EMA_BOOKKEEPING = ('initted', 'step')
_COMPUTED = ('rotary_embed.inv_freq',)      # buffers that follow from the architecture
_CONV_KERNEL = 31                           # position convolution, model/modules.py ConvPositionEmbedding
_CONV_GROUPS = 16
_TIME_FREQUENCIES = 256                     # sinusoids of the time embedding, TimestepEmbedding


def published_shapes(arch: Architecture, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of a published transformer, in upstream's order, without the EMA prefix."""
    dim, text, inner, wide = arch.dim, arch.text_dim, arch.inner_dim, arch.ff_dim
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, out: int, into: int) -> None:
        shapes[f'{name}.weight'], shapes[f'{name}.bias'] = (out, into), (out,)

    def convolution(name: str, channels: int, groups: int, kernel: int) -> None:
        shapes[f'{name}.weight'], shapes[f'{name}.bias'] = (channels, channels // groups, kernel), (channels,)

    linear('time_embed.time_mlp.0', dim, _TIME_FREQUENCIES)
    linear('time_embed.time_mlp.2', dim, dim)
    shapes['text_embed.text_embed.weight'] = (vocab_size + 1, text)
    for index in range(arch.conv_layers):
        block = f'text_embed.text_blocks.{index}'
        convolution(f'{block}.dwconv', text, text, 7)
        shapes[f'{block}.norm.weight'] = shapes[f'{block}.norm.bias'] = (text,)
        linear(f'{block}.pwconv1', 2 * text, text)
        shapes[f'{block}.grn.gamma'] = shapes[f'{block}.grn.beta'] = (1, 1, 2 * text)
        linear(f'{block}.pwconv2', text, 2 * text)
    linear('input_embed.proj', dim, 2 * arch.mel_dim + text)
    for index in (0, 2):
        convolution(f'input_embed.conv_pos_embed.conv1d.{index}', dim, _CONV_GROUPS, _CONV_KERNEL)
    for index in range(arch.depth):
        block = f'transformer_blocks.{index}'
        linear(f'{block}.attn_norm.linear', 6 * dim, dim)
        for projection in ('to_q', 'to_k', 'to_v'):
            linear(f'{block}.attn.{projection}', inner, dim)
        if arch.qk_norm:
            shapes[f'{block}.attn.q_norm.weight'] = shapes[f'{block}.attn.k_norm.weight'] = (arch.dim_head,)
        linear(f'{block}.attn.to_out.0', dim, inner)
        linear(f'{block}.ff.ff.0.0', wide, dim)
        linear(f'{block}.ff.ff.2', dim, wide)
    linear('norm_out.linear', 2 * dim, dim)
    linear('proj_out', arch.mel_dim, dim)
    return shapes


def random_weights(arch: Architecture, vocab_size: int, seed: int = 0) -> State:
    """Seeded fp32 weights under the published names, for tests and benchmarks: speed does not depend on values.

    AdaLN and output layers are not zero as after upstream's initialisation, or nothing behind them could be tested.
    """
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in published_shapes(arch, vocab_size).items():
        value = torch.randn(shape, generator=generator)
        if name.endswith('norm.weight'):
            state[name] = 1.0 + 0.1 * value
        elif len(shape) == 1 or '.grn.' in name:
            state[name] = 0.1 * value
        elif name.endswith('text_embed.weight'):
            state[name] = value
        else:
            state[name] = value / math.sqrt(math.prod(shape[1:]))
    return state

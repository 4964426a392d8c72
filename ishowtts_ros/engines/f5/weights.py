"""Checkpoints: where they are, what is in them, and the fusion from published tensor names to this engine's.

Published names and shapes follow SWivid/F5-TTS, src/f5_tts/model/backbones/dit.py and model/modules.py.
"""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Dict, Mapping

import torch
from torch import Tensor

from ...core.engine import Progress
from ...core.types import ErrorCode, SpeechError
from .config import Architecture, F5Config

State = Dict[str, Tensor]

MODEL_REPOSITORY = 'SWivid/F5-TTS'
VOCODER_REPOSITORY = 'charactr/vocos-mel-24khz'
VOCODER_FILES = ('config.yaml', 'pytorch_model.bin')
# preset -> checkpoint in MODEL_REPOSITORY; its vocab.txt lies beside it. The weights are CC-BY-NC-4.0.
CHECKPOINTS = {
    'F5TTS_v1_Base': 'F5TTS_v1_Base/model_1250000.safetensors',
    'F5TTS_Base': 'F5TTS_Base/model_1200000.safetensors',
}

_COMPUTED = ('rotary_embed.inv_freq',)      # buffers that follow from the architecture
_CONV_KERNEL = 31                           # position convolution, model/modules.py ConvPositionEmbedding
_CONV_GROUPS = 16
_TIME_FREQUENCIES = 256                     # sinusoids of the time embedding, TimestepEmbedding


def locate_checkpoint(config: F5Config, progress: Progress) -> Path:
    """The checkpoint file. :raises SpeechError: LOAD_FAILED, saying what to set or download"""
    if config.checkpoint:
        return _existing(config.checkpoint, 'checkpoint', 'a .safetensors or .pt file')
    if config.model not in CHECKPOINTS:
        raise SpeechError(ErrorCode.LOAD_FAILED,
                          f"no checkpoint is published for model '{config.model}'; set f5.checkpoint to yours")
    return _fetch(MODEL_REPOSITORY, CHECKPOINTS[config.model], 'checkpoint', progress)


def locate_vocab(config: F5Config, checkpoint: Path, progress: Progress) -> Path:
    """vocab.txt: as configured, else beside the checkpoint, else the published one."""
    if config.vocab:
        return _existing(config.vocab, 'vocab', 'a vocab.txt')
    beside = checkpoint.with_name('vocab.txt')
    if beside.is_file():
        return beside
    published = CHECKPOINTS.get(config.model, CHECKPOINTS['F5TTS_v1_Base'])
    return _fetch(MODEL_REPOSITORY, f"{published.split('/')[0]}/vocab.txt", 'vocab', progress)


def locate_vocoder(config: F5Config, progress: Progress) -> Path:
    """The folder with the vocoder's config.yaml and pytorch_model.bin."""
    if config.vocoder:
        folder = Path(config.vocoder).expanduser()
        for name in VOCODER_FILES:
            _existing(folder / name, 'vocoder', f"a folder with {' and '.join(VOCODER_FILES)}")
        return folder
    return [_fetch(VOCODER_REPOSITORY, name, 'vocoder', progress) for name in VOCODER_FILES][0].parent


def _existing(path: str | Path, option: str, what: str) -> Path:
    path = Path(path).expanduser()
    if not path.is_file():
        raise SpeechError(ErrorCode.LOAD_FAILED,
                          f"'{path}' does not exist; set f5.{option} to {what}, or leave it empty to use the "
                          'published one from the Hugging Face cache or a download')
    return path


def _fetch(repository: str, name: str, option: str, progress: Progress) -> Path:
    """A file of a Hugging Face repository: from the cache without any network, else downloaded into it."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(repository, name)
    if isinstance(cached, str):
        return Path(cached)
    url = f'https://huggingface.co/{repository}/resolve/main/{name}'
    progress(0.0, f'downloading {url}')
    try:
        shown = {}
        if 'tqdm_class' in inspect.signature(hf_hub_download).parameters:       # since huggingface_hub 1.0
            shown['tqdm_class'] = _reporter(progress, name)
        path = Path(hf_hub_download(repository, name, **shown))
    except Exception as error:      # offline, refused, disk full: each has its own exception
        raise SpeechError(ErrorCode.LOAD_FAILED,
                          f'could not download {url} ({type(error).__name__}: {error}); download it on another '
                          f'machine and set f5.{option} to the path, or copy it into the Hugging Face cache') from error
    progress(1.0, f'downloaded {name}')
    return path


def _reporter(progress: Progress, name: str) -> type:
    """A tqdm that tells `progress` instead of the terminal."""
    from tqdm.auto import tqdm

    class Reporter(tqdm):
        def __init__(self, *args, **kwargs):
            kwargs.pop('name', None)
            super().__init__(*args, **{**kwargs, 'disable': False, 'file': _Nowhere()})

        def update(self, n: float | None = 1):
            shown = super().update(n)
            if self.total:
                progress(min(1.0, self.n / self.total), f'downloading {name}')
            return shown

    return Reporter


class _Nowhere:
    """Swallows what tqdm would draw."""

    def write(self, text: str) -> None:
        pass

    def flush(self) -> None:
        pass


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


def load_state(path: Path) -> State:
    """Read the EMA weights of a .safetensors or .pt checkpoint, under published names without prefix, on the CPU.

    A .pt is read with weights_only: a checkpoint cannot run code.

    :raises SpeechError: LOAD_FAILED when the file cannot be read (truncated, or something else altogether)
    """
    try:
        if path.suffix == '.safetensors':
            from safetensors.torch import load_file
            saved = load_file(path)
        else:
            saved = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
            saved = saved.get('ema_model_state_dict') or saved.get('model_state_dict') or saved
        state = {}
        for name, tensor in saved.items():
            name = name.removeprefix('ema_model.')
            if name.startswith('transformer.'):
                state[name.removeprefix('transformer.')] = tensor
        if not state:
            raise ValueError(f"it has no tensors named 'ema_model.transformer...' but {list(saved)[:3]}")
        return state
    except Exception as error:      # every library has its own for a bad file: SafetensorError, UnpicklingError, ...
        raise SpeechError(ErrorCode.LOAD_FAILED,
                          f"cannot read the checkpoint '{path}' ({type(error).__name__}: {error}); it may be "
                          'truncated: compare its size with the published file or download it again') from error


def check(state: Mapping[str, Tensor], arch: Architecture, vocab_size: int, source: str) -> None:
    """Compare names and shapes with what `arch` has.

    :param source: what to call the checkpoint in the message
    :raises SpeechError: LOAD_FAILED, naming the first tensor that does not fit and both shapes
    """
    shapes = published_shapes(arch, vocab_size)
    for name, shape in shapes.items():
        found = tuple(state[name].shape) if name in state else 'missing'
        if found == shape:
            continue
        if name == 'text_embed.text_embed.weight' and found != 'missing' and found[1:] == shape[1:]:
            raise SpeechError(ErrorCode.LOAD_FAILED,
                              f'the vocabulary has {vocab_size} entries, but {source} was trained with {found[0] - 1} '
                              f"({name} is {found}, expected {shape}); set f5.vocab to the checkpoint's own vocab.txt")
        raise SpeechError(ErrorCode.LOAD_FAILED,
                          f"{source} does not fit the model: tensor '{name}' is {found}, expected {shape}; "
                          'set f5.model to the architecture that it was trained with')
    extra = [name for name in state if name not in shapes and name not in _COMPUTED]
    if extra:
        raise SpeechError(ErrorCode.LOAD_FAILED,
                          f"{source} does not fit the model: tensor '{extra[0]}' is {tuple(state[extra[0]].shape)}, "
                          'expected none; set f5.model to the architecture that it was trained with')


def fuse(state: State, arch: Architecture) -> State:
    """Published tensors -> those of `model.DiT`. Empties `state` as it goes, so that both never exist in full.

    q, k, v become one projection; the input projection is split into what sees the noisy mel, the prompt and the
    text; rows of q and k are reordered so that rotary pairs (2i, 2i + 1) become halves (i, i + k/2). Dot products
    of q and k do not notice.
    """
    halves = torch.arange(arch.dim_head).view(-1, 2).t().flatten()
    rows = (torch.arange(arch.heads)[:, None] * arch.dim_head + halves).flatten()

    def stacked(name: str, order: Tensor | None = None) -> Tensor:
        tensors = [state.pop(f'transformer_blocks.{index}.{name}') for index in range(arch.depth)]
        return torch.stack([tensor if order is None else tensor[order] for tensor in tensors])

    fused: State = {}
    for ours, theirs in (('time1', 'time_embed.time_mlp.0'), ('time2', 'time_embed.time_mlp.2'),
                         ('conv1', 'input_embed.conv_pos_embed.conv1d.0'),
                         ('conv2', 'input_embed.conv_pos_embed.conv1d.2'),
                         ('ada_out', 'norm_out.linear'), ('proj', 'proj_out')):
        fused[f'{ours}_weight'] = state.pop(f'{theirs}.weight')
        fused[f'{ours}_bias'] = state.pop(f'{theirs}.bias')
    parts = state.pop('input_embed.proj.weight').split((arch.mel_dim, arch.mel_dim, arch.text_dim), dim=1)
    fused['mel_weight'], fused['cond_weight'], fused['text_weight'] = (part.contiguous() for part in parts)
    fused['input_bias'] = state.pop('input_embed.proj.bias')
    for kind in ('weight', 'bias'):
        fused[f'qkv_{kind}'] = torch.cat([stacked(f'attn.to_q.{kind}', rows), stacked(f'attn.to_k.{kind}', rows),
                                          stacked(f'attn.to_v.{kind}')], dim=1)
        fused[f'out_{kind}'] = stacked(f'attn.to_out.0.{kind}')
        fused[f'up_{kind}'] = stacked(f'ff.ff.0.0.{kind}')
        fused[f'down_{kind}'] = stacked(f'ff.ff.2.{kind}')
        fused[f'ada_{kind}'] = stacked(f'attn_norm.linear.{kind}')
    if arch.qk_norm:
        fused['q_norm'] = stacked('attn.q_norm.weight', halves)
        fused['k_norm'] = stacked('attn.k_norm.weight', halves)
    fused['text_embedding'] = state.pop('text_embed.text_embed.weight')
    for name in [name for name in state if name.startswith('text_embed.text_blocks.')]:
        ours = name.replace('text_embed.', '', 1).replace('.grn.', '.')
        tensor = state.pop(name)
        fused[ours] = tensor.flatten() if '.grn.' in name else tensor
    return fused

"""Vocos (arXiv:2306.00814): from mel frames to the spectrum of each, by ConvNeXt blocks (arXiv:2201.03545).

Module and tensor names are those of charactr/vocos-mel-24khz, whose config.yaml names classes of the vocos package
(vocos/models.py: VocosBackbone, vocos/heads.py: ISTFTHead). The package computes the same; it is not used, because it
imports torchaudio (see mel.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
import torch.nn.functional as F
import yaml

from .config import HOP_LENGTH, MEL_CHANNELS
from .layers import Conv1d, Linear
from .mel import N_FFT, mel_filters

_EPS = 1e-6                     # of every norm
_KERNEL = 7                     # frames that a convolution sees


class Misfit(ValueError):
    """A Vocos of another kind than F5-TTS needs."""


@dataclass(frozen=True)
class VocosShape:
    """Sizes of the network; the defaults are those of charactr/vocos-mel-24khz."""

    dim: int = 512
    wide: int = 1536
    n_blocks: int = 8

    @classmethod
    def from_file(cls, path: Path) -> VocosShape:
        """Read a published config.yaml.

        :raises Misfit: when it describes another network than F5-TTS needs, saying in what
        """
        config = yaml.safe_load(path.read_text(encoding='utf-8'))
        backbone, head = (_arguments(config, part, name)
                          for part, name in (('backbone', 'VocosBackbone'), ('head', 'ISTFTHead')))
        needed = {'input_channels': MEL_CHANNELS, 'n_fft': N_FFT, 'hop_length': HOP_LENGTH, 'padding': 'center',
                  'adanorm_num_embeddings': None}
        given = {'padding': 'same', 'adanorm_num_embeddings': None, **backbone, **head}
        for name, value in needed.items():
            if given.get(name) != value:
                raise Misfit(f'{name} is {given.get(name)}, F5-TTS needs {value}')
        if head['dim'] != backbone['dim']:
            raise Misfit(f"dim of the head is {head['dim']}, of the backbone {backbone['dim']}")
        return cls(backbone['dim'], backbone['intermediate_dim'], backbone['num_layers'])

    def to_config(self) -> dict:
        """What config.yaml says of it, which `vocos.Vocos.from_hparams` reads too."""
        return {
            'feature_extractor': {'class_path': 'vocos.feature_extractors.MelSpectrogramFeatures', 'init_args': {
                'sample_rate': 24000, 'n_fft': N_FFT, 'hop_length': HOP_LENGTH, 'n_mels': MEL_CHANNELS,
                'padding': 'center'}},
            'backbone': {'class_path': 'vocos.models.VocosBackbone', 'init_args': {
                'input_channels': MEL_CHANNELS, 'dim': self.dim, 'intermediate_dim': self.wide,
                'num_layers': self.n_blocks}},
            'head': {'class_path': 'vocos.heads.ISTFTHead', 'init_args': {
                'dim': self.dim, 'n_fft': N_FFT, 'hop_length': HOP_LENGTH, 'padding': 'center'}},
        }


def _arguments(config: dict, part: str, class_name: str) -> dict:
    path = config[part]['class_path']
    if path.rpartition('.')[2] != class_name:
        raise Misfit(f'{part} is {path}, F5-TTS needs {class_name}')
    return config[part]['init_args']


class Block(nn.Module):
    """ConvNeXt block: [b, dim, n] -> the same."""

    def __init__(self, shape: VocosShape):
        super().__init__()
        self.dwconv = Conv1d(shape.dim, shape.dim, _KERNEL, padding=_KERNEL // 2, groups=shape.dim)
        self.norm = nn.LayerNorm(shape.dim, eps=_EPS)
        self.pwconv1 = Linear(shape.dim, shape.wide)
        self.pwconv2 = Linear(shape.wide, shape.dim)
        self.gamma = nn.Parameter(torch.empty(shape.dim))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).transpose(1, 2))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.transpose(1, 2)


class Backbone(nn.Module):
    """Mel [b, 100, n] -> features [b, n, dim]."""

    def __init__(self, shape: VocosShape):
        super().__init__()
        self.embed = Conv1d(MEL_CHANNELS, shape.dim, _KERNEL, padding=_KERNEL // 2)
        self.norm = nn.LayerNorm(shape.dim, eps=_EPS)
        self.convnext = nn.ModuleList(Block(shape) for _ in range(shape.n_blocks))
        self.final_layer_norm = nn.LayerNorm(shape.dim, eps=_EPS)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.norm(self.embed(mel).transpose(1, 2)).transpose(1, 2)
        for block in self.convnext:
            x = block(x)
        return self.final_layer_norm(x.transpose(1, 2))


class InverseSTFT(nn.Module):
    """Centred: spectrum complex64 [b, 513, n] -> waveform float32 [b, (n - 1) * 256]."""

    def __init__(self):
        super().__init__()
        self.register_buffer('window', torch.empty(N_FFT))

    def forward(self, spectrum: Tensor) -> Tensor:
        return torch.istft(spectrum, N_FFT, HOP_LENGTH, window=self.window, center=True)


class Head(nn.Module):
    """What turns features into a waveform; `Vocoder` runs its two parts in precisions of their own."""

    def __init__(self, shape: VocosShape):
        super().__init__()
        self.out = Linear(shape.dim, N_FFT + 2)         # logarithm of the magnitude, then phase
        self.istft = InverseSTFT()


class Vocos(nn.Module):
    """The network without values; `load_state_dict(..., assign=True)` gives it some."""

    def __init__(self, shape: VocosShape):
        super().__init__()
        with torch.device('meta'):
            self.backbone = Backbone(shape)
            self.head = Head(shape)


def random_state(shape: VocosShape, seed: int = 0) -> dict[str, Tensor]:
    """Seeded tensors of a whole published file, for tests and benchmarks: speed does not depend on values."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, empty in Vocos(shape).state_dict().items():
        value = 0.05 * torch.randn(empty.shape, generator=generator)
        if name.endswith('norm.weight'):
            value += 1
        elif name.endswith('gamma'):
            value += 1 / shape.n_blocks
        state[name] = value
    state['head.istft.window'] = torch.hann_window(N_FFT)
    return {'feature_extractor.mel_spec.spectrogram.window': torch.hann_window(N_FFT),
            'feature_extractor.mel_spec.mel_scale.fb': mel_filters(), **state}

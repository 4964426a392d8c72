"""Write a tiny F5-TTS checkpoint and Vocos vocoder in the real file formats, with seeded random weights.

    python test/f5/tiny_checkpoint.py DIR

leaves in DIR: model.yaml, model.safetensors (EMA), model.pt (EMA), vocab.txt, vocos/{config.yaml,pytorch_model.bin}.
What it says is noise; that every file is read, checked and used as the published ones are is what it is for.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
import string
import sys

import torch
import yaml

try:
    from ishowtts_ros.engines.f5.config import Architecture
except ImportError:             # run as a script from a checkout
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from ishowtts_ros.engines.f5.config import Architecture

from ishowtts_ros.engines.f5.vocos_network import VocosShape, random_state
from ishowtts_ros.engines.f5.weights import random_weights

TINY = Architecture(dim=64, depth=2, heads=2, ff_mult=2, text_dim=32, conv_layers=2)

# space first: index 0 stands for unknown characters
VOCAB = [' ', *string.punctuation, *string.digits, *string.ascii_letters,
         'ni3', 'ni2', 'hao3', 'wo3', 'shi4', 'shi4', 'jie4', 'ji1', 'qi4', 'ren2', 'é', '。', '，']
VOCAB = list(dict.fromkeys(VOCAB))

TINY_VOCOS = VocosShape(dim=64, wide=128, n_blocks=2)


@dataclass(frozen=True)
class TinyCheckpoint:
    """Paths of what was written."""

    folder: Path
    model: Path             # upstream-style model yaml
    checkpoint: Path        # EMA safetensors
    checkpoint_pt: Path     # the same weights as torch saves them while training
    vocab: Path
    vocoder: Path           # folder


def write(folder: str | Path, arch: Architecture = TINY, seed: int = 0) -> TinyCheckpoint:
    """Write the files into `folder`, which is created, and say where they are."""
    from safetensors.torch import save_file

    folder = Path(folder)
    paths = TinyCheckpoint(folder, folder / 'model.yaml', folder / 'model.safetensors', folder / 'model.pt',
                           folder / 'vocab.txt', folder / 'vocos')
    paths.vocoder.mkdir(parents=True, exist_ok=True)
    paths.model.write_text(yaml.safe_dump({'model': model_yaml(arch)}, sort_keys=False), encoding='utf-8')
    paths.vocab.write_text(''.join(f'{token}\n' for token in VOCAB), encoding='utf-8')
    ema = ema_state(arch, seed)
    save_file(ema, paths.checkpoint)
    torch.save({'ema_model_state_dict': ema, 'update': 1}, paths.checkpoint_pt)
    write_vocoder(paths.vocoder, seed)
    return paths


def ema_state(arch: Architecture, seed: int) -> dict[str, torch.Tensor]:
    """Tensors as an EMA checkpoint names them, with the bookkeeping that real ones carry."""
    state = {f'ema_model.transformer.{name}': value for name, value in
             random_weights(arch, len(VOCAB), seed).items()}
    half = torch.arange(0, arch.dim_head, 2).float() / arch.dim_head
    state['ema_model.transformer.rotary_embed.inv_freq'] = 1.0 / 10000 ** half
    state['initted'] = torch.tensor(True)
    state['step'] = torch.tensor(1)
    return state


def model_yaml(arch: Architecture) -> dict:
    """The `model:` part of an upstream training configuration."""
    names = ('dim', 'depth', 'heads', 'ff_mult', 'text_dim', 'text_mask_padding', 'qk_norm', 'conv_layers',
             'pe_attn_head')
    return {
        'name': 'Tiny', 'tokenizer': 'pinyin', 'backbone': 'DiT',
        'arch': {**{name: getattr(arch, name) for name in names},
                 'attn_backend': 'torch', 'attn_mask_enabled': False, 'checkpoint_activations': False},
        'mel_spec': {'target_sample_rate': 24000, 'n_mel_channels': 100, 'hop_length': 256, 'win_length': 1024,
                     'n_fft': 1024, 'mel_spec_type': 'vocos'},
    }


def write_vocoder(folder: Path, seed: int) -> None:
    """A small Vocos, laid out like the charactr/vocos-mel-24khz repository."""
    config = yaml.safe_dump(TINY_VOCOS.to_config(), sort_keys=False)
    (folder / 'config.yaml').write_text(config, encoding='utf-8')
    torch.save(random_state(TINY_VOCOS, seed), folder / 'pytorch_model.bin')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder')
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    print(write(arguments.folder, seed=arguments.seed))

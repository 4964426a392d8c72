"""What the benchmark of the f5 engine speaks with: weights, a reference recording and texts of given lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.torch import save_file
import soundfile
import torch
import yaml

from ..core.voices import Voice
from ..engines.f5.config import SAMPLE_RATE, Architecture
from ..engines.f5.vocos_network import VocosShape, random_state
from ..engines.f5.weights import random_weights

TRANSCRIPT_BYTES = 96               # of the reference: 18 a second, an even pace


def write_model(arch: Architecture, folder: Path, vocab_size: int = 2545) -> dict[str, str]:
    """A checkpoint of random weights in the published format, with a vocabulary as large as the published one."""
    tokens = [' ', *(chr(code) for code in range(33, 127)), *(f'token{index}' for index in range(vocab_size - 95))]
    (folder / 'vocab.txt').write_text('\n'.join(tokens) + '\n', encoding='utf-8')
    weights = {f'ema_model.transformer.{name}': tensor for name, tensor in random_weights(arch, vocab_size).items()}
    weights['ema_model.transformer.rotary_embed.inv_freq'] = (
        10_000.0 ** -(torch.arange(0, arch.dim_head, 2) / arch.dim_head))
    save_file(weights, folder / 'model.safetensors')
    return {'checkpoint': str(folder / 'model.safetensors'), 'vocab': str(folder / 'vocab.txt')}


def write_vocoder(folder: Path) -> str:
    """A Vocos with random weights, of the published shape and in the published format."""
    folder.mkdir()
    shape = VocosShape()
    (folder / 'config.yaml').write_text(yaml.safe_dump(shape.to_config()), encoding='utf-8')
    torch.save(random_state(shape), folder / 'pytorch_model.bin')
    return str(folder)


def reference_voice(folder: Path, seconds: float) -> Voice:
    """Noise of an even loudness, so that nothing of it is trimmed as silence; 50 ms are appended by f5-tts's rules."""
    noise = 0.15 * np.random.default_rng(0).standard_normal(round((seconds - 0.05) * SAMPLE_RATE)).clip(-3, 3)
    soundfile.write(folder / 'reference.wav', noise, SAMPLE_RATE, subtype='PCM_16')
    return Voice('reference', folder / 'reference.wav', words(TRANSCRIPT_BYTES - 3) + '.', 'en')


def text_for(seconds: float, reference: float) -> str:
    """A text that the duration rule gives that length; without punctuation, so that it is one chunk."""
    return words(round(TRANSCRIPT_BYTES * seconds / reference))


def words(n_bytes: int) -> str:
    text = 'the robot moves along the wall and looks for a door that is open today '
    return (text * (n_bytes // len(text) + 1))[:n_bytes].rstrip().ljust(n_bytes, 'e')

"""What a node with the f5 engine needs: a tiny checkpoint in the real file formats, and voices."""

from pathlib import Path

import numpy as np
import soundfile
import tiny_checkpoint

RATE = 24000     # Hz
TRANSCRIPT = 'One two three four five six.'
VOICES = """# The voices of this robot
voices:
  anna:
    audio: anna.wav        # high
    transcript: One two three four five six.
  bob: {audio: bob.wav, transcript: One two three four five six.}     # low
"""


def parameters(folder: Path) -> dict:
    """Of a node that speaks with anna and bob, in random weights on one CPU thread; its files are in `folder`."""
    files = tiny_checkpoint.write(folder / 'tiny')
    for name, pitch in (('anna', 220), ('bob', 110)):
        soundfile.write(folder / f'{name}.wav', syllables(pitch), RATE)
    (folder / 'voices.yaml').write_text(VOICES)
    return {'engine': 'f5', 'voices_file': str(folder / 'voices.yaml'), 'f5__model': str(files.model),
            'f5__checkpoint': str(files.checkpoint), 'f5__vocab': str(files.vocab), 'f5__vocoder': str(files.vocoder),
            'f5__device': 'cpu', 'f5__dtype': 'float32', 'f5__threads': 1, 'seed': 1}


def syllables(pitch: float, seconds: float = 2.0) -> np.ndarray:
    """A hum that comes and goes three times a second: int16 [n_samples]."""
    time = np.arange(int(seconds * RATE)) / RATE
    return (9830 * np.sin(2 * np.pi * pitch * time) * (np.sin(2 * np.pi * 3 * time) > -0.5)).astype(np.int16)

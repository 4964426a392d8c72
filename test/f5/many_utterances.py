"""Speaks 1,500 utterances in a process of its own and prints what the last 500 left behind, as JSON. For test_memory.py."""

from __future__ import annotations

import gc
import json
from pathlib import Path
import sys
import tempfile

import numpy as np
import soundfile
from speaking import loaded, speak
import tiny_checkpoint
import torch

from ishowtts_ros.core.types import SpeechError
from ishowtts_ros.core.voices import Voice

UTTERANCES = 1500
# Measured after these, the second time to count: the full collection of the first leaves free lists to be filled again.
SETTLED = (500, 1000)


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects())


def resident() -> int:
    """Resident memory of this process [bytes]."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * 4096


def measure() -> np.ndarray:
    """Tensors, blocks of Python memory, bytes of resident memory."""
    return np.array([live_tensors(), sys.getallocatedblocks(), resident()])


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = tiny_checkpoint.write(Path(folder) / 'tiny')
        recording = Path(folder) / 'short.wav'
        soundfile.write(recording, 0.1 * np.random.default_rng(0).standard_normal(int(0.6 * 24_000)), 24_000)
        with loaded('f5', files, Voice('short', recording, 'The fox.')) as engine:
            growth = speak_many(engine)
    print(json.dumps(dict(zip(('tensors', 'blocks', 'resident'), growth.tolist()))))


def speak_many(engine) -> np.ndarray:
    """Texts, lengths, solver steps, cancellations and failures vary. Returns what grew once caches were filled."""
    decode = engine._vocoder.decode

    def sometimes_failing(mel):
        if mel.shape[1] % 10 == 3:
            raise RuntimeError('now and then')
        return decode(mel)

    engine._vocoder.decode = sometimes_failing
    for index in range(UTTERANCES):
        if index in SETTLED:
            before = measure()
        asked = []
        try:
            speak(engine, 'Yes, sir. ' + 'o' * (index % 7), nfe_step=1 + index % 3, seed=-1,
                  canceled=lambda: index % 5 == 4 and (asked.append(None) or len(asked) > 1))
        except SpeechError:
            pass
    return measure() - before


if __name__ == '__main__':
    main()

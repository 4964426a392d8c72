"""Speaking for days does not fill the memory: 1,000 utterances leave nothing behind."""

import gc
import sys

import pytest
import soundfile
from speaking import loaded, speak
import torch

from ishowtts_ros.core.types import SpeechError
from ishowtts_ros.core.voices import Voice

UTTERANCES = 1000
SETTLED = 300           # utterances after which caches and free lists are filled
GROWTH = 350            # blocks of Python memory after that: a leak of one block in two utterances would show


def live_tensors():
    gc.collect()
    return sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects())


def resident():
    """Resident memory of this process [bytes]."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * 4096


@pytest.fixture
def short_voice(voice, tmp_path):
    """0.6 s of the voice, so that a thousand utterances take half a minute."""
    samples, rate = soundfile.read(voice.audio)
    soundfile.write(tmp_path / 'short.wav', samples[:int(0.6 * rate)], rate)
    return Voice('short', tmp_path / 'short.wav', 'The fox.')


def test_nothing_grows_over_1000_utterances(tiny, short_voice, monkeypatch):
    """Texts, lengths, solver steps, cancellations and failures vary; Python objects, tensors and resident memory stay."""
    with loaded('f5', tiny, short_voice) as engine:
        decode = engine._vocoder.decode

        def sometimes_failing(mel):
            if mel.shape[1] % 10 == 3:
                raise RuntimeError('now and then')
            return decode(mel)

        monkeypatch.setattr(engine._vocoder, 'decode', sometimes_failing)
        for index in range(UTTERANCES):
            if index == SETTLED:
                tensors, python, process = live_tensors(), sys.getallocatedblocks(), resident()
            calls = []
            try:
                speak(engine, 'Yes, sir. ' + 'o' * (index % 7), nfe_step=1 + index % 3, seed=-1,
                      canceled=lambda: index % 5 == 4 and (calls.append(None) or len(calls) > 1))
            except SpeechError:
                pass
        assert live_tensors() <= tensors
        assert sys.getallocatedblocks() - python < GROWTH
        assert resident() - process < 32 * 2**20, 'of which the allocator may keep some'

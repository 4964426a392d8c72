"""Make an engine of the tiny checkpoint, and listen to it."""

from contextlib import contextmanager

import numpy as np
import torch

from ishowtts_ros.core.types import SynthesisSettings
from ishowtts_ros.core.voices import VoiceRegistry
from ishowtts_ros.engines import registry

ONE = 'Hello there.'
SENTENCES = ['The pump in hall three is running again, and the pressure at the outlet has been back to normal since '
             'early this morning when the new seal was put in. ',
             'Please close the second valve very slowly and wait until the green light comes on before you walk back to '
             'the office to write your report. ',
             'Whenever you hear a hissing sound you should step back behind the yellow line and call for help at once '
             'because the old pipe might break and flood the hall. ']
LONG = ''.join(SENTENCES)       # three chunks with the voice of these tests


def options(tiny, **more):
    """Load-time options that f5 and f5_upstream share."""
    return {'model': str(tiny.model), 'checkpoint': str(tiny.checkpoint), 'vocab': str(tiny.vocab),
            'vocoder': str(tiny.vocoder), 'device': 'cpu', **more}


@contextmanager
def loaded(name, tiny, *voices, **more):
    """An engine of the registry, loaded; closed at the end.

    On one thread: work this small does little but wait for a second one where the machine is busy.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    engine = registry.create(name, options(tiny, **(({'dtype': 'float32'} if name == 'f5' else {}) | more)),
                             VoiceRegistry(voices))
    engine.load(lambda done, what: None)
    try:
        yield engine
    finally:
        engine.close()
        torch.set_num_threads(threads)


def speak(engine, text, canceled=lambda: False, **settings):
    """The pieces that the engine emits for a text."""
    pieces = []
    engine.synthesize(text, SynthesisSettings(**({'nfe_step': 2, 'seed': 1} | settings)), pieces.append, canceled)
    return pieces


def heard(engine, text, **settings):
    """All of it, int16 [n_samples]."""
    return np.concatenate(speak(engine, text, **settings))

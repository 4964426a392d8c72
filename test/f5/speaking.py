"""Make an engine of the tiny checkpoint, and listen to it."""

from contextlib import contextmanager

import numpy as np
import torch

from ishowtts_ros.core.types import SynthesisSettings
from ishowtts_ros.core.voices import VoiceRegistry
from ishowtts_ros.engines import registry


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

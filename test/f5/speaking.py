"""Make an engine of the tiny checkpoint, and listen to it."""

from contextlib import contextmanager

import numpy as np

from ishowtts_ros.core.types import SynthesisSettings
from ishowtts_ros.core.voices import VoiceRegistry
from ishowtts_ros.engines import registry


def options(tiny, **more):
    """Load-time options that f5 and f5_upstream share."""
    return {'model': str(tiny.model), 'checkpoint': str(tiny.checkpoint), 'vocab': str(tiny.vocab),
            'vocoder': str(tiny.vocoder), 'device': 'cpu', **more}


@contextmanager
def loaded(name, tiny, *voices, **more):
    """An engine of the registry, loaded; closed at the end."""
    defaults = {'dtype': 'float32', 'compile': 'none'} if name == 'f5' else {}
    engine = registry.create(name, options(tiny, **(defaults | more)), VoiceRegistry(voices))
    engine.load(lambda done, what: None)
    try:
        yield engine
    finally:
        engine.close()


def speak(engine, text, canceled=lambda: False, **settings):
    """The pieces that the engine emits for a text."""
    pieces = []
    engine.synthesize(text, SynthesisSettings(**({'nfe_step': 2, 'seed': 1} | settings)), pieces.append, canceled)
    return pieces


def heard(engine, text, **settings):
    """All of it, int16 [n_samples]."""
    return np.concatenate(speak(engine, text, **settings))

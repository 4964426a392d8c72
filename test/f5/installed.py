"""The packages that f5 is compared with, where they can be imported."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest


def imported(name: str) -> ModuleType:
    """The module, or a skip that says why not. f5-tts and vocos need a torchaudio that fits torch's version and CUDA."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f'{name}, which f5 is compared with, cannot be imported: {error}', allow_module_level=True)

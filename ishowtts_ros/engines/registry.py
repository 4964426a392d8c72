"""The one list of engines. An engine's module is imported only when it is created."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any, Mapping

from ..core.engine import Engine
from ..core.types import ErrorCode, SpeechError
from ..core.voices import VoiceRegistry

# name: (module, engine class, dataclass of its load-time options, pip extra that brings what it needs)
ENGINES = {
    'espeak': ('espeak', 'EspeakEngine', 'EspeakConfig', ''),
    'tone': ('tone', 'ToneEngine', 'ToneConfig', ''),
    'f5': ('f5.engine', 'F5Engine', 'F5Config', 'f5'),
    'f5_upstream': ('f5_upstream', 'F5UpstreamEngine', 'F5UpstreamConfig', 'upstream'),
}


def create(name: str, options: Mapping[str, Any] | None = None, voices: VoiceRegistry | None = None) -> Engine:
    """Make an engine, not yet loaded.

    :param options: load-time options, the fields of the engine's config class
    :param voices: the voices that cloning engines speak with
    :raises SpeechError: UNKNOWN_ENGINE; INVALID_PARAMETER for an option it does not have;
        ENGINE_UNAVAILABLE when a package it needs is not installed
    """
    if name not in ENGINES:
        raise SpeechError(ErrorCode.UNKNOWN_ENGINE, f"unknown engine '{name}'; there are: {', '.join(sorted(ENGINES))}")
    module_name, engine_class, config_class, extra = ENGINES[name]
    try:
        module = importlib.import_module(f'.{module_name}', __package__)
    except ImportError as error:
        package = f'.[{extra}]' if extra else '.'
        raise SpeechError(
            ErrorCode.ENGINE_UNAVAILABLE,
            f"engine '{name}' needs a package that is not installed: {error}; "
            f"pip install '{package}' in the folder of ishowtts, or choose another engine") from error
    config_type = getattr(module, config_class)
    fields = {field.name for field in dataclasses.fields(config_type)}
    unknown = set(options or {}) - fields
    if unknown:
        raise SpeechError(
            ErrorCode.INVALID_PARAMETER,
            f"engine '{name}' has no option {sorted(unknown)}; it has: {', '.join(sorted(fields)) or 'none'}")
    registry = VoiceRegistry() if voices is None else voices    # an empty registry is filled later
    return getattr(module, engine_class)(config_type(**(options or {})), registry)

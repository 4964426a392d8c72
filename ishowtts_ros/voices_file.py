"""Reads voices.yaml."""

from __future__ import annotations

from pathlib import Path

import yaml

from .core.types import ErrorCode, SpeechError
from .core.voices import VoiceRegistry


def load(path: str) -> VoiceRegistry:
    """The voices of a file with a `voices:` mapping; none for an empty path.

    :raises SpeechError: INVALID_PARAMETER when it cannot be read, saying where and why
    """
    if not path:
        return VoiceRegistry()
    file = Path(path).expanduser()
    try:
        content = yaml.safe_load(file.read_text(encoding='utf-8')) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SpeechError(ErrorCode.INVALID_PARAMETER, f"cannot read voices_file '{file}': {error}") from error
    entries = content.get('voices') if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        raise SpeechError(ErrorCode.INVALID_PARAMETER,
                          f"voices_file '{file}' needs a mapping 'voices:' of names; config/voices.yaml is an example")
    return VoiceRegistry.from_mapping(entries, file.parent)

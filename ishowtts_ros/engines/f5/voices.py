"""The voices a cloning engine can speak with: the registry's, and the example clip of f5-tts."""

from __future__ import annotations

from typing import Iterator, Sequence

from ...core.types import ErrorCode, SpeechError
from ...core.voices import Voice, VoiceRegistry, unknown_voice
from .prompt import example_voice


class ClonedVoices:
    """A live view of the registry. The default is its first voice at the start, or else the example clip."""

    def __init__(self, registry: VoiceRegistry):
        self._registry = registry
        self._example = example_voice()
        self._default = next((voice.name for voice in self), '')

    def __iter__(self) -> Iterator[Voice]:
        yield from self._registry
        if self._example and self._example.name not in self._registry:
            yield self._example

    def names(self) -> list[str]:
        return sorted(voice.name for voice in self)

    @property
    def default(self) -> str:
        """Name of the default voice, '' when there is none."""
        names = [voice.name for voice in self]
        return self._default if self._default in names else next(iter(names), '')

    def get(self, name: str) -> Voice:
        """:raises SpeechError: UNKNOWN_VOICE, naming near matches"""
        wanted = name or self.default
        if not wanted:
            raise SpeechError(ErrorCode.UNKNOWN_VOICE,
                              'there is no voice yet; add one with its reference audio and transcript to voices_file, '
                              "or pip install f5-tts for its example voice")
        for voice in self:
            if voice.name == wanted:
                return voice
        raise unknown_voice(wanted, self.names())


class ClonedVoicesEngine:
    """The part of an Engine that tells its voices."""

    _voices: ClonedVoices

    def voices(self) -> Sequence[str]:
        return self._voices.names()

    def voice_for(self, language: str) -> str:
        """The default one: a cloned voice speaks any language."""
        return self._voices.default

    def check_voice(self, name: str) -> None:
        self._voices.get(name)

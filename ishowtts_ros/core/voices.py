"""Voice registry: name -> reference audio and transcript, as kept in voices.yaml."""

from __future__ import annotations

from dataclasses import dataclass
import difflib
from pathlib import Path
from typing import Iterable, Iterator, Mapping

from .types import ErrorCode, SpeechError


@dataclass(frozen=True)
class Voice:
    """A voice to be cloned."""

    name: str
    audio: Path           # reference recording: wav, flac or mp3
    transcript: str       # exactly what is said in it
    language: str = ''    # BCP 47


class VoiceRegistry:
    """The cloned voices, by name. Replace-on-write, so that any thread may read."""

    def __init__(self, voices: Iterable[Voice] = ()):
        self._voices = {voice.name: voice for voice in voices}

    @classmethod
    def from_mapping(cls, entries: Mapping, folder: Path) -> VoiceRegistry:
        """Read the `voices:` mapping of voices.yaml; relative audio paths start at `folder`.

        :raises SpeechError: INVALID_PARAMETER, naming the entry and what it should look like
        """
        voices = []
        for name, entry in entries.items():
            if not isinstance(entry, Mapping) or not {'audio', 'transcript'} <= set(entry):
                raise SpeechError(
                    ErrorCode.INVALID_PARAMETER,
                    f"voice '{name}' needs both 'audio: <file>' and 'transcript: <what it says>'")
            unknown = set(entry) - {'audio', 'transcript', 'language'}
            if unknown:
                raise SpeechError(
                    ErrorCode.INVALID_PARAMETER,
                    f"voice '{name}' has unknown keys {sorted(unknown)}; known: audio, transcript, language")
            voices.append(Voice(str(name), folder / str(entry['audio']), str(entry['transcript']),
                                str(entry.get('language', ''))))
        return cls(voices)

    def __iter__(self) -> Iterator[Voice]:
        return iter(self._voices.values())

    def __len__(self) -> int:
        return len(self._voices)

    def __contains__(self, name: str) -> bool:
        return name in self._voices

    def names(self) -> list[str]:
        return sorted(self._voices)

    def get(self, name: str) -> Voice:
        """:raises SpeechError: UNKNOWN_VOICE, naming the voices there are"""
        try:
            return self._voices[name]
        except KeyError:
            raise unknown_voice(name, self._voices) from None

    def add(self, voice: Voice) -> None:
        self._voices = {**self._voices, voice.name: voice}

    def remove(self, name: str) -> None:
        """:raises SpeechError: UNKNOWN_VOICE"""
        self.get(name)
        self._voices = {key: voice for key, voice in self._voices.items() if key != name}

    def restore(self, voices: Iterable[Voice]) -> None:
        """Have these voices in this order, as `list(registry)` had them before something was undone."""
        self._voices = {voice.name: voice for voice in voices}


def unknown_voice(name: str, known: Iterable[str]) -> SpeechError:
    """The error for a voice that does not exist, with the names that come closest."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5) or known[:10]
    listed = ', '.join(near) or 'none; add one to voices_file'
    return SpeechError(ErrorCode.UNKNOWN_VOICE,
                       f"unknown voice '{name[:80]}'; closest of {len(known)}: {listed}")

"""A voice made ready for the model: mel spectrogram, transcript and loudness of its reference recording."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
import hashlib
import importlib.util
import logging
from pathlib import Path

import torch

from ...core.new_voice import recording_bytes
from ...core.types import ErrorCode, SpeechError
from ...core.voices import Voice
from .chunking import SHORT_TEXT
from .config import HOP_LENGTH
from .mel import mel_spectrogram, resample
from .reference import read_recording, trim

TARGET_RMS = 0.1                    # quieter recordings are raised to it, and the speech lowered again
SPEECH_RATE = (5.0, 28.0)           # letters/s a person speaks, from very slow to very fast
MAX_SECONDS = 22                    # reference and speech together, as f5-tts has it
SHORT_SPEED = 0.3                   # of texts under SHORT_TEXT bytes, whatever speed is asked for
PREPROCESSING = 1                   # version of everything below that changes a prompt

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prompt:
    """What the model needs of a voice."""

    mel: torch.Tensor               # float32 [frames + 1, MEL_CHANNELS], the last frame is centred on the end
    frames: int                     # mel frames that the recording lasts
    seconds: float                  # length of the recording
    transcript: str                 # with the end of a sentence
    rms: float                      # of the recording before it was raised to TARGET_RMS, full scale = 1

    @property
    def loudness(self) -> float:
        """Factor that gives speech the level of the recording."""
        return min(1.0, self.rms / TARGET_RMS)

    @property
    def lead(self) -> str:
        """What stands before the text to be spoken. f5-tts puts a second space there, except after a full-width mark."""
        return self.transcript + ' ' if self.transcript[-1].isascii() else self.transcript

    @property
    def bytes_per_second(self) -> float:
        """Of text, at speed 1."""
        return len(self.transcript.encode('utf-8')) / self.seconds

    def max_chunk_bytes(self, speed: float, max_seconds: float = MAX_SECONDS) -> int:
        """How long a chunk of text may be, to last `max_seconds` with the reference (f5-tts: infer_process)."""
        return int(self.bytes_per_second * (max_seconds - self.seconds) * speed)

    def duration(self, text: str, speed: float) -> int:
        """Mel frames for the reference and `text` together (f5-tts: infer_batch_process)."""
        n_bytes = len(text.encode('utf-8'))
        speed = SHORT_SPEED if n_bytes < SHORT_TEXT else speed
        return self.frames + int(self.frames / len(self.lead.encode('utf-8')) * n_bytes / speed)


class PromptCache:
    """Prompts by content, the least recently used dropped first."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._prompts: OrderedDict[str, Prompt] = OrderedDict()

    def __len__(self) -> int:
        return len(self._prompts)

    def get(self, voice: Voice) -> Prompt:
        """:raises SpeechError: INVALID_REFERENCE, see `prepare`"""
        data = read_file(voice)
        key = content_key(data, voice.transcript)
        if key not in self._prompts:
            self._prompts[key] = prepare(data, voice.transcript, voice.name)
            while len(self._prompts) > self._capacity:
                self._prompts.popitem(last=False)
        self._prompts.move_to_end(key)
        return self._prompts[key]


def content_key(data: bytes, transcript: str) -> str:
    """Name a prompt by all that decides what it is; never by an address, which is used again."""
    digest = hashlib.sha256(f'{PREPROCESSING}\0{len(data)}\0'.encode())
    digest.update(data)
    digest.update(transcript.encode('utf-8'))
    return digest.hexdigest()


def read_file(voice: Voice) -> bytes:
    """:raises SpeechError: INVALID_REFERENCE when there is no such file, or it is none"""
    try:
        return recording_bytes(voice.audio)
    except OSError as error:
        raise SpeechError(ErrorCode.INVALID_REFERENCE,
                          f"reference audio of voice '{voice.name}' cannot be read: {error}; "
                          'put the file there, or correct its path in voices_file') from error


def prepare(data: bytes, transcript: str, name: str) -> Prompt:
    """Make a prompt of an audio file's bytes.

    :raises SpeechError: INVALID_REFERENCE for a recording that is corrupt, silent or under 0.3 s,
        and for an empty transcript
    """
    transcript = ended(transcript, name)
    recording = read_recording(data, f"reference audio of voice '{name}'")
    samples = trim(recording, f"reference audio of voice '{name}'")
    seconds = len(samples) / recording.rate
    _warn_unless_plausible(transcript, seconds, name)

    wave = torch.from_numpy(samples).mean(dim=1)
    rms = wave.square().mean().sqrt().item()
    if rms < TARGET_RMS:
        wave = wave * TARGET_RMS / rms
    wave = resample(wave, recording.rate)
    return Prompt(mel_spectrogram(wave), len(wave) // HOP_LENGTH, seconds, transcript, rms)


def ended(transcript: str, name: str) -> str:
    """The transcript with the end of a sentence (f5-tts: preprocess_ref_audio_text).

    :raises SpeechError: INVALID_REFERENCE when it is empty
    """
    if not transcript.strip():
        raise SpeechError(ErrorCode.INVALID_REFERENCE,
                          f"voice '{name}' has no transcript; write down exactly what its reference audio says")
    if transcript.endswith(('. ', '。')):
        return transcript
    return transcript + (' ' if transcript.endswith('.') else '. ')


def _warn_unless_plausible(transcript: str, seconds: float, name: str) -> None:
    """A transcript that does not match its recording makes speech rushed, dragged or garbled: say so."""
    rate = spoken_length(transcript) / seconds
    slowest, fastest = SPEECH_RATE
    if not slowest <= rate <= fastest:
        logger.warning(
            "voice '%s': its transcript has %.1f letters per second of audio, speech has %.0f to %.0f; "
            'make the transcript say exactly what is heard', name, rate, slowest, fastest)


def spoken_length(text: str) -> int:
    """Letters, a Chinese, Japanese or Korean character counting as three (as its UTF-8 bytes do)."""
    return sum(3 if '\u2e80' <= character <= '\ud7ff' else 1 for character in text.strip())


def example_voice() -> Voice | None:
    """The example clip that comes with the f5-tts package, if that is installed. It is not imported."""
    try:
        package = importlib.util.find_spec('f5_tts')
    except (ImportError, ValueError):
        return None
    for folder in (package.submodule_search_locations or []) if package else []:
        audio = Path(folder) / 'infer/examples/basic/basic_ref_en.wav'
        if audio.is_file():
            return Voice('f5_example', audio, 'Some call me nature, others call me mother nature.', 'en')
    return None

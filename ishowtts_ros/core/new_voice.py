"""What is checked of a voice before it is added: its name, its transcript, where its recording lies and how big that is.

What the recording sounds like is the engine's to check (engine.py: ClonesVoices).
"""

from __future__ import annotations

from dataclasses import dataclass, field
import os
from pathlib import Path
import re
import stat
from typing import Sequence

import numpy as np

from .text import clean
from .types import ErrorCode, SpeechError

MAX_NAME = 50                       # characters; in UTF-8 and with `.wav` they fit any file system
MAX_TRANSCRIPT = 2_000              # characters; engines use 12 s of a recording
MAX_FILE = 50 * 2**20               # bytes, refused before one is read
MAX_DURATION = 60.0                 # s, of samples in a request
SAMPLE_RATES = (8_000, 48_000)      # Hz, likewise
MAX_CHANNELS = 2

# A name is also a file's and a YAML key: a letter or digit, then letters, digits, dot, underscore, hyphen.
_NAME = re.compile(r'[^\W_][\w.-]*')


@dataclass(frozen=True)
class NewVoice:
    """A voice that somebody asks for. Its recording is a file or samples, not both."""

    name: str
    transcript: str                 # exactly what is said in the recording
    path: str = ''                  # wav, flac or mp3 file
    samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int16))     # int16 [n_frames * channels]
    sample_rate: int = 0            # Hz
    channels: int = 0               # interleaved in `samples`
    persist: bool = False           # keep it in the voices file

    def check(self) -> None:
        """:raises SpeechError: INVALID_PARAMETER or what `clean` raises, naming what would be right"""
        check_name(self.name)
        self.spoken()
        if bool(self.path) == bool(len(self.samples)):
            raise SpeechError(ErrorCode.INVALID_PARAMETER,
                              f"{'both' if self.path else 'neither'} audio_path and audio.samples; give one of them")
        if len(self.samples):
            self._check_samples()

    def spoken(self) -> str:
        """The transcript on one line. :raises SpeechError: EMPTY_TEXT, TEXT_TOO_LONG, INVALID_TEXT"""
        if not self.transcript.strip():
            raise SpeechError(ErrorCode.EMPTY_TEXT, 'the transcript is empty; write down exactly what the recording says')
        if len(self.transcript) > MAX_TRANSCRIPT:
            raise SpeechError(ErrorCode.TEXT_TOO_LONG, f'the transcript has {len(self.transcript)} characters; '
                              f'at most {MAX_TRANSCRIPT} are allowed, 3 to 12 s of speech are enough')
        return clean(self.transcript, MAX_TRANSCRIPT)

    def _check_samples(self) -> None:
        low, high = SAMPLE_RATES
        if not low <= self.sample_rate <= high:
            raise SpeechError(ErrorCode.INVALID_PARAMETER, f'audio.sample_rate {self.sample_rate} is not in {low} to {high} Hz')
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise SpeechError(ErrorCode.INVALID_PARAMETER, f'audio.channels {self.channels} is not in 1 to {MAX_CHANNELS}')
        if len(self.samples) % self.channels:
            raise SpeechError(ErrorCode.INVALID_PARAMETER, f'{len(self.samples)} samples are no whole number of frames '
                              f'of {self.channels} channels; interleave them')
        duration = len(self.samples) / self.channels / self.sample_rate
        if duration > MAX_DURATION:
            raise SpeechError(ErrorCode.INVALID_REFERENCE,
                              f'{duration:.1f} s of samples; give at most {MAX_DURATION:g} s, 3 to 12 s are enough')


def check_name(name: str) -> None:
    """:raises SpeechError: INVALID_PARAMETER"""
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise SpeechError(ErrorCode.INVALID_PARAMETER,
                          f"a voice cannot be called '{name[:80]}'; use up to {MAX_NAME} letters, digits and . _ -, "
                          'a letter or digit first')


def locate(path: str, folders: Sequence[str]) -> Path:
    """The regular file that `path` leads to, if that lies below one of the folders. Links are followed first.

    :param path: absolute, or relative to one of the folders
    :param folders: `~` stands for the home directory
    :raises SpeechError: PATH_NOT_ALLOWED, or INVALID_REFERENCE for what is no file of a reasonable size
    """
    roots = [Path(os.path.realpath(os.path.expanduser(folder))) for folder in folders if folder]
    if not roots:
        raise SpeechError(ErrorCode.PATH_NOT_ALLOWED, 'no folder of recordings is allowed; name one in the parameter '
                          'voice_folders, or send samples')
    try:
        real = [Path(os.path.realpath(root / path)) for root in roots]      # an absolute path replaces the root
    except ValueError as error:
        raise SpeechError(ErrorCode.INVALID_PARAMETER, f'audio_path is no path: {error}') from error
    allowed = [file for file in real if any(root in file.parents for root in roots)]
    if not allowed:     # before anything is told of what is there
        raise SpeechError(ErrorCode.PATH_NOT_ALLOWED,
                          f"'{path[:200]}' does not lie below {' or '.join(map(str, roots))} (parameter voice_folders), "
                          'or is a link that leads out; copy the recording there')
    file = next((file for file in allowed if os.path.lexists(file)), allowed[0])
    _check_file(file)
    return file


def recording_bytes(file: Path) -> bytes:
    """What is in a recording. Looked at once it is open, for it may be another file by now; a pipe holds nobody up.

    :raises OSError: it cannot be opened or read
    :raises SpeechError: INVALID_REFERENCE for what is no file of a reasonable size
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, 'rb') as opened:
        _check_status(os.fstat(descriptor), file)
        return opened.read()


def _check_file(file: Path) -> None:
    """By its inode alone: opening a pipe or a device could block, reading a huge file takes the memory."""
    try:
        status = os.lstat(file)
    except OSError as error:
        raise SpeechError(ErrorCode.INVALID_REFERENCE, f"no recording '{file}': {error.strerror}") from error
    _check_status(status, file)


def _check_status(status: os.stat_result, file: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SpeechError(ErrorCode.INVALID_REFERENCE, f"'{file}' is no regular file; give a wav, flac or mp3 file")
    if status.st_size > MAX_FILE:
        raise SpeechError(ErrorCode.INVALID_REFERENCE,
                          f"'{file}' has {status.st_size / 2**20:.0f} MiB; give 3 to 12 s of speech, at most {MAX_FILE // 2**20} MiB")

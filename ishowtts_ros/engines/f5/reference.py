"""Reference recordings: read, trimmed of silence, cut to 12 s. What is heard is what f5-tts would hear.

f5-tts (infer/utils_infer.py: preprocess_ref_audio_text) cuts with pydub, in milliseconds and with
integer levels. The same rules are written here over numpy arrays, so that neither pydub nor ffmpeg is
needed; on 16-bit recordings at 11,025 Hz or more the samples come out equal.
"""

from __future__ import annotations

from dataclasses import dataclass
import io
from itertools import pairwise
import math

import numpy as np

from ...core.types import ErrorCode, SpeechError
from .config import SAMPLE_RATE

FULL_SCALE = 32768                  # samples are kept in units of 16-bit PCM, where the rules have their levels
RATES = (8_000, 192_000)            # Hz
LONGEST_KERNEL = 1_000              # samples, of the resampling to 24 kHz; 44,100 Hz takes 147
MAX_CHANNELS = 2
MAX_READ = 120                      # s, nothing later in a recording is ever used
MAX_DURATION = 12_000               # ms
LONG_ENOUGH = 6_000                 # ms, from here on stop at a silence rather than go over MAX_DURATION
MIN_DURATION = 0.3                  # s
KEPT_SILENCE = 1_000                # ms, left at either side of a cut
EDGE_LEVEL = -42                    # dBFS, quieter is silence at the edges
EDGE_STEP = 10                      # ms


@dataclass(frozen=True)
class Recording:
    """Sound as it was recorded."""

    samples: np.ndarray             # float64 [n_samples, n_channels], in units of 16-bit PCM
    rate: int                       # Hz

    def __len__(self) -> int:
        """Length in milliseconds."""
        return round(1000 * len(self.samples) / self.rate)

    def position(self, ms: int) -> int:
        """The sample at which that millisecond begins."""
        return int(ms * (self.rate / 1000))

    def cut(self, start: int, end: int) -> Recording:
        """The part from `start` to `end` [ms], filled with zeros where rounding has the end after the last sample."""
        first, last = self.position(max(start, 0)), self.position(min(end, len(self)))
        part = self.samples[first:last]
        return Recording(np.pad(part, ((0, last - first - len(part)), (0, 0))), self.rate)

    def __add__(self, other: Recording) -> Recording:
        return Recording(np.concatenate([self.samples, other.samples]), self.rate)


def read_recording(data: bytes, name: str) -> Recording:
    """Decode wav, flac, ogg or mp3 of any rate and number of channels.

    :raises SpeechError: INVALID_REFERENCE when it cannot be decoded
    """
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_format(file.samplerate, file.channels, name)     # before it is decoded: a small flac may be gigabytes
            samples = file.read(MAX_READ * file.samplerate, dtype='float64', always_2d=True)
            rate = file.samplerate
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise SpeechError(ErrorCode.INVALID_REFERENCE,
                          f'{name} cannot be read as audio: {error}; give a wav, flac or mp3 file') from error
    if not np.isfinite(samples).all():
        raise SpeechError(ErrorCode.INVALID_REFERENCE,
                          f'{name} has samples that are not finite numbers; export it again as 16-bit wav')
    return Recording(samples * FULL_SCALE, rate)


def _check_format(rate: int, channels: int, name: str) -> None:
    """:raises SpeechError: INVALID_REFERENCE for what no recording of speech has, and what is no ratio of small numbers to 24 kHz"""
    low, high = RATES
    resampling = max(rate, SAMPLE_RATE) // math.gcd(rate, SAMPLE_RATE)      # the kernel is as long
    if not low <= rate <= high or resampling > LONGEST_KERNEL or channels > MAX_CHANNELS:
        raise SpeechError(ErrorCode.INVALID_REFERENCE,
                          f'{name} has {channels} channels at {rate} Hz; export it with one or two channels at 16000, '
                          '22050, 24000, 44100 or 48000 Hz')


def trim(recording: Recording, name: str) -> np.ndarray:
    """Take out long silences, stop within 12 s, trim both ends and add 50 ms of silence.

    :return: float32 [n_samples, n_channels] in -1..1, at the rate of the recording
    :raises SpeechError: INVALID_REFERENCE when nothing is heard or less than 0.3 s of it
    """
    clip = _up_to_limit(recording, min_silence=1_000, level=-50)
    if len(clip) > MAX_DURATION:
        clip = _up_to_limit(recording, min_silence=100, level=-40)
    clip = _trim_edges(clip.cut(0, MAX_DURATION) if len(clip) > MAX_DURATION else clip)
    if not len(clip):
        raise SpeechError(ErrorCode.INVALID_REFERENCE,
                          f'{name} is silent; give a recording in which somebody speaks')
    if len(clip) < 1000 * MIN_DURATION:
        raise SpeechError(ErrorCode.INVALID_REFERENCE,
                          f'{name} has only {len(clip) / 1000:.2f} s of sound; give 3 to 12 s of speech')
    # 50 ms at 11,025 Hz, resampled by linear steps: that is where upstream's silence comes from.
    tail = 550 * recording.rate // 11_025 + 1
    return (np.pad(clip.samples, ((0, tail), (0, 0))) / FULL_SCALE).astype(np.float32)


def _up_to_limit(recording: Recording, min_silence: int, level: float) -> Recording:
    """The sounding parts, in order, up to the one that would make them too long."""
    kept = recording.cut(0, 0)
    for part in _sounding_parts(recording, min_silence, level):
        if len(kept) > LONG_ENOUGH and len(kept + part) > MAX_DURATION:
            break
        kept += part
    return kept


def _sounding_parts(recording: Recording, min_silence: int, level: float) -> list[Recording]:
    """Cut at silences, leaving up to a second of them at either side."""
    spans = [[start - KEPT_SILENCE, end + KEPT_SILENCE]
             for start, end in _sounding_spans(recording, min_silence, level)]
    for before, after in pairwise(spans):
        if after[0] < before[1]:
            before[1] = after[0] = (before[1] + after[0]) // 2
    return [recording.cut(start, end) for start, end in spans]


def _sounding_spans(recording: Recording, min_silence: int, level: float) -> list[tuple[int, int]]:
    """What lies between the silences, as (start, end) [ms]."""
    length = len(recording)
    silences = _silences(recording, min_silence, level)
    if silences == [(0, length)]:
        return []
    edges = [0, *(edge for silence in silences for edge in silence), length]
    spans = list(zip(edges[::2], edges[1::2]))
    if silences and silences[0][0] == 0:
        spans = spans[1:]
    if silences and silences[-1][1] == length:
        spans = spans[:-1]
    return spans


def _silences(recording: Recording, min_silence: int, level: float, step: int = 10) -> list[tuple[int, int]]:
    """Every stretch of at least `min_silence` ms whose RMS stays at or under `level` dBFS, as (start, end) [ms]."""
    last = len(recording) - min_silence
    if last < 0:
        return []
    starts = list(range(0, last + 1, step))
    if last % step:
        starts.append(last)
    energy = np.concatenate([[0.0], np.cumsum(np.mean(recording.samples ** 2, axis=1))])
    first = np.array([recording.position(start) for start in starts])
    end = np.array([recording.position(start + min_silence) for start in starts])
    inside = np.minimum(end, len(recording.samples))
    loudness = np.sqrt((energy[inside] - energy[first]) / (end - first))
    quiet = np.array(starts)[np.floor(loudness) <= 10 ** (level / 20) * FULL_SCALE].tolist()
    return _merge(quiet, min_silence)


def _merge(starts: list[int], min_silence: int) -> list[tuple[int, int]]:
    """Join windows of `min_silence` ms that touch, given where they start [ms]."""
    spans = []
    for start in starts:
        if spans and start <= spans[-1][1] + min_silence:
            spans[-1][1] = start
        else:
            spans.append([start, start])
    return [(first, last + min_silence) for first, last in spans]


def _trim_edges(clip: Recording) -> Recording:
    clip = clip.cut(_leading_silence(clip), len(clip))
    backwards = Recording(clip.samples[::-1], clip.rate)
    trailing = _leading_silence(backwards)
    return clip.cut(0, len(clip) - trailing) if trailing else clip


def _leading_silence(clip: Recording) -> int:
    """How long it stays silent at the start [ms]."""
    trimmed = 0
    while trimmed < len(clip) and _level(clip.cut(trimmed, trimmed + EDGE_STEP)) < EDGE_LEVEL:
        trimmed += EDGE_STEP
    return min(trimmed, len(clip))


def _level(clip: Recording) -> float:
    """Loudness [dBFS]."""
    rms = np.floor(np.sqrt(np.mean(clip.samples ** 2))) if len(clip.samples) else 0.0
    return 20 * np.log10(rms / FULL_SCALE) if rms else -np.inf

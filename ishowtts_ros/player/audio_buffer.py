"""What waits to be played: chunks in order of arrival, taken by the sound card's callback.

A chunk is stored as it came and is copied once, straight into the sound card's memory, so that the
callback neither allocates nor converts. One lock guards everything; it is never held for longer
than it takes to copy a few milliseconds of audio or to walk the list of chunks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
import threading
import time
from typing import Callable, NamedTuple

import numpy as np

FADE = 0.01           # s in which speech that is cut off goes to silence
_STALLED = 1.0        # s without a new chunk after which what is there is played, however little
_REMEMBERED = 1000    # utterances whose end is kept in mind


class AudioFormat(NamedTuple):
    sample_rate: int    # Hz
    channels: int       # interleaved

    def __str__(self) -> str:
        return f'{self.sample_rate} Hz, {self.channels} channel{"s" if self.channels > 1 else ""}'


@dataclass
class _Piece:
    utterance_id: str
    format: AudioFormat
    samples: np.ndarray    # int16 [n_frames, channels]; what was played is cut off its front
    last: bool = False     # does the utterance end here?
    fade: bool = False     # made here, to end without a click: played at once

    @property
    def duration(self) -> float:
        return len(self.samples) / self.format.sample_rate


class AudioBuffer:
    """Thread-safe: one thread pushes and cancels, another takes or discards.

    Every utterance, and every one that ran dry, waits until `prebuffer` seconds of it are there.
    When it runs dry before its last chunk, that is an underrun: it fades out and waits again.

    :param prebuffer: s of an utterance to gather before it is played
    :param limit: s of audio to hold; what comes beyond it is dropped
    :param clock: seconds that only go forward
    """

    def __init__(self, prebuffer: float = 0.06, limit: float = 300.0, clock: Callable[[], float] = time.monotonic):
        self.prebuffer = prebuffer
        self.limit = limit
        self.underruns = 0             # count
        self.played = 0.0              # s, fades not included
        self.dropped = 0.0             # s that no device could play in its time, or that were beyond the limit
        self._clock = clock
        self._lock = threading.Lock()
        self._pieces: deque[_Piece] = deque()
        self._buffered = 0.0           # s in _pieces
        self._speaking: str | None = None     # the utterance being played, until its last sample is taken
        self._playing: AudioFormat | None = None    # its format
        self._waiting = True           # gathering `prebuffer`?
        self._last_push = 0.0          # instant [s]
        self._last_frame: np.ndarray | None = None    # int16 [channels], what was played last
        self._overdue = 0.0            # s that discard() still has to drop, less than one frame
        self._canceled: dict[str, None] = {}    # utterances whose chunks are to be ignored, oldest first
        self._ended: dict[str, None] = {}       # utterances whose last chunk came, oldest first

    def push(self, utterance_id: str, format: AudioFormat, samples: np.ndarray, last: bool) -> None:
        """Append a chunk, unless its utterance was canceled.

        :param samples: int16 [n_frames * channels], interleaved; may be empty
        :param last: does the utterance end with it?
        """
        frames = samples.reshape(-1, format.channels)
        piece = _Piece(utterance_id, format, frames, last)
        with self._lock:
            if last:
                _remember(self._ended, utterance_id)
            else:
                self._ended.pop(utterance_id, None)
            if utterance_id in self._canceled:
                if last:
                    del self._canceled[utterance_id]
                return
            if self._buffered + piece.duration > self.limit:
                self.dropped += piece.duration
                piece.samples = frames[:0]
            if not len(piece.samples) and not last:
                return    # only an end means something without samples
            self._pieces.append(piece)
            self._buffered += piece.duration
            self._last_push = self._clock()

    def cancel(self, utterance_id: str) -> None:
        """Drop what is left of an utterance; if it is being played, it fades out within FADE."""
        with self._lock:
            if utterance_id not in self._ended:
                _remember(self._canceled, utterance_id)
            mine = [piece for piece in self._pieces if piece.utterance_id == utterance_id]
            self._pieces = deque(piece for piece in self._pieces if piece.utterance_id != utterance_id)
            if self._speaking == utterance_id:
                if not self._waiting:
                    rest = [piece for piece in mine if piece.format == self._playing]
                    self._pieces.appendleft(self._fade(self._playing, rest))
                self._speaking = None
            self._buffered = sum(piece.duration for piece in self._pieces if not piece.fade)

    def admit(self, utterance_id: str) -> None:
        """A new utterance of this name was queued: play it, even if one of that name was canceled before."""
        with self._lock:
            self._canceled.pop(utterance_id, None)

    def take(self, out: np.ndarray, format: AudioFormat) -> None:
        """Fill `out` with what comes next in `format`, and with silence where there is nothing.

        :param out: int16 [n_frames, channels], overwritten
        """
        with self._lock:
            filled = 0
            while filled < len(out):
                piece = self._next(format)
                if piece is None:
                    break
                count = min(len(out) - filled, len(piece.samples))
                if count:
                    out[filled:filled + count] = piece.samples[:count]
                    self._last_frame = piece.samples[count - 1]
                    filled += count
                if not piece.fade:
                    self.played += count / format.sample_rate
                self._cut(piece, count)
            out[filled:] = 0

    def discard(self, elapsed: float) -> None:
        """Drop what would have been played within `elapsed` seconds, had there been a device."""
        with self._lock:
            self._overdue += elapsed
            while self._pieces:
                piece = self._pieces[0]
                count = min(int(self._overdue * piece.format.sample_rate), len(piece.samples))
                self._overdue -= count / piece.format.sample_rate
                if not piece.fade:
                    self.dropped += count / piece.format.sample_rate
                if count < len(piece.samples):
                    self._cut(piece, count)
                    break
                self._cut(piece, count)
            else:
                self._overdue = 0.0
            self._speaking = None    # should a device come back, it starts afresh
            self._waiting = True

    @property
    def format(self) -> AudioFormat | None:
        """The format of what comes next; None: nothing is buffered."""
        with self._lock:
            return self._pieces[0].format if self._pieces else None

    @property
    def buffered(self) -> float:
        """Seconds of audio waiting."""
        return self._buffered

    def _next(self, format: AudioFormat) -> _Piece | None:
        """The piece to play now; None: silence."""
        if not self._pieces:
            if self._speaking is None or self._waiting:
                return None
            self.underruns += 1
            self._waiting = True
            self._pieces.append(self._fade(format, []))
        piece = self._pieces[0]
        if piece.format != format:
            return None
        if piece.fade:
            return piece
        if piece.utterance_id != self._speaking:    # also where the one before came without its last chunk
            self._speaking = None
            self._waiting = True
        if self._waiting and not self._ready():
            return None
        self._waiting = False
        self._speaking = piece.utterance_id
        self._playing = format
        return piece

    def _ready(self) -> bool:
        """Is enough of the first utterance there, or all that will come?"""
        gathered, first = 0, self._pieces[0]
        for piece in self._pieces:
            if piece.utterance_id != first.utterance_id or piece.format != first.format:
                return True
            gathered += len(piece.samples)
            if piece.last or gathered >= int(self.prebuffer * first.format.sample_rate):
                return True
        return self._clock() - self._last_push > _STALLED

    def _cut(self, piece: _Piece, count: int) -> None:
        """Take `count` frames off the front of the first piece, and the piece away once it is empty."""
        piece.samples = piece.samples[count:]
        if not piece.fade:
            self._buffered -= count / piece.format.sample_rate
        if not len(piece.samples):
            self._pieces.popleft()
            if piece.last:
                self._speaking = None
            if not self._pieces:
                self._buffered = 0.0    # no rounding errors add up

    def _fade(self, format: AudioFormat, rest: list[_Piece]) -> _Piece:
        """From the level that was played last to silence: over what was to come, then over a held level."""
        length = missing = int(FADE * format.sample_rate)
        parts = []
        for piece in rest:
            parts.append(piece.samples[:missing])
            missing -= len(parts[-1])
        filled = [part for part in parts if len(part)]
        held = filled[-1][-1] if filled else self._last_frame
        frames = np.concatenate([*filled, np.tile(held, (missing, 1))])
        ramp = np.linspace(1, 0, length, dtype=np.float32)[:, None]
        return _Piece('', format, np.rint(frames * ramp).astype(np.int16), fade=True)


def _remember(names: dict[str, None], name: str) -> None:
    names.pop(name, None)
    names[name] = None
    if len(names) > _REMEMBERED:
        del names[next(iter(names))]

"""From the engine's samples to chunks at the pace at which they sound.

Audio that was published cannot be taken back from a plain player, so little of it should be ahead
of the ear: an interrupted robot falls silent soon. And what the engine makes faster than it sounds
waits here, so that the next utterance is synthesized while this one is heard.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import takewhile
import math
import threading
import time
from typing import Callable

import numpy as np

from .chunk_writer import ChunkWriter
from .prebuffer import Prebuffer
from .types import AudioChunk

PACINGS = ('realtime', 'burst')
SLICE = 0.05            # s of audio published at a time once the listener is ahead
MAX_WAITING = 60.0      # s of audio of one utterance that may wait here; then the engine should wait


@dataclass(frozen=True)
class Pacing:
    """How fast audio is published."""

    pacing: str = 'realtime'    # one of PACINGS: at the pace of speech, or as fast as it is made
    audio_lead: float = 0.3     # s by which audio may be ahead of what sounds (realtime)


class Track:
    """The audio of one utterance on its way out. Belongs to the pacer that made it."""

    def __init__(self, writer: ChunkWriter, sample_rate: int, pacing: Pacing):
        self.writer = writer
        self.sample_rate = sample_rate      # Hz
        self.pacing = pacing
        self.prebuffer = Prebuffer()
        self.complete = False               # nothing more will come
        self.cut = False                    # what has not been published never will be
        self.begins: float | None = None    # instant at which its first audio sounds; None: none was published
        self.waiting = 0                    # samples not yet taken
        self._pieces: deque[np.ndarray] = deque()
        self._longest = 0                   # samples of the longest piece

    def add(self, samples: np.ndarray) -> None:
        self.waiting += len(samples)
        self._longest = max(self._longest, len(samples))
        self._pieces.append(samples)

    def take(self, count: int) -> np.ndarray:
        """The next `count` samples, or as many as there are."""
        taken = []
        while count and self._pieces:
            piece = self._pieces.popleft()
            if len(piece) > count:
                self._pieces.appendleft(piece[count:])
            taken.append(piece[:count])
            count -= len(taken[-1])
            self.waiting -= len(taken[-1])
        return np.concatenate(taken)

    def drop(self) -> None:
        self._pieces.clear()
        self.waiting = 0

    def gathering(self) -> bool:
        """Is it too early to publish its first audio?"""
        wanted = self.prebuffer.seconds * self.sample_rate + self.prebuffer.pieces * self._longest
        return self.begins is None and not self.complete and self.waiting < wanted


class Pacer:
    """Publishes the tracks one after the other, in the order in which they were begun.

    Every track ends in exactly one last chunk. All methods may be called from any thread, with or
    without the lock held; `publish`, `finished` and `on_speaking` are called under it.

    :param lock: guards everything here; shared with the owner, so that cutting off and telling is one step
    :param finished: a track was published to its end
    :param on_speaking: True with the first audio, False when everything published has had the time to be heard
    """

    def __init__(self, lock: threading.RLock, publish: Callable[[AudioChunk], None],
                 finished: Callable[[Track], None], on_speaking: Callable[[bool], None]):
        self._lock = lock
        self._due = threading.Condition(lock)        # there is something to do earlier than was thought
        self.drained = threading.Condition(lock)     # told when `takes_more` may have become true
        self._publish = publish
        self._finished = finished
        self._on_speaking = on_speaking
        self._tracks: deque[Track] = deque()
        self._end = 0.0              # instant at which what was published will have been heard
        self._speaking = False
        self._paused = False
        self._closed = False
        self._wakes_at = math.inf    # instant
        self._thread = threading.Thread(target=self._run, name='pacer', daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Tracks that have not been published to their end."""
        return len(self._tracks)

    def __contains__(self, utterance_id: str) -> bool:
        """Is the last chunk of that utterance still to come?"""
        return any(track.writer.utterance_id == utterance_id for track in self._tracks)

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def ahead(self) -> float:
        """Seconds of speech that are there already: so long does it take until more is needed."""
        with self._lock:
            waiting = sum(track.waiting / track.sample_rate for track in self._tracks)
            return max(self._end - time.monotonic(), 0.0) + waiting

    def begin(self, utterance_id: str, sample_rate: int, pacing: Pacing) -> Track:
        track = Track(ChunkWriter(utterance_id, sample_rate, self._send), sample_rate, pacing)
        with self._lock:
            self._tracks.append(track)
        return track

    def gather(self, track: Track, prebuffer: Prebuffer) -> None:
        """Publish nothing of a track before so much of it is there. A burst needs no gathering."""
        if track.pacing.pacing == 'realtime':
            track.prebuffer = prebuffer

    def takes_more(self, track: Track) -> bool:
        """Should the engine go on, or is so much waiting that it had better wait itself? See `drained`."""
        with self._lock:
            return track.cut or track.waiting < MAX_WAITING * track.sample_rate or not self._will_drain(track)

    def write(self, track: Track, samples: np.ndarray) -> None:
        """Add audio; what may be published is published at once.

        :param samples: int16 [n_samples]
        """
        with self._lock:
            if not track.cut:
                track.add(samples)
                self._advance()

    def finish(self, track: Track) -> None:
        """No more audio will come; `finished` is called when all of it has been published."""
        with self._lock:
            track.complete = True
            self._advance()

    def cut_off(self, *tracks: Track) -> None:
        """Drop what has not been published of these. Their last chunks are published now, or when their turn comes."""
        with self._lock:
            for track in tracks:
                if not track.cut and track in self._tracks:
                    self._cut(track)
            self.drained.notify_all()
            self._advance()

    def pause(self) -> None:
        """Publish nothing more until `resume`."""
        with self._lock:
            self._paused = True

    def resume(self) -> None:
        with self._lock:
            self._paused = False
            self._advance()

    def close(self) -> None:
        """End the thread. Every track must have ended."""
        with self._lock:
            self._closed = True
            self._due.notify()
        self._thread.join()
        with self._lock:
            self._set_speaking(False)

    def _will_drain(self, track: Track) -> bool:
        """Will its turn come without its writer's doing? Else nobody would ever make room, and waiting be in vain."""
        ahead = takewhile(lambda other: other is not track, self._tracks)
        return not track.gathering() and all(other.complete or other.cut for other in ahead)

    def _cut(self, track: Track) -> None:
        track.cut = True
        track.drop()
        now = time.monotonic()
        if self._paused and now >= self._end:
            track.writer.drop()     # out of silence, the held back end would be a click
        if track.begins is not None:
            self._end = max(now, track.begins)

    def _advance(self) -> None:
        """Publish what may be published now, and let the thread know when to go on."""
        while self._tracks:
            track = self._tracks[0]
            if track.cut:
                self._tracks.popleft()
                track.writer.cut_off()
            elif self._paused or track.gathering():
                break
            elif track.waiting:
                count = self._allowed(track)
                if not count:
                    break
                if track.begins is None:
                    track.begins = max(self._end, time.monotonic())
                track.writer.write(track.take(count))
                self.drained.notify_all()
            elif track.complete:
                self._tracks.popleft()
                track.writer.finish()
                self._finished(track)
            else:
                break
        if self._next() < self._wakes_at:
            self._due.notify()

    def _allowed(self, track: Track) -> int:
        """How many of the track's samples may be published now."""
        if track.pacing.pacing == 'burst':
            return track.waiting
        ahead, lead = self._end - time.monotonic(), track.pacing.audio_lead
        seconds = lead if ahead <= 0 else _slice(lead) if ahead <= lead - _slice(lead) else 0.0
        return min(math.ceil(seconds * track.sample_rate), track.waiting)

    def _next(self) -> float:
        """The instant at which there is something to do, if nothing happens before."""
        next_change = self._end if self._speaking else math.inf
        if self._tracks and not self._paused:
            track = self._tracks[0]
            if track.waiting and not track.gathering():
                lead = track.pacing.audio_lead
                next_change = min(next_change, self._end - lead + _slice(lead))
        return next_change

    def _send(self, chunk: AudioChunk) -> None:
        self._end = max(self._end, time.monotonic()) + chunk.duration
        self._publish(chunk)
        if len(chunk.samples):
            self._set_speaking(True)

    def _set_speaking(self, speaking: bool) -> None:
        if speaking != self._speaking:
            self._speaking = speaking
            self._on_speaking(speaking)

    def _run(self) -> None:
        with self._lock:
            while not self._closed:
                self._wakes_at = 0.0      # awake: nobody need call
                self._advance()
                if time.monotonic() >= self._end:
                    self._set_speaking(False)
                self._wakes_at = self._next()
                if self._wakes_at > time.monotonic():
                    self._due.wait(None if self._wakes_at == math.inf else self._wakes_at - time.monotonic())


def _slice(lead: float) -> float:
    """How much audio [s] is published at a time when that much may be ahead."""
    return min(SLICE, lead / 2)

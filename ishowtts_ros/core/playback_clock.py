"""When is the robot speaking, as far as an ear in front of a plain player can tell?"""

from __future__ import annotations

import threading
import time
from typing import Callable

from .types import AudioChunk


class PlaybackClock:
    """Audio may be published faster than it sounds. This follows what sounds: `on_change(True)` with
    the first audio, `on_change(False)` when everything added has had the time to be played.
    """

    def __init__(self, on_change: Callable[[bool], None]):
        self._on_change = on_change
        self._changed = threading.Condition()
        self._end = 0.0            # instant at which the audio added so far has been played
        self._speaking = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name='playback_clock', daemon=True)
        self._thread.start()

    def add(self, chunk: AudioChunk) -> None:
        """A chunk has been published."""
        with self._changed:
            self._end = max(self._end, time.monotonic()) + chunk.duration
            if not self._speaking and len(chunk.samples):
                self._speaking = True
                self._on_change(True)
                self._changed.notify()

    def cut_off(self) -> None:
        """What has been published is no longer being played."""
        with self._changed:
            self._end = time.monotonic()
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                remaining = self._end - time.monotonic() if self._speaking else None
                if remaining is None or remaining > 0:
                    self._changed.wait(remaining)
                else:
                    self._speaking = False
                    self._on_change(False)

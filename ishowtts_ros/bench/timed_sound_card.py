"""A sound card that plays to nobody and knows to a few milliseconds when it was last asked to sound.

It stands in for the module player/output_device.py: the player node on top of it is the real one, and what is
measured is the player, not how far ahead of the ear some sound card keeps its own buffer.
"""

from __future__ import annotations

from collections import deque
import threading
import time

import numpy as np

from ..player.audio_buffer import AudioFormat
from ..player.output_device import Device, Fill

BLOCK = 0.005       # s of audio asked for at a time


class TimedSoundCard:
    """Functions and the class as in output_device. `blocks` holds instant [s] and peak of the latest blocks."""

    def __init__(self):
        self.blocks: deque[tuple[float, int]] = deque(maxlen=100_000)

    def output_devices(self) -> list[Device]:
        return [Device(0, 'timed')]

    def rescan(self) -> None:
        pass

    def find(self, device: str) -> dict:
        return {'name': 'timed', 'index': 0}

    def OutputStream(self, device: str, format: AudioFormat, latency: str | float, fill: Fill) -> '_Stream':
        return _Stream(format, fill, self.blocks)

    def sounded_last(self) -> float:
        """The instant until which the latest block sounded that was not silent; -inf before there was one."""
        return next((instant + BLOCK for instant, peak in reversed(list(self.blocks)) if peak), float('-inf'))


class _Stream:
    """Asks for a block whenever one has had the time to sound."""

    name, latency, xruns, alive = 'timed', BLOCK, 0, True

    def __init__(self, format: AudioFormat, fill: Fill, blocks: deque[tuple[float, int]]):
        self.format = format
        self._fill = fill
        self._blocks = blocks
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name='timed sound card', daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        block = np.empty((round(self.format.sample_rate * BLOCK), self.format.channels), np.int16)
        due = time.monotonic()
        while not self._closing.wait(max(due - time.monotonic(), 0.0)):
            self._fill(block, self.format)
            self._blocks.append((time.monotonic(), int(np.abs(block.astype(np.int32)).max())))
            due += BLOCK

"""Brings the buffer and the sound card together: opens, reopens and watches the device in a thread of its own."""

from __future__ import annotations

from dataclasses import dataclass
import threading
import time
from types import ModuleType

import numpy as np

from . import output_device
from .audio_buffer import AudioBuffer, AudioFormat
from .output_device import Device, DeviceError, OutputStream

_TICK = 0.02    # s between looks at the device; also the step in which audio without a device is dropped


@dataclass(frozen=True)
class OutputSettings:
    device: str = ''                # '' = default, else part of a name, or an index in digits
    latency: str | float = 'high'   # 'low', 'high' or s
    volume: float = 1.0             # ratio; 1 = samples untouched
    retry_period: float = 2.0       # s between attempts to open a device that is not there


class Player:
    """Plays what is pushed into `buffer`.

    The stream is opened when the first audio says in which format, and stays open between utterances.
    Audio in another format waits until what came before it has been played out. While the device
    cannot be used, audio is dropped at the pace at which it would have been played.

    :param sound_card: the module output_device, or something with the same functions
    """

    def __init__(self, buffer: AudioBuffer, settings: OutputSettings, sound_card: ModuleType = output_device):
        self.buffer = buffer
        self._sound_card = sound_card
        self.settings = settings    # replaced as a whole, from any thread
        self.problem = ''           # why nothing can be played; '' = all is well
        self.devices: list[Device] = []         # those there were at the last look
        self.stream: OutputStream | None = None
        self._closed_xruns = 0      # count, of streams that were closed
        self._tried: OutputSettings | None = None    # what the device was last tried with
        self._format: AudioFormat | None = None      # likewise; None: no audio came yet
        self._retry_at = 0.0        # instant [s]
        self._gain = settings.volume
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name='audio output')

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop playing and let go of the device."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def push(self, utterance_id: str, format: AudioFormat, samples: np.ndarray, last: bool) -> None:
        """See AudioBuffer.push."""
        self.buffer.push(utterance_id, format, samples, last)
        if self.stream is None:
            self._wake.set()

    @property
    def xruns(self) -> int:
        """How many times the sound card itself ran dry."""
        stream = self.stream
        return self._closed_xruns + (stream.xruns if stream else 0)

    def _run(self) -> None:
        before = time.monotonic()
        while not self._closing:
            self._tend_stream()
            now = time.monotonic()
            if self.problem:
                self.buffer.discard(now - before)
            before = now
            self._wake.wait(_TICK)
            self._wake.clear()
        self._close_stream()

    def _tend_stream(self) -> None:
        settings = self.settings
        format = self.buffer.format or self._format    # of what comes next, else of what came last
        stream = self.stream
        if stream is not None:
            if not stream.alive:
                self._close_stream()
                self._fail(f"'{stream.name}' stopped taking audio; was it unplugged?", settings)
            elif format != stream.format or settings.latency != self._tried.latency or self._moved(settings):
                self._close_stream()    # of the old format, all has been taken
        if self.stream is None and self._due(settings, format):
            self._open(settings, format)

    def _moved(self, settings: OutputSettings) -> bool:
        return self._tried is not None and settings.device != self._tried.device

    def _due(self, settings: OutputSettings, format: AudioFormat | None) -> bool:
        """Is it time to try the device?"""
        if self.problem:
            return self._moved(settings) or format != self._format or time.monotonic() >= self._retry_at
        return self._tried is None or self._moved(settings) or format is not None

    def _open(self, settings: OutputSettings, format: AudioFormat | None) -> None:
        """Open the stream; before the first audio, only see whether the device is there."""
        look_anew = self.problem or self._moved(settings)
        self._tried, self._format = settings, format
        try:
            if look_anew:
                self._sound_card.rescan()
            self.devices = self._sound_card.output_devices()
            if format is None:
                self._sound_card.find(settings.device)
            else:
                self.stream = self._sound_card.OutputStream(settings.device, format, settings.latency, self._fill)
            self.problem = ''
        except DeviceError as error:
            self._fail(str(error), settings)
        except Exception as error:    # a driver's whim must not end this thread: reported and tried again likewise
            self._fail(f'unexpected {error!r}', settings)

    def _fail(self, problem: str, settings: OutputSettings) -> None:
        self.problem = problem
        self._retry_at = time.monotonic() + settings.retry_period

    def _close_stream(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close()
            self._closed_xruns += stream.xruns

    def _fill(self, out: np.ndarray, format: AudioFormat) -> None:
        """The next int16 [n_frames, channels]; a change of volume glides over it, so as not to click."""
        self.buffer.take(out, format)
        before, self._gain = self._gain, self.settings.volume
        if before != 1 or self._gain != 1:
            gain = np.linspace(before, self._gain, len(out), dtype=np.float32)[:, None]
            np.clip(np.rint(out * gain), -32768, 32767, out=out, casting='unsafe')

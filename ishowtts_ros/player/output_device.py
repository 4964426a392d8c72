"""The sound card, through sounddevice (PortAudio). Imported lazily: a robot without either still runs.

PortAudio is not thread-safe outside of its streams: in one process, one thread alone calls what is here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from types import ModuleType
from typing import Callable, Iterable, NamedTuple

import numpy as np

from .audio_buffer import AudioFormat

_RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000)    # Hz, tried when one is refused
_STUCK = 2.0           # s without a request for audio after which a device counts as gone
_LIST_DEVICES = '''import json, sounddevice
print(json.dumps([(index, device['name']) for index, device in enumerate(sounddevice.query_devices())
                  if device['max_output_channels'] > 0]))'''

# Overwrites int16 [n_frames, channels] with audio of the format; called in the sound card's thread.
Fill = Callable[[np.ndarray, AudioFormat], None]


class DeviceError(Exception):
    """The device cannot be used; str(error) says why and what would put it right."""


class Device(NamedTuple):
    index: int    # PortAudio's
    name: str

    def __str__(self) -> str:
        return f"'{self.name}' ({self.index})"


def output_devices() -> list[Device]:
    """The devices that can play, as PortAudio saw them when it was last initialized.

    :raises DeviceError: sounddevice or PortAudio is missing
    """
    return [Device(index, device['name']) for index, device in enumerate(_sounddevice().query_devices())
            if device['max_output_channels'] > 0]


def output_devices_now() -> list[Device]:
    """The devices that can play now, found by a process of its own within a few tenths of a second.

    PortAudio looks for devices only when it is initialized, which would end the stream of this process.
    Safe in any thread. Empty when it cannot tell within 5 s.
    """
    try:
        found = subprocess.run([sys.executable, '-c', _LIST_DEVICES], capture_output=True, timeout=5, check=True)
        return [Device(*entry) for entry in json.loads(found.stdout)]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


def rescan() -> None:
    """Look for devices anew. Only while no stream is open.

    :raises DeviceError: PortAudio is missing or cannot start
    """
    sounddevice = _sounddevice()
    try:
        sounddevice._terminate()
    except sounddevice.PortAudioError:
        pass    # it was not initialized
    try:
        sounddevice._initialize()
    except sounddevice.PortAudioError as error:
        raise DeviceError(f'PortAudio cannot start: {error}') from error


def find(device: str) -> dict:
    """PortAudio's description of an output device.

    :param device: '' = default, else its name or words of it, or its index in digits
    :raises DeviceError: naming the devices there are
    """
    sounddevice = _sounddevice()
    wanted = int(device) if device.isdecimal() else device or None
    try:
        return sounddevice.query_devices(wanted, 'output')
    except (ValueError, sounddevice.PortAudioError) as error:
        reason = f"no output device '{device}'" if device else 'no default output device'
        if 'Multiple' in str(error):
            reason = f"more than one output device fits '{device}'"
        raise DeviceError(f'{reason}; there are: {listed(output_devices())}') from error


def fits(device: str, devices: Iterable[Device]) -> bool:
    """Is there one among `devices` that `find` would consider for `device`?"""
    if device.isdecimal():
        return any(known.index == int(device) for known in devices)
    return not device or any(_contains(known.name.lower(), device.lower().split()) for known in devices)


def listed(devices: Iterable[Device]) -> str:
    return ', '.join(map(str, devices)) or 'none; is a sound card plugged in, and does `aplay -l` show it?'


class OutputStream:
    """A running stream on a sound card. It plays what `fill` gives until it is closed.

    :param device: as in `find`
    :param latency: s, or 'low' or 'high' for what the device says of itself
    :raises DeviceError: there is no such device, it is busy, or it refuses the format
    """

    def __init__(self, device: str, format: AudioFormat, latency: str | float, fill: Fill):
        sounddevice = _sounddevice()
        found = find(device)
        self.name = found['name']
        self.format = format
        self.xruns = 0                    # count; times the sound card itself ran dry
        self._fill = fill
        self._asked = time.monotonic()    # instant [s] of the last request for audio
        self._stream = None
        try:
            self._stream = sounddevice.RawOutputStream(
                device=found['index'], samplerate=format.sample_rate, channels=format.channels, dtype='int16',
                latency=latency, callback=self._on_request)
            self._stream.start()
            self.latency: float = self._stream.latency    # s from `fill` to the loudspeaker, by PortAudio's estimate
        except (ValueError, sounddevice.PortAudioError) as error:
            if self._stream is not None:
                self._stream.close(ignore_errors=True)
            raise DeviceError(_refusal(sounddevice, found, format, error)) from error

    @property
    def alive(self) -> bool:
        """False once the device was unplugged or has stopped asking for audio."""
        return self._stream.active and time.monotonic() - self._asked < _STUCK

    def close(self) -> None:
        """Play out what the sound card has been given, and let go of it."""
        (self._stream.stop if self.alive else self._stream.abort)(ignore_errors=True)
        self._stream.close(ignore_errors=True)

    def _on_request(self, out, frame_count: int, times, status) -> None:
        self._asked = time.monotonic()
        self.xruns += status.output_underflow
        self._fill(np.frombuffer(out, np.int16).reshape(-1, self.format.channels), self.format)


def _sounddevice() -> ModuleType:
    """The package, imported now if it was not yet; tried again each time, so that it can be installed meanwhile."""
    try:
        import sounddevice
    except ImportError as error:
        raise DeviceError(f'{error}; pip install sounddevice') from error
    except OSError as error:
        raise DeviceError(f'{error}; sudo apt install libportaudio2') from error
    except Exception as error:    # its own PortAudioError, out of reach as the import failed
        raise DeviceError(f'PortAudio cannot start: {error}') from error
    return sounddevice


def _contains(name: str, words: list[str]) -> bool:
    """Do all of `words` appear in `name`, in this order?"""
    position = 0
    for word in words:
        position = name.find(word, position)
        if position < 0:
            return False
        position += len(word)
    return True


def _refusal(sounddevice: ModuleType, found: dict, format: AudioFormat, error: Exception) -> str:
    """Why opening failed, and what would work."""
    def takes(sample_rate: int) -> bool:
        try:
            sounddevice.check_output_settings(found['index'], format.channels, 'int16', samplerate=sample_rate)
            return True
        except (ValueError, sounddevice.PortAudioError):
            return False

    reason = f"'{found['name']}' refuses {format}: {error}"
    if takes(format.sample_rate):
        return f'{reason}; does another program hold it?'
    rates = [str(sample_rate) for sample_rate in _RATES if takes(sample_rate)]
    works = f'takes {", ".join(rates)} Hz' if rates else f'has {found["max_output_channels"]} channels'
    return f"{reason}; it {works}. Choose a device that converts, such as 'default', 'pulse' or 'plughw'"

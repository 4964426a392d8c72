"""A sound card made of ALSA's `file` plugin, and a player process that uses it, for tests."""

from __future__ import annotations

import ctypes.util
import os
from pathlib import Path
import subprocess
import sys
import time
import uuid

from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticArray
from ishowtts.msg import AudioChunk, UtteranceEvent
import numpy as np
import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor

RECORDER = Path(__file__).with_name('alsa_recorder.py')
ALSA_DEFAULTS = '/usr/share/alsa/alsa.conf'    # PortAudio does not start without
FORMATS = ('22050x1', '24000x1', '24000x2', '48000x1')
TIMEOUT = 20.0                                         # s to wait for what must happen

has_portaudio = bool(ctypes.util.find_library('portaudio') and Path(ALSA_DEFAULTS).exists())
needs_portaudio = pytest.mark.skipif(not has_portaudio, reason='needs PortAudio with ALSA: apt install libportaudio2')


class SoundCard:
    """An ALSA device `recorder` in a configuration of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.configuration = folder / 'asound.conf'
        self._recorder: subprocess.Popen | None = None
        self._forgotten: dict[str, int] = {}    # format -> bytes of its recording that are no longer looked at

    def plug_in(self) -> None:
        self._recorder = subprocess.Popen([sys.executable, '-S', '-E', RECORDER, self.folder, *FORMATS],
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in FORMATS:
            assert self._recorder.stdout.readline() == 'ready\n'
        self._configure('pcm.recorder {\n    type file\n    format raw\n    slave.pcm { type null }\n'
                        f'    file "{self.folder}/%rx%c.fifo"\n}}\n')

    def unplug(self) -> None:
        self._configure('')
        self.close()

    def forget(self) -> None:
        """Look only at what is played from now on."""
        self._forgotten = {format: (self.folder / f'{format}.raw').stat().st_size for format in FORMATS}

    def recorded(self, format: str) -> np.ndarray:
        """What was played: int16 [n_samples], without the silence before and after."""
        samples = np.fromfile(self.folder / f'{format}.raw', '<i2', offset=self._forgotten.get(format, 0))
        loud = np.flatnonzero(samples)
        return samples[loud[0]:loud[-1] + 1] if len(loud) else samples[:0]

    def close(self) -> None:
        if self._recorder is not None:
            self._recorder.kill()
            self._recorder.communicate()
            self._recorder = None

    def _configure(self, text: str) -> None:
        """Another device is always there. A new file each time: ALSA tells versions apart by inode and second."""
        fresh = self.configuration.with_suffix('.new')
        fresh.write_text(f'<{ALSA_DEFAULTS}>\npcm.nowhere {{\n    type null\n}}\n{text}')
        fresh.replace(self.configuration)


class PlayerClient:
    """Runs the player_node in a process of its own and talks to it over DDS."""

    def __init__(self, folder: Path, environment: dict[str, str], parameters: dict):
        executable = Path(get_package_prefix('ishowtts')) / 'lib/ishowtts/player_node'
        namespace = f'/player_test_{uuid.uuid4().hex}'
        command = [sys.executable, executable, '--ros-args', '-r', f'__ns:={namespace}',
                   '-r', f'/diagnostics:={namespace}/diagnostics']
        for name, value in parameters.items():
            command += ['-p', f'{name}:={value}']
        environment = {**os.environ, 'ROS_LOG_DIR': str(folder / 'log'), 'ALSA_CONFIG_PATH': str(folder / 'asound.conf'),
                       **environment}
        self._log = folder / 'player.log'    # a file, unlike a pipe, does not fill up and can be read at any time
        with open(self._log, 'wb') as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.diagnostics: dict[str, str] = {}      # the latest values
        self.level, self.message = b'', ''         # the latest level and message
        self._context = Context()
        rclpy.init(context=self._context)     # in the run's domain, see conftest.py
        self._node = rclpy.create_node('client', namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._audio = self._node.create_publisher(AudioChunk, 'audio', 1000)
        self._events = self._node.create_publisher(UtteranceEvent, 'utterance_events', 100)
        self._parameters = self._node.create_client(SetParameters, 'ishowtts_player/set_parameters')
        self._node.create_subscription(DiagnosticArray, 'diagnostics', self._on_diagnostics, 10)

    def connect(self) -> None:
        """Wait until the player hears and answers.

        :raises AssertionError: it ended, or does not
        """
        self.wait(lambda: self._audio.get_subscription_count() and self._events.get_subscription_count()
                  and self._parameters.service_is_ready())

    def wait(self, happened, timeout: float = TIMEOUT):
        """Serve ROS until happened() is true, and return what it returned."""
        deadline = time.monotonic() + timeout
        while not (result := happened()):
            assert self._process.poll() is None, f'the player ended ({self._process.returncode}): {self.log}'
            assert time.monotonic() < deadline, f'not within {timeout} s: {self.diagnostics} {self.message} {self.log}'
            self._executor.spin_once(timeout_sec=0.01)
        return result

    def publish(self, utterance_id: str, sequence: int, samples: np.ndarray, last: bool = False,
                sample_rate: int = 24000, channels: int = 1) -> None:
        chunk = AudioChunk(utterance_id=utterance_id, sequence=sequence, last=bool(last), sample_rate=sample_rate,
                           channels=channels)
        chunk.samples.frombytes(samples.astype(np.int16).tobytes())
        self._audio.publish(chunk)

    def say(self, utterance_id: str, samples: np.ndarray, **format) -> None:
        """Publish a whole utterance in chunks of 1000 samples."""
        starts = range(0, len(samples), 1000)
        for sequence, start in enumerate(starts):
            self.publish(utterance_id, sequence, samples[start:start + 1000], start + 1000 >= len(samples), **format)

    def event(self, utterance_id: str, state: int) -> None:
        self._events.publish(UtteranceEvent(utterance_id=utterance_id, state=state))

    def set(self, **parameters) -> str:
        """Set parameters of the running player. '' when it took them, else why not."""
        types = {bool: ('bool_value', ParameterType.PARAMETER_BOOL), int: ('integer_value', ParameterType.PARAMETER_INTEGER),
                 float: ('double_value', ParameterType.PARAMETER_DOUBLE), str: ('string_value', ParameterType.PARAMETER_STRING)}
        request = SetParameters.Request()
        for name, value in parameters.items():
            field, kind = types[type(value)]
            request.parameters.append(Parameter(name=name, value=ParameterValue(**{field: value, 'type': kind})))
        future = self._parameters.call_async(request)
        self.wait(future.done)
        return ' '.join(result.reason for result in future.result().results if not result.successful)

    def value(self, key: str) -> float:
        """A number of the latest diagnostics; NaN before there are any."""
        return float(self.diagnostics.get(key, 'nan'))

    def report(self) -> dict[str, str]:
        """The values of the next diagnostics."""
        self.diagnostics = {}
        return self.wait(lambda: self.diagnostics)

    def stop(self, how: int) -> int:
        """End the player with a signal. Its exit code."""
        self._process.send_signal(how)
        return self._process.wait(TIMEOUT)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.endswith('ishowtts_player: output'):
                self.level, self.message = status.level, status.message
                self.diagnostics = {entry.key: entry.value for entry in status.values}


@pytest.fixture
def sound_card(tmp_path):
    card = SoundCard(tmp_path)
    card.plug_in()
    yield card
    card.close()


@pytest.fixture
def start_player(tmp_path):
    """Starts players: start_player(parameter=value, ...); `environment` adds to theirs."""
    players = []

    def start(environment: dict[str, str] | None = None, **parameters) -> PlayerClient:
        players.append(PlayerClient(tmp_path, environment or {}, parameters))
        players[-1].connect()
        return players[-1]

    yield start
    for player in players:
        player.close()


@pytest.fixture(scope='module')
def shared_player(tmp_path_factory):
    """A sound card and a player on it, for tests that leave both as they were."""
    card = SoundCard(tmp_path_factory.mktemp('shared'))
    card.plug_in()
    player = PlayerClient(card.folder, {}, {'device': 'recorder'})
    try:
        player.connect()
        yield card, player
    finally:
        player.close()
        card.close()


@pytest.fixture
def playing(shared_player):
    """shared_player, as if nothing had been played yet."""
    card, player = shared_player
    card.forget()
    return card, player

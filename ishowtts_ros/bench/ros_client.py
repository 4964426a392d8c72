"""The other side of the topics: a node process and a client that records what it says.

Both stay on this machine and in a ROS domain of their own, so a measurement neither hears nor disturbs a robot.
"""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from dataclasses import dataclass, field
import os
from pathlib import Path
import random
import signal
import subprocess
import sys
import threading
import time
from typing import Callable, Iterator, Mapping

from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ishowtts.msg import AudioChunk, SpeechRequest, SynthesisStats, UtteranceEvent
from lifecycle_msgs.srv import GetState
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import String
import yaml

from ..core.types import UtteranceState
from ..executor import NodeExecutor


@contextmanager
def isolated() -> Iterator[None]:
    """rclpy, initialized for this process, which is with its children in a random ROS domain on loopback."""
    # Domains 1..100 keep DDS ports clear of Linux's ephemeral ones (ROS 2 documentation, "The ROS_DOMAIN_ID").
    os.environ.update(ROS_DOMAIN_ID=str(random.SystemRandom().randint(1, 100)), ROS_LOCALHOST_ONLY='1',
                      ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST')
    rclpy.init()
    try:
        yield
    finally:
        rclpy.try_shutdown()


def parser(program: str, description: str) -> argparse.ArgumentParser:
    """With the options of all programs that start a node: --engine and --param."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument('--engine', default='espeak')
    parser.add_argument('--param', action='append', default=[], metavar='NAME=VALUE', help='any parameter of the node')
    return parser


@contextmanager
def conversation(arguments: argparse.Namespace, timeout: float = 600.0, **parameters: object) -> Iterator[SpeechClient]:
    """A client of a node process of its own, both isolated, once the node is active.

    :param arguments: of a `parser`
    :param timeout: s to wait for the node, which may have a large engine to load
    :param parameters: of the node, unless the arguments have them
    :raises TimeoutError, RuntimeError, ChildProcessError: see SpeechClient.wait_until_active
    """
    asked = {name: yaml.safe_load(value) for name, value in (given.split('=', 1) for given in arguments.param)}
    with isolated():
        node = NodeProcess('tts_node', {'engine': arguments.engine, **parameters, **asked})
        client = SpeechClient()
        try:
            client.wait_until_active(node, timeout)
            yield client
        finally:
            client.close()
            node.stop()


class NodeProcess:
    """An executable of this package as its own process. Its output goes to `output` (None: this process's)."""

    def __init__(self, executable: str, node_parameters: Mapping[str, object] | None = None,
                 arguments: tuple[str, ...] = (), output: Path | None = None):
        path = Path(get_package_prefix('ishowtts')) / 'lib/ishowtts' / executable
        overrides = [word for name, value in (node_parameters or {}).items() for word in ('-p', f'{name}:={_yaml(value)}')]
        sink = output.open('wb') if output else None
        self.process = subprocess.Popen([sys.executable, str(path), '--ros-args', *overrides, *arguments],
                                        stdout=sink, stderr=subprocess.STDOUT if sink else None)

    def stop(self, how: int = signal.SIGINT, timeout: float = 20.0) -> int:
        """End it; returns its exit code. Kills it, and raises, if it takes longer than `timeout` seconds."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@dataclass
class Recording:
    """Everything heard of one utterance. Instants are time.monotonic() at reception."""

    states: list[UtteranceState] = field(default_factory=list)
    code: str = ''
    reason: str = ''
    chunks: list[AudioChunk] = field(default_factory=list)
    first_audio: float = 0.0
    latest_audio: float = 0.0
    stats: SynthesisStats | None = None

    @property
    def ended(self) -> bool:
        """Are the terminal event and, if it was started, its last chunk and statistics here?"""
        terminal = any(state.terminal for state in self.states)
        started = UtteranceState.STARTED in self.states
        return terminal and (not started or (self.stats is not None and any(c.last for c in self.chunks)))

    @property
    def samples(self) -> np.ndarray:
        """int16 [n_samples]"""
        return np.concatenate([np.array(c.samples, np.int16) for c in self.chunks] or [np.zeros(0, np.int16)])

    @property
    def sample_rate(self) -> int:
        """Hz"""
        return self.chunks[0].sample_rate


class SpeechClient(Node):
    """Publishes requests and records what comes of them, in a thread of its own."""

    def __init__(self, name: str = 'speech_client', **kwargs):
        super().__init__(name, **kwargs)
        self.recordings: dict[str, Recording] = {}     # in order of first appearance
        self._services_called = {}
        self._heard = threading.Condition()
        self._text = self.create_publisher(String, 'text', QoSProfile(depth=1000))
        self._speech = self.create_publisher(SpeechRequest, 'speech', QoSProfile(depth=1000))
        deep = QoSProfile(depth=10_000)
        self.create_subscription(AudioChunk, 'audio', self._on_audio, deep)
        self.create_subscription(UtteranceEvent, 'utterance_events', self._on_event, deep)
        self.create_subscription(SynthesisStats, 'synthesis_stats', self._on_stats, deep)
        self._executor = NodeExecutor()
        self._executor.add_node(self)
        self._thread = threading.Thread(target=self._executor.spin_until_stopped, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._executor.stop()
        self._thread.join()
        self._executor.shutdown()
        self.destroy_node()

    def wait_for(self, condition: Callable[[], object], timeout: float, what: str):
        """Wait until `condition()` is true, looking whenever something is heard. :raises TimeoutError: naming `what`"""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(f'no {what} within {timeout:g} s; heard: {self._summary()}')
            with self._heard:
                # Discovery and the state of other nodes change without a message to us: look again soon.
                self._heard.wait(0.02)
        return value

    def wait_for_node(self, timeout: float = 30.0) -> None:
        """Wait until the speech node is there and every topic is matched in both directions."""
        topics = ('audio', 'utterance_events', 'synthesis_stats')
        self.wait_for(lambda: self._text.get_subscription_count() and self._speech.get_subscription_count()
                      and all(self.count_publishers(topic) for topic in topics), timeout, 'speech node')

    def state(self, timeout: float = 10.0) -> str:
        """The node's lifecycle state, such as 'active'."""
        return self.call(GetState, 'ishowtts/get_state', timeout=timeout).current_state.label

    def wait_until_active(self, node: NodeProcess | None = None, timeout: float = 60.0) -> None:
        """Wait until the node takes requests.

        :param node: its process, if it is a child of this one
        :raises TimeoutError: it does not in time
        :raises RuntimeError: it could not be configured, and why
        :raises ChildProcessError: it has ended
        """
        refusals: list[str] = []

        def on_diagnostics(message: DiagnosticArray) -> None:
            refusals.extend(status.message for status in message.status
                            if status.name == self._status_name('engine') and status.level == DiagnosticStatus.ERROR)

        def active() -> bool:
            if node and node.process.poll() is not None:
                raise ChildProcessError(f'the speech node ended with exit code {node.process.returncode}')
            refused = list(refusals)
            state = self.state() if self.count_publishers('audio') else ''
            if refused and state == 'unconfigured':
                raise RuntimeError(refused[-1])
            return state == 'active'

        subscription = self.create_subscription(DiagnosticArray, '/diagnostics', on_diagnostics, 10)
        try:
            self.wait_for(active, timeout, 'active speech node; see its log')
        finally:
            self.destroy_subscription(subscription)
        self.wait_for_node(timeout)

    def call(self, service_type, name: str, timeout: float = 10.0, **fields):
        """Call a service and return its response."""
        if name not in self._services_called:
            self._services_called[name] = self.create_client(service_type, name)
        client = self._services_called[name]
        if not client.wait_for_service(timeout):
            raise TimeoutError(f'no service {name} within {timeout:g} s')
        answered = threading.Event()
        future = client.call_async(service_type.Request(**fields))
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(timeout):
            raise TimeoutError(f'no answer from {name} within {timeout:g} s')
        return future.result()

    def say(self, text: str) -> None:
        """Publish on `text`; the node makes up an id."""
        self._text.publish(String(data=text))

    def request(self, **fields) -> None:
        """Publish a SpeechRequest."""
        self._speech.publish(SpeechRequest(**fields))

    def ended(self, utterance_id: str | None = None) -> Recording | None:
        """The recording of an utterance (None: of the latest to appear) if it has ended."""
        key = utterance_id or next(reversed(self.recordings), '')
        recording = self.recordings.get(key)
        return recording if recording and recording.ended else None

    def speak(self, timeout: float = 30.0, **fields) -> Recording:
        """Request an utterance with an `id` and wait for its end."""
        self.request(**fields)
        return self.wait_for(lambda: self.ended(fields['id']), timeout, f"end of utterance {fields['id']}")

    def diagnostics(self, name: str, condition: Callable[[DiagnosticStatus], bool], timeout: float = 30.0) -> DiagnosticStatus:
        """Wait for the node's status of this name that satisfies the condition."""
        found: list[DiagnosticStatus] = []

        def on_message(message: DiagnosticArray) -> None:
            found.extend(status for status in message.status if status.name == self._status_name(name) and condition(status))
        subscription = self.create_subscription(DiagnosticArray, '/diagnostics', on_message, 10)
        status = self.wait_for(lambda: found, timeout, f'diagnostics of {name}')[0]
        self.destroy_subscription(subscription)
        return status

    def _status_name(self, name: str) -> str:
        """As the node of this client's namespace has it."""
        return f'{self.get_namespace()}/ishowtts: {name}'.lstrip('/')

    def _of(self, message) -> Recording:
        return self.recordings.setdefault(message.utterance_id, Recording())

    def _on_audio(self, message: AudioChunk) -> None:
        now = time.monotonic()
        with self._heard:
            recording = self._of(message)
            recording.first_audio = recording.first_audio or now
            recording.latest_audio = now
            recording.chunks.append(message)
            self._heard.notify_all()

    def _on_event(self, message: UtteranceEvent) -> None:
        with self._heard:
            recording = self._of(message)
            recording.states.append(UtteranceState(message.state))
            recording.code, recording.reason = message.code, message.reason
            self._heard.notify_all()

    def _on_stats(self, message: SynthesisStats) -> None:
        with self._heard:
            self._of(message).stats = message
            self._heard.notify_all()

    def _summary(self) -> str:
        return '; '.join(f'{key}: {[s.name for s in r.states]} {len(r.chunks)} chunks {r.reason}'
                         for key, r in list(self.recordings.items())[-5:]) or 'nothing'


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)

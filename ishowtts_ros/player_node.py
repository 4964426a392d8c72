"""ishowtts_player: plays the `audio` topic on the robot's sound card.

What is canceled falls silent within 10 ms, also when its chunks were published well ahead of time.
A device that is missing or unplugged is reported in /diagnostics and tried again; the node keeps running.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from ishowtts.msg import AudioChunk, UtteranceEvent
import numpy as np
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from . import parameters
from .executor import run
from .player import output_device
from .player.audio_buffer import AudioBuffer, AudioFormat
from .player.output_device import fits, listed, output_devices_now
from .player.player import OutputSettings, Player

_APPLY_PERIOD = 0.05          # s from setting a parameter to its effect, at most
_DIAGNOSTICS_PERIOD = 1.0     # s
_AUDIO_DEPTH = 1000           # chunks that may arrive in one burst


@dataclass(frozen=True)
class _Row:
    default: Any
    accepts: Callable[[Any], bool]
    range: str             # what `accepts` accepts, for people
    description: str


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _is_device(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _is_latency(value: Any) -> bool:
    return value in ('low', 'high') or _number(0.001, 2.0)(value)


# All of them can be set at run time.
PARAMETERS = {
    'device': _Row('', _is_device, 'a device name or index',
                   "sound card: '' = default, else its name or words of it, or its index"),
    'volume': _Row(1.0, _number(0, 2), '0 to 2', 'loudness [ratio]; at 1 the samples stay as they are, bit for bit'),
    'latency': _Row('high', _is_latency, "'low', 'high' or 0.001 to 2 s",
                    'how far ahead the sound card is filled [s], or what it names its low or high latency'),
    'prebuffer': _Row(0.06, _number(0, 5), '0 to 5 s',
                      'how much of an utterance to gather before playing, at its start and when it ran dry [s]'),
    'buffer_limit': _Row(300.0, _number(1, 3600), '1 to 3600 s', 'audio to hold at most; more is dropped [s]'),
    'retry_period': _Row(2.0, _number(0.1, 60), '0.1 to 60 s', 'between attempts to open a missing device [s]'),
}


class PlayerNode(Node):
    """Wiring: topics and parameters to the Player, its state to /diagnostics.

    :param sound_card: see Player
    :raises InvalidParameterValueException: a parameter given at start is out of its range
    """

    def __init__(self, sound_card: ModuleType = output_device):
        super().__init__('ishowtts_player')
        self._player: Player | None = None
        self.add_on_set_parameters_callback(self._validate)
        for name, row in PARAMETERS.items():
            self.declare_parameter(name, row.default, ParameterDescriptor(
                description=row.description, additional_constraints=row.range, dynamic_typing=True))
        self._player = Player(AudioBuffer(), OutputSettings(), sound_card)
        self._apply_parameters()
        self._reported_problem = ''
        self._reported_losses = (0, 0.0)                # underruns, dropped s
        self._expected = ('', 0)                        # the chunk that should come next: utterance, sequence
        self._lost_chunks = 0
        overridable = QoSOverridingOptions.with_default_policies()
        self.create_subscription(AudioChunk, 'audio', self._on_audio, QoSProfile(depth=_AUDIO_DEPTH),
                                 qos_overriding_options=overridable)
        self.create_subscription(UtteranceEvent, 'utterance_events', self._on_event, QoSProfile(depth=100),
                                 qos_overriding_options=overridable)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)    # with use_sim_time, nobody may ever publish /clock
        self.create_timer(_APPLY_PERIOD, self._tick, clock=steady)
        self.create_timer(_DIAGNOSTICS_PERIOD, self._publish_diagnostics, clock=steady)
        if unknown := parameters.unknown(self):
            self.get_logger().warning(f'there are no such parameters, they are ignored: {unknown}')
        self._player.start()

    def close(self) -> None:
        """Stop playing and let go of the device."""
        self._player.close()

    def _on_audio(self, chunk: AudioChunk) -> None:
        if not chunk.sample_rate or not chunk.channels or len(chunk.samples) % chunk.channels:
            self.get_logger().warning(
                f"chunk {chunk.sequence} of '{chunk.utterance_id}' ignored: {len(chunk.samples)} samples at "
                f'{chunk.sample_rate} Hz in {chunk.channels} channels make no audio', throttle_duration_sec=1.0)
            return
        utterance, sequence = self._expected
        if chunk.utterance_id == utterance and chunk.sequence > sequence:
            self._lost_chunks += chunk.sequence - sequence
        self._expected = (chunk.utterance_id, chunk.sequence + 1)
        self._player.push(chunk.utterance_id, AudioFormat(chunk.sample_rate, chunk.channels),
                          np.frombuffer(chunk.samples, np.int16), chunk.last)

    def _on_event(self, event: UtteranceEvent) -> None:
        if event.state in (UtteranceEvent.CANCELED, UtteranceEvent.FAILED):
            self._player.buffer.cancel(event.utterance_id)
        elif event.state == UtteranceEvent.QUEUED:
            self._player.buffer.admit(event.utterance_id)

    def _validate(self, parameters: list[Parameter]) -> SetParametersResult:
        """Accept or refuse; _apply_parameters makes it so."""
        for parameter in parameters:
            row, value = PARAMETERS.get(parameter.name), parameter.value
            if row is not None and not row.accepts(value):
                return SetParametersResult(successful=False,
                                           reason=f'{parameter.name} must be {row.range}, not {value!r}')
            # At start, a device may yet be missing; the player tries it again and again.
            if parameter.name == 'device' and self._player is not None:
                known = self._player.devices
                now = known if fits(str(value), known) else output_devices_now()
                if now and not fits(str(value), now):
                    return SetParametersResult(successful=False,
                                               reason=f"no output device '{value}'; there are: {listed(now)}")
        return SetParametersResult(successful=True)

    def _apply_parameters(self) -> None:
        values = {name: self.get_parameter(name).value for name in PARAMETERS}
        latency = values['latency']
        self._player.buffer.prebuffer = float(values['prebuffer'])
        self._player.buffer.limit = float(values['buffer_limit'])
        self._player.settings = OutputSettings(
            device=str(values['device']), volume=float(values['volume']), retry_period=float(values['retry_period']),
            latency=latency if isinstance(latency, str) else float(latency))

    def _tick(self) -> None:
        self._apply_parameters()
        problem = self._player.problem
        if problem and problem != self._reported_problem:
            self.get_logger().warning(f'cannot play: {problem}')
        elif self._reported_problem and not problem:
            self.get_logger().info('the sound card is back')
        self._reported_problem = problem

    def _publish_diagnostics(self) -> None:
        """In the manner of REP 107: WARN while the device cannot be used, and when audio was lost since the last one."""
        player, buffer = self._player, self._player.buffer
        stream, problem = player.stream, player.problem
        losses = (buffer.underruns, buffer.dropped)
        level, message = DiagnosticStatus.OK, 'playing' if buffer.buffered else 'ready'
        if problem:
            level, message = DiagnosticStatus.WARN, problem
        elif losses != self._reported_losses:
            level = DiagnosticStatus.WARN
            message = f'audio came too late or too much: {losses[0]} underruns, {losses[1]:.2f} s dropped so far'
        self._reported_losses = losses
        values = {
            'device': stream.name if stream else '',
            'sample_rate [Hz]': stream.format.sample_rate if stream else 0,
            'channels': stream.format.channels if stream else 0,
            'latency [s]': f'{stream.latency:.4f}' if stream else '',
            'volume': player.settings.volume,
            'buffered [s]': f'{buffer.buffered:.3f}',
            'played [s]': f'{buffer.played:.3f}',
            'dropped [s]': f'{buffer.dropped:.3f}',
            'underruns': buffer.underruns,
            'device underruns': player.xruns,
            'lost chunks': self._lost_chunks,
        }
        status = DiagnosticStatus(
            level=level, name=f"{self.get_fully_qualified_name().lstrip('/')}: output", message=message, hardware_id=stream.name if stream else '',
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def main() -> int:
    """Run the player until SIGINT or SIGTERM."""
    return run(PlayerNode)

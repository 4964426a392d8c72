"""The node's health as diagnostic_msgs (REP-107)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from .core.metrics import Metrics
from .core.types import UtteranceState


@dataclass(frozen=True)
class Health:
    """What the diagnostics are made from."""

    state: str                  # lifecycle state
    engine: str                 # engine name
    voice: str
    progress: float             # of loading, 0..1
    doing: str                  # what loading is doing
    error: str                  # why the engine could not be loaded; '' if it could
    waiting: int                # utterances in the queue
    queue_depth: int            # utterances it can hold
    overflow: str               # what a full queue does, the parameter
    busy: bool                  # is one being synthesized or published?
    paused: bool
    metrics: Metrics
    device: Mapping[str, object]    # Engine's device_report


def diagnostic_array(health: Health, node: str, header: Header) -> DiagnosticArray:
    """:param node: its fully qualified name: /diagnostics is one topic for the nodes of all namespaces"""
    statuses = [_engine(health), _synthesis(health), _queue(health)]
    if health.device:
        statuses.append(_gpu(health))
    for status in statuses:
        status.name = f"{node.lstrip('/')}: {status.name}"
        status.hardware_id = node.lstrip('/')
    return DiagnosticArray(header=header, status=statuses)


def _engine(health: Health) -> DiagnosticStatus:
    if health.error:
        level, message = DiagnosticStatus.ERROR, health.error
    elif health.state == 'configuring':
        level, message = DiagnosticStatus.OK, f'loading, {health.progress:.0%}: {health.doing}'
    else:
        level, message = DiagnosticStatus.OK, health.state
    return _status('engine', level, message,
                   engine=health.engine, voice=health.voice, state=health.state, loaded=f'{health.progress:.2f}')


def _synthesis(health: Health) -> DiagnosticStatus:
    metrics = health.metrics
    level, message = DiagnosticStatus.OK, 'paused' if health.paused else 'speaking' if health.busy else 'idle'
    rtf = metrics.real_time_factor()
    if metrics.last_failure:
        level, message = DiagnosticStatus.WARN, f'the latest utterance failed: {metrics.last_failure}'
    elif rtf >= 1:
        level, message = DiagnosticStatus.WARN, 'slower than speech: lower nfe_step or choose a faster engine'
    outcomes = {state.name.lower(): metrics.outcome(state) for state in UtteranceState if state.terminal}
    return _status('synthesis', level, message, real_time_factor=f'{rtf:.4f}',
                   first_audio_latency_p50_s=f'{metrics.first_audio_latency(50):.4f}',
                   first_audio_latency_p95_s=f'{metrics.first_audio_latency(95):.4f}', **outcomes)


def _queue(health: Health) -> DiagnosticStatus:
    full = health.waiting >= health.queue_depth
    return _status('queue', DiagnosticStatus.WARN if full else DiagnosticStatus.OK,
                   f'full (overflow: {health.overflow})' if full else f'{health.waiting} waiting',
                   waiting=health.waiting, queue_depth=health.queue_depth)


def _gpu(health: Health) -> DiagnosticStatus:
    device = str(health.device['device'])
    return _status('gpu', DiagnosticStatus.OK, 'not used: computing on the CPU' if device == 'cpu' else device, **health.device)


def _status(name: str, level: bytes, message: str, **values) -> DiagnosticStatus:
    return DiagnosticStatus(name=name, level=level, message=message,
                            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])

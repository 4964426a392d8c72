"""core/metrics.py."""

import pytest

from ishowtts_ros.core.metrics import Metrics, WINDOW
from ishowtts_ros.core.types import UtteranceEvent, UtteranceState, UtteranceStats


def stats(audio, work, latency=0.0):
    return UtteranceStats('u', 'tone', 'v', 0, 5, audio_duration=audio, synthesis_time=work, first_audio_latency=latency)


def test_rtf_is_all_work_over_all_audio():
    metrics = Metrics()
    assert metrics.real_time_factor() == 0 and metrics.first_audio_latency(95) == 0
    metrics.add(stats(1.0, 0.5))
    metrics.add(stats(3.0, 0.5))
    metrics.add(stats(0.0, 9.0))     # nothing was heard of it: no ratio to speak of
    assert metrics.real_time_factor() == pytest.approx(0.25)


def test_percentiles_look_back_over_a_window():
    metrics = Metrics()
    for _ in range(50):
        metrics.add(stats(1, 1, latency=100.0))
    for number in range(WINDOW):
        metrics.add(stats(1, 1, latency=number / WINDOW))
    assert metrics.first_audio_latency(50) == pytest.approx(0.5, abs=0.01)


def test_a_failure_is_remembered_until_something_succeeds():
    metrics = Metrics()
    metrics.count(UtteranceEvent('a', UtteranceState.FAILED, 'engine_failed', 'burnt out'))
    assert metrics.last_failure == 'burnt out' and metrics.outcome(UtteranceState.FAILED) == 1
    metrics.count(UtteranceEvent('b', UtteranceState.FINISHED))
    assert metrics.last_failure == ''

"""A synthesizer on an engine that the test drives."""

import pytest
from stepping_engine import DEADLINE, Recorder, SteppingEngine

from ishowtts_ros.core.admission import AdmissionRules
from ishowtts_ros.core.failover import Failover
from ishowtts_ros.core.pacer import Pacing
from ishowtts_ros.core.synthesizer import Limits, Synthesizer
from ishowtts_ros.core.types import SynthesisSettings


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def make(recorder):
    made = []

    def make(engine, limits=Limits(), settings=SynthesisSettings, rules=AdmissionRules,
             pacing=Pacing('burst')):
        synthesizer = Synthesizer(Failover(lambda: engine), settings, recorder, limits, rules, lambda: pacing)
        made.append(synthesizer)
        synthesizer.start(lambda done, doing: None).result(DEADLINE)
        synthesizer.accept(True)
        return synthesizer
    yield make
    for synthesizer in made:
        synthesizer.close()


@pytest.fixture
def speaking(make):
    """Make a synthesizer and submit utterances: its engine is in the midst of the first, and goes on as it gets permits."""
    def speaking(*utterances, **how):
        engine = SteppingEngine(permits=0)
        synthesizer = make(engine, **how)
        for utterance in utterances:
            synthesizer.submit(utterance)
        assert engine.speaking.wait(DEADLINE)
        return engine, synthesizer
    return speaking

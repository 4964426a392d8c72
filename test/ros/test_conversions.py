"""conversions.py: nothing is lost between core types, messages and CDR bytes."""

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header, String

from ishowtts.msg import AudioChunk, SpeechRequest, SynthesisStats, UtteranceEvent
from ishowtts_ros import conversions
from ishowtts_ros.core import types
from ishowtts_ros.core.types import Policy, SpeechError, UtteranceState


def through_cdr(message):
    return deserialize_message(serialize_message(message), type(message))


@pytest.mark.parametrize('size', [0, 1, 2205])
def test_audio(size):
    samples = np.random.default_rng(0).integers(-32768, 32767, size, dtype=np.int16, endpoint=True)
    chunk = types.AudioChunk('a', 3, True, 22050, samples)
    back = conversions.chunk_from_message(through_cdr(conversions.chunk_to_message(chunk, Header(frame_id='head'))))
    assert np.array_equal(back.samples, samples)
    assert (back.utterance_id, back.sequence, back.last, back.sample_rate) == ('a', 3, True, 22050)


def test_a_slice_of_samples_is_sent_as_it_reads():
    samples = np.arange(100, dtype=np.int16)[10:20:3]
    message = conversions.chunk_to_message(types.AudioChunk('a', 0, False, 22050, samples), Header())
    assert list(message.samples) == [10, 13, 16, 19]


@pytest.mark.parametrize('state', UtteranceState)
def test_events(state):
    event = types.UtteranceEvent('a', state, 'queue_full', 'why, 你好', 'the text')
    message = through_cdr(conversions.event_to_message(event, Header()))
    assert (message.utterance_id, message.state, message.code, message.reason, message.text) == (
        'a', state, 'queue_full', 'why, 你好', 'the text')


def test_the_constants_in_messages_are_those_of_the_core():
    assert [(s.name, getattr(UtteranceEvent, s.name)) for s in UtteranceState] == [(s.name, s) for s in UtteranceState]
    assert (SpeechRequest.QUEUE, SpeechRequest.INTERRUPT) == (Policy.QUEUE, Policy.INTERRUPT)
    assert SpeechRequest.PRIORITY_DEFAULT == types.PRIORITY_DEFAULT


def test_statistics():
    stats = types.UtteranceStats('a', 'f5', 'anna', 7, 42, audio_duration=2.0, synthesis_time=0.5,
                                 first_audio_latency=0.25, queue_time=0.125)
    message = through_cdr(conversions.stats_to_message(stats, Header()))
    values = {name: getattr(message, name) for name in SynthesisStats.get_fields_and_field_types() if name != 'header'}
    assert values == {'utterance_id': 'a', 'engine': 'f5', 'voice': 'anna', 'nfe_step': 7, 'text_length': 42,
                      'audio_duration': 2.0, 'synthesis_time': 0.5, 'real_time_factor': 0.25,
                      'first_audio_latency': 0.25, 'queue_time': 0.125}


def test_requests():
    request = SpeechRequest(id='a', text='Hi', voice='fr', language='fr', nfe_step=16, speed=1.5, priority=7, policy=1)
    utterance = conversions.utterance_from_request(through_cdr(request))
    assert (utterance.id, utterance.text, utterance.voice, utterance.language) == ('a', 'Hi', 'fr', 'fr')
    assert (utterance.nfe_step, utterance.speed, utterance.priority, utterance.policy) == (16, 1.5, 7, Policy.INTERRUPT)


def test_zero_values_mean_the_current_settings():
    utterance = conversions.utterance_from_request(SpeechRequest(text='Hi'))
    assert utterance.id and utterance.priority == types.PRIORITY_DEFAULT
    current = types.SynthesisSettings(voice='x', nfe_step=9, speed=1.25)
    assert utterance.settings(current) == current
    assert conversions.utterance_from_text(String(data='Hi')).id != conversions.utterance_from_text(String(data='Hi')).id


def test_a_policy_that_does_not_exist_is_refused():
    with pytest.raises(SpeechError, match='QUEUE'):
        conversions.utterance_from_request(SpeechRequest(text='Hi', policy=9))


def test_every_field_of_every_interface_has_a_comment():
    from pathlib import Path
    root = Path(__file__).parents[2]
    files = [file for folder in ('msg', 'srv', 'action') for file in (root / folder).iterdir()]
    assert len(files) == 9
    bare = [f'{file.name}: {line}' for file in files for line in file.read_text().splitlines()
            if line and line != '---' and '#' not in line]
    assert not bare
    assert AudioChunk.get_fields_and_field_types()['samples'] == 'sequence<int16>'

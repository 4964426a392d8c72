"""tts_node.py as its users meet it: a process, topics, services, lifecycle, all over DDS."""

import signal
import threading

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from ishowtts.msg import SpeechRequest
from ishowtts.srv import ListVoices, SetVoice
from ishowtts_ros import conversions
from ishowtts_ros.core.audio import rms
from ishowtts_ros.core.failover import Failover
from ishowtts_ros.core.synthesizer import Synthesizer
from ishowtts_ros.core.types import ErrorCode, SynthesisSettings, UtteranceState
from ishowtts_ros.engines import registry
from ishowtts_ros.tts_node import TtsNode

QUEUED, STARTED, FINISHED, CANCELED, REJECTED, FAILED = UtteranceState
CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE


def transition(client, which):
    return client.call(ChangeState, 'ishowtts/change_state', transition=Transition(id=which), timeout=30).success


def test_text_becomes_audio_events_and_statistics(espeak):
    espeak.say('Hello, I am a robot.')
    recording = espeak.wait_for(espeak.ended, 30, 'end of the speech')
    assert recording.states == [QUEUED, STARTED, FINISHED]
    assert [c.sequence for c in recording.chunks] == list(range(len(recording.chunks)))
    assert [c.last for c in recording.chunks] == [False] * (len(recording.chunks) - 1) + [True]
    assert recording.sample_rate == 22050 and all(c.channels == 1 for c in recording.chunks)
    assert rms(recording.samples) > 0.02
    stats = recording.stats
    assert (stats.engine, stats.voice, stats.nfe_step, stats.text_length) == ('espeak', 'en-us', 0, 20)
    assert stats.audio_duration == pytest.approx(len(recording.samples) / 22050, rel=1e-6)
    assert stats.real_time_factor == pytest.approx(stats.synthesis_time / stats.audio_duration, rel=1e-3)


def test_a_request_chooses_voice_speed_and_id(espeak):
    normal = espeak.speak(id='n', text='one two three four')
    french = espeak.speak(id='f', text='un deux trois', language='fr')
    assert french.stats.voice == 'fr', 'the voice that spoke, though only a language was named'
    special = espeak.speak(id='s', text='one two three four', voice='de+f2', speed=2.0)
    assert special.stats.voice == 'de+f2' and special.stats.audio_duration < 0.8 * normal.stats.audio_duration


@pytest.mark.parametrize('fields, code, says', [
    ({'text': ''}, ErrorCode.EMPTY_TEXT, 'at least one word'),
    ({'text': ' \n '}, ErrorCode.EMPTY_TEXT, 'at least one word'),
    ({'text': 'x' * 1_000_000}, ErrorCode.TEXT_TOO_LONG, 'max_text_length'),
    ({'text': 'ring \x07'}, ErrorCode.INVALID_TEXT, 'control character'),
    ({'voice': 'en-uss'}, ErrorCode.UNKNOWN_VOICE, 'en-us'),
    ({'nfe_step': 1000}, ErrorCode.INVALID_PARAMETER, '1 to 128'),
    ({'nfe_step': -3}, ErrorCode.INVALID_PARAMETER, '1 to 128'),
    ({'speed': 100.0}, ErrorCode.INVALID_PARAMETER, '0.25 to 4.0'),
    ({'policy': 7}, ErrorCode.INVALID_PARAMETER, 'INTERRUPT'),
])
def test_a_bad_request_is_rejected_with_its_cure_and_the_next_good_one_spoken(fields, code, says, espeak):
    rejected = espeak.speak(**{'id': 'bad', 'text': 'word', **fields})
    assert rejected.states == [REJECTED] and not rejected.chunks
    assert rejected.code == code and says in rejected.reason
    assert espeak.speak(id='good', text='Good.').states[-1] is FINISHED


def test_invalid_utf8_on_the_wire_is_rejected(espeak):
    from rclpy.serialization import serialize_message
    # A lone surrogate as a UTF-16 program would send it: ED A0 BD in place of three letters.
    raw = bytes(serialize_message(SpeechRequest(id='bad', text='abcXYZdef'))).replace(b'XYZ', b'\xed\xa0\xbd')
    espeak._speech.publish(raw)
    rejected = espeak.wait_for(lambda: espeak.ended('bad'), 30, 'rejection')
    assert rejected.states == [REJECTED] and rejected.code == ErrorCode.INVALID_TEXT and 'UTF-8' in rejected.reason
    assert espeak.speak(id='good', text='Good.').states[-1] is FINISHED


def test_set_voice_changes_both_or_nothing(speaking_node, client):
    speaking_node()
    answer = client.call(SetVoice, 'ishowtts/set_voice', voice='fr', nfe_step=16)
    assert answer.success and (answer.voice, answer.nfe_step) == ('fr', 16)
    for asked in ({'voice': 'fr-be', 'nfe_step': 999}, {'voice': 'nobody', 'nfe_step': 5}):
        answer = client.call(SetVoice, 'ishowtts/set_voice', **asked)
        assert not answer.success and answer.code and answer.message
        assert (answer.voice, answer.nfe_step) == ('fr', 16)
    answer = client.call(SetVoice, 'ishowtts/set_voice', nfe_step=5)
    assert answer.success and (answer.voice, answer.nfe_step) == ('fr', 5)
    assert client.speak(id='a', text='bonjour').stats.voice == 'fr'
    listed = client.call(ListVoices, 'ishowtts/list_voices')
    assert 'en-us' in listed.voices and (listed.current_voice, listed.current_nfe_step) == ('fr', 5)


def test_stop_cancels_the_current_and_the_waiting(speaking_node, client):
    speaking_node(engine='tone', tone__real_time_factor=1.0)
    for name in ('a', 'b', 'c'):
        client.request(id=name, text='a text of some forty characters in length')
    client.wait_for(lambda: 'a' in client.recordings and client.recordings['a'].chunks, 30, 'first audio')
    client.wait_for(lambda: 'c' in client.recordings, 30, 'last request')
    answer = client.call(Trigger, 'ishowtts/stop')
    assert answer.success and answer.message == '3 canceled'
    for name in ('a', 'b', 'c'):
        client.wait_for(lambda: client.ended(name), 30, f'end of {name}')
    recordings = client.recordings
    assert recordings['a'].states == [QUEUED, STARTED, CANCELED] and recordings['a'].chunks[-1].last
    assert recordings['b'].states == recordings['c'].states == [QUEUED, CANCELED]
    assert recordings['a'].code == ErrorCode.STOPPED
    assert recordings['a'].samples[-1] == 0, 'the cut is a fade'
    assert client.speak(id='d', text='on').states[-1] is FINISHED


def test_interrupt_and_priority_over_the_topic(speaking_node, client):
    speaking_node(engine='tone', tone__real_time_factor=0.5)
    for name, priority in (('a', 0), ('low', 1), ('high', 200)):
        client.request(id=name, text='twenty characters ab', priority=priority)
    client.wait_for(lambda: client.ended('low'), 30, 'end of all')
    started = [name for name in client.recordings]
    order = sorted(('low', 'high'), key=lambda name: client.recordings[name].first_audio)
    assert order == ['high', 'low'], started
    client.request(id='long', text='x' * 200)
    client.wait_for(lambda: 'long' in client.recordings and client.recordings['long'].chunks, 30, 'audio')
    assert client.speak(id='now', text='now', policy=SpeechRequest.INTERRUPT).states[-1] is FINISHED
    assert client.recordings['long'].states[-1] is CANCELED and client.recordings['long'].code == ErrorCode.INTERRUPTED


def test_a_failing_utterance_is_reported_and_the_next_is_spoken(speaking_node, client):
    speaking_node(engine='tone', tone__fail_on='boom')
    failed = client.speak(id='a', text='please boom now')
    assert failed.states == [QUEUED, STARTED, FAILED] and failed.code == ErrorCode.ENGINE_FAILED
    assert [c.last for c in failed.chunks] == [True]
    status = client.diagnostics('synthesis', lambda s: s.level == DiagnosticStatus.WARN)
    assert 'boom' in status.message
    assert client.speak(id='b', text='fine').states[-1] is FINISHED


def test_speaking_is_true_for_as_long_as_the_audio_sounds(speaking_node, client):
    import time
    changes = []
    client.create_subscription(Bool, 'speaking', lambda m: changes.append((m.data, time.monotonic())),
                               QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    speaking_node(engine='tone')
    client.wait_for(lambda: changes, 30, 'latched value')
    assert [value for value, _ in changes] == [False]
    client.speak(id='a', text='x' * 20)     # 1 s of tone, made in no time
    client.wait_for(lambda: len(changes) == 3, 30, 'end of speaking')
    assert [value for value, _ in changes] == [False, True, False]
    assert changes[2][1] - changes[1][1] == pytest.approx(1.0, abs=0.3)


def test_lifecycle_by_hand(start_node, client):
    node = start_node({'autostart': False})
    client.wait_for_node()
    assert client.state() == 'unconfigured'
    rejected = client.speak(id='early', text='too early')
    assert rejected.states == [REJECTED] and rejected.code == ErrorCode.NOT_ACTIVE and 'configure' in rejected.reason
    assert transition(client, CONFIGURE) and client.state() == 'inactive'
    rejected = client.speak(id='still-early', text='too early')
    assert rejected.states == [REJECTED] and rejected.code == ErrorCode.NOT_ACTIVE and 'activate' in rejected.reason
    assert transition(client, ACTIVATE)
    assert client.speak(id='a', text='now').states[-1] is FINISHED
    assert transition(client, DEACTIVATE)
    assert client.speak(id='b', text='no').states == [REJECTED]
    assert transition(client, CLEANUP) and client.state() == 'unconfigured'
    assert client.call(ListVoices, 'ishowtts/list_voices').voices == []
    for _ in range(2):     # what was freed can be loaded again
        assert transition(client, CONFIGURE) and transition(client, CLEANUP)
    assert transition(client, CONFIGURE) and transition(client, ACTIVATE)
    assert client.speak(id='c', text='again').states[-1] is FINISHED
    assert 'Traceback' not in node.log.read_text()


def test_deactivating_cancels_what_is_under_way(speaking_node, client):
    speaking_node(engine='tone', tone__real_time_factor=1.0)
    client.request(id='a', text='x' * 100)
    client.wait_for(lambda: 'a' in client.recordings and client.recordings['a'].chunks, 30, 'first audio')
    assert transition(client, DEACTIVATE)
    canceled = client.wait_for(lambda: client.ended('a'), 30, 'end')
    assert canceled.states[-1] is CANCELED and canceled.code == ErrorCode.NOT_ACTIVE


def test_loading_holds_nothing_up_and_shows_its_progress(start_node, client):
    start_node({'autostart': False, 'engine': 'tone', 'tone.load_time': 5.0})
    client.wait_for_node()
    configured = threading.Event()
    thread = threading.Thread(target=lambda: transition(client, CONFIGURE) and configured.set())
    thread.start()
    status = client.diagnostics('engine', lambda s: 'loading' in s.message and '%' in s.message)
    assert status.level == DiagnosticStatus.OK
    rejected = client.speak(id='early', text='too early', timeout=3)
    assert rejected.states == [REJECTED] and rejected.code == ErrorCode.NOT_ACTIVE
    assert client.state(timeout=3) == 'configuring' and not configured.is_set()
    thread.join(30)
    assert configured.is_set() and client.state() == 'inactive'


def test_an_engine_that_cannot_load_refuses_configure_and_says_why(start_node, client):
    node = start_node({'espeak.library': '/nowhere/libespeak-ng.so'})
    client.wait_for(lambda: 'not configured' in node.log.read_text(), 30, 'refusal in the log')
    status = client.diagnostics('engine', lambda s: s.level == DiagnosticStatus.ERROR)
    assert 'espeak.library' in status.message
    rejected = client.speak(id='a', text='anyone there?')
    assert rejected.states == [REJECTED] and 'espeak.library' in rejected.reason
    assert client.state() == 'unconfigured'


def test_a_voice_that_does_not_exist_refuses_configure(start_node, client):
    node = start_node({'voice': 'en-uss'})
    client.wait_for(lambda: 'not configured' in node.log.read_text(), 30, 'refusal in the log')
    assert 'en-us' in node.log.read_text()
    assert client.state() == 'unconfigured'


def test_diagnostics_report_latency_rtf_and_counts(speaking_node, client):
    speaking_node()
    client.speak(id='a', text='Hello.')
    client.speak(id='b', text=' ')
    status = client.diagnostics('synthesis', lambda s: {v.key: v.value for v in s.values}['rejected'] == '1')
    values = {v.key: v.value for v in status.values}
    assert values['finished'] == '1' and float(values['real_time_factor']) > 0
    assert float(values['first_audio_latency_p95_s']) > 0
    assert client.diagnostics('queue', lambda s: True).level == DiagnosticStatus.OK


def test_a_full_queue_is_a_warning_that_says_what_becomes_of_the_next(speaking_node, client):
    speaking_node(engine='tone', tone__real_time_factor=1.0, queue_depth=1, overflow='drop_oldest')
    client.request(id='a', text='x' * 400)
    client.wait_for(lambda: 'a' in client.recordings and client.recordings['a'].chunks, 30, 'audio')
    for name in 'bc':
        client.request(id=name, text='x' * 400)
    status = client.diagnostics('queue', lambda s: s.level == DiagnosticStatus.WARN)
    assert status.message == 'full (overflow: drop_oldest)'


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM])
def test_the_process_ends_cleanly_while_speaking(speaking_node, client, how):
    node = speaking_node(engine='tone', tone__real_time_factor=1.0)
    client.request(id='a', text='x' * 200)
    client.wait_for(lambda: 'a' in client.recordings and client.recordings['a'].chunks, 30, 'first audio')
    assert node.stop(how) == 0
    assert 'Traceback' not in node.log.read_text(), node.log.read_text()


def test_the_process_ends_soon_though_an_engine_is_deep_in_loading(start_node, client):
    """It asks once a minute whether it is still wanted, as one that compiles or waits for a download does."""
    node = start_node({'engine': 'tone', 'tone.load_time': 600.0})
    client.diagnostics('engine', lambda s: 'loading' in s.message)
    assert node.stop(timeout=15) == 0
    assert 'ends with the process' in node.log.read_text() and 'Traceback' not in node.log.read_text()


@pytest.mark.parametrize('executable, status', [('tts_node', 'ishowtts: engine'), ('player_node', 'ishowtts_player: output')])
def test_with_simulated_time_that_nobody_publishes_the_nodes_still_tell_how_they_are(start_node, client, executable, status):
    heard = []
    client.create_subscription(DiagnosticArray, '/diagnostics', lambda message: heard.extend(message.status), 10)
    start_node({'use_sim_time': True}, executable=executable)
    client.wait_for(lambda: [s for s in heard if s.name == status], 30, 'diagnostics')


class FreedMeanwhile(TtsNode):
    """Its engine is there at the first look and gone at the second, as when a transition comes in between."""

    _kept = {}

    def _look(self, name):
        return self._kept.pop(name, None)

    _synthesizer = property(lambda self: self._look('synthesizer'), lambda self, value: self._kept.update(synthesizer=value))
    _engine = property(lambda self: self._look('engine'), lambda self, value: self._kept.update(engine=value))


@pytest.mark.parametrize('ask', [
    lambda node: node._submit(conversions.utterance_from_text, String(data='hello')),
    lambda node: node._cancel('nobody', '', ''),
    lambda node: node._stop(Trigger.Request(), Trigger.Response()),
    lambda node: node._set_voice(SetVoice.Request(voice='low'), SetVoice.Response()),
    lambda node: node._list_voices(ListVoices.Request(), ListVoices.Response()),
    lambda node: node._current_voice(),
], ids=['submit', 'cancel', 'stop', 'set_voice', 'list_voices', 'current_voice'])
def test_a_request_may_come_just_while_the_engine_is_freed(ask):
    node, engine = FreedMeanwhile(), Failover(lambda: registry.create('tone'))
    synthesizer = Synthesizer(engine, SynthesisSettings, node)
    node._synthesizer, node._engine = synthesizer, engine
    try:
        ask(node)       # raises nothing: in the executor's thread that would be the end of the process
    finally:
        synthesizer.close()
        node.destroy_node()


def test_names_are_relative_so_namespaces_work(start_node):
    from ishowtts_ros.bench.ros_client import SpeechClient
    node = start_node({}, '-r', '__ns:=/kitchen')
    client = SpeechClient(namespace='/kitchen')
    try:
        client.wait_until_active(node)
        assert client.speak(id='a', text='Hello').states[-1] is FINISHED
        status = client.diagnostics('engine', lambda s: True)
        assert (status.name, status.hardware_id) == ('kitchen/ishowtts: engine', 'kitchen/ishowtts')
    finally:
        client.close()


def test_another_node_of_the_same_name_is_pointed_out(start_node, client):
    def start(namespace):       # where no node of an earlier test was
        return start_node({}, '-r', f'__ns:=/{namespace}')
    first, other = start('cellar'), start('attic')
    client.wait_for(lambda: all('listening' in node.log.read_text() for node in (first, other)), 30, 'two nodes')
    assert 'another node' not in first.log.read_text()
    start('cellar')
    client.wait_for(lambda: "there is another node '/cellar/ishowtts'" in first.log.read_text(), 30, 'warning')
    assert 'another node' not in other.log.read_text()


def test_after_the_last_transition_a_rejection_tells_the_only_cure(start_node, client):
    start_node({'autostart': False})
    client.wait_for_node()
    assert transition(client, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN) and client.state() == 'finalized'
    rejected = client.speak(id='a', text='anyone there?')
    assert rejected.code == ErrorCode.NOT_ACTIVE and 'start it again' in rejected.reason


def test_a_burst_of_requests_loses_none(speaking_node, client):
    speaking_node(engine='tone', queue_depth=1000)
    for number in range(300):
        client.request(id=str(number), text='x')
    client.wait_for(lambda: sum(r.ended for r in list(client.recordings.values())) == 300, 60, 'end of 300 utterances')
    assert all(r.states == [QUEUED, STARTED, FINISHED] for r in client.recordings.values())
    assert all(np.array_equal(r.samples, client.recordings['0'].samples) for r in client.recordings.values())


def test_realtime_audio_comes_at_the_pace_of_speech_and_pauses(speaking_node, client):
    """2 s of tone, made in no time: a pause in its midst holds the rest back, and none of it is lost."""
    speaking_node(engine='tone', pacing='realtime', audio_lead=0.2)
    client.request(id='a', text='x' * 40)
    heard = client.wait_for(lambda: client.recordings.get('a'), 30, 'events')
    client.wait_for(lambda: len(heard.samples), 30, 'first audio')
    assert client.call(Trigger, 'ishowtts/pause').success
    # The answer and the audio come by different topics: what was on its way may still arrive.
    client.wait_for(lambda: heard.stats, 30, 'statistics')
    status = client.diagnostics('synthesis', lambda s: s.message == 'paused')
    assert status.level == DiagnosticStatus.OK
    assert not heard.ended and len(heard.samples) < 2 * 24000
    assert client.call(Trigger, 'ishowtts/resume').success
    client.wait_for(lambda: client.ended('a'), 30, 'end')
    assert heard.states == [QUEUED, STARTED, FINISHED] and len(heard.samples) == 2 * 24000
    assert max(len(c.samples) for c in heard.chunks) <= 0.2 * 24000


def test_stop_in_realtime_leaves_little_to_be_played(speaking_node, client):
    speaking_node(engine='tone', pacing='realtime', audio_lead=0.2)
    client.request(id='a', text='x' * 1000)     # 50 s
    client.wait_for(lambda: 'a' in client.recordings and client.recordings['a'].chunks, 30, 'first audio')
    assert client.call(Trigger, 'ishowtts/stop').message == '1 canceled'
    heard = client.wait_for(lambda: client.ended('a'), 30, 'end')
    assert heard.states[-1] is CANCELED and len(heard.samples) < 25 * 24000
    assert heard.samples[-1] == 0, 'the cut is a fade'

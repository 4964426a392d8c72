"""fallback_engine: a robot whose engine fails is not silent, and says what is wrong."""

from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import Log
from rclpy.qos import DurabilityPolicy, QoSProfile

from ishowtts.srv import ListVoices
from ishowtts_ros.core.types import UtteranceState

FINISHED, FAILED = UtteranceState.FINISHED, UtteranceState.FAILED
OK, ERROR = DiagnosticStatus.OK, DiagnosticStatus.ERROR


def test_the_fallback_speaks_when_the_engine_cannot_be_loaded(speaking_node, client, tmp_path):
    voices = tmp_path / 'voices.yaml'
    voices.write_text('voices: {anna: {audio: anna.wav, transcript: Guten Tag., language: de}}\n')
    speaking_node(engine='f5', f5__checkpoint='/nowhere/model.safetensors', voices_file=str(voices), voice='anna',
                  fallback_engine='espeak')
    spoken = client.speak(id='a', text='Guten Morgen', timeout=60)
    assert spoken.states[-1] is FINISHED and len(spoken.samples) > 0
    assert (spoken.stats.engine, spoken.sample_rate) == ('espeak', 22050)
    status = client.diagnostics('engine', lambda s: s.level == ERROR)
    assert 'espeak speaks instead' in status.message
    assert 'anna' in client.call(ListVoices, 'ishowtts/list_voices').voices


def test_the_fallback_speaks_after_three_failures_in_a_row(speaking_node, client):
    logged = []
    client.create_subscription(Log, '/rosout', logged.append,
                               QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    speaking_node(engine='tone', tone__fail_on='boom', fallback_engine='espeak')
    assert client.speak(id='0', text='fine').stats.engine == 'tone'
    assert client.diagnostics('engine', lambda s: True).level == OK
    for number in '123':
        failed = client.speak(id=number, text='boom')
        assert failed.states[-1] is FAILED and failed.stats.engine == 'tone'
    spoken = client.speak(id='4', text='boom')
    assert spoken.states[-1] is FINISHED and spoken.stats.engine == 'espeak' and spoken.stats.voice == 'en-us'
    assert "told to fail on 'boom'" in client.diagnostics('engine', lambda s: s.level == ERROR).message
    warned = client.wait_for(lambda: [entry for entry in logged if 'espeak speaks from now on' in entry.msg], 10, '/rosout')
    assert warned[0].name == 'ishowtts' and warned[0].level == 40     # ERROR; its constant is of another type in Humble


def test_an_engine_is_no_fallback_for_itself(speaking_node, client):
    speaking_node(engine='espeak', fallback_engine='espeak')
    assert client.speak(id='a', text='hello').states[-1] is FINISHED

"""The f5 engine in the node, end to end over topics, with a tiny checkpoint in the real file formats."""

import numpy as np
import pytest

pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')
pytest.importorskip('safetensors', reason='safetensors is not installed; `make test` installs it')

import f5_voices                                    # noqa: E402

from ishowtts.msg import SpeechRequest              # noqa: E402
from ishowtts.srv import SetVoice                   # noqa: E402
from ishowtts_ros.core.types import ErrorCode       # noqa: E402

RATE = 24000     # Hz


@pytest.fixture(scope='module')
def f5(tmp_path_factory):
    """The parameters of a node with two voices and tiny weights."""
    return f5_voices.parameters(tmp_path_factory.mktemp('f5'))


def test_text_voice_and_steps_go_in_and_audio_comes_out(speaking_node, client, f5):
    speaking_node(**f5)
    first = client.speak(id='a', text='Hello, I am a robot.', timeout=60)
    assert first.states[-1].name == 'FINISHED', first.reason
    assert (first.stats.engine, first.stats.voice, first.stats.nfe_step) == ('f5', 'anna', 7)
    assert first.sample_rate == RATE and np.abs(first.samples).max() > 0
    again = client.speak(id='b', text='Hello, I am a robot.')
    assert np.array_equal(first.samples, again.samples), 'the same seed is the same sound'
    other = client.speak(id='c', text='Hello, I am a robot.', voice='bob', nfe_step=16)
    assert (other.stats.voice, other.stats.nfe_step) == ('bob', 16)
    assert not np.array_equal(first.samples, other.samples)
    assert client.call(SetVoice, 'ishowtts/set_voice', voice='bob', nfe_step=5).success
    assert client.speak(id='d', text='Hello.').stats.nfe_step == 5
    gpu = client.diagnostics('gpu', lambda status: True)
    values = {value.key: value.value for value in gpu.values}
    assert gpu.message == 'not used: computing on the CPU' and values['dtype'] == 'float32' and int(values['eager_steps']) > 7
    refused = client.call(SetVoice, 'ishowtts/set_voice', voice='bobby')
    assert not refused.success and 'bob' in refused.message


def test_an_interrupt_ends_a_long_text_early(speaking_node, client, f5):
    speaking_node(**f5, nfe_step=64)
    client.request(id='long', text='This is one of many sentences that follow each other. ' * 100)
    client.wait_for(lambda: 'long' in client.recordings and len(client.recordings['long'].states) == 2, 60, 'start')
    assert client.speak(id='now', text='Stop.', nfe_step=5, policy=SpeechRequest.INTERRUPT, timeout=60).states[-1].name == 'FINISHED'
    assert client.recordings['long'].states[-1].name == 'CANCELED'
    assert client.recordings['long'].code == ErrorCode.INTERRUPTED


@pytest.mark.parametrize('broken, says', [
    ({'f5__checkpoint': '/nowhere/model.safetensors'}, '/nowhere/model.safetensors'),
    ({'f5__compile': 'fast'}, 'max-autotune'),
    ({'f5__device': 'cuda:99'}, 'cuda'),
])
def test_what_cannot_be_loaded_refuses_configure_with_its_cure(start_node, client, f5, broken, says):
    parameters = {name.replace('__', '.'): value for name, value in {**f5, **broken}.items()}
    node = start_node(parameters)
    client.wait_for(lambda: 'not configured' in node.log.read_text(), 60, 'refusal in the log')
    assert says in node.log.read_text()
    assert client.state() == 'unconfigured'

"""parameters.py: one table; what is set is valid, what is refused says why."""

from pathlib import Path
import subprocess
import sys

from ament_index_python.packages import get_package_prefix
import pytest
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import Parameter
import yaml

from ishowtts_ros import parameters, player_node
from ishowtts_ros.core.admission import AdmissionRules
from ishowtts_ros.core.pacer import Pacing
from ishowtts_ros.core.synthesizer import Limits
from ishowtts_ros.core.types import SynthesisSettings
from ishowtts_ros.engines import espeak, tone

ROOT = Path(__file__).parents[2]


def test_the_documented_table_is_the_real_one():
    documented = (ROOT / 'docs/parameters.md').read_text()
    assert documented == parameters.markdown(), 'run: python3 -m ishowtts_ros.parameters > docs/parameters.md'


def test_tts_yaml_names_every_parameter_at_its_default():
    both = yaml.safe_load((ROOT / 'config/tts.yaml').read_text())
    given = both['/**/ishowtts']['ros__parameters']
    flat = {name: value for name, value in given.items() if not isinstance(value, dict)}
    flat.update({f'{group}.{name}': value for group, values in given.items() if isinstance(values, dict)
                 for name, value in values.items()})
    assert flat == {p.name: p.default for p in parameters.PARAMETERS if not p.name.startswith('tone.')}
    assert both['/**/ishowtts_player']['ros__parameters'] == {
        name: row.default for name, row in player_node.PARAMETERS.items()}


@pytest.mark.parametrize('dataclass, prefix', [(SynthesisSettings, ''), (Limits, ''), (AdmissionRules, ''), (Pacing, ''),
                                                (espeak.EspeakConfig, 'espeak.')])
def test_defaults_in_the_table_are_those_of_the_code(dataclass, prefix):
    for name, value in dataclass().__dict__.items():
        assert parameters.TABLE[prefix + name].default == value


@pytest.mark.parametrize('module, config, prefix', [('f5.config', 'F5Config', 'f5.'),
                                                    ('f5_upstream', 'F5UpstreamConfig', 'f5_upstream.')])
def test_the_table_has_every_option_of_the_f5_engines_at_its_default(module, config, prefix):
    pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')
    import importlib
    options = getattr(importlib.import_module(f'ishowtts_ros.engines.{module}'), config)().__dict__
    table = {name[len(prefix):]: parameter.default for name, parameter in parameters.TABLE.items()
             if name.startswith(prefix)}
    assert table == {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}


def test_every_tone_parameter_is_an_option_of_the_engine():
    for name in parameters.TABLE:
        assert not name.startswith('tone.') or name.split('.')[1] in tone.ToneConfig.__dataclass_fields__


def set_parameter(client, name, value):
    request = [Parameter(name, value=value).to_parameter_msg()]
    return client.call(SetParameters, 'ishowtts/set_parameters', parameters=request).results[0]


def get_parameter(client, name):
    value = client.call(GetParameters, 'ishowtts/get_parameters', names=[name]).values[0]
    return {ParameterType.PARAMETER_STRING: value.string_value, ParameterType.PARAMETER_INTEGER: value.integer_value,
            ParameterType.PARAMETER_DOUBLE: value.double_value}[value.type]


def test_bad_values_are_refused_with_what_would_be_right_and_the_node_speaks_on(speaking_node, client):
    speaking_node()
    for name, value, says in (
            ('nfe_step', 0, 'Max: 128'), ('nfe_step', 999, 'Max: 128'), ('speed', 99.0, 'Max: 4.0'),
            ('speed', 9, 'a number from 0.25 to 4.0'),
            ('speed', 'fast', 'a number from 0.25 to 4.0'), ('voice', 'en-uss', 'en-us'), ('voice', 3, 'a string'),
            ('engine', 'tone', 'cleanup'), ('autostart', False, 'launch'), ('queue_depth', 5, 'cleanup'),
            ('nfe_step', 7.5, 'an integer from 1 to 128'), ('nfe_step', True, 'an integer'),
            ('cfg_strength', -1.0, 'Max: 10.0'), ('seed', -2, 'Min: -1')):
        before = get_parameter(client, name) if name != 'autostart' else None
        result = set_parameter(client, name, value)
        assert not result.successful, name
        assert says in result.reason, (name, result.reason)
        assert before is None or get_parameter(client, name) == before
    assert client.speak(id='after', text='Good.').states[-1].name == 'FINISHED'


def test_a_change_is_heard_from_the_next_utterance_on(speaking_node, client):
    speaking_node()
    normal = client.speak(id='normal', text='one two three four five').stats.audio_duration
    assert set_parameter(client, 'speed', 2).successful     # a whole number will do
    assert set_parameter(client, 'voice', 'en-us+f3').successful
    fast = client.speak(id='fast', text='one two three four five').stats
    assert fast.audio_duration < 0.7 * normal and fast.voice == 'en-us+f3'


def test_values_that_are_wrong_at_the_start_refuse_the_first_configure_and_name_the_cure(start_node, client):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    node = start_node({'nfe_step': 999, 'engine': 'siri', 'speed': 'fast', 'voice_folders': 'anywhere'})
    client.wait_for(lambda: 'not configured' in node.log.read_text(), 30, 'refusal in the log')
    log = node.log.read_text()
    assert '1 to 128' in log and 'espeak, ' in log and 'number' in log and 'a list of strings' in log
    assert client.state() == 'unconfigured'
    assert get_parameter(client, 'nfe_step') == 7 and get_parameter(client, 'engine') == 'espeak'
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert client.call(ChangeState, 'ishowtts/change_state', transition=Transition(id=transition)).success
    client.wait_for_node()
    assert client.speak(id='after', text='Good.').states[-1].name == 'FINISHED'


def test_a_node_starts_with_the_file_of_all_defaults(start_node, client):
    """Its empty list has no type on the way to the node."""
    client.wait_until_active(start_node({}, '--params-file', str(ROOT / 'config/tts.yaml')))
    assert client.speak(id='a', text='Good.').states[-1].name == 'FINISHED'
    assert 'fixed while the node runs' in set_parameter(client, 'voice_folders', ['/']).reason


def test_parameters_that_do_not_exist_are_pointed_out_with_what_was_meant(start_node, client, tmp_path):
    file = tmp_path / 'params.yaml'
    file.write_text('/**: {ros__parameters: {sped: 1.3, zzz: 1, voice: fr, use_sim_time: false,'
                    ' qos_overrides: {/text: {subscription: {depth: 5, reliabilty: reliable}}}}}')
    nodes = [start_node({}, '--params-file', str(file)),
             start_node({'volumee': 1.0, 'volume': 0.5}, executable='player_node')]
    for node in nodes:
        client.wait_for(lambda: 'are ignored' in node.log.read_text(), 30, 'warning')
    speech, player = ([line for line in node.log.read_text().splitlines() if 'are ignored' in line] for node in nodes)
    assert len(speech) == 1 and 'WARN' in speech[0] and speech[0].endswith(
        'qos_overrides./text.subscription.reliabilty (did you mean qos_overrides./text.subscription.reliability?)'), speech
    assert ' sped (did you mean speed?)' in speech[0] and ' zzz,' in speech[0]
    assert ' voice' not in speech[0] and 'use_sim_time' not in speech[0] and 'depth' not in speech[0]
    assert player[0].endswith('ignored: volumee (did you mean volume?)')
    client.wait_until_active(nodes[0])
    assert client.speak(id='a', text='Bonjour.').stats.voice == 'fr'


@pytest.mark.parametrize('name, value, says', [
    ('use_sim_time', 5, 'use_sim_time'), ('qos_overrides./text.subscription.reliability', 'good', 'reliability')])
def test_what_rcl_refuses_at_start_ends_the_process_with_one_clear_line(start_node, name, value, says):
    node = start_node({name: value})
    assert node.process.wait(30) == 1
    log = node.log.read_text()
    assert 'cannot start' in log and says in log and 'Traceback' not in log


def test_parameters_before_ros_args_are_not_ignored_without_a_word():
    program = Path(get_package_prefix('ishowtts')) / 'lib/ishowtts/tts_node'
    ended = subprocess.run([sys.executable, str(program), '-p', 'speed:=2.0', '--ros-args'], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and 'unknown arguments -p speed:=2.0; ' in ended.stderr and '--ros-args' in ended.stderr


@pytest.mark.parametrize('content', [None, 'not: [valid', '/**: {ros__parameters: 3}'])
def test_a_params_file_that_cannot_be_read_ends_the_process_with_one_clear_line(start_node, tmp_path, content):
    file = tmp_path / 'params.yaml'
    if content is not None:
        file.write_text(content)
    node = start_node({}, '--params-file', str(file))
    assert node.process.wait(30) == 1
    log = node.log.read_text()
    assert str(file) in log and 'cannot start' in log and 'Traceback' not in log

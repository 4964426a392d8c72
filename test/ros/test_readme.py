"""What README.md shows works as it is shown."""

import importlib
from pathlib import Path
import re
import shlex

import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
import yaml

from ishowtts_ros import cli

README = (Path(__file__).parents[2] / 'README.md').read_text()
COMMANDS = [shlex.split(line, comments=True) for block in re.findall(r'```bash\n(.*?)```', README, re.DOTALL)
            for line in block.splitlines() if line.startswith('ros2 ')]


def commands(*beginning):
    """The arguments of the commands that begin like this."""
    found = [command[len(beginning):] for command in COMMANDS if tuple(command[:len(beginning)]) == beginning]
    assert found, f'README shows no {" ".join(beginning)}'
    return found


def interface(name):
    package, kind, type_name = name.split('/')
    return getattr(importlib.import_module(f'{package}.{kind}'), type_name)


@pytest.mark.parametrize('topic, type_name, fields', commands('ros2', 'topic', 'pub', '--once'))
def test_messages_can_be_published_as_shown_and_are_spoken(espeak, topic, type_name, fields):
    publisher = espeak.create_publisher(interface(type_name), topic, 10)
    espeak.wait_for(publisher.get_subscription_count, 20, f'subscription of {topic}')
    publisher.publish(interface(type_name)(**yaml.safe_load(fields)))
    assert espeak.wait_for(espeak.ended, 30, 'end of the speech').states[-1].name == 'FINISHED'
    espeak.destroy_publisher(publisher)


def test_services_and_parameters_can_be_called_and_set_as_shown(espeak):
    from ishowtts.srv import SetVoice
    for name, type_name, *fields in commands('ros2', 'service', 'call'):
        answer = espeak.call(interface(type_name), name, **yaml.safe_load((fields or ['{}'])[0]))
        assert getattr(answer, 'success', True), f'{name}: {answer}'
    for node, name, value in commands('ros2', 'param', 'set'):
        if node == '/ishowtts':
            request = [Parameter(name, value=yaml.safe_load(value)).to_parameter_msg()]
            result = espeak.call(SetParameters, f'{node}/set_parameters', parameters=request).results[0]
            assert result.successful, result.reason
    assert espeak.call(SetVoice, 'ishowtts/set_voice', voice='en-us').success


def test_the_refusal_shown_is_the_real_one(espeak):
    shown = re.search(r'\$ ros2 param set /ishowtts voice (\S+)\nSetting parameter failed: (.*)\n', README)
    request = [Parameter('voice', value=shown.group(1)).to_parameter_msg()]
    assert espeak.call(SetParameters, 'ishowtts/set_parameters', parameters=request).results[0].reason == shown.group(2)


def test_the_interfaces_table_is_complete(espeak):
    """Every topic, service and action of the node is in the table, with its type, and nothing else is."""
    table = {(kind, name): type_name for kind, names, type_name in
             re.findall(r'^\| (pub|sub|srv|action) ((?:`\S+` ?)+)\| (\S+?),? ', README, re.MULTILINE)
             for name in re.findall(r'`(\S+)`', names)}
    own = ('ishowtts', '')
    real = {}
    for kind, found in (('pub', espeak.get_publisher_names_and_types_by_node(*own)),
                        ('sub', espeak.get_subscriber_names_and_types_by_node(*own)),
                        ('srv', espeak.get_service_names_and_types_by_node(*own))):
        for name, (type_name, *_) in found:
            what = kind
            if '/_action/' in name:
                what, name, type_name = 'action', name.split('/_action/')[0], type_name.rsplit('_', 1)[0]
                if not type_name.startswith('ishowtts'):
                    continue
                type_name = re.sub(r'_(SendGoal|GetResult|FeedbackMessage|Feedback)$', '', type_name)
            short = name.replace('/ishowtts/', '~/', 1) if name.startswith('/ishowtts/') else name.lstrip('/')
            real[what, '/diagnostics' if short == 'diagnostics' else short] = re.sub('/(msg|srv|action)/', '/', type_name)
    of_rclpy = re.compile(r'~/(.*parameter.*|get_type_description|get_state|change_state|transition_event|'
                          r'get_available_.*|get_transition_graph)$|rosout$|parameter_events$')
    assert table == {key: type_name for key, type_name in real.items() if not of_rclpy.match(key[1])}


def test_the_command_works_as_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shown = re.search(r'`ishowtts (say .*?)`', README).group(1)
    assert cli.main(shlex.split(shown)) == 0
    assert (tmp_path / 'hello.wav').stat().st_size > 10_000

"""launch/: both files, run by launch as `ros2 launch` would run them."""

import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip('launch_testing', reason='launch comes with apt ROS; there is no wheel of it on PyPI')
pytest.importorskip('launch_ros', reason='launch comes with apt ROS; there is no wheel of it on PyPI')
pytest.importorskip('rclpy', reason='rclpy is not installed; `make test` installs it')

from ishowtts_ros.bench.ros_client import isolated, SpeechClient     # noqa: E402

LAUNCH = 'import sys; from ros2launch.api import launch_a_launch_file; from ament_index_python.packages import ' \
         'get_package_share_directory as share; sys.exit(launch_a_launch_file(launch_file_path=share("ishowtts") + ' \
         '"/launch/" + sys.argv[1], launch_file_arguments=sys.argv[2:]))'


@pytest.fixture(autouse=True, scope='module')
def ros():
    with isolated():
        yield


@pytest.fixture
def launch(tmp_path):
    """Launch a file; its output is in `.log`."""
    started = []

    def launch(file, *arguments):
        log = tmp_path / 'launch.log'
        environment = {**os.environ, 'ROS_LOG_DIR': str(tmp_path)}
        process = subprocess.Popen([sys.executable, '-c', LAUNCH, file, *arguments], stdout=log.open('wb'),
                                   stderr=subprocess.STDOUT, env=environment, start_new_session=True)
        process.log = log
        started.append(process)
        return process
    yield launch
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(30) == 0, process.log.read_text()


def hear(namespace=''):
    """Wait until the launched node is active; speak; return the recording."""
    client = SpeechClient(namespace=namespace)
    try:
        client.wait_until_active()
        return client.speak(id='a', text='Hello from a launch file.')
    finally:
        client.close()


def test_tts_launch_starts_a_node_that_speaks(launch):
    process = launch('tts.launch.py', 'play:=false')
    recording = hear()
    assert recording.states[-1].name == 'FINISHED' and recording.stats.voice == 'en-us'
    assert 'Traceback' not in process.log.read_text()


def test_tts_launch_arguments_reach_the_node(launch, tmp_path):
    parameters = tmp_path / 'mine.yaml'
    parameters.write_text('/**: {ros__parameters: {speed: 3.0}}')
    launch('tts.launch.py', 'play:=false', 'voice:=fr', 'nfe_step:=9', 'namespace:=kitchen', f'params_file:={parameters}')
    recording = hear('/kitchen')
    assert recording.stats.voice == 'fr'
    assert recording.stats.audio_duration < 1.2, 'spoken at speed 3'


def test_tts_launch_with_the_player(launch):
    process = launch('tts.launch.py', 'play:=true')
    assert hear().states[-1].name == 'FINISHED'
    assert 'player_node' in process.log.read_text() and 'Traceback' not in process.log.read_text()


def test_a_bad_argument_is_refused_by_the_node_with_what_would_be_right(launch):
    process = launch('tts.launch.py', 'play:=false', 'nfe_step:=many', 'engine:=siri')
    client = SpeechClient()
    try:
        client.wait_for(lambda: 'not configured' in process.log.read_text(), 60, 'refusal in the log')
    finally:
        client.close()
    assert '1 to 128' in process.log.read_text() and 'one of espeak' in process.log.read_text()


def test_demo_launch_speaks_its_text_and_ends(launch):
    process = launch('demo.launch.py', 'text:=Two words.', 'play:=false')
    assert process.wait(90) == 0, process.log.read_text()
    log = process.log.read_text()
    assert 's of speech' in log and 'Traceback' not in log


def test_a_params_file_that_is_not_there_starts_nothing(launch):
    process = launch('tts.launch.py', 'play:=false', 'params_file:=/nowhere/mine.yaml')
    assert process.wait(60) != 0
    log = process.log.read_text()
    assert "no params_file '/nowhere/mine.yaml'" in log and 'started with pid' not in log


def test_a_params_file_may_be_named_from_the_home_directory(launch, tmp_path, monkeypatch):
    """A shell leaves the ~ of params_file:=~/mine.yaml as it is."""
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'mine.yaml').write_text('/**: {ros__parameters: {voice: fr}}')
    launch('tts.launch.py', 'play:=false', 'params_file:=~/mine.yaml')
    assert hear().stats.voice == 'fr'


def test_a_demo_whose_engine_cannot_be_loaded_ends_and_says_why(launch):
    process = launch('demo.launch.py', 'voice:=en-uss', 'play:=false')
    process.wait(60)
    assert "say_once: parameter voice: unknown voice 'en-uss'" in process.log.read_text()

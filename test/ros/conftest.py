"""Every run has a ROS domain of its own, on loopback; nodes are real processes."""

import warnings

import pytest

try:
    import ishowtts     # noqa: F401
    import rclpy

    from ishowtts_ros.bench.ros_client import isolate, NodeProcess, SpeechClient
except ImportError as error:
    collect_ignore_glob = ['test_*.py']
    warnings.warn(f'test/ros is left out: {error}; `make test` installs ROS and builds the interfaces')


@pytest.fixture(scope='session', autouse=True)
def ros():
    isolate()
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def start_node(tmp_path):
    """Start a node process; its log is in `.log`. Ends it after the test, which fails if it does not end well."""
    started = []

    def start(parameters=None, *arguments, executable='tts_node'):
        log = tmp_path / f'{executable}-{len(started)}.log'
        node = NodeProcess(executable, parameters, arguments, output=log)
        node.log = log
        started.append(node)
        return node
    yield start
    for node in started:
        ended_itself = node.process.poll() is not None
        code = node.stop()
        assert ended_itself or code == 0, f'exit code {code}\n{node.log.read_text()}'


@pytest.fixture
def client():
    client = SpeechClient()
    yield client
    client.close()


@pytest.fixture
def speaking_node(start_node, client):
    """Start a node with these parameters and wait until it is active and matched. Its audio comes in bursts, to save time."""
    def start(**parameters):
        node = start_node({'pacing': 'burst', **{name.replace('__', '.'): value for name, value in parameters.items()}})
        client.wait_until_active(node)
        return node
    return start


@pytest.fixture(scope='module')
def shared_espeak(tmp_path_factory):
    """A client of an espeak node that the tests of a module share, for tests that leave it as it was.

    It lives beside the nodes of other tests, so it has a namespace of its own.
    """
    node = NodeProcess('tts_node', {'pacing': 'burst'},
                       ('-r', '__ns:=/shared', '-r', '/diagnostics:=/shared/diagnostics'),
                       output=tmp_path_factory.mktemp('espeak') / 'node.log')
    client = SpeechClient('shared_client', namespace='/shared')
    try:
        client.wait_until_active(node)
        yield client
    finally:
        client.close()
        node.stop()


@pytest.fixture
def espeak(shared_espeak):
    """shared_espeak, as if nothing had been said yet."""
    shared_espeak.recordings.clear()
    return shared_espeak

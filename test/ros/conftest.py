"""Every run has a ROS domain of its own, on loopback; nodes are real processes."""

import warnings

import pytest

try:
    from ishowtts_ros.bench.ros_client import isolated, NodeProcess, SpeechClient
except ImportError as error:
    collect_ignore_glob = ['test_*.py']
    warnings.warn(f'test/ros is left out: {error}; `make test` installs ROS and builds the interfaces')


@pytest.fixture(scope='session', autouse=True)
def ros():
    with isolated():
        yield


@pytest.fixture
def start_node(tmp_path, shared_espeak):
    """Start a node process; its log is in `.log`. Ends it after the test, which fails if it does not end well."""
    started = []
    shared_espeak.stop()

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


class SharedEspeak:
    """An espeak node, and a client of it, for tests that leave it as it was. Ends when a test starts a node of its own."""

    def __init__(self, log):
        self._log = log
        self._running = None

    def client(self):
        if self._running is None:
            node = NodeProcess('tts_node', {'pacing': 'burst'}, output=self._log)
            client = SpeechClient('shared_client')
            self._running = node, client
            client.wait_until_active(node)
        return self._running[1]

    def stop(self):
        if self._running:
            (node, client), self._running = self._running, None
            client.close()
            node.stop()


@pytest.fixture(scope='session')
def shared_espeak(tmp_path_factory):
    shared = SharedEspeak(tmp_path_factory.mktemp('espeak') / 'node.log')
    yield shared
    shared.stop()


@pytest.fixture
def espeak(shared_espeak):
    """The client of the shared node, as if nothing had been said yet."""
    client = shared_espeak.client()
    client.recordings.clear()
    return client

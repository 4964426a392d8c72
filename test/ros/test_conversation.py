"""Four processes talk at once, one of them dies: every request still ends once, and no speech is torn."""

from itertools import groupby
from pathlib import Path
import subprocess
import sys

import pytest
from std_srvs.srv import Trigger

from ishowtts_ros.bench.ros_client import SpeechClient
from ishowtts_ros.core.types import UtteranceState

QUEUED, STARTED, FINISHED, CANCELED, REJECTED, FAILED = UtteranceState
REQUESTS = 500      # of each client


class Listener(SpeechClient):
    """Also remembers whose chunks came in which order."""

    def __init__(self):
        self.order = []
        super().__init__('listener')

    def _on_audio(self, message):
        self.order.append(message.utterance_id)
        super()._on_audio(message)


@pytest.fixture
def client():
    client = Listener()
    yield client
    client.close()


@pytest.mark.timeout(300)
def test_2000_requests_of_four_processes_of_which_one_is_killed(speaking_node, client):
    speaking_node(engine='tone', queue_depth=100, overflow='drop_oldest', tone__fail_on='boom')
    script = str(Path(__file__).with_name('conversation_client.py'))
    names = ('amy', 'ben', 'cem', 'dan')
    processes = {name: subprocess.Popen([sys.executable, script, name, str(REQUESTS)]) for name in names}
    try:
        client.wait_for(lambda: sum(name.startswith('dan') for name in list(client.recordings)) >= REQUESTS // 2,
                        120, 'half of the requests')
        processes['dan'].kill()
        assert client.call(Trigger, 'ishowtts/pause', timeout=60).success
        assert client.call(Trigger, 'ishowtts/stop', timeout=60).success
        assert client.call(Trigger, 'ishowtts/resume', timeout=60).success
        assert [processes[name].wait(120) for name in names[:3]] == [0, 0, 0]
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    client.speak(id='end', text='x', priority=1, timeout=120)      # the least urgent: nothing waits any more
    recordings = client.recordings
    client.wait_for(lambda: all(recording.ended for recording in list(recordings.values())), 60, 'end of all')

    counts = {name: sum(key.startswith(name) for key in recordings) for name in names}
    assert [counts[name] for name in names[:3]] == [REQUESTS] * 3
    assert REQUESTS // 2 <= counts['dan'] <= REQUESTS
    for name, recording in recordings.items():
        assert recording.states in ([REJECTED], [QUEUED, CANCELED], [QUEUED, STARTED, CANCELED],
                                    [QUEUED, STARTED, FAILED], [QUEUED, STARTED, FINISHED]), name
        assert [c.sequence for c in recording.chunks] == list(range(len(recording.chunks)))
        assert [c.last for c in recording.chunks].count(True) == (STARTED in recording.states)
        assert not recording.chunks or recording.chunks[-1].last
        if recording.states[-1] is FINISHED:
            assert len(recording.samples) == 1200 * recording.stats.text_length
    outcomes = {recording.states[-1] for recording in recordings.values()}
    assert {FINISHED, CANCELED, FAILED} <= outcomes
    pieces = [name for name, _ in groupby(client.order)]
    assert len(pieces) == len(set(pieces)), 'the chunks of an utterance are contiguous'

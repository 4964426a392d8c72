"""voice_services.py as its clients meet it: voices come and go over DDS while an f5 node speaks."""

from concurrent.futures import ThreadPoolExecutor
import os
from pathlib import Path
import re
import shutil

import numpy as np
import pytest

pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')
pytest.importorskip('safetensors', reason='safetensors is not installed; `make test` installs it')

from f5_voices import parameters, RATE, syllables, TRANSCRIPT, VOICES      # noqa: E402
from lifecycle_msgs.msg import Transition                           # noqa: E402
from lifecycle_msgs.srv import ChangeState                          # noqa: E402
import soundfile                                                    # noqa: E402
from std_srvs.srv import Trigger                                    # noqa: E402
import yaml                                                         # noqa: E402

from ishowtts import srv                                            # noqa: E402
from ishowtts.msg import AudioChunk                                 # noqa: E402
from ishowtts.srv import AddVoice, ListVoices, RemoveVoice, SetVoice    # noqa: E402
from ishowtts_ros.core.types import ErrorCode, UtteranceState       # noqa: E402

QUEUED, STARTED, FINISHED, CANCELED, REJECTED, FAILED = UtteranceState
README = (Path(__file__).parents[2] / 'README.md').read_text()
HELLO = 'Hello, I am a robot.'
ENDLESS = 'This is one of many sentences that follow each other. ' * 100


@pytest.fixture(scope='module')
def f5(tmp_path_factory):
    folder = tmp_path_factory.mktemp('f5')
    return folder, parameters(folder)


@pytest.fixture
def start(f5, tmp_path, speaking_node, monkeypatch):
    """Start a node whose files are in a folder of this test: voices.yaml, recordings/ and tmp/."""
    for name in ('tmp', 'recordings'):
        (tmp_path / name).mkdir()
    for name in ('anna.wav', 'bob.wav'):
        shutil.copy(f5[0] / name, tmp_path)
    (tmp_path / 'voices.yaml').write_text(VOICES)
    soundfile.write(tmp_path / 'recordings/carl.wav', syllables(150), RATE)
    monkeypatch.setenv('TMPDIR', str(tmp_path / 'tmp'))

    def start(**more):
        return speaking_node(**{**f5[1], 'voices_file': str(tmp_path / 'voices.yaml'),
                                'voice_folders': [str(tmp_path / 'recordings')], **more})
    return start


@pytest.fixture
def voices(client):
    return VoiceClient(client)


class VoiceClient:
    def __init__(self, client):
        self._client = client

    def add(self, voice, audio_path='', samples=(), transcript=TRANSCRIPT, rate=RATE, channels=1, **fields):
        audio = AudioChunk(sample_rate=rate, channels=channels, samples=samples) if len(samples) else AudioChunk()
        return self._client.call(AddVoice, 'ishowtts/add_voice', voice=voice, transcript=transcript, audio_path=audio_path,
                                 audio=audio, timeout=60, **fields)

    def remove(self, voice):
        return self._client.call(RemoveVoice, 'ishowtts/remove_voice', voice=voice, timeout=60)

    def set(self, voice):
        return self._client.call(SetVoice, 'ishowtts/set_voice', voice=voice)

    def names(self):
        return list(self._client.call(ListVoices, 'ishowtts/list_voices').voices)


def refused(answer, code, says):
    assert not answer.success and (answer.code, says in answer.message) == (code, True), answer
    return True


def test_a_voice_from_a_file_is_listed_and_spoken_with_and_removed(start, client, voices, tmp_path):
    start()
    before = voices.names()
    answer = voices.add('carl', 'carl.wav')
    assert answer.success and not answer.code and 'carl' in answer.message
    assert voices.names() == sorted([*before, 'carl'])
    by = {name: client.speak(id=name, text=HELLO, voice=name) for name in ('anna', 'carl')}
    assert by['carl'].states[-1] is FINISHED and by['carl'].stats.voice == 'carl'
    assert not np.array_equal(by['anna'].samples, by['carl'].samples), 'it is another voice'
    assert voices.set('carl').success
    assert client.speak(id='set', text=HELLO).stats.voice == 'carl'
    assert refused(voices.remove('carl'), ErrorCode.VOICE_IN_USE, 'current voice')
    assert voices.set('anna').success and voices.remove('carl').success
    assert voices.names() == before
    gone = client.speak(id='gone', text=HELLO, voice='carl')
    assert gone.states == [REJECTED] and gone.code == ErrorCode.UNKNOWN_VOICE
    assert refused(voices.set('carl'), ErrorCode.UNKNOWN_VOICE, 'closest')
    assert refused(voices.remove('carl'), ErrorCode.UNKNOWN_VOICE, 'closest')
    assert refused(voices.remove('ana'), ErrorCode.UNKNOWN_VOICE, 'anna')
    assert (tmp_path / 'recordings/carl.wav').exists(), "a user's file is never deleted"
    assert (tmp_path / 'voices.yaml').read_text() == VOICES
    assert voices.add('carl', str(tmp_path / 'recordings/carl.wav')).success, 'the name is free again'


def test_what_cannot_be_a_voice_is_refused_with_its_reason_and_nothing_changes(start, client, voices, tmp_path):
    recordings, (low, hum) = tmp_path / 'recordings', (syllables(110, 0.1), syllables(150))
    soundfile.write(tmp_path / 'outside.wav', hum, RATE)
    (recordings / 'link.wav').symlink_to(tmp_path / 'outside.wav')
    with open(recordings / 'huge.wav', 'wb') as file:
        file.truncate(2 * 2**30)        # sparse
    os.mkfifo(recordings / 'pipe.wav')
    (recordings / 'text.wav').write_text('I am no recording.')
    (recordings / 'cut.wav').write_bytes((recordings / 'carl.wav').read_bytes()[:30])
    (recordings / 'empty.wav').touch()
    soundfile.write(recordings / 'silent.wav', 0 * hum, RATE)
    soundfile.write(recordings / 'short.wav', low, RATE)
    start()
    before = voices.names()
    for fields, code, says in (
            ({'audio_path': str(tmp_path / 'outside.wav')}, ErrorCode.PATH_NOT_ALLOWED, 'voice_folders'),
            ({'audio_path': '../outside.wav'}, ErrorCode.PATH_NOT_ALLOWED, 'voice_folders'),
            ({'audio_path': 'link.wav'}, ErrorCode.PATH_NOT_ALLOWED, 'leads out'),
            ({'audio_path': '/etc/passwd'}, ErrorCode.PATH_NOT_ALLOWED, 'voice_folders'),
            ({'audio_path': 'huge.wav'}, ErrorCode.INVALID_REFERENCE, '2048 MiB'),
            ({'audio_path': 'pipe.wav'}, ErrorCode.INVALID_REFERENCE, 'regular file'),
            ({'audio_path': 'nothing.wav'}, ErrorCode.INVALID_REFERENCE, 'No such file'),
            ({'audio_path': 'text.wav'}, ErrorCode.INVALID_REFERENCE, 'cannot be read as audio'),
            ({'audio_path': 'cut.wav'}, ErrorCode.INVALID_REFERENCE, "'dora'"),
            ({'audio_path': 'empty.wav'}, ErrorCode.INVALID_REFERENCE, 'cannot be read as audio'),
            ({'audio_path': 'silent.wav'}, ErrorCode.INVALID_REFERENCE, 'silent'),
            ({'audio_path': 'short.wav'}, ErrorCode.INVALID_REFERENCE, '0.10 s'),
            ({'audio_path': 'text.wav', 'persist': True}, ErrorCode.INVALID_REFERENCE, 'cannot be read as audio'),
            ({'samples': low}, ErrorCode.INVALID_REFERENCE, '0.10 s'),
            ({'samples': 0 * hum, 'persist': True}, ErrorCode.INVALID_REFERENCE, 'silent'),
            ({'samples': np.tile(hum, 31)}, ErrorCode.INVALID_REFERENCE, 'at most 60 s'),
            ({'samples': hum, 'rate': 0}, ErrorCode.INVALID_PARAMETER, 'sample_rate'),
            ({'samples': hum, 'channels': 0}, ErrorCode.INVALID_PARAMETER, 'channels'),
            ({'samples': hum, 'audio_path': 'carl.wav'}, ErrorCode.INVALID_PARAMETER, 'both'),
            ({}, ErrorCode.INVALID_PARAMETER, 'neither'),
            ({'audio_path': 'carl.wav', 'transcript': ' '}, ErrorCode.EMPTY_TEXT, 'transcript'),
            ({'audio_path': 'carl.wav', 'voice': ''}, ErrorCode.INVALID_PARAMETER, 'letters'),
            ({'samples': hum, 'voice': '../dora', 'persist': True}, ErrorCode.INVALID_PARAMETER, 'letters'),
            ({'audio_path': 'carl.wav', 'voice': 'anna'}, ErrorCode.VOICE_EXISTS, 'remove it first')):
        assert refused(voices.add(**{'voice': 'dora', **fields}), code, says)
        assert voices.names() == before
    (tmp_path / 'voices.yaml').chmod(0o444)
    assert refused(voices.add('dora', samples=hum, persist=True), ErrorCode.NOT_SAVED, 'not writable')
    (tmp_path / 'voices.yaml').chmod(0o644)
    (tmp_path / 'voices.yaml').write_text('voices: [')
    assert refused(voices.add('dora', samples=hum, persist=True), ErrorCode.INVALID_PARAMETER, 'cannot read')
    assert refused(voices.remove('bob'), ErrorCode.INVALID_PARAMETER, 'cannot read')
    (tmp_path / 'voices.yaml').write_text(VOICES)
    assert refused(voices.remove('anna'), ErrorCode.VOICE_IN_USE, 'current voice'), "the parameter is '', and anna the default"
    assert voices.names() == before
    assert not [file for folder in ('tmp', 'added_voices') for file in (tmp_path / folder).glob('**/*.wav')]
    assert client.speak(id='good', text=HELLO).states[-1] is FINISHED


def test_samples_in_the_request_speak_like_their_file_and_go_with_the_voice(start, client, voices, tmp_path):
    node = start()
    hum = syllables(150)
    stereo = np.stack([hum, hum], axis=1).ravel()
    assert voices.add('file', 'carl.wav').success
    assert voices.add('mono', samples=hum).success and voices.add('stereo', samples=stereo, channels=2).success
    by = {name: client.speak(id=name, text=HELLO, voice=name).samples for name in ('file', 'mono', 'stereo')}
    assert len(by['file']) and np.array_equal(by['mono'], by['file']) and np.array_equal(by['stereo'], by['file'])
    assert sorted(file.name for file in (tmp_path / 'tmp').glob('*/*')) == ['mono.wav', 'stereo.wav']
    assert voices.remove('mono').success
    assert [file.name for file in (tmp_path / 'tmp').glob('*/*')] == ['stereo.wav']
    assert node.stop() == 0
    assert not list((tmp_path / 'tmp').glob('ishowtts*')), 'nothing is left behind'
    assert (tmp_path / 'voices.yaml').read_text() == VOICES


def test_persisted_voices_come_back_until_they_are_removed(start, client, voices, tmp_path):
    node, file, kept = start(), tmp_path / 'voices.yaml', tmp_path / 'added_voices/dora.wav'
    assert voices.add('dora', samples=syllables(130), persist=True).success
    assert voices.add('carl', 'carl.wav', persist=True).success
    assert refused(voices.add('eve', str(kept)), ErrorCode.PATH_NOT_ALLOWED, 'voice_folders')
    before = client.speak(id='before', text=HELLO, voice='dora').samples
    assert node.stop() == 0
    entries = yaml.safe_load(file.read_text())['voices']
    assert list(entries) == ['anna', 'bob', 'dora', 'carl'] and entries['dora']['audio'] == 'added_voices/dora.wav'
    assert all(comment in file.read_text() for comment in ('# The voices of this robot', '# high', '# low'))

    node = start(voice_folders=[str(tmp_path)])
    assert np.array_equal(client.speak(id='again', text=HELLO, voice='dora').samples, before)
    assert client.speak(id='carl', text=HELLO, voice='carl').states[-1] is FINISHED
    assert refused(voices.add('eve', str(kept)), ErrorCode.PATH_NOT_ALLOWED, 'belongs to another voice')
    for name in ('dora', 'carl', 'bob'):
        assert voices.remove(name).success
    assert not kept.exists() and (tmp_path / 'recordings/carl.wav').exists() and (tmp_path / 'bob.wav').exists()
    assert node.stop() == 0
    assert list(yaml.safe_load(file.read_text())['voices']) == ['anna'] and '# high' in file.read_text()

    start()
    assert 'anna' in voices.names() and not {'bob', 'carl', 'dora'} & set(voices.names())


def test_what_another_node_has_put_into_the_same_voices_file_is_left_alone(start, voices, tmp_path):
    start()
    file, theirs, arriving = (tmp_path / name for name in ('voices.yaml', 'added_voices/dora.wav', 'added_voices/eve.wav'))
    theirs.parent.mkdir()
    soundfile.write(theirs, syllables(170), RATE)
    arriving.write_bytes(b'still being written')
    file.write_text(VOICES + f'  dora: {{audio: added_voices/dora.wav, transcript: "{TRANSCRIPT}"}}\n')
    before = theirs.read_bytes(), file.read_text()
    assert refused(voices.add('dora', samples=syllables(130), persist=True), ErrorCode.VOICE_EXISTS, 'voices_file')
    assert (theirs.read_bytes(), file.read_text()) == before
    assert voices.add('eve', samples=syllables(130), persist=True).success
    assert arriving.read_bytes() == b'still being written'
    entries = yaml.safe_load(file.read_text())['voices']
    assert entries['dora']['audio'] == 'added_voices/dora.wav' and entries['eve']['audio'] == 'added_voices/eve-2.wav'
    assert voices.remove('eve').success
    assert sorted(file.name for file in theirs.parent.iterdir()) == ['dora.wav', 'eve.wav']


def test_without_a_voices_file_nothing_can_be_persisted_and_the_example_stays(start, client, voices):
    start(voices_file='')
    assert refused(voices.add('carl', 'carl.wav', persist=True), ErrorCode.NOT_SAVED, 'voices_file')
    assert 'carl' not in voices.names()
    assert voices.add('carl', 'carl.wav').success
    assert client.speak(id='a', text=HELLO, voice='carl').states[-1] is FINISHED
    if 'f5_example' in voices.names():
        assert voices.set('carl').success
        assert refused(voices.remove('f5_example'), ErrorCode.NOT_SUPPORTED, 'comes with the engine')
        assert refused(voices.add('f5_example', 'carl.wav'), ErrorCode.VOICE_EXISTS, 'already')


def test_topics_and_services_are_served_while_a_voice_waits_for_the_engine(start, client, voices):
    start(nfe_step=64)
    assert voices.add('carl', 'carl.wav').success
    client.request(id='long', text=ENDLESS, voice='bob')
    client.wait_for(lambda: 'long' in client.recordings and client.recordings['long'].states == [QUEUED, STARTED], 60, 'start')
    with ThreadPoolExecutor() as pool:
        adding = pool.submit(voices.add, 'dora', samples=syllables(130))
        client.request(id='waiting', text=HELLO, voice='carl')
        client.wait_for(lambda: 'waiting' in client.recordings, 30, 'event of a request')
        assert 'dora' not in voices.names() and not adding.done(), 'the engine is busy with the long text'
        assert client.call(Trigger, 'ishowtts/stop').message == '2 canceled'
        assert adding.result().success
    client.wait_for(lambda: client.ended('long') and client.ended('waiting'), 30, 'end')
    client.request(id='long again', text=ENDLESS, voice='bob')
    client.request(id='waiting again', text=HELLO, voice='carl')
    client.wait_for(lambda: {'long again', 'waiting again'} <= set(client.recordings), 30, 'events')
    assert refused(voices.remove('bob'), ErrorCode.VOICE_IN_USE, "'bob' is in use by utterance long again;")
    assert refused(voices.remove('carl'), ErrorCode.VOICE_IN_USE, "'carl' is in use by utterance waiting again;")
    assert client.call(Trigger, 'ishowtts/stop').success
    assert voices.remove('bob').success and voices.remove('carl').success


def test_of_many_who_add_at_once_each_is_answered_and_a_name_is_given_once(start, voices):
    start()
    before = voices.names()
    with ThreadPoolExecutor(8) as pool:
        same = [pool.submit(voices.add, 'carl', 'carl.wav', persist=True) for _ in range(4)]
        others = [pool.submit(voices.add, f'voice{number}', samples=syllables(100 + number), persist=True) for number in range(4)]
        assert all(future.result().success for future in others)
        assert sorted(future.result().code for future in same) == ['', *[ErrorCode.VOICE_EXISTS] * 3]
    assert voices.names() == sorted([*before, 'carl', *(f'voice{number}' for number in range(4))])


def test_voices_can_be_added_as_soon_as_and_as_long_as_the_node_is_configured(start, client, voices):
    def transition(which):
        return client.call(ChangeState, 'ishowtts/change_state', transition=Transition(id=which), timeout=60).success
    start(nfe_step=64)
    client.request(id='long', text=ENDLESS)
    client.wait_for(lambda: 'long' in client.recordings and client.recordings['long'].states == [QUEUED, STARTED], 60, 'start')
    with ThreadPoolExecutor() as pool:      # one waits for the engine, the other for the first: each is answered
        adding = [pool.submit(voices.add, name, 'carl.wav', persist=True) for name in ('carl', 'dora')]
        assert transition(Transition.TRANSITION_DEACTIVATE) and all(future.result().success for future in adding)
    assert voices.add('eve', 'carl.wav').success and 'eve' in voices.names(), 'inactive is configured'
    assert transition(Transition.TRANSITION_CLEANUP)
    for answer in (voices.add('fred', 'carl.wav'), voices.remove('carl')):
        assert refused(answer, ErrorCode.NOT_ACTIVE, 'configure')
    assert transition(Transition.TRANSITION_CONFIGURE) and transition(Transition.TRANSITION_ACTIVATE)
    assert {'carl', 'dora'} <= set(voices.names()) and 'eve' not in voices.names(), 'what was persisted'


def test_a_process_that_ends_answers_who_waits_and_keeps_nothing(start, client, voices, tmp_path):
    node = start(nfe_step=64)
    client.request(id='long', text=ENDLESS)
    client.wait_for(lambda: 'long' in client.recordings and client.recordings['long'].states == [QUEUED, STARTED], 60, 'start')
    with ThreadPoolExecutor() as pool:
        adding = pool.submit(voices.add, 'carl', samples=syllables(150), persist=True)
        client.wait_for(lambda: (tmp_path / 'added_voices/carl.wav').exists(), 30, 'recording of the voice that waits')
        assert not adding.done() and node.stop() == 0
        assert refused(adding.result(), ErrorCode.NOT_ACTIVE, 'configure')
    assert 'Traceback' not in node.log.read_text(), node.log.read_text()
    assert not (tmp_path / 'added_voices/carl.wav').exists() and (tmp_path / 'voices.yaml').read_text() == VOICES


def test_engines_that_clone_no_voices_say_so(espeak):
    voices = VoiceClient(espeak)
    for answer in (voices.add('carl', '/tmp/carl.wav'), voices.remove('en-us'), voices.remove('nobody')):
        assert refused(answer, ErrorCode.NOT_SUPPORTED, 'engine: f5')


def test_the_answers_that_the_readme_shows_are_the_real_ones(start, client, tmp_path, monkeypatch):
    shown = re.findall(r'^\$ ros2 service call (/ishowtts/\S+) ishowtts/srv/(\S+) "(.*)"\nresponse:\n(.*)$', README, re.MULTILINE)
    assert len(shown) == 2
    monkeypatch.setenv('HOME', str(tmp_path))
    start(voices_file='~/voices.yaml', voice_folders=['~/recordings'])
    (tmp_path / 'recordings/carl.wav').rename(tmp_path / 'recordings/maria.wav')
    for name, service, request, response in shown:
        answer = client.call(getattr(srv, service), name, timeout=60, **yaml.safe_load(request))
        assert repr(answer).replace(str(tmp_path), 'HOME') == response

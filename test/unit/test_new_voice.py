"""core/new_voice.py: what is refused before anything is read or kept."""

import os
import socket

import numpy as np
import pytest

from ishowtts_ros.core import new_voice
from ishowtts_ros.core.new_voice import locate, NewVoice
from ishowtts_ros.core.types import ErrorCode, SpeechError

SECOND = np.ones(24_000, np.int16)


def refusal(action, code):
    with pytest.raises(SpeechError) as error:
        action()
    assert error.value.code == code, error.value
    return str(error.value)


@pytest.mark.parametrize('name', ['anna', 'Zoë', '小明', 'r2-d2', '7', 'a.b_c', 'x' * 50])
def test_a_name_is_letters_and_digits(name):
    NewVoice(name, 'Hi.', path='a.wav').check()


@pytest.mark.parametrize('name', ['', ' ', '.', '..', '../a', 'a/b', 'a\\b', '.hidden', '-a', '_a', 'a b', 'a\n', 'a\0', 'x' * 51,
                                  'a:b', '{a}', "a'b", '\ud83d', 'a\ufffd'])
def test_a_name_that_could_harm_a_path_or_the_file_of_voices_is_refused(name):
    says = refusal(NewVoice(name, 'Hi.', path='a.wav').check, ErrorCode.INVALID_PARAMETER)
    assert 'letters, digits' in says


@pytest.mark.parametrize('fields, code, says', [
    ({'transcript': ''}, ErrorCode.EMPTY_TEXT, 'exactly what the recording says'),
    ({'transcript': ' \n'}, ErrorCode.EMPTY_TEXT, 'exactly what the recording says'),
    ({'transcript': 'bell\x07'}, ErrorCode.INVALID_TEXT, 'U+0007'),
    ({'transcript': 'x' * 2001}, ErrorCode.TEXT_TOO_LONG, '2000'),
    ({'path': 'a.wav'}, ErrorCode.INVALID_PARAMETER, 'both audio_path and audio.samples'),
    ({'samples': SECOND[:0]}, ErrorCode.INVALID_PARAMETER, 'neither'),
    ({'sample_rate': 0}, ErrorCode.INVALID_PARAMETER, '8000 to 48000 Hz'),
    ({'sample_rate': 2**32 - 1}, ErrorCode.INVALID_PARAMETER, '8000 to 48000 Hz'),
    ({'channels': 0}, ErrorCode.INVALID_PARAMETER, '1 to 2'),
    ({'channels': 3}, ErrorCode.INVALID_PARAMETER, '1 to 2'),
    ({'channels': 2, 'samples': SECOND[1:]}, ErrorCode.INVALID_PARAMETER, 'interleave'),
    ({'samples': np.ones(61 * 24_000, np.int16)}, ErrorCode.INVALID_REFERENCE, 'at most 60 s'),
])
def test_what_is_missing_or_out_of_range_is_refused(fields, code, says):
    good = {'transcript': 'Hi.', 'samples': SECOND, 'sample_rate': 24_000, 'channels': 1}
    NewVoice('anna', **good).check()
    assert says in refusal(NewVoice('anna', **{**good, **fields}).check, code)


def test_a_transcript_is_kept_on_one_line():
    assert NewVoice('anna', ' One\n two. ').spoken() == 'One two.'


@pytest.fixture
def folder(tmp_path):
    """A folder of voices beside one that is out of bounds."""
    for name in ('voices/deep', 'voices_of_others'):
        (tmp_path / name).mkdir(parents=True)
    for name in ('voices/a.wav', 'voices/deep/b.wav', 'voices_of_others/c.wav'):
        (tmp_path / name).write_bytes(b'RIFF')
    return tmp_path / 'voices'


def test_files_below_a_folder_are_found_by_absolute_and_relative_paths(folder, monkeypatch):
    other = folder.parent / 'voices_of_others'
    for path in ('a.wav', 'deep/../a.wav', str(folder / 'a.wav')):
        assert locate(path, [str(folder)]) == folder / 'a.wav'
    assert locate('deep/b.wav', [str(folder)]) == folder / 'deep/b.wav'
    assert locate('c.wav', [str(folder), str(other)]) == other / 'c.wav'
    monkeypatch.setenv('HOME', str(folder.parent))
    assert locate('a.wav', ['~/voices']) == folder / 'a.wav'


def test_links_are_followed_before_the_folder_is_compared(folder):
    outside = folder.parent / 'voices_of_others'
    (folder / 'inside.wav').symlink_to('a.wav')
    (folder / 'out.wav').symlink_to(outside / 'c.wav')
    (folder / 'out').symlink_to(outside)
    (folder.parent / 'entrance').symlink_to(folder)
    assert locate('inside.wav', [str(folder)]) == folder / 'a.wav'
    assert locate('a.wav', [str(folder.parent / 'entrance')]) == folder / 'a.wav'
    for path in ('out.wav', 'out/c.wav'):
        assert 'link that leads out' in refusal(lambda: locate(path, [str(folder)]), ErrorCode.PATH_NOT_ALLOWED)


@pytest.mark.parametrize('path', ['../voices_of_others/c.wav', '/etc/passwd', '/nowhere/at/all', '.', '..', '/', '~/a.wav/../..'])
def test_what_lies_outside_is_refused_whether_it_exists_or_not(folder, path):
    assert 'voice_folders' in refusal(lambda: locate(path, [str(folder)]), ErrorCode.PATH_NOT_ALLOWED)


@pytest.mark.parametrize('folders', [[], ['']])
def test_without_folders_nothing_is_allowed(folder, folders, monkeypatch):
    monkeypatch.chdir(folder)
    assert 'voice_folders' in refusal(lambda: locate('a.wav', folders), ErrorCode.PATH_NOT_ALLOWED)


def test_what_is_no_file_of_reasonable_size_is_refused_unopened(folder, monkeypatch):
    os.mkfifo(folder / 'pipe')
    with open(folder / 'huge.wav', 'wb') as file:
        file.truncate(2 * 2**30)        # sparse
    with open(folder / 'limit.wav', 'wb') as file:
        file.truncate(new_voice.MAX_FILE)
    monkeypatch.chdir(folder)
    socket.socket(socket.AF_UNIX).bind('door')
    monkeypatch.setattr('builtins.open', lambda *_, **__: pytest.fail('opened'))
    for name, says in (('deep', 'regular file'), ('pipe', 'regular file'), ('door', 'regular file'), ('none.wav', 'No such file'),
                       ('huge.wav', '2048 MiB'), ('x' * 300, 'too long'), ('a.wav/b.wav', 'Not a directory')):
        assert says in refusal(lambda: locate(name, [str(folder)]), ErrorCode.INVALID_REFERENCE)
    assert locate('limit.wav', [str(folder)]) == folder / 'limit.wav'
    assert 'regular file' in refusal(lambda: locate('/dev/zero', ['/dev']), ErrorCode.INVALID_REFERENCE)


@pytest.mark.parametrize('path', ['a\0.wav', '\ud83d.wav'])
def test_what_is_no_path_is_refused(folder, path):
    with pytest.raises(SpeechError) as error:
        locate(path, [str(folder)])
    assert error.value.code in (ErrorCode.INVALID_PARAMETER, ErrorCode.INVALID_REFERENCE)

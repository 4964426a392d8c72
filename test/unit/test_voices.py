"""core/voices.py and voices_file.py."""

from pathlib import Path

import pytest

from ishowtts_ros import voices_file
from ishowtts_ros.core.types import ErrorCode, SpeechError
from ishowtts_ros.core.voices import Voice, VoiceRegistry

VOICES_YAML = Path(__file__).parents[2] / 'config/voices.yaml'


def test_voices_are_read_with_paths_relative_to_their_file(tmp_path):
    file = tmp_path / 'voices.yaml'
    file.write_text('voices: {anna: {audio: a.wav, transcript: "Hi.", language: en}}')
    voice = voices_file.load(str(file)).get('anna')
    assert voice == Voice('anna', tmp_path / 'a.wav', 'Hi.', 'en')


def test_the_example_file_and_its_commented_entry_are_valid(tmp_path):
    assert len(voices_file.load(str(VOICES_YAML))) == 0
    example = VOICES_YAML.read_text().replace('voices: {}', 'voices:').replace('\n#  ', '\n  ')
    (tmp_path / 'voices.yaml').write_text(example)
    assert voices_file.load(str(tmp_path / 'voices.yaml')).names() == ['narrator']


@pytest.mark.parametrize('content, says', [
    (None, 'cannot read'), ('[', 'cannot read'), ('[]', "'voices:'"), ('voices: 3', "'voices:'"),
    ('voices: {a: {audio: x.wav}}', "'a' needs both"), ('voices: {a: 3}', "'a' needs both"),
    ('voices: {a: {audio: x, transcript: y, pitch: 2}}', 'pitch'),
])
def test_a_bad_file_is_refused_saying_what_is_wrong(tmp_path, content, says):
    file = tmp_path / 'voices.yaml'
    if content is not None:
        file.write_text(content)
    with pytest.raises(SpeechError, match=says) as error:
        voices_file.load(str(file))
    assert error.value.code == ErrorCode.INVALID_PARAMETER


def test_an_unknown_voice_is_answered_with_the_nearest_names():
    registry = VoiceRegistry([Voice('anna', Path('a'), 'x'), Voice('bob', Path('b'), 'y')])
    with pytest.raises(SpeechError, match='anna') as error:
        registry.get('ana')
    assert error.value.code == ErrorCode.UNKNOWN_VOICE
    registry.remove('anna')
    assert registry.names() == ['bob'] and 'anna' not in registry

"""voices_file.py: the file changes one entry at a time, keeps its comments, or stays as it is."""

import os
from pathlib import Path
import subprocess
import sys

from hypothesis import given, settings, strategies as st
import pytest
import yaml

from ishowtts_ros import voices_file
from ishowtts_ros.core.types import ErrorCode, SpeechError
from ishowtts_ros.core.voices import Voice

EXAMPLE = (Path(__file__).parents[2] / 'config/voices.yaml').read_text()
COMMENTED = '''# Our voices
voices:   # by name
  # anna is the first
  anna:
    audio: anna.wav   # recorded in the kitchen
    transcript: |
      Hi there.
      You.

  # bob is inline
  bob: {audio: bob.wav, transcript: "It is 3: #4."}  # loud

# the end
other: 3
'''
LAYOUTS = {
    'example': EXAMPLE,
    'commented': COMMENTED,
    'block text last': 'voices:\n  anna:\n    audio: a.wav\n    transcript: |\n      Hi.\n',
    'folded text, no line end': 'voices:\n  anna:\n    transcript: >-\n      Hi\n      there.\n    audio: a.wav',
    'flow': 'voices: {anna: {audio: a.wav, transcript: "Hi."}, bob: {audio: b.wav, transcript: Yes}}  # all\n',
    'flow over lines': 'voices: {\n  anna: {audio: a.wav, transcript: Hi}, # first\n  bob: {audio: b, transcript: c}, # last\n}\n',
    'all flow': '{"voices": {"anna": {"audio": "a.wav", "transcript": "Hi."}}}',
    'all flow, none': '{"voices": {}}',
    'windows': 'voices:\r\n  anna:\r\n    audio: a.wav\r\n    transcript: Hi.\r\n# end\r\n',
    'odd names': 'voices:\n  7: {audio: a, transcript: b}\n  yes: {audio: a, transcript: b}\n  "no": {audio: a, transcript: b}\n',
    'no indent': '---\nvoices:\n anna:\n  audio: ä.wav\n  transcript: Öl\n...\n',
    'quoted key': '"voices" :\n    anna : {audio: a.wav, transcript: b}\n',
}
ADDING = '''
from pathlib import Path
import sys
from ishowtts_ros import voices_file
from ishowtts_ros.core.voices import Voice

path, who = sys.argv[1:]
print('ready', flush=True)
sys.stdin.readline()
for number in range(20):
    voices_file.check_new(path, f'{who}{number}')
    voices_file.add(path, Voice(f'{who}{number}', Path('/x.wav'), 'y'))
    if number % 4 == 3:
        voices_file.remove(path, f'{who}{number}')
'''
HOLDING = '''
from pathlib import Path
import sys
from ishowtts_ros import voices_file

with voices_file._alone(Path(sys.argv[1])):
    print('held', flush=True)
    sys.stdin.readline()
'''
ALMOST_ANY_TEXT = st.text(st.characters(exclude_categories=['Cc', 'Cs'], exclude_characters='\ufffe\uffff'), min_size=1)


def comments(text):
    return [line[line.index('# '):].rstrip() for line in text.splitlines() if '# ' in line]


def refusal(action, code=ErrorCode.NOT_SAVED):
    with pytest.raises(SpeechError) as error:
        action()
    assert error.value.code == code, error.value
    return str(error.value)


@pytest.fixture
def file(tmp_path):
    return tmp_path / 'voices.yaml'


@pytest.mark.parametrize('layout', LAYOUTS)
def test_a_voice_comes_last_and_goes_again_and_all_else_stays(file, layout):
    text = LAYOUTS[layout]
    file.write_bytes(text.encode())
    before, added = list(voices_file.load(str(file))), Voice('new', file.parent / 'added_voices/new.wav', 'A: "b" #c', 'en')
    voices_file.add(str(file), added)
    assert list(voices_file.load(str(file))) == [*before, added]
    assert comments(file.read_text()) == comments(text)
    assert yaml.safe_load(file.read_text())['voices']['new']['audio'] == 'added_voices/new.wav', 'the folder can be moved'
    voices_file.remove(str(file), 'new')
    assert list(voices_file.load(str(file))) == before
    assert comments(file.read_text()) == comments(text)
    assert os.listdir(file.parent) == [file.name], 'no temporary file is left'


@pytest.mark.parametrize('layout', LAYOUTS)
def test_every_voice_can_be_taken_out_in_any_order(file, layout):
    names = [voice.name for voice in _loaded(file, LAYOUTS[layout])]
    for order in (names, names[::-1]):
        left = _loaded(file, LAYOUTS[layout])
        for name in order:
            voices_file.remove(str(file), name)
            left = [voice for voice in left if voice.name != name]
            assert list(voices_file.load(str(file))) == left
        if layout == 'commented':
            assert set(comments(file.read_text())) >= {'# Our voices', '# by name', '# anna is the first', '# the end'}


def _loaded(file, text):
    file.write_bytes(text.encode())
    return list(voices_file.load(str(file)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(layout=st.sampled_from(sorted(LAYOUTS)), transcript=ALMOST_ANY_TEXT, audio=ALMOST_ANY_TEXT,
       name=st.from_regex(r'[^\W_][\w.-]{0,20}', fullmatch=True))
def test_whatever_is_said_in_it_can_be_kept(tmp_path_factory, layout, transcript, audio, name):
    """Quoting is YAML's: words such as `no`, marks such as `: #` and long lines come back as they were."""
    file = tmp_path_factory.mktemp('any') / 'voices.yaml'
    before = _loaded(file, LAYOUTS[layout])
    voice = Voice(name, Path('/nowhere') / audio.replace('/', ''), transcript)
    if name in [known.name for known in before]:
        refusal(lambda: voices_file.add(str(file), voice), ErrorCode.VOICE_EXISTS)
        return
    voices_file.add(str(file), voice)
    assert list(voices_file.load(str(file))) == [*before, voice]
    voices_file.remove(str(file), name)
    assert list(voices_file.load(str(file))) == before


@pytest.mark.parametrize('text', [
    'voices: &all\n  anna: &anna {audio: a, transcript: b}\n  bob:\n    <<: *anna\n    audio: c\nmore:\n  <<: *all\n',
    'base: &base\n  anna: {audio: a, transcript: b}\nvoices:\n  <<: *base\n  bob: {audio: c, transcript: d}\n',
    'voices:\n  anna: {audio: a, transcript: b}\n  anna: {audio: c, transcript: d}\n',
    'voices: {? anna : {audio: a, transcript: b}}\n'])
def test_a_layout_too_clever_is_refused_or_changed_rightly_but_never_harmed(file, text):
    before = _loaded(file, text)
    for change, right in ((lambda: voices_file.add(str(file), Voice('new', Path('/x'), 'y')), [*before, Voice('new', Path('/x'), 'y')]),
                          (lambda: voices_file.remove(str(file), 'anna'), [voice for voice in before if voice.name != 'anna'])):
        file.write_text(text)
        try:
            change()
            assert list(voices_file.load(str(file))) == right
        except SpeechError as error:
            assert error.code == ErrorCode.NOT_SAVED and 'by hand' in str(error)
            assert file.read_text() == text


def test_taking_out_what_is_not_there_changes_nothing(file):
    file.write_text(COMMENTED)
    written = file.stat()
    voices_file.remove(str(file), 'carl')
    voices_file.remove('', 'carl')
    assert file.stat() == written


def test_what_a_user_wrote_meanwhile_is_kept(file):
    file.write_text(EXAMPLE)
    voices_file.load(str(file))
    file.write_text(COMMENTED)
    voices_file.add(str(file), Voice('new', Path('/x.wav'), 'y'))
    assert voices_file.load(str(file)).names() == ['anna', 'bob', 'new']
    assert 'bob' in refusal(lambda: voices_file.add(str(file), Voice('bob', Path('/x.wav'), 'y')), ErrorCode.VOICE_EXISTS)


@pytest.fixture
def python():
    """Start a process that runs a script and has told that it is there."""
    started = []

    def python(script, *arguments):
        process = subprocess.Popen([sys.executable, '-c', script, *map(str, arguments)], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline()
        return process
    yield python
    for process in started:
        process.kill()
        process.communicate()


def test_of_what_several_processes_change_at_once_nothing_is_lost(file, python):
    file.write_text(COMMENTED)
    link = file.parent / 'link/voices.yaml'
    link.parent.mkdir()
    link.symlink_to(file)
    processes = [python(ADDING, path, who) for path, who in ((file, 'a'), (file, 'b'), (link, 'c'))]
    for process in processes:
        process.stdin.write('go\n')
        process.stdin.flush()
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    kept = {f'{who}{number}' for who in 'abc' for number in range(20) if number % 4 != 3}
    assert set(voices_file.load(str(file)).names()) == {'anna', 'bob', *kept}
    assert comments(file.read_text()) == comments(COMMENTED)


def test_who_finds_the_file_locked_is_told_in_time_and_a_dead_process_holds_nothing(file, python, monkeypatch):
    file.write_text(COMMENTED)
    monkeypatch.setattr(voices_file, 'LOCK_TIMEOUT', 0.05)
    holder, new = python(HOLDING, file), Voice('new', Path('/x.wav'), 'y')
    for change in (lambda: voices_file.add(str(file), new), lambda: voices_file.remove(str(file), 'bob')):
        assert 'lslocks' in refusal(change)
    assert file.read_text() == COMMENTED and voices_file.load(str(file)).names() == ['anna', 'bob']
    holder.kill()
    holder.wait()
    voices_file.add(str(file), new)
    assert voices_file.load(str(file)).names() == ['anna', 'bob', 'new']


def test_a_link_stays_a_link_and_the_mode_stays_the_mode(file, tmp_path):
    (tmp_path / 'real').mkdir()
    real = tmp_path / 'real/all.yaml'
    real.write_text(EXAMPLE)
    real.chmod(0o640)
    file.symlink_to(real)
    voices_file.add(str(file), Voice('new', Path('/x.wav'), 'y'))
    assert file.is_symlink() and 'new' in real.read_text() and real.stat().st_mode & 0o777 == 0o640


def test_without_a_file_that_may_be_written_nothing_is_kept(file):
    voice = Voice('new', Path('/x.wav'), 'y')
    assert 'set the parameter voices_file' in refusal(lambda: voices_file.add('', voice))
    assert 'voices.yaml' in refusal(lambda: voices_file.add(str(file), voice))
    file.write_text(EXAMPLE)
    file.chmod(0o444)
    assert 'not writable' in refusal(lambda: voices_file.add(str(file), voice))
    assert file.read_text() == EXAMPLE


@pytest.mark.parametrize('fails', ['fsync', 'replace', 'fchmod'])
def test_a_full_or_failing_disk_leaves_the_file_as_it_was(file, monkeypatch, fails):
    file.write_text(COMMENTED)

    def fail(*_):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(os, fails, fail)
    assert 'No space' in refusal(lambda: voices_file.add(str(file), Voice('new', Path('/x.wav'), 'y')))
    assert 'No space' in refusal(lambda: voices_file.remove(str(file), 'bob'))
    assert file.read_text() == COMMENTED and os.listdir(file.parent) == [file.name]

"""cli.py: speech without ROS."""

import wave

import pytest

from ishowtts_ros import cli


def test_say_writes_a_wav_file_and_tells_how_it_went(tmp_path, capsys):
    output = tmp_path / 'out.wav'
    assert cli.main(['say', 'Hello, world.', '-o', str(output), '--voice', 'en-us+f3']) == 0
    with wave.open(str(output)) as file:
        assert 0.5 < file.getnframes() / file.getframerate() < 3
    assert 'RTF' in capsys.readouterr().out


@pytest.mark.parametrize('arguments, says', [
    (['say', ' '], 'at least one word'),
    (['say', 'Hi', '--voice', 'en-uss'], 'en-us'),
    (['say', 'Hi', '-o', '/nowhere/x.wav'], '/nowhere/x.wav'),
    (['say', 'Hi', '--speed', '99'], '0.25 to 4.0'),
    (['say', 'Hi', '--nfe-step', '999'], '1 to 128'),
    (['say', 'Hi', '--option', 'colour=red'], 'data_path'),
    (['say', 'Hi', '--voices-file', '/nowhere.yaml'], '/nowhere.yaml'),
])
def test_what_cannot_be_done_says_why_and_exits_with_1(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    assert says in capsys.readouterr().err


def test_voices_lists_them(capsys):
    assert cli.main(['voices']) == 0
    printed = capsys.readouterr().out
    assert 'en-us\n' in printed and ' f3 ' in printed


def test_an_option_without_a_value_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(['say', 'Hi', '--option', 'voice'])
    assert ended.value.code == 2 and "'voice' is not NAME=VALUE" in capsys.readouterr().err


def test_ctrl_c_is_no_traceback(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(cli.audio, 'write_wav', interrupted)
    assert cli.main(['say', 'Hi', '-o', str(tmp_path / 'x.wav')]) == 130

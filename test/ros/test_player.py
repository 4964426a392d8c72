"""The player node as a process of its own, over DDS, on a PortAudio device that records what it plays."""

import os
import signal

from alsa_devices import needs_portaudio, playing, shared_player, sound_card, start_player  # noqa: F401
from diagnostic_msgs.msg import DiagnosticStatus
from ishowtts.msg import UtteranceEvent
import numpy as np
import pytest

FADE_LENGTH = 240    # frames, 10 ms at 24 kHz
OK, WARN = DiagnosticStatus.OK, DiagnosticStatus.WARN
pytestmark = pytest.mark.timeout(120)


def noise(seed: int, length: int) -> np.ndarray:
    """int16 [length] of all values but zero, so that silence around and within it can be told from it."""
    samples = np.random.default_rng(seed).integers(-32768, 32768, length).astype(np.int16)
    samples[samples == 0] = 1
    return samples


@needs_portaudio
def test_a_device_receives_exactly_the_published_samples(playing):
    """2,000 chunks of random sizes, published half a second ahead: bit for bit, no gaps, no underruns."""
    sound_card, player = playing
    before = player.report()
    sizes = np.random.default_rng(1).integers(1, 251, 2000)
    speech = noise(2, sizes.sum())
    ends = np.cumsum(sizes)
    for sequence, (size, end) in enumerate(zip(sizes, ends)):
        if sequence % 50 == 0:
            player.wait(lambda: end - len(sound_card.recorded('48000x1')) < 24000)
        player.publish('long', sequence, speech[end - size:end], last=end == ends[-1], sample_rate=48000)
    player.wait(lambda: len(sound_card.recorded('48000x1')) >= len(speech))
    assert np.array_equal(sound_card.recorded('48000x1'), speech)
    after = player.report()
    assert float(after['played [s]']) - float(before['played [s]']) == pytest.approx(len(speech) / 48000, abs=2e-3)
    assert all(after[loss] == before[loss] for loss in ('underruns', 'lost chunks', 'dropped [s]'))
    assert (after['device'], after['sample_rate [Hz]'], after['channels']) == ('recorder', '48000', '1')
    assert player.level == OK


@needs_portaudio
def test_formats_may_change_between_utterances(playing):
    """22050 Hz, 24000 Hz, 24000 Hz stereo and 22050 Hz again, published at once: each is played to its end."""
    sound_card, player = playing
    before = player.report()
    first, second, third, fourth = (noise(seed, length) for seed, length in enumerate((9000, 12000, 16000, 7000)))
    player.say('first', first, sample_rate=22050)
    player.say('second', second, sample_rate=24000)
    player.say('third', third, sample_rate=24000, channels=2)
    player.say('fourth', fourth, sample_rate=22050)
    player.wait(lambda: np.array_equal(sound_card.recorded('22050x1')[-7000:], fourth))
    assert np.array_equal(sound_card.recorded('24000x1'), second)
    assert np.array_equal(sound_card.recorded('24000x2'), third)
    both = sound_card.recorded('22050x1')
    assert np.array_equal(both[:9000], first)
    assert not both[9000:-7000].any()
    assert player.report()['underruns'] == before['underruns']


@needs_portaudio
def test_a_canceled_utterance_falls_silent_within_the_fade(playing):
    """Whether its faded final chunk comes before or after the event; what is said next is untouched."""
    (sound_card, player), following = playing, noise(11, 3000)
    underruns, start = player.report()['underruns'], 0    # start: of what is looked at, in what was recorded
    for name, state, chunk_first in (('a', UtteranceEvent.CANCELED, True), ('b', UtteranceEvent.FAILED, False)):
        for sequence in range(10):
            player.publish(name, sequence, np.full(24000, 20000))
        player.wait(lambda: len(sound_card.recorded('24000x1')) > start + 3000)
        final = (10, np.full(240, 777), True)
        if chunk_first:
            player.publish(name, *final)
            player.event(name, state)
        else:
            player.event(name, state)
            player.publish(name, *final)
        player.wait(lambda: player.value('buffered [s]') == 0)
        player.say(f'after {name}', following)
        player.wait(lambda: np.array_equal(sound_card.recorded('24000x1')[-3000:], following))
        heard = sound_card.recorded('24000x1')[start:-3000].astype(int)
        heard = heard[np.flatnonzero(heard)[0]:]
        faded = np.flatnonzero(heard != 20000)[0]
        assert faded < 200000    # of the 240000 that were published
        fade = heard[faded - 1:faded - 1 + FADE_LENGTH]
        assert (np.diff(fade) < 0).all() and np.abs(np.diff(fade)).max() <= 20000 / FADE_LENGTH + 2
        assert not heard[faded - 1 + FADE_LENGTH:].any()
        start = len(sound_card.recorded('24000x1'))
    assert player.report()['underruns'] == underruns


@needs_portaudio
def test_an_underrun_is_reported_and_survived(playing):
    (sound_card, player), before, after = playing, noise(12, 6000), noise(13, 6000)
    underruns = int(player.report()['underruns'])
    player.publish('dry', 0, before)
    player.wait(lambda: player.value('underruns') == underruns + 1)
    assert player.level == WARN and f'{underruns + 1} underruns' in player.message
    player.publish('dry', 1, after, last=True)
    player.wait(lambda: np.array_equal(sound_card.recorded('24000x1')[-6000:], after))
    heard = sound_card.recorded('24000x1')
    assert np.array_equal(heard[:6000], before)
    assert not heard[6000 + FADE_LENGTH:-6000].any()
    player.wait(lambda: player.level == OK)
    assert player.value('underruns') == underruns + 1


@needs_portaudio
def test_a_refused_sample_rate_is_a_warning_that_names_those_that_work(playing):
    """PortAudio itself refuses 1 MHz. That utterance is dropped in its time; the next one plays."""
    (sound_card, player), speech = playing, noise(19, 6000)
    dropped = float(player.report()['dropped [s]'])
    player.say('too fast', noise(22, 200000), sample_rate=1000000)
    player.wait(lambda: player.value('dropped [s]') == pytest.approx(dropped + 0.2, abs=1e-3))
    assert player.level == WARN
    assert "'recorder' refuses 1000000 Hz" in player.message and '22050, 24000,' in player.message
    player.say('a', speech)
    player.wait(lambda: np.array_equal(sound_card.recorded('24000x1'), speech))
    player.wait(lambda: player.level == OK)


@needs_portaudio
def test_device_and_volume_are_set_at_run_time(sound_card, start_player):
    """A wrong name at start warns and names the devices; a wrong one later is refused; the right one plays."""
    # All of an utterance is gathered before it plays: on a busy machine, samples could be late and not be compared.
    player, speech = start_player(device='loudspaker', prebuffer=1.0), noise(14, 6000)
    player.wait(lambda: player.level == WARN)
    assert "no output device 'loudspaker'" in player.message and "'recorder'" in player.message
    assert "'recorder'" in player.log
    assert "'recorder'" in player.set(device='megaphone')
    assert 'volume must be 0 to 2' in player.set(volume=2.5)
    assert 'volume must be 0 to 2' in player.set(volume='loud')
    assert "latency must be 'low', 'high' or" in player.set(latency='medium')
    assert player.set(device='recorder', volume=1) == ''
    player.wait(lambda: player.level == OK)
    player.say('a', speech)
    player.wait(lambda: np.array_equal(sound_card.recorded('24000x1'), speech))
    assert player.set(volume=0.5) == ''
    player.wait(lambda: player.value('volume') == 0.5)
    player.say('b', speech)    # its first samples may still be in the glide to the new volume
    player.wait(lambda: np.array_equal(sound_card.recorded('24000x1')[-5000:], np.rint(speech[-5000:] * 0.5)))


@needs_portaudio
def test_a_device_may_be_unplugged_and_come_back(sound_card, start_player):
    """Unplugged while speaking: WARN, and audio is dropped in real time. Plugged in again: it speaks on."""
    player, speech = start_player(device='recorder', retry_period=0.2), noise(21, 6000)
    player.say('a', noise(20, 72000))
    player.wait(lambda: len(sound_card.recorded('24000x1')) > 6000)
    sound_card.unplug()
    player.wait(lambda: player.level == WARN and 'no output device' in player.message)
    player.wait(lambda: player.value('dropped [s]') > 0.5)
    left, dropped = player.value('buffered [s]'), player.value('dropped [s]')
    assert left + dropped + player.value('played [s]') == pytest.approx(3, abs=0.1)
    sound_card.plug_in()
    player.wait(lambda: player.level == OK and player.diagnostics['device'] == 'recorder')
    player.say('b', speech)
    player.wait(lambda: np.array_equal(sound_card.recorded('24000x1')[-6000:], speech))
    assert 'the sound card is back' in player.log


@needs_portaudio
def test_a_device_may_appear_later(sound_card, start_player):
    """Audio that comes before it is dropped at the pace of speech, not kept for later."""
    sound_card.unplug()
    player, speech = start_player(device='recorder', retry_period=0.2), noise(15, 6000)
    player.say('too early', noise(16, 12000))
    player.wait(lambda: player.value('dropped [s]') == pytest.approx(0.5, abs=1e-3))
    assert player.level == WARN and "'nowhere'" in player.message
    sound_card.plug_in()
    player.wait(lambda: player.level == OK)
    player.say('in time', speech)
    player.wait(lambda: np.array_equal(sound_card.recorded('24000x1'), speech))


@pytest.mark.parametrize('missing, cure', [('libportaudio', 'sudo apt install libportaudio2'),
                                           ('sounddevice', 'pip install sounddevice')])
def test_the_node_runs_without_portaudio_and_names_the_cure(tmp_path, start_player, missing, cure):
    """The player's own process finds no library, or no package, by that name: what it then meets is the real error."""
    hide = {'libportaudio': "import ctypes.util as u; find = u.find_library\n"
                            "u.find_library = lambda name: None if 'portaudio' in name else find(name)\n",
            'sounddevice': "import sys; sys.modules['sounddevice'] = None\n"}
    (tmp_path / 'sitecustomize.py').write_text(hide[missing])
    player = start_player(environment={'PYTHONPATH': f'{tmp_path}:{os.environ.get("PYTHONPATH", "")}'})
    player.wait(lambda: player.level == WARN)
    assert cure in player.message and cure in player.log
    player.say('a', noise(17, 6000))
    player.wait(lambda: player.value('dropped [s]') == pytest.approx(0.25, abs=1e-3))
    assert player.set(volume=0.5) == ''
    assert player.stop(signal.SIGINT) == 0 and 'Traceback' not in player.log


@needs_portaudio
def test_sigterm_ends_it_cleanly_while_it_plays(sound_card, start_player):
    player = start_player(device='recorder')
    player.say('a', noise(18, 240000))
    player.wait(lambda: len(sound_card.recorded('24000x1')) > 1000)
    assert player.stop(signal.SIGTERM) == 0, player.log
    assert 'Traceback' not in player.log and 'rror' not in player.log


def test_a_parameter_out_of_range_at_start_is_a_clear_error(start_player):
    with pytest.raises(AssertionError, match=r'(?s)the player ended \(1\): .*volume must be 0 to 2, not 7'):
        start_player(volume=7)

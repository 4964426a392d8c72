"""The speech node and the player together: what is spoken is what a sound card gets, without a gap."""

from alsa_devices import needs_portaudio, sound_card  # noqa: F401
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest

from ishowtts_ros.core.types import UtteranceState

FINISHED = UtteranceState.FINISHED
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def player(start_node, client, sound_card, monkeypatch):     # noqa: F811
    """A player node on the recording sound card; call it for the latest values of its diagnostics."""
    monkeypatch.setenv('ALSA_CONFIG_PATH', str(sound_card.configuration))
    start_node({'device': 'recorder'}, executable='player_node')
    latest = {}

    def on_diagnostics(message):
        for status in message.status:
            if status.name == 'ishowtts_player: output':
                latest.update({entry.key: entry.value for entry in status.values})
    client.create_subscription(DiagnosticArray, '/diagnostics', on_diagnostics, 10)

    def values():
        latest.clear()
        return client.wait_for(lambda: dict(latest), 30, 'diagnostics of the player')
    return values


def losses_once_connected(client, sound_card, player):       # noqa: F811
    """Speak until the player has heard something: DDS brings it and the speech node together in its own time."""
    for number in range(20):
        client.speak(id=f'probe {number}', text='probe')
        if float(player()['played [s]']):
            sound_card.forget()
            return losses(player())
    raise TimeoutError('the player hears nothing')


def losses(values):
    return {name: values[name] for name in ('underruns', 'lost chunks', 'dropped [s]')}


def after(begin, samples, client, sound_card):       # noqa: F811
    """Where these samples end in what the sound card got from the byte `begin` on, without a gap among them."""
    wanted = np.trim_zeros(samples).tobytes()
    client.wait_for(lambda: sound_card.recorded('24000x1').tobytes().find(wanted, begin) >= 0, 30, 'utterance at the sound card')
    return sound_card.recorded('24000x1').tobytes().find(wanted, begin) + len(wanted)


@needs_portaudio
@pytest.mark.parametrize('real_time_factor, chunk', [(0.0, 0.1), (0.6, 0.1), (0.8, 1.0)])
def test_an_engine_that_is_faster_than_speech_leaves_no_gap(speaking_node, client, player, sound_card,  # noqa: F811
                                                            real_time_factor, chunk):
    """Three utterances, one right after the other: the sound card gets every sample of each, and nothing in between."""
    speaking_node(engine='tone', pacing='realtime', tone__real_time_factor=real_time_factor, tone__chunk=chunk)
    before = losses_once_connected(client, sound_card, player)
    for number in range(3):
        client.request(id=str(number), text='forty characters, which are two seconds')
    client.wait_for(lambda: client.ended('2'), 30, 'end of the speech')
    spoken = [client.recordings[str(number)].samples for number in range(3)]
    assert all(client.recordings[str(number)].states[-1] is FINISHED for number in range(3))
    begin = 0
    for samples in spoken:
        begin = after(begin, samples, client, sound_card)
    assert losses(player()) == before


@needs_portaudio
def test_an_engine_that_is_slower_than_speech_gathers_first_and_does_not_stutter(speaking_node, client, player,
                                                                                sound_card):    # noqa: F811
    speaking_node(engine='tone', pacing='realtime', tone__real_time_factor=1.5)
    before = losses_once_connected(client, sound_card, player)
    for number in range(2):
        spoken = client.speak(id=str(number), text='forty characters, which are two seconds', timeout=30)
        assert spoken.states[-1] is FINISHED and spoken.stats.real_time_factor > 1.4
        assert spoken.stats.first_audio_latency < 1.0, 'audio came in pieces'
    assert losses(player()) == before

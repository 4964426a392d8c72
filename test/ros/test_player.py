"""The player node as a process of its own, over DDS, on a PortAudio device that records what it plays."""

import signal

from alsa_devices import needs_portaudio, sound_card, start_player    # noqa: F401 (fixtures)
from diagnostic_msgs.msg import DiagnosticStatus
from ishowtts.msg import UtteranceEvent
import numpy as np
import pytest

OK, WARN = DiagnosticStatus.OK, DiagnosticStatus.WARN
pytestmark = pytest.mark.timeout(120)


def noise(seed: int, length: int) -> np.ndarray:
    """int16 [length] of all values but zero, so that silence around and within it can be told from it."""
    samples = np.random.default_rng(seed).integers(-32768, 32768, length).astype(np.int16)
    samples[samples == 0] = 1
    return samples


@needs_portaudio
def test_a_device_receives_exactly_the_published_samples(sound_card, start_player):
    """2,000 chunks of random sizes, published half a second ahead: bit for bit, no gaps, no underruns."""
    player = start_player(device='recorder')
    sizes = np.random.default_rng(1).integers(1, 401, 2000)
    speech = noise(2, sizes.sum())
    ends = np.cumsum(sizes)
    for sequence, (size, end) in enumerate(zip(sizes, ends)):
        player.wait(lambda: end - len(sound_card.recorded('48000x1')) < 24000)
        player.publish('long', sequence, speech[end - size:end], last=end == ends[-1], sample_rate=48000)
    player.wait(lambda: len(sound_card.recorded('48000x1')) >= len(speech))
    assert np.array_equal(sound_card.recorded('48000x1'), speech)
    player.wait(lambda: player.value('played [s]') == pytest.approx(len(speech) / 48000, abs=1e-3))
    assert (player.diagnostics['underruns'], player.diagnostics['lost chunks']) == ('0', '0')
    assert player.value('dropped [s]') == 0
    assert (player.diagnostics['device'], player.diagnostics['sample_rate [Hz]']) == ('recorder', '48000')
    assert player.level == OK

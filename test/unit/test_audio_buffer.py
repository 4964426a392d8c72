"""What AudioBuffer gives to the sound card, sample by sample."""

import sys
import threading

from ishowtts_ros.player.audio_buffer import FADE, AudioBuffer, AudioFormat
import numpy as np
import pytest

MONO = AudioFormat(24000, 1)
STEREO = AudioFormat(24000, 2)
FADE_LENGTH = int(FADE * 24000)    # frames


def noise(seed: int, length: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32768, length).astype(np.int16)


def level(value: int, length: int) -> np.ndarray:
    return np.full(length, value, np.int16)


def take(buffer: AudioBuffer, length: int, format: AudioFormat = MONO) -> np.ndarray:
    """int16 [length * channels], from a block that was full of something else."""
    out = np.full((length, format.channels), 12345, np.int16)
    buffer.take(out, format)
    return out.reshape(-1)


def steepest(samples: np.ndarray) -> int:
    """The largest step from a sample to the next, and from the last one to silence."""
    return int(np.abs(np.diff(samples.astype(int), append=0)).max())


@pytest.mark.parametrize('channels', [1, 2])
def test_samples_come_out_as_they_went_in(channels):
    """Random chunk sizes, empty ones among them, against random block sizes: nothing is added, lost or changed."""
    random, format = np.random.default_rng(3), AudioFormat(24000, channels)
    buffer, speech, taken = AudioBuffer(prebuffer=0), noise(4, 60000 * channels), []
    ends = np.sort(random.integers(0, 60001, 500)) * channels
    for sequence, chunk in enumerate(np.split(speech, ends)):
        buffer.push('a', format, chunk, last=sequence == len(ends))
    while buffer.buffered > 0:
        taken.append(take(buffer, random.integers(1, 700), format))
    taken = np.concatenate(taken)
    assert np.array_equal(taken[:len(speech)], speech)
    assert not taken[len(speech):].any()
    assert buffer.underruns == 0 and buffer.dropped == 0
    assert buffer.played == pytest.approx(60000 / 24000)


def test_an_utterance_waits_for_the_prebuffer():
    buffer = AudioBuffer(prebuffer=0.05)    # 1200 frames
    buffer.push('a', MONO, level(1, 1199), last=False)
    assert not take(buffer, 500).any()
    buffer.push('a', MONO, level(1, 1), last=False)
    assert take(buffer, 1200).all()
    assert buffer.underruns == 0


@pytest.mark.parametrize('rest', ['its end', 'the next utterance', 'a second without chunks'])
def test_less_than_the_prebuffer_is_played_when_no_more_will_come(rest):
    now = 0.0
    buffer = AudioBuffer(prebuffer=0.05, clock=lambda: now)
    buffer.push('a', MONO, level(1, 100), last=False)
    assert not take(buffer, 100).any()
    if rest == 'its end':
        buffer.push('a', MONO, level(1, 0), last=True)
    elif rest == 'the next utterance':
        buffer.push('b', MONO, level(2, 100), last=False)
    else:
        now = 1.01
    assert np.array_equal(take(buffer, 100), level(1, 100))


def test_the_prebuffer_counts_anew_for_an_utterance_after_one_without_an_end():
    buffer = AudioBuffer(prebuffer=0.05)
    buffer.push('a', MONO, level(1, 1500), last=False)
    buffer.push('b', MONO, level(2, 1199), last=False)
    assert np.array_equal(take(buffer, 1600), np.append(level(1, 1500), level(0, 100)))
    buffer.push('b', MONO, level(2, 1), last=False)
    assert np.array_equal(take(buffer, 1200), level(2, 1200))
    assert buffer.underruns == 0


def test_an_underrun_is_counted_once_fades_and_waits_for_the_prebuffer_again():
    buffer = AudioBuffer(prebuffer=0.05)
    buffer.push('a', MONO, level(20000, 2000), last=False)
    assert take(buffer, 2000).all()
    assert buffer.underruns == 0    # not yet: the next chunk may still come in time
    fade = take(buffer, 500)
    assert steepest(np.append(level(20000, 1), fade)) <= 20000 / FADE_LENGTH + 2
    assert not fade[FADE_LENGTH:].any()
    buffer.push('a', MONO, level(7, 1199), last=False)
    assert not take(buffer, 300).any()
    buffer.push('a', MONO, level(7, 1), last=True)
    assert np.array_equal(take(buffer, 1300), np.append(level(7, 1200), level(0, 100)))
    assert buffer.underruns == 1
    assert buffer.played == pytest.approx(3200 / 24000)


def test_chunks_in_time_are_no_underrun():
    """Each chunk comes when the one before has just been used up; silence follows the last one only."""
    buffer = AudioBuffer(prebuffer=0)
    for sequence in range(50):
        buffer.push('a', MONO, level(sequence + 1, 240), last=sequence == 49)
        assert np.array_equal(take(buffer, 240), level(sequence + 1, 240))
    assert not take(buffer, 1000).any()
    assert buffer.underruns == 0


def test_a_canceled_utterance_goes_on_for_a_fade_and_no_longer():
    """The fade is the audio that would have come, under a ramp; the next utterance follows untouched."""
    buffer, speech, following = AudioBuffer(prebuffer=0), noise(5, 24000), noise(6, 500)
    buffer.push('a', MONO, speech, last=False)
    buffer.push('b', MONO, following, last=True)
    assert np.array_equal(take(buffer, 1000), speech[:1000])
    buffer.cancel('a')
    assert buffer.buffered == pytest.approx(500 / 24000)
    fade = take(buffer, FADE_LENGTH)
    ramp = np.linspace(1, 0, FADE_LENGTH)
    assert np.abs(fade - speech[1000:1000 + FADE_LENGTH] * ramp).max() <= 0.51
    assert np.array_equal(take(buffer, 600), np.append(following, level(0, 100)))
    assert buffer.underruns == 0


@pytest.mark.parametrize('left', [0, 1, 100, FADE_LENGTH - 1, FADE_LENGTH, 5000])
def test_a_cancel_never_clicks_however_little_is_left(left):
    buffer = AudioBuffer(prebuffer=0)
    buffer.push('a', MONO, level(-30000, 1000 + left), last=False)
    played = take(buffer, 1000)
    buffer.cancel('a')
    played = np.append(played, take(buffer, 1000))
    assert steepest(played) <= 30000 / FADE_LENGTH + 2
    assert not played[1000 + FADE_LENGTH:].any()
    assert buffer.underruns == 0


def test_a_cancel_while_it_waits_for_more_stays_silent():
    """It faded out when it ran dry: a second fade would be a blip."""
    buffer = AudioBuffer(prebuffer=0.05)
    buffer.push('a', MONO, level(20000, 2000), last=False)
    take(buffer, 3000)
    buffer.push('a', MONO, level(20000, 100), last=False)
    buffer.cancel('a')
    assert not take(buffer, 1000).any()
    assert buffer.buffered == 0


@pytest.mark.parametrize('chunk_first', [True, False])
@pytest.mark.parametrize('playing', [True, False])
def test_the_final_chunk_may_come_before_or_after_the_event(chunk_first, playing):
    """In both orders it is not heard, and an utterance that takes the name later is."""
    buffer = AudioBuffer(prebuffer=0)
    buffer.push('a', MONO, level(100, 5000), last=False)
    if playing:
        take(buffer, 1000)
    if not chunk_first:
        buffer.cancel('a')
    buffer.push('a', MONO, level(3, 1), last=False)
    buffer.push('a', MONO, level(3, 240), last=True)
    if chunk_first:
        buffer.cancel('a')
    heard = take(buffer, 6000)
    assert np.count_nonzero(heard) <= (FADE_LENGTH if playing else 0)
    assert not heard[FADE_LENGTH:].any()
    buffer.push('a', MONO, level(9, 300), last=True)
    assert np.array_equal(take(buffer, 400), np.append(level(9, 300), level(0, 100)))
    assert buffer.underruns == 0


def test_an_utterance_canceled_before_its_first_chunk_does_not_mute_its_name():
    buffer = AudioBuffer(prebuffer=0)
    buffer.cancel('a')
    buffer.push('a', MONO, level(1, 100), last=False)
    assert not take(buffer, 100).any()
    buffer.admit('a')
    buffer.push('a', MONO, level(2, 100), last=True)
    assert np.array_equal(take(buffer, 100), level(2, 100))


def test_a_cancel_after_the_end_changes_nothing():
    buffer = AudioBuffer(prebuffer=0)
    buffer.push('a', MONO, level(1, 100), last=True)
    buffer.push('b', MONO, level(2, 100), last=True)
    take(buffer, 120)
    buffer.cancel('a')
    assert np.array_equal(take(buffer, 100), np.append(level(2, 80), level(0, 20)))


def test_another_format_waits_until_the_stream_has_it():
    buffer = AudioBuffer(prebuffer=0)
    buffer.push('a', MONO, level(1, 100), last=True)
    buffer.push('b', STEREO, np.tile(np.array([3, 4], np.int16), 100), last=True)
    assert buffer.format == MONO
    assert np.array_equal(take(buffer, 150), np.append(level(1, 100), level(0, 50)))
    assert buffer.format == STEREO
    assert not take(buffer, 50).any()
    assert np.array_equal(take(buffer, 100, STEREO), np.tile(np.array([3, 4], np.int16), 100))
    assert buffer.format is None


def test_beyond_the_limit_audio_is_dropped_and_counted_but_its_end_is_kept():
    buffer = AudioBuffer(prebuffer=0, limit=1.0)
    buffer.push('a', MONO, level(1, 24000), last=False)
    buffer.push('a', MONO, level(2, 12000), last=False)
    buffer.push('a', MONO, level(3, 12000), last=True)
    assert buffer.dropped == pytest.approx(1.0)
    assert np.array_equal(take(buffer, 25000), np.append(level(1, 24000), level(0, 1000)))
    assert buffer.underruns == 0


def test_without_a_device_audio_is_dropped_in_real_time():
    """Steps that are no whole number of samples add up to the right time; silence saves up no debt."""
    buffer = AudioBuffer(prebuffer=0)
    speech = noise(7, 48000)
    buffer.discard(5.0)
    buffer.push('a', MONO, speech, last=True)
    for _ in range(30000):
        buffer.discard(1 / 30000)
    assert buffer.dropped == pytest.approx(1.0, abs=1e-4)
    left = round(buffer.buffered * 24000)
    assert np.array_equal(take(buffer, 20000), speech[-left:][:20000])
    buffer.discard(10.0)
    assert buffer.buffered == 0
    assert buffer.dropped + buffer.played == pytest.approx(2.0)
    assert buffer.underruns == 0


@pytest.mark.filterwarnings('error::pytest.PytestUnhandledThreadExceptionWarning')
def test_one_thread_pushes_and_cancels_while_another_takes():
    """Thirty thousand samples in chunks of 3 against blocks of up to 100, threads switching all the time."""
    buffer, speech = AudioBuffer(prebuffer=0), np.arange(1, 30001).astype(np.int16)
    chunks = np.split(speech, range(3, len(speech), 3))

    def push():
        for sequence, chunk in enumerate(chunks):
            buffer.push('a', MONO, chunk, last=sequence == len(chunks) - 1)

    def cancel():
        while producer.is_alive():
            buffer.cancel('another')

    producer, taken, interval = threading.Thread(target=push), [], sys.getswitchinterval()
    canceler = threading.Thread(target=cancel)
    sys.setswitchinterval(1e-6)
    try:
        producer.start()
        canceler.start()
        while producer.is_alive() or buffer.buffered > 0:
            # Never more than is there: running dry would put fades in between.
            taken.append(take(buffer, min(100, round(buffer.buffered * 24000))))
    finally:
        sys.setswitchinterval(interval)
        producer.join()
        canceler.join()
    assert np.array_equal(np.concatenate(taken), speech)
    assert buffer.underruns == 0

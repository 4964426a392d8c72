"""core/audio.py."""

import wave

import numpy as np

from ishowtts_ros.core.audio import fade_out, rms, write_wav


def test_rms_of_a_full_scale_sine_is_its_amplitude_over_root_two():
    sine = (32767 * np.sin(np.linspace(0, 20 * np.pi, 48000))).astype(np.int16)
    assert abs(rms(sine) - 2 ** -0.5) < 1e-3
    assert rms(np.zeros(0, np.int16)) == 0.0


def test_a_fade_starts_at_the_signal_and_ends_in_silence():
    faded = fade_out(np.full(100, 10000, np.int16))
    assert faded[0] == 10000 and faded[-1] == 0 and (np.diff(faded) < 0).all()
    assert len(fade_out(np.zeros(0, np.int16))) == 0


def test_a_wav_file_holds_the_samples(tmp_path):
    samples = np.arange(-500, 500, dtype=np.int16)
    write_wav(tmp_path / 'a.wav', samples, 22050)
    with wave.open(str(tmp_path / 'a.wav')) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (22050, 1, 2)
        assert np.array_equal(np.frombuffer(file.readframes(1000), '<i2'), samples)

"""A voice is heard as f5-tts hears it; a bad recording is refused with its cure; prompts are kept by content."""

import logging
import os
from pathlib import Path

from installed import imported
import numpy as np
import pytest
import soundfile
import torch

from ishowtts_ros.core.types import ErrorCode, SpeechError
from ishowtts_ros.core.voices import Voice
from ishowtts_ros.engines.f5 import prompt as prompt_module
from ishowtts_ros.engines.f5.prompt import PromptCache, ended, example_voice, mel_spectrogram, prepare, read_file
from ishowtts_ros.engines.f5.reference import Recording, read_recording, trim

RATE = 24_000
TRANSCRIPT = 'The quick brown fox jumps over the lazy dog.'


def tone(seconds, rate=RATE, level=0.2, channels=1, seed=0):
    """Noise-like sound, float64 [n, channels]."""
    generator = np.random.default_rng(seed)
    return level * generator.standard_normal((int(seconds * rate), channels)).clip(-3, 3) / 2


def speech_like(parts, rate=RATE, channels=1):
    """Join (seconds, level) stretches of noise."""
    return np.concatenate([tone(seconds, rate, level, channels, seed) for seed, (seconds, level) in enumerate(parts)])


def write(path, samples, rate=RATE, **how):
    soundfile.write(path, samples, rate, **({'subtype': 'PCM_16'} | how))
    return path


RECORDINGS = {
    'plain': dict(samples=speech_like([(3, 0.2)])),
    'quiet': dict(samples=speech_like([(3, 0.03)])),
    'silent edges': dict(samples=speech_like([(0.7, 1e-4), (2.5, 0.3), (1.3, 5e-4)])),
    'long silences': dict(samples=speech_like([(1.0, 0.2), (3.0, 1e-4), (1.5, 0.2), (2.2, 1e-3), (1.0, 0.1)])),
    'starts and ends in long silence': dict(samples=speech_like([(2.5, 0), (2, 0.2), (3, 1e-4)])),
    'over 12 s, long silences': dict(samples=speech_like([(5, 0.2), (1.5, 1e-4), (4, 0.2), (1.2, 0), (6, 0.2)])),
    'over 12 s, short silences': dict(samples=speech_like([(7, 0.2), (0.3, 2e-3), (4, 0.2), (0.2, 0), (6, 0.2)])),
    'over 12 s, no silence': dict(samples=speech_like([(15, 0.2)])),
    'shorter than a silence': dict(samples=speech_like([(0.55, 0.2)])),
    '16 kHz': dict(samples=speech_like([(0.4, 0), (2, 0.2), (1.5, 0), (1, 0.2)], 16_000), rate=16_000),
    '44.1 kHz stereo': dict(samples=speech_like([(0.3, 1e-3), (3, 0.05), (0.5, 0)], 44_100, 2), rate=44_100),
    '48 kHz, odd length': dict(samples=speech_like([(2.00003, 0.2), (1.10071, 0), (1.5, 0.1)], 48_000), rate=48_000),
}


def upstream_reference(upstream, path):
    """What f5-tts makes of a recording: (float32 [channels, n] at its own rate, rate, transcript)."""
    trimmed, text = upstream.preprocess_ref_audio_text(str(path), TRANSCRIPT, show_info=lambda message: None)
    samples, rate = soundfile.read(trimmed, dtype='float32', always_2d=True)
    return torch.from_numpy(samples.T.copy()), rate, text


def captured_inputs(upstream, audio, rate, text, chunk, speed):
    """What f5-tts hands to its model: waveform, text with pinyin and duration."""
    seen = {}

    class Model:
        def sample(self, **arguments):
            seen.update(arguments)
            return torch.zeros(1, arguments['duration'], 100), None

    class Vocos:
        def decode(self, mel):
            return torch.zeros(1, mel.shape[-1] * 256)

    list(upstream.infer_batch_process((audio, rate), text, [chunk], Model(), Vocos(), progress=None, speed=speed,
                                      device='cpu'))
    return seen


@pytest.mark.parametrize('name', RECORDINGS)
def test_trimmed_samples_equal_upstream(upstream, tmp_path, name):
    path = write(tmp_path / 'a.wav', **RECORDINGS[name])
    expected, rate, _ = upstream_reference(upstream, path)
    samples = trim(read_recording(path.read_bytes(), 'a'), 'a')
    assert rate == RECORDINGS[name].get('rate', RATE)
    np.testing.assert_array_equal(samples, expected.T.numpy())


@pytest.mark.parametrize('name', RECORDINGS)
def test_prompt_equals_upstream(upstream, tmp_path, name):
    """Mel, transcript, durations and chunk lengths, for texts short and long and three speeds."""
    path = write(tmp_path / 'a.wav', **RECORDINGS[name])
    audio, rate, text = upstream_reference(upstream, path)
    prompt = prepare(path.read_bytes(), TRANSCRIPT, 'a')
    assert prompt.transcript == text
    seconds = audio.shape[-1] / rate
    for speed in (0.7, 1.0, 1.5):
        assert prompt.max_chunk_bytes(speed) == int(len(text.encode()) / seconds * (22 - seconds) * speed)
        for chunk in ('Ja.', 'Hello.', 'Hello you.', 'What a long sentence that is, isn’t it?', '你好，世界。' * 9):
            inputs = captured_inputs(upstream, audio, rate, text, chunk, speed)
            assert prompt.duration(chunk, speed) == inputs['duration']
    mel = imported('f5_tts.model.modules').get_vocos_mel_spectrogram(inputs['cond'])[0].T
    torch.testing.assert_close(prompt.mel, mel, rtol=1e-5, atol=1e-5)
    assert prompt.mel.shape == (prompt.frames + 1, 100)


@pytest.mark.parametrize('text', ['A', 'A.', 'A. ', 'A?', '好', '好。', 'A.  '])
def test_transcript_ends_as_upstream(upstream, tmp_path, text):
    path = write(tmp_path / 'a.wav', tone(1))
    _, expected = upstream.preprocess_ref_audio_text(str(path), text, show_info=lambda message: None)
    assert ended(text, 'a') == expected


@pytest.mark.parametrize('text', [TRANSCRIPT, 'Say it?', '你好。', 'one two'])
def test_text_before_the_speech_equals_upstream(upstream, tmp_path, text):
    path = write(tmp_path / 'a.wav', tone(1))
    trimmed, transcript = upstream.preprocess_ref_audio_text(str(path), text, show_info=lambda message: None)
    inputs = captured_inputs(upstream, torch.zeros(1, RATE) + 0.5, RATE, transcript, 'word', 1.0)
    from ishowtts_ros.engines.f5.tokenizer import split_pinyin
    assert split_pinyin(prepare(path.read_bytes(), text, 'a').lead + 'word') == inputs['text'][0]


def test_mel_equals_upstream_whatever_the_length(upstream):
    modules = imported('f5_tts.model.modules')
    generator = torch.Generator().manual_seed(0)
    for n_samples in (7_200, 24_001, 255 * 256, 256 * 256 + 255, 289_200):
        wave = torch.randn(n_samples, generator=generator) * 0.1
        expected = modules.get_vocos_mel_spectrogram(wave[None])[0].T
        torch.testing.assert_close(mel_spectrogram(wave), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('suffix, how', [('wav', {}), ('flac', {}), ('mp3', {'subtype': None}), ('ogg', {'subtype': None}),
                                         ('wav', {'subtype': 'PCM_24'}), ('wav', {'subtype': 'FLOAT'}),
                                         ('wav', {'subtype': 'PCM_U8'})])
@pytest.mark.parametrize('rate, channels', [(8_000, 1), (22_050, 2), (24_000, 1), (48_000, 2)])
def test_every_format_gives_the_same_voice(tmp_path, suffix, how, rate, channels):
    """Sines, so that lossy formats keep them: the mel is that of the same sound as 16-bit wav, where there is sound."""
    time = np.arange(2 * rate) / rate
    sound = sum(0.1 * np.sin(2 * np.pi * frequency * time) for frequency in (220, 450, 910))
    sound = np.repeat(sound[:, None], channels, axis=1)
    expected = prepare(write(tmp_path / 'reference.wav', sound, rate).read_bytes(), TRANSCRIPT, 'a')
    prompt = prepare(write(tmp_path / f'a.{suffix}', sound, rate, **how).read_bytes(), TRANSCRIPT, 'a')
    assert abs(prompt.seconds - expected.seconds) < 0.15, 'mp3 pads its ends'
    middle, reference = prompt.mel[40:120], expected.mel[40:120]
    loud = reference > 0
    assert loud.any()
    assert (middle[loud] - reference[loud]).abs().mean() < 0.15


def test_a_quiet_recording_is_raised_and_remembered(tmp_path):
    loud = prepare(write(tmp_path / 'loud.wav', tone(2, level=0.4)).read_bytes(), TRANSCRIPT, 'a')
    quiet = prepare(write(tmp_path / 'quiet.wav', tone(2, level=0.04)).read_bytes(), TRANSCRIPT, 'a')
    assert loud.loudness == 1.0
    assert quiet.loudness == pytest.approx(quiet.rms / 0.1) and quiet.rms == pytest.approx(0.0195, rel=0.05)


BAD = {
    'silent': (lambda: tone(3, level=0), 'is silent'),
    'silent and short': (lambda: tone(0.2, level=0), 'is silent'),
    'nearly silent': (lambda: tone(3, level=1e-4), 'is silent'),
    'under 0.3 s': (lambda: tone(0.25), '3 to 12 s of speech'),
    'under 0.3 s of sound': (lambda: speech_like([(2, 0), (0.2, 0.3), (2, 0)]), '3 to 12 s of speech'),
    'no samples': (lambda: np.zeros((0, 1)), 'is silent'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_recordings_are_refused(tmp_path, name):
    samples, cure = BAD[name]
    data = write(tmp_path / 'a.wav', samples()).read_bytes()
    with pytest.raises(SpeechError, match=cure) as caught:
        prepare(data, TRANSCRIPT, 'anna')
    assert caught.value.code == ErrorCode.INVALID_REFERENCE and 'anna' in str(caught.value)


@pytest.mark.parametrize('rate, channels', [(47_999, 1), (11_127, 1), (4_000, 1), (655_350, 1), (48_000, 8)])
def test_what_would_take_gigabytes_to_decode_or_resample_is_refused_before(tmp_path, rate, channels, monkeypatch):
    data = write(tmp_path / 'a.flac', tone(1, rate=rate, channels=channels), rate).read_bytes()
    monkeypatch.setattr(soundfile.SoundFile, 'read', None)
    with pytest.raises(SpeechError, match=f'{channels} channels at {rate} Hz; export it') as caught:
        prepare(data, TRANSCRIPT, 'anna')
    assert caught.value.code == ErrorCode.INVALID_REFERENCE


def test_a_recording_that_became_a_pipe_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / 'a.wav')
    with pytest.raises(SpeechError, match='no regular file') as caught:
        read_file(Voice('anna', tmp_path / 'a.wav', TRANSCRIPT))
    assert caught.value.code == ErrorCode.INVALID_REFERENCE


@pytest.mark.parametrize('data', [b'', b'RIFF', b'not audio at all' * 100, b'\x00' * 5000])
def test_corrupt_files_are_refused(data):
    with pytest.raises(SpeechError, match='wav, flac or mp3') as caught:
        prepare(data, TRANSCRIPT, 'anna')
    assert caught.value.code == ErrorCode.INVALID_REFERENCE


def test_samples_that_are_no_numbers_are_refused(tmp_path):
    samples = tone(1)
    samples[1000] = np.nan
    data = write(tmp_path / 'a.wav', samples, subtype='FLOAT').read_bytes()
    with pytest.raises(SpeechError, match='finite') as caught:
        prepare(data, TRANSCRIPT, 'anna')
    assert caught.value.code == ErrorCode.INVALID_REFERENCE


@pytest.mark.parametrize('transcript', ['', '  ', '\n'])
def test_an_empty_transcript_is_refused(tmp_path, transcript):
    data = write(tmp_path / 'a.wav', tone(2)).read_bytes()
    with pytest.raises(SpeechError, match='exactly what its reference audio says') as caught:
        prepare(data, transcript, 'anna')
    assert caught.value.code == ErrorCode.INVALID_REFERENCE


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SpeechError, match='nowhere.wav') as caught:
        PromptCache(4).get(Voice('anna', tmp_path / 'nowhere.wav', TRANSCRIPT))
    assert caught.value.code == ErrorCode.INVALID_REFERENCE


@pytest.mark.parametrize('transcript, warns', [
    (TRANSCRIPT, False), ('Too short.', True), (TRANSCRIPT * 4, True), ('这是一个用来测试的句子，长度正好。', False),
    ('Привет, как дела? Сегодня хорошая погода.', False), ('好', True)])
def test_an_implausible_transcript_is_pointed_out(tmp_path, caplog, transcript, warns):
    data = write(tmp_path / 'a.wav', tone(3.5)).read_bytes()
    with caplog.at_level(logging.WARNING):
        prepare(data, transcript, 'anna')
    assert ('letters per second' in caplog.text) == warns


def test_prompts_are_kept_by_content(tmp_path, monkeypatch):
    """The same bytes and transcript under another name are prepared once; other bytes under the same name anew."""
    calls = []
    real = prompt_module.prepare
    monkeypatch.setattr(prompt_module, 'prepare', lambda *arguments: calls.append(arguments) or real(*arguments))
    cache = PromptCache(4)
    path = write(tmp_path / 'a.wav', tone(2, seed=1))
    copy = write(tmp_path / 'b.wav', tone(2, seed=1))
    first = cache.get(Voice('anna', path, TRANSCRIPT))
    assert cache.get(Voice('berta', copy, TRANSCRIPT)) is first and len(calls) == 1
    assert cache.get(Voice('anna', path, TRANSCRIPT + ' More.')) is not first and len(calls) == 2
    write(path, tone(2, seed=2))
    replaced = cache.get(Voice('anna', path, TRANSCRIPT))
    assert not torch.equal(replaced.mel, first.mel) and len(calls) == 3


def test_the_cache_is_bounded_and_drops_the_least_recently_used(tmp_path):
    voices = [Voice(str(seed), write(tmp_path / f'{seed}.wav', tone(1, seed=seed)), TRANSCRIPT) for seed in range(4)]
    cache = PromptCache(3)
    first = cache.get(voices[0])
    second = cache.get(voices[1])
    cache.get(voices[2])
    assert cache.get(voices[0]) is first
    cache.get(voices[3])
    assert len(cache) == 3
    assert cache.get(voices[0]) is first
    assert cache.get(voices[1]) is not second


def test_the_example_voice_is_found_without_importing_f5_tts():
    import subprocess
    import sys

    pytest.importorskip('soundfile', reason='soundfile is not installed; `make test` installs it')
    voice = example_voice()
    if voice is None:
        pytest.skip('f5-tts is not installed')
    assert voice.audio.name == 'basic_ref_en.wav'
    prompt = prepare(Path(voice.audio).read_bytes(), voice.transcript, voice.name)
    assert 4 < prompt.seconds < 7
    code = ('import sys; from ishowtts_ros.engines.f5.prompt import example_voice; assert example_voice();'
            'assert "f5_tts" not in sys.modules')
    subprocess.run([sys.executable, '-c', code], check=True)


def test_a_very_long_recording_is_not_read_to_its_end(tmp_path):
    path = write(tmp_path / 'a.wav', np.zeros(200 * 8_000), 8_000)
    assert len(read_recording(path.read_bytes(), 'a')) == 120_000


def test_cutting_fills_what_rounding_takes():
    """1,500.7 ms round to 1,501: the last cut is filled up with zeros, as pydub does."""
    clip = Recording(np.ones((int(1.5007 * 24_000), 1)), 24_000)
    assert len(clip) == 1501
    part = clip.cut(1000, 1501)
    assert len(part.samples) == clip.position(1501) - clip.position(1000)
    assert part.samples[-1] == 0 and part.samples[0] == 1

"""The baseline is f5-tts itself, and behaves as an engine."""

import sys

import numpy as np
import pytest
import soundfile
from speaking import heard, loaded, options, speak
import torch

from ishowtts_ros.core.engine import ClonesVoices
from ishowtts_ros.core.types import ErrorCode, SpeechError
from ishowtts_ros.core.voices import Voice, VoiceRegistry
from ishowtts_ros.engines import f5_upstream, registry

TEXT = 'The valve is open now. The second sentence stands in a chunk of its own.'


@pytest.fixture(scope='module')
def engine(upstream, tiny, voice):
    with loaded('f5_upstream', tiny, voice) as engine:
        engine.warmup(lambda done, what: None)
        yield engine


@pytest.mark.parametrize('error', [ImportError, OSError, RuntimeError])
def test_a_torchaudio_that_does_not_fit_torch_is_reported(tiny, voice, monkeypatch, error):
    """It raises all three, by what does not fit."""
    class Refusing:
        def find_spec(self, name, path=None, target=None):
            if name == 'f5_tts.infer.utils_infer':
                raise error('compiled with different CUDA versions')

    monkeypatch.delitem(sys.modules, 'f5_tts.infer.utils_infer', raising=False)
    monkeypatch.delattr('f5_tts.infer.utils_infer', raising=False)
    monkeypatch.setattr(sys, 'meta_path', [Refusing(), *sys.meta_path])
    engine = registry.create('f5_upstream', options(tiny), VoiceRegistry([voice]))
    with pytest.raises(SpeechError, match="different CUDA versions.*engine 'f5'") as caught:
        engine.load(lambda done, what: None)
    assert caught.value.code == ErrorCode.ENGINE_UNAVAILABLE


@pytest.fixture
def slow_voice(voice, tmp_path):
    """A voice that speaks so slowly that chunks are short: a long recording with a short transcript."""
    samples, rate = soundfile.read(voice.audio)
    soundfile.write(tmp_path / 'slow.wav', np.tile(samples, 4), rate)
    return Voice('slow', tmp_path / 'slow.wav', 'Quick brown foxes jump over lazy dogs.')


def test_it_is_infer_process_of_f5_tts(engine, upstream, slow_voice, monkeypatch):
    """The same as f5-tts's own way from files to wave, except that its thread pool is made to work in order."""
    executor = upstream.ThreadPoolExecutor
    monkeypatch.setattr(upstream, 'ThreadPoolExecutor', lambda: executor(max_workers=1))
    monkeypatch.setattr(upstream.torchaudio, 'load', load_without_ffmpeg)
    monkeypatch.setattr(f5_upstream, 'to_pcm', lambda wave: wave)
    engine._voices._registry.add(slow_voice)
    pieces = speak(engine, TEXT, voice='slow')
    engine._voices._registry.remove('slow')

    path, transcript = upstream.preprocess_ref_audio_text(str(slow_voice.audio), slow_voice.transcript)
    torch.manual_seed(1)
    expected, rate, _ = upstream.infer_process(path, transcript, TEXT, engine._model, engine._vocoder, nfe_step=2,
                                               device='cpu')
    assert rate == engine.sample_rate and len(pieces) == 2
    np.testing.assert_allclose(np.concatenate(pieces), expected, atol=1e-5)


def load_without_ffmpeg(path):
    samples, rate = soundfile.read(path, dtype='float32', always_2d=True)
    return torch.from_numpy(samples.T.copy()), rate


def test_samples_are_pcm(engine):
    assert heard(engine, 'Hello.').dtype == np.int16


def test_a_seed_fixes_the_sound(engine):
    assert np.array_equal(heard(engine, 'Hello.', seed=3), heard(engine, 'Hello.', seed=3))
    assert not np.array_equal(heard(engine, 'Hello.', seed=-1), heard(engine, 'Hello.', seed=-1))


def test_canceling_stops_before_the_next_chunk(engine, slow_voice):
    engine._voices._registry.add(slow_voice)
    pieces = []
    engine.synthesize(TEXT, f5_upstream.SynthesisSettings(voice='slow', nfe_step=2), pieces.append,
                      lambda: len(pieces) == 1)
    engine._voices._registry.remove('slow')
    assert len(pieces) == 1
    assert speak(engine, 'Hello.', canceled=lambda: True) == []


def test_voices_are_those_of_the_registry(engine):
    assert engine.voice_for('') == 'anna' and 'anna' in engine.voices()
    engine.check_voice('anna')
    with pytest.raises(SpeechError, match='anna'):
        engine.check_voice('anne')


def test_a_voice_is_prepared_before_it_is_in_the_registry(engine, voice):
    assert isinstance(engine, ClonesVoices)
    new = Voice('new', voice.audio, voice.transcript)
    engine.prepare_voice(new)
    assert 'new' not in engine.voices()
    engine._voices._registry.add(new)
    assert 'new' in engine.voices() and np.array_equal(heard(engine, 'Hello.', voice='new'), heard(engine, 'Hello.'))
    engine._voices._registry.remove('new')


@pytest.mark.parametrize('level, seconds, transcript', [(0, 3, 'Hello there.'), (0.1, 0.2, 'Hi.'), (0.1, 3, ' ')])
def test_bad_references_are_refused_and_the_next_utterance_works(engine, tmp_path, level, seconds, transcript):
    noise = level * np.random.default_rng(0).standard_normal(int(seconds * 24_000))
    soundfile.write(tmp_path / 'bad.wav', noise, 24_000)
    bad = Voice('bad', tmp_path / 'bad.wav', transcript)
    engine._voices._registry.add(bad)
    for use in (lambda: engine.prepare_voice(bad), lambda: speak(engine, 'Hello.', voice='bad')):
        with pytest.raises(SpeechError) as caught:
            use()
        assert caught.value.code == ErrorCode.INVALID_REFERENCE
    engine._voices._registry.remove('bad')
    assert len(heard(engine, 'Hello.')) > 0


def test_nan_is_an_error_never_noise(engine, monkeypatch):
    monkeypatch.setattr(engine._vocoder, 'decode', lambda mel: torch.full((1, 256), float('nan')))
    with pytest.raises(SpeechError) as caught:
        speak(engine, 'Hello.')
    assert caught.value.code == ErrorCode.NON_FINITE_AUDIO
    monkeypatch.undo()
    assert len(heard(engine, 'Hello.')) > 0


def test_out_of_memory_is_reported(engine, monkeypatch):
    def fail(**arguments):
        raise torch.OutOfMemoryError('CUDA out of memory')

    monkeypatch.setattr(engine._model, 'sample', fail)
    with pytest.raises(SpeechError) as caught:
        speak(engine, 'Hello.')
    assert caught.value.code == ErrorCode.OUT_OF_MEMORY


@pytest.mark.parametrize('spoil', [{'checkpoint': '/nowhere/model.safetensors'}, {'model': 'F5TTS_v1_Base'}])
def test_files_that_do_not_work_are_refused_at_load(upstream, tiny, voice, spoil):
    engine = registry.create('f5_upstream', options(tiny, **spoil), VoiceRegistry([voice]))
    with pytest.raises(SpeechError) as caught:
        engine.load(lambda done, what: None)
    assert caught.value.code == ErrorCode.LOAD_FAILED

"""The f5 engine sounds like f5-tts, can be interrupted, and survives what goes wrong."""

import dataclasses
import gc
import logging
from pathlib import Path
import weakref

import numpy as np
import pytest
import soundfile
from speaking import heard, loaded, LONG, ONE, options, SENTENCES, speak
import torch

from ishowtts_ros.core.engine import ClonesVoices
from ishowtts_ros.core.types import ErrorCode, SpeechError, SynthesisSettings
from ishowtts_ros.core.voices import Voice, VoiceRegistry
from ishowtts_ros.engines import registry
from ishowtts_ros.engines.f5 import engine as engine_module
from ishowtts_ros.engines.f5.config import F5Config
from ishowtts_ros.engines.f5.crossfade import to_pcm

# Equal to f5-tts


@pytest.fixture
def floats(monkeypatch):
    """Let engines emit float samples, so that rounding to 16 bit hides nothing."""
    from ishowtts_ros.engines import f5_upstream

    for module in (engine_module, f5_upstream):
        monkeypatch.setattr(module, 'to_pcm', lambda wave: wave)


def relative_error(wave, expected):
    assert wave.shape == expected.shape
    return np.linalg.norm(wave - expected) / np.linalg.norm(expected)


@pytest.fixture(scope='module')
def upstream_engine(upstream, tiny, voice):
    with loaded('f5_upstream', tiny, voice) as engine:
        yield engine


@pytest.mark.parametrize('n_chunks, settings', [
    (3, {'nfe_step': 7}), (2, {'nfe_step': 5, 'speed': 1.3}), (3, {'cfg_strength': 0.0}),
    (3, {'nfe_step': 3, 'sway_sampling_coef': 0.0, 'seed': 9})])
def test_long_utterances_equal_upstream(engine, upstream_engine, floats, n_chunks, settings):
    """Chunks, durations, noise, mel, vocoder, level and cross-fades together: the same wave."""
    wave = heard(engine, LONG, **settings)
    pieces = speak(upstream_engine, LONG, **settings)
    assert len(pieces) == n_chunks
    assert relative_error(wave, np.concatenate(pieces)) < 1e-3


@pytest.mark.parametrize('text', ['Hi.', 'No', '你好，世界。', 'A 🙂 and more; really?'])
def test_short_texts_equal_upstream(engine, upstream_engine, floats, text):
    assert relative_error(heard(engine, text), heard(upstream_engine, text)) < 1e-3


def test_numbers_are_spoken_as_words_and_equal_upstream(engine, upstream_engine, floats):
    """Both engines are given the same words; neither hears the digits."""
    written, words = 'It weighs 3.5 kg.', 'It weighs three point five kilograms.'
    assert np.array_equal(heard(engine, written), heard(engine, words))
    assert relative_error(heard(engine, written), heard(upstream_engine, written)) < 1e-3


def test_normalization_can_be_switched_off_and_follows_the_language(quick, voice, monkeypatch):
    engine, _ = quick
    said = []
    encode = engine._tokenizer.encode
    monkeypatch.setattr(engine._tokenizer, 'encode',
                        lambda text: said.append(text.removeprefix(voice.transcript + '  ')) or encode(text))
    for language in ('', 'de', 'xx'):
        speak(engine, 'Es sind 3,5 Meter.', language=language)
    speak(engine, '3个')
    monkeypatch.setattr(engine, '_config', dataclasses.replace(engine._config, normalize_text=False))
    speak(engine, 'Es sind 3,5 Meter.')
    assert said == ['Es sind three, five Meter.', 'Es sind drei Komma fünf Meter.', 'Es sind 3,5 Meter.', '三个',
                    'Es sind 3,5 Meter.']


def test_batches_change_nothing(tiny, voice, engine, floats):
    with loaded('f5', tiny, voice, max_batch=2, batching='always') as batched:
        sizes = []
        sample = batched._sampler.sample
        batched._sampler.sample = lambda requests, **how: sizes.append(len(requests)) or sample(requests, **how)
        wave = heard(batched, LONG)
    assert sizes == [1, 2]
    assert relative_error(wave, heard(engine, LONG)) < 1e-3


def test_a_quiet_voice_stays_quiet(tiny, voice, tmp_path):
    """The recording is raised for the model, and its own level restored in what is heard."""
    samples, rate = soundfile.read(voice.audio)
    levels = {}
    for name, gain in (('quiet', 0.25), ('soft', 0.5)):
        soundfile.write(tmp_path / f'{name}.wav', samples * gain, rate)
        with loaded('f5', tiny, Voice(name, tmp_path / f'{name}.wav', voice.transcript)) as engine:
            levels[name] = np.abs(heard(engine, ONE).astype(float)).mean()
    assert levels['soft'] / levels['quiet'] == pytest.approx(2, rel=0.1)


# Settings


def test_a_seed_fixes_the_sound(engine):
    assert np.array_equal(heard(engine, ONE, seed=7), heard(engine, ONE, seed=7))
    assert not np.array_equal(heard(engine, ONE, seed=7), heard(engine, ONE, seed=8))


def test_without_a_seed_every_utterance_is_new(engine):
    assert not np.array_equal(heard(engine, ONE, seed=-1), heard(engine, ONE, seed=-1))


def test_speed_sets_the_duration(quick):
    engine, _ = quick
    normal, fast, slow = (len(heard(engine, SENTENCES[0], speed=speed)) for speed in (1.0, 2.0, 0.5))
    assert fast == pytest.approx(normal / 2, rel=0.02) and slow == pytest.approx(normal * 2, rel=0.02)


def test_pcm_is_clipped_not_wrapped():
    assert to_pcm(np.array([0.0, 0.5, 1.0, 1.7, -1.0, -3.0])).tolist() == [0, 16384, 32767, 32767, -32767, -32767]
    assert to_pcm(np.zeros(1)).dtype == np.int16


def test_nothing_to_say_is_silence(engine):
    assert speak(engine, '   ') == []


# Interruption


@pytest.mark.parametrize('after', [0, 3, 7])
def test_canceling_stops_within_a_step(engine, after):
    """`canceled` turns true at its n-th call; no more than one further step is made, and the next utterance works."""
    calls = []

    def canceled():
        calls.append(True)
        return len(calls) > after

    before = engine.counters['eager_steps']
    pieces = speak(engine, LONG, canceled=canceled, nfe_step=5)
    assert engine.counters['eager_steps'] - before <= after
    assert len(pieces) <= after // 5
    assert len(heard(engine, ONE)) > 0


# What goes wrong


def test_nan_from_the_model_is_an_error_never_noise(engine):
    model = engine._sampler.model
    weight = next(parameter for parameter in model.parameters() if parameter.dtype.is_floating_point)
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(float('nan'))
    engine._sampler.release()
    pieces = []
    try:
        with pytest.raises(SpeechError) as caught:
            engine.synthesize(ONE, SynthesisSettings(nfe_step=5), pieces.append, lambda: False)
    finally:
        with torch.no_grad():
            weight.copy_(kept)
        engine._sampler.release()
    assert caught.value.code == ErrorCode.NON_FINITE_AUDIO and not pieces
    assert len(heard(engine, ONE)) > 0


def test_nan_from_the_vocoder_is_an_error(engine, monkeypatch):
    monkeypatch.setattr(engine._vocoder, 'decode', lambda mel: torch.full((1, 256), float('nan')))
    with pytest.raises(SpeechError) as caught:
        speak(engine, ONE)
    assert caught.value.code == ErrorCode.NON_FINITE_AUDIO
    monkeypatch.undo()
    assert len(heard(engine, ONE)) > 0


@pytest.mark.parametrize('error', [torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB'),
                                   RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")])
@pytest.mark.parametrize('part', ['_sampler', '_vocoder'])
def test_out_of_memory_is_reported_and_what_was_held_is_freed(engine, monkeypatch, part, error):
    held = []

    def fail(*arguments, **how):
        tensor = torch.zeros(1000)
        held.append(weakref.ref(tensor))
        raise error

    released = []
    monkeypatch.setattr(engine._sampler, 'release', lambda: released.append(True))
    monkeypatch.setattr(getattr(engine, part), {'_sampler': 'sample', '_vocoder': 'decode'}[part], fail)
    with pytest.raises(SpeechError, match='shorter sentences') as caught:
        speak(engine, ONE)
    assert released, 'what graphs and tables hold is given back too'
    assert caught.value.code == ErrorCode.OUT_OF_MEMORY
    error.__traceback__ = None          # the test holds on to it, and it to the frames
    gc.collect()
    assert held[0]() is None, 'while the error is being handled the memory is free already'
    monkeypatch.undo()
    assert len(heard(engine, ONE)) > 0


def test_any_other_failure_names_the_way_back(engine, monkeypatch):
    def fail(*arguments, **how):
        raise RuntimeError('cuBLAS is in a bad mood')

    monkeypatch.setattr(engine._sampler, 'sample', fail)
    with pytest.raises(SpeechError, match='bad mood.*f5_upstream') as caught:
        speak(engine, ONE)
    assert caught.value.code == ErrorCode.ENGINE_FAILED


def broken(tiny, tmp_path, option):
    """Options with one file spoiled, and what the error has to name."""
    if option == 'missing checkpoint':
        return {'checkpoint': str(tmp_path / 'nowhere.safetensors')}, 'nowhere.safetensors'
    if option == 'truncated checkpoint':
        path = tmp_path / 'model.safetensors'
        path.write_bytes(tiny.checkpoint.read_bytes()[:5000])
        return {'checkpoint': str(path)}, 'model.safetensors'
    if option == 'truncated pt':
        path = tmp_path / 'model.pt'
        path.write_bytes(tiny.checkpoint_pt.read_bytes()[:5000])
        return {'checkpoint': str(path)}, 'model.pt'
    if option == 'vocabulary of another checkpoint':
        path = tmp_path / 'vocab.txt'
        path.write_text(tiny.vocab.read_text(encoding='utf-8') + 'extra\n', encoding='utf-8')
        return {'vocab': str(path)}, 'vocab'
    if option == 'model of another size':
        return {'model': 'F5TTS_v1_Base'}, 'f5.model'
    if option == 'missing vocoder':
        return {'vocoder': str(tmp_path)}, 'vocoder'
    raise AssertionError(option)


@pytest.mark.parametrize('option', ['missing checkpoint', 'truncated checkpoint', 'truncated pt', 'missing vocoder',
                                    'vocabulary of another checkpoint', 'model of another size'])
def test_files_that_do_not_work_are_named_at_load(tiny, voice, tmp_path, option):
    spoiled, named = broken(tiny, tmp_path, option)
    engine = registry.create('f5', options(tiny, **spoiled), VoiceRegistry([voice]))
    with pytest.raises(SpeechError, match=named) as caught:
        engine.load(lambda done, what: None)
    assert caught.value.code == ErrorCode.LOAD_FAILED
    assert engine._sampler is None and engine._vocoder is None


# Voices


def test_voices_come_from_the_registry_as_it_is_now(tiny, voice, tmp_path):
    voices = VoiceRegistry()
    engine = registry.create('f5', options(tiny, dtype='float32'), voices)
    engine.load(lambda done, what: None)
    voices.add(voice)
    assert 'anna' in engine.voices()
    assert len(heard(engine, ONE, voice='anna')) > 0
    voices.remove('anna')
    with pytest.raises(SpeechError) as caught:
        speak(engine, ONE, voice='anna')
    assert caught.value.code == ErrorCode.UNKNOWN_VOICE
    engine.close()


def test_unknown_voices_are_refused_with_near_names(engine):
    with pytest.raises(SpeechError, match='anna') as caught:
        engine.check_voice('ana')
    assert caught.value.code == ErrorCode.UNKNOWN_VOICE
    engine.check_voice('')
    engine.check_voice('anna')


def test_the_first_voice_is_the_default(engine, tiny, monkeypatch):
    assert engine.voice_for('') == 'anna'
    monkeypatch.setattr('ishowtts_ros.engines.f5.voices.example_voice', lambda: None)
    with loaded('f5', tiny) as voiceless:
        assert voiceless.voice_for('') == '' and list(voiceless.voices()) == []
        with pytest.raises(SpeechError, match='voices_file'):
            speak(voiceless, ONE)
        voiceless.warmup(lambda done, what: None)


def test_the_example_clip_is_the_default_where_f5_tts_is_installed(tiny):
    pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')
    from ishowtts_ros.engines.f5.prompt import example_voice
    if example_voice() is None:
        pytest.skip('f5-tts is not installed')
    with loaded('f5', tiny) as engine:
        assert engine.voice_for('') == 'f5_example'
        assert len(heard(engine, ONE)) > 0


def test_a_bad_recording_silences_only_its_own_voice(tiny, voice, tmp_path, caplog):
    bad = Voice('berta', tmp_path / 'missing.wav', 'Hello.')
    with caplog.at_level(logging.WARNING), loaded('f5', tiny, voice, bad) as engine:
        assert 'missing.wav' in caplog.text
        assert len(heard(engine, ONE, voice='anna')) > 0
        with pytest.raises(SpeechError, match='missing.wav') as caught:
            speak(engine, ONE, voice='berta')
        assert caught.value.code == ErrorCode.INVALID_REFERENCE
        assert len(heard(engine, ONE, voice='anna')) > 0


def test_prompts_are_ready_after_load(tiny, voice, monkeypatch):
    with loaded('f5', tiny, voice) as engine:
        monkeypatch.setattr('ishowtts_ros.engines.f5.prompt.prepare',
                            lambda *arguments: pytest.fail('prepared again'))
        assert len(heard(engine, ONE)) > 0


def test_a_voice_is_prepared_before_it_is_in_the_registry_and_not_again(tiny, voice, tmp_path, monkeypatch):
    assert issubclass(engine_module.F5Engine, ClonesVoices)
    with loaded('f5', tiny, voice) as engine:
        samples, rate = soundfile.read(voice.audio)
        soundfile.write(tmp_path / 'new.wav', samples[::-1], rate)
        new = Voice('new', tmp_path / 'new.wav', 'Of somebody else.')
        engine.prepare_voice(new)
        assert 'new' not in engine.voices()
        soundfile.write(tmp_path / 'bad.wav', 0 * samples, rate)
        with pytest.raises(SpeechError, match='silent') as caught:
            engine.prepare_voice(Voice('bad', tmp_path / 'bad.wav', 'Hello.'))
        assert caught.value.code == ErrorCode.INVALID_REFERENCE
        monkeypatch.setattr('ishowtts_ros.engines.f5.prompt.prepare', lambda *arguments: pytest.fail('prepared again'))
        engine._voices._registry.add(new)
        assert not np.array_equal(heard(engine, ONE, voice='new'), heard(engine, ONE))


@pytest.mark.parametrize('name, more', [('f5', {'prompt_cache': 1}), ('f5_upstream', {})])
def test_a_voice_prepared_out_of_an_emit_changes_nothing_of_what_is_spoken(upstream, tiny, voice, tmp_path, name, more):
    """Not even where its prompt takes the place of the one that is being spoken with."""
    samples, rate = soundfile.read(voice.audio)
    soundfile.write(tmp_path / 'new.wav', samples[::-1], rate)
    new, pieces = Voice('new', tmp_path / 'new.wav', 'Of somebody else.'), []
    with loaded(name, tiny, voice, **more) as engine:
        expected = heard(engine, LONG)

        def emit(samples):
            pieces.append(samples)
            engine.prepare_voice(new)
        engine.synthesize(LONG, SynthesisSettings(nfe_step=2, seed=1), emit, lambda: False)
    assert len(pieces) == 3 and np.array_equal(np.concatenate(pieces), expected)


# Life


def test_a_closed_engine_has_given_its_memory_back_and_can_be_loaded_again(tiny, voice):
    engine = registry.create('f5', options(tiny, dtype='float32'), VoiceRegistry([voice]))
    engine.load(lambda done, what: None)
    first = heard(engine, ONE)
    model, vocoder = weakref.ref(engine._sampler.model), weakref.ref(engine._vocoder)
    engine.close()
    gc.collect()
    assert model() is None and vocoder() is None
    engine.load(lambda done, what: None)
    assert np.array_equal(heard(engine, ONE), first)
    engine.close()


def test_progress_of_load_and_warmup_goes_from_start_to_end(tiny, voice):
    engine = registry.create('f5', options(tiny), VoiceRegistry([voice]))
    for work in (engine.load, engine.warmup):
        shown = []
        work(lambda done, what: shown.append((done, what)))
        fractions = [done for done, _ in shown]
        assert fractions == sorted(fractions) and fractions[-1] == 1.0
        assert all(what for _, what in shown)
    engine.close()


def test_unknown_options_are_refused():
    with pytest.raises(SpeechError, match='checkpoint') as caught:
        registry.create('f5', {'chekpoint': 'x'})
    assert caught.value.code == ErrorCode.INVALID_PARAMETER


@pytest.mark.parametrize('option', [{'first_chunk': 5}, {'cross_fade': -1.0}, {'prompt_cache': 0}])
def test_senseless_options_are_refused(option):
    with pytest.raises(SpeechError) as caught:
        registry.create('f5', option)
    assert caught.value.code == ErrorCode.INVALID_PARAMETER


def test_the_settings_file_has_every_option_and_the_engine_takes_them():
    import yaml

    path = Path(__file__).resolve().parents[2] / 'config' / 'f5.yaml'
    options = yaml.safe_load(path.read_text(encoding='utf-8'))['/**/ishowtts']['ros__parameters']['f5']
    assert set(options) == {field.name for field in dataclasses.fields(F5Config)}
    registry.create('f5', options)

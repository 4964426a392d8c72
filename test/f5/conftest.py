"""What the f5 tests share. Importing f5_tts takes about 20 s: it is done once, by the tests that compare with it."""

import importlib.util
import warnings

from installed import imported
import numpy as np
import pytest

if missing := [name for name in ('torch', 'safetensors') if importlib.util.find_spec(name) is None]:
    collect_ignore_glob = ['test_*.py']
    warnings.warn(f"test/f5 is left out: {', '.join(missing)} not installed; `make test` installs them")

TRANSCRIPT = 'The quick brown fox jumps over the lazy dog.'


@pytest.fixture(autouse=True, scope='module')
def threads():
    """Every file begins with as many threads as torch would take by itself, whatever the one before has set."""
    torch = pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='session')
def upstream():
    """f5-tts's inference module: chunk_text, preprocess_ref_audio_text, infer_batch_process, ..."""
    return imported('f5_tts.infer.utils_infer')


@pytest.fixture(scope='session')
def upstream_text():
    """f5-tts's text functions: convert_char_to_pinyin, list_str_to_idx, get_tokenizer."""
    return imported('f5_tts.model.utils')


@pytest.fixture(scope='session')
def tiny(tmp_path_factory):
    """A tiny F5-TTS and Vocos in the published file formats."""
    pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')
    import tiny_checkpoint

    return tiny_checkpoint.write(tmp_path_factory.mktemp('tiny'))


@pytest.fixture(scope='session')
def voice(tmp_path_factory):
    """A voice whose recording is 3 s of noise in syllables, quieter than f5-tts's target level."""
    soundfile = pytest.importorskip('soundfile', reason='soundfile is not installed; `make test` installs it')
    from ishowtts_ros.core.voices import Voice

    time = np.arange(3 * 24_000) / 24_000
    syllables = 0.06 * np.random.default_rng(0).standard_normal(len(time)) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * time))
    path = tmp_path_factory.mktemp('voice') / 'anna.wav'
    soundfile.write(path, syllables, 24_000, subtype='PCM_16')
    return Voice('anna', path, TRANSCRIPT, 'en')


@pytest.fixture(scope='module')
def engine(tiny, voice):
    """An f5 engine, loaded and warmed up."""
    from speaking import loaded

    with loaded('f5', tiny, voice) as engine:
        engine.warmup(lambda done, what: None)
        yield engine


@pytest.fixture
def quick(engine, monkeypatch):
    """An engine whose sampler makes silent mels of the right length at once. Gives the engine and its requests."""
    import torch

    requested = []

    def sample(requests, **how):
        requested.extend(requests)
        return [torch.full((request.total_frames - len(request.prompt_mel), 100), -5.0) for request in requests]

    monkeypatch.setattr(engine._sampler, 'sample', sample)
    return engine, requested

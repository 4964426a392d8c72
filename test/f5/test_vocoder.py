"""The vocoder gives what the vocos package gives, from files in the real format."""

from __future__ import annotations

from pathlib import Path
import shutil

from installed import imported
import pytest

torch = pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')

from ishowtts_ros.core.types import ErrorCode, SpeechError
from ishowtts_ros.engines.f5.config import F5Config
from ishowtts_ros.engines.f5.vocoder import Vocoder
import tiny_checkpoint

CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('vocos')
    tiny_checkpoint.write_vocoder(path, seed=0)
    return path


def mel(frames: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, frames, 100, generator=torch.Generator().manual_seed(frames)) * 2 - 3


def upstream(folder: Path) -> torch.nn.Module:
    model = imported('vocos').Vocos.from_hparams(str(folder / 'config.yaml'))
    model.load_state_dict(torch.load(folder / 'pytorch_model.bin', weights_only=True))
    return model.eval()


@pytest.mark.parametrize('frames', [2, 47, 300])
@pytest.mark.parametrize('batch', [1, 3])
def test_equal_to_vocos(folder, frames, batch):
    expected = upstream(folder).decode(mel(frames, batch).transpose(1, 2))
    wave = Vocoder.load(folder, CPU, F5Config()).decode(mel(frames, batch))
    assert wave.shape == (batch, (frames - 1) * 256) and wave.dtype == torch.float32
    assert expected.abs().max() > 1e-3
    assert (wave - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_half_precision_is_close(folder, dtype):
    expected = upstream(folder).decode(mel(200).transpose(1, 2))
    wave = Vocoder.load(folder, CPU, F5Config(vocoder_dtype=dtype)).decode(mel(200))
    assert wave.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(wave.flatten(), expected.flatten(), dim=0) >= 0.999


def test_auto_follows_the_model(folder):
    assert Vocoder.load(folder, CPU, F5Config(dtype='bfloat16', vocoder_dtype='auto'))._dtype is torch.bfloat16


def test_compiled_is_the_same_and_runs_for_all_lengths(folder):
    """One compilation, counted, serves every length with the same sound."""
    plain = Vocoder.load(folder, CPU, F5Config())
    compiled = Vocoder.load(folder, CPU, F5Config(compile='default'))
    compiled.warmup()
    frames, calls = compiled.counters['compiled_frames'], compiled.counters['compiled_calls']
    assert frames >= 1
    for length in (5, 64, 101, 333):
        expected = plain.decode(mel(length))
        assert (compiled.decode(mel(length)) - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert compiled.counters['compiled_frames'] == frames
    assert compiled.counters['compiled_calls'] == calls + 4


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_non_finite_values_are_an_error(folder, bad):
    spoiled = mel(50)
    spoiled[0, 20, 4] = bad
    vocoder = Vocoder.load(folder, CPU, F5Config())
    with pytest.raises(SpeechError) as caught:
        vocoder.decode(spoiled)
    assert caught.value.code == ErrorCode.NON_FINITE_AUDIO
    assert torch.isfinite(vocoder.decode(mel(50))).all()


def failure(folder: Path) -> str:
    with pytest.raises(SpeechError) as caught:
        Vocoder.load(folder, CPU, F5Config())
    assert caught.value.code == ErrorCode.LOAD_FAILED
    return str(caught.value)


def test_bad_files(folder, tmp_path):
    """Missing, truncated, from another model, or for other mels: each says which file or tensor and the cure."""
    copy = tmp_path / 'vocos'
    assert str(copy) in failure(copy)
    shutil.copytree(folder, copy)
    whole = (copy / 'pytorch_model.bin').read_bytes()
    (copy / 'pytorch_model.bin').write_bytes(whole[:len(whole) // 2])
    assert 'charactr/vocos-mel-24khz' in failure(copy)
    state = torch.load(folder / 'pytorch_model.bin', weights_only=True)
    torch.save({**state, 'backbone.embed.weight': torch.zeros(8, 100, 7)}, copy / 'pytorch_model.bin')
    assert "'backbone.embed.weight' is (8, 100, 7), expected (64, 100, 7)" in failure(copy)
    torch.save({name: tensor for name, tensor in state.items() if name != 'head.out.bias'}, copy / 'pytorch_model.bin')
    assert "'head.out.bias' is missing, expected (1026,)" in failure(copy)
    shutil.copy(folder / 'pytorch_model.bin', copy)
    config = (folder / 'config.yaml').read_text()
    (copy / 'config.yaml').write_text(config.replace('hop_length: 256', 'hop_length: 300'))
    assert 'hop 256' in failure(copy)


def test_close_releases_the_weights(folder):
    vocoder = Vocoder.load(folder, CPU, F5Config())
    vocoder.close()
    assert not [value for value in vars(vocoder).values() if isinstance(value, torch.nn.Module)]

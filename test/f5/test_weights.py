"""Checkpoints: located, read, checked against the model, and fused without changing what they compute."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import subprocess
import sys

import pytest

torch = pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')
pytest.importorskip('safetensors', reason='safetensors is not installed; `make test` installs it')

from ishowtts_ros.core.types import ErrorCode, SpeechError
from ishowtts_ros.engines.f5 import weights
from ishowtts_ros.engines.f5.acceleration import resolve_device, resolve_dtype
from ishowtts_ros.engines.f5.config import ARCHITECTURES, Architecture, F5Config, architecture, from_yaml
from ishowtts_ros.engines.f5.model import DiT
import tiny_checkpoint

CPU = torch.device('cpu')
VOCAB_SIZE = len(tiny_checkpoint.VOCAB)


def quiet(fraction: float, what: str) -> None:
    pass


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    return tiny_checkpoint.write(tmp_path_factory.mktemp('tiny'))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """An empty Hugging Face cache and no network."""
    import huggingface_hub
    from huggingface_hub import constants

    def refuse(*args, **kwargs):
        raise OSError('no network')

    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setattr(huggingface_hub, 'try_to_load_from_cache', lambda *args, **kwargs: None)
    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', refuse)


def load(path: Path, arch: Architecture = tiny_checkpoint.TINY, vocab_size: int = VOCAB_SIZE) -> DiT:
    return DiT.load(path, arch, vocab_size, CPU, torch.float32)


def failure(action, code: str = ErrorCode.LOAD_FAILED) -> str:
    with pytest.raises(SpeechError) as caught:
        action()
    assert caught.value.code == code
    return str(caught.value)


def test_both_formats_hold_the_same_model(tiny):
    ours = [load(path).state_dict() for path in (tiny.checkpoint, tiny.checkpoint_pt)]
    assert ours[0].keys() == ours[1].keys()
    assert all(torch.equal(ours[0][name], ours[1][name]) for name in ours[0])


def test_nothing_is_lost_in_fusion():
    """Every published number is somewhere in the fused model, and nothing else is."""
    arch = replace(tiny_checkpoint.TINY, qk_norm='rms_norm')
    published = weights.random_weights(arch, VOCAB_SIZE)
    fused = weights.fuse(dict(published), arch)
    flat = [torch.cat([tensor.flatten() for tensor in state.values()]).sort().values for state in (published, fused)]
    assert torch.equal(*flat)
    model = DiT.from_fused(fused, arch, VOCAB_SIZE, CPU, torch.float32)
    assert fused == {} and sum(p.numel() for p in model.parameters()) == len(flat[0])


def test_random_weights_have_no_silent_layer():
    """AdaLN and output layers are not zero, or parity tests would compare nothing."""
    for name, tensor in weights.random_weights(tiny_checkpoint.TINY, VOCAB_SIZE).items():
        assert tensor.std() > 0.01, name


def test_weights_are_cast_once(tiny):
    """What each step reads has the compute dtype; nothing is left to be cast at run time."""
    model = DiT.load(tiny.checkpoint, tiny_checkpoint.TINY, VOCAB_SIZE, CPU, torch.bfloat16)
    step = [*model.input_weights, *(tensor for block in model.block_weights for tensor in block if tensor is not None),
            model.proj_weight, model.proj_bias]
    assert {tensor.dtype for tensor in step} == {torch.bfloat16}


def test_wrong_architecture_names_the_first_tensor_and_both_shapes(tiny):
    message = failure(lambda: load(tiny.checkpoint, replace(tiny_checkpoint.TINY, dim=128)))
    assert "'time_embed.time_mlp.0.weight' is (64, 256), expected (128, 256)" in message and 'f5.model' in message
    message = failure(lambda: load(tiny.checkpoint, replace(tiny_checkpoint.TINY, depth=3)))
    assert "'transformer_blocks.2.attn_norm.linear.weight' is missing, expected (384, 64)" in message
    message = failure(lambda: load(tiny.checkpoint, replace(tiny_checkpoint.TINY, depth=1)))
    assert "tensor 'transformer_blocks.1." in message and 'expected none' in message


def test_wrong_vocabulary_names_both_sizes(tiny):
    message = failure(lambda: load(tiny.checkpoint, vocab_size=VOCAB_SIZE + 5))
    assert f'has {VOCAB_SIZE + 5} entries' in message and f'trained with {VOCAB_SIZE}' in message
    assert 'f5.vocab' in message


@pytest.mark.parametrize('name', ['model.safetensors', 'model.pt'])
@pytest.mark.parametrize('kept', [0, 100, 0.5, 0.99])
def test_truncated_checkpoint(tiny, tmp_path, name, kept):
    """However much is missing, the message names the file and the cure."""
    whole = (tiny.folder / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[:int(kept * len(whole)) if isinstance(kept, float) else kept])
    message = failure(lambda: load(path))
    assert str(path) in message and 'download it again' in message


def test_pickled_code_is_not_run(tmp_path):
    """A .pt that would run code when unpickled is refused, and the code does not run."""
    path, mark = tmp_path / 'model.pt', tmp_path / 'ran'

    class Evil:
        def __reduce__(self):
            return (Path.touch, (mark,))

    torch.save({'ema_model_state_dict': {'ema_model.transformer.x': Evil()}}, path)
    failure(lambda: load(path))
    assert not mark.exists()


def test_a_file_with_other_tensors(tmp_path):
    path = tmp_path / 'model.pt'
    torch.save({'weight': torch.zeros(3)}, path)
    assert "no tensors named 'ema_model.transformer" in failure(lambda: load(path))


def test_explicit_paths_are_taken_as_they_are(tiny):
    config = F5Config(checkpoint=str(tiny.checkpoint), vocab=str(tiny.vocab), vocoder=str(tiny.vocoder))
    assert weights.locate_checkpoint(config, quiet) == tiny.checkpoint
    assert weights.locate_vocab(config, tiny.checkpoint, quiet) == tiny.vocab
    assert weights.locate_vocoder(config, quiet) == tiny.vocoder


def test_vocab_beside_the_checkpoint(tiny):
    assert weights.locate_vocab(F5Config(checkpoint=str(tiny.checkpoint)), tiny.checkpoint, quiet) == tiny.vocab


@pytest.mark.parametrize('option', ['checkpoint', 'vocab', 'vocoder'])
def test_missing_file_names_the_parameter(option, tmp_path):
    config = F5Config(**{option: str(tmp_path / 'nothing')})
    find = {'checkpoint': lambda: weights.locate_checkpoint(config, quiet),
            'vocab': lambda: weights.locate_vocab(config, tmp_path / 'model.pt', quiet),
            'vocoder': lambda: weights.locate_vocoder(config, quiet)}[option]
    message = failure(find)
    assert f'f5.{option}' in message and 'does not exist' in message


def test_the_cache_is_used_without_network(offline, monkeypatch, tmp_path):
    """Files that are in the Hugging Face cache are found there, and no download is tried."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, 'try_to_load_from_cache',
                        lambda repository, name: str(tmp_path / repository / name))
    config = F5Config()
    checkpoint = weights.locate_checkpoint(config, quiet)
    assert checkpoint == tmp_path / 'SWivid/F5-TTS/F5TTS_v1_Base/model_1250000.safetensors'
    assert weights.locate_vocab(config, checkpoint, quiet).name == 'vocab.txt'
    assert weights.locate_vocoder(config, quiet) == tmp_path / 'charactr/vocos-mel-24khz'


def test_no_cache_and_no_network_says_what_to_do(offline):
    message = failure(lambda: weights.locate_checkpoint(F5Config(), quiet))
    assert 'https://huggingface.co/SWivid/F5-TTS/resolve/main/F5TTS_v1_Base/model_1250000.safetensors' in message
    assert 'f5.checkpoint' in message


def test_a_download_reports_progress(offline, monkeypatch, tmp_path):
    """The download is asked for with a progress bar that reports to the caller."""
    import huggingface_hub

    def download(repository, name, tqdm_class=None):
        with tqdm_class(total=200, name='x') as bar:
            for _ in range(4):
                bar.update(50)
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', download)
    told = []
    weights.locate_checkpoint(F5Config(), lambda fraction, what: told.append((fraction, what)))
    assert [fraction for fraction, _ in told] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert all('model_1250000' in what for _, what in told)


def test_unpublished_model_needs_a_checkpoint(offline):
    assert 'f5.checkpoint' in failure(lambda: weights.locate_checkpoint(F5Config(model='F5TTS_v1_Small'), quiet))


def test_presets_and_yaml(tiny, tmp_path):
    """The yaml that training writes gives the same architecture; what is not implemented is refused by name."""
    assert from_yaml(tiny.model) == architecture(str(tiny.model)) == tiny_checkpoint.TINY
    assert architecture('F5TTS_v1_Base') is ARCHITECTURES['F5TTS_v1_Base']
    assert 'F5TTS_v1_Base' in failure(lambda: architecture('F5TTS_v2'), ErrorCode.INVALID_PARAMETER)
    path = tmp_path / 'model.yaml'
    path.write_text(tiny.model.read_text().replace('qk_norm:', 'long_skip_connection: true\n    qk_norm:'))
    assert 'long_skip_connection' in failure(lambda: from_yaml(path), ErrorCode.INVALID_PARAMETER)
    path.write_text('model: [1, 2')
    failure(lambda: from_yaml(path), ErrorCode.INVALID_PARAMETER)


def test_arithmetic_floor_of_the_real_model():
    """N * (378.9 MFLOP + 90,112 N FLOP) per pass for F5TTS_v1_Base."""
    arch = ARCHITECTURES['F5TTS_v1_Base']
    for frames in (1, 500, 1285):
        assert arch.flops_per_pass(frames) == pytest.approx(frames * (378.9e6 + 90_112 * frames), rel=1e-3)
    parameters = sum(torch.Size(shape).numel() for shape in weights.published_shapes(arch, 2545).values())
    assert round(parameters / 1e6) == 337


def test_options_are_checked():
    for option in ({'compile': 'fast'}, {'dtype': 'int4'}, {'vocoder_dtype': 'int8'},
                   {'dtype': 'int8', 'compile': 'default'}, {'padding': 'maybe'}, {'buckets': (0.0, 1.0)},
                   {'max_batch': 0}):
        failure(lambda: F5Config(**option), ErrorCode.INVALID_PARAMETER)
    assert F5Config(buckets=(4.0, 2.0)).bucket_frames == (192, 384)


def test_device_and_dtype():
    assert resolve_device(F5Config(device='cpu')) == CPU
    failure(lambda: resolve_device(F5Config(device='gpu')), ErrorCode.INVALID_PARAMETER)
    failure(lambda: resolve_device(F5Config(device='cuda:99')), ErrorCode.ENGINE_UNAVAILABLE)
    assert resolve_dtype('auto', CPU) in (torch.float32, torch.bfloat16)
    assert resolve_dtype('auto', torch.device('cuda')) is torch.float16
    assert resolve_dtype('float32', torch.device('cuda')) is torch.float32


def test_loading_needs_no_upstream_package(tiny):
    """A fresh interpreter loads and samples without importing f5_tts or anything heavy that only it needs."""
    script = (
        'import sys, torch\n'
        'from pathlib import Path\n'
        'from ishowtts_ros.engines.f5.config import F5Config, from_yaml\n'
        'from ishowtts_ros.engines.f5.model import DiT\n'
        'from ishowtts_ros.engines.f5.sampler import Sampler, SampleRequest\n'
        'from ishowtts_ros.engines.f5.vocoder import Vocoder\n'
        f"folder, cpu = Path(r'{tiny.folder}'), torch.device('cpu')\n"
        "model = DiT.load(folder / 'model.safetensors', from_yaml(folder / 'model.yaml'), "
        f'{VOCAB_SIZE}, cpu, torch.float32)\n'
        'request = SampleRequest(torch.zeros(8, 100), torch.zeros(4, dtype=torch.int64), 20, seed=0)\n'
        'mel, = Sampler(model, F5Config()).sample([request], nfe_step=2, cfg_strength=2.0, sway_sampling_coef=-1.0)\n'
        "Vocoder.load(folder / 'vocos', cpu, F5Config()).decode(mel[None])\n"
        "heavy = {'torch._dynamo', 'f5_tts', 'gradio', 'transformers', 'wandb', 'x_transformers', 'torchdiffeq', 'accelerate'}\n"
        'assert not heavy & set(sys.modules), heavy & set(sys.modules)\n')
    result = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr

"""int8 products: close to fp32 but not equal, really run, need less memory, and refuse where they cannot work."""

from __future__ import annotations

import gc
import math

import pytest

torch = pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')

from ishowtts_ros.core.types import ErrorCode, SpeechError
from ishowtts_ros.engines.f5 import int8, weights
from ishowtts_ros.engines.f5.acceleration import resolve_dtype
from ishowtts_ros.engines.f5.config import Architecture, F5Config
from ishowtts_ros.engines.f5.model import DiT
from ishowtts_ros.engines.f5.sampler import Sampler
from reference import REAL, SMALL, VOCAB_SIZE, Case, cosine, our_sampler, relative_error
from speaking import heard, loaded

CASES = [Case(speech, prompt=30 + speech % 57, tokens=10 + speech // 12) for speech in (47, 203, 751)]


def has_kernel() -> bool:
    """By torch's own word: were it by int8.pack, a fault in that would leave all of this out."""
    return ('fbgemm' in torch.backends.quantized.supported_engines
            and torch.backends.cpu.get_cpu_capability() not in ('DEFAULT', 'NO AVX'))


needs_kernel = pytest.mark.skipif(not has_kernel(), reason='f5.dtype int8 is for x86-64 with AVX2; this machine or torch has no such kernel')


def int8_model(arch=SMALL) -> DiT:
    fused = weights.fuse(weights.random_weights(arch, VOCAB_SIZE), arch)
    model = DiT.from_fused(fused, arch, VOCAB_SIZE, torch.device('cpu'), torch.float32)
    model.quantize()
    return model


@pytest.fixture(scope='module')
def sampler() -> Sampler:
    return Sampler(int8_model(), F5Config(dtype='int8'))


@needs_kernel
@pytest.mark.parametrize('case', CASES, ids=str)
def test_the_mel_stays_close(sampler, case):
    """As close to fp32 as 16 bits have to be; and not equal, so 8 bits did run."""
    expected, = our_sampler().sample([case.request], **case.solver)
    before = sampler.counters['int8_products']
    mel, = sampler.sample([case.request], **case.solver)
    assert cosine(mel, expected) >= 0.999
    assert relative_error(mel, expected) > 1e-4
    assert sampler.counters['int8_products'] - before == 4 * SMALL.depth * case.nfe_step


@needs_kernel
def test_the_mel_stays_close_through_22_layers():
    """On the real architecture, with random weights."""
    case = Case(speech=47, prompt=24, tokens=15, nfe_step=7)
    expected, = our_sampler(REAL).sample([case.request], **case.solver)
    mel, = Sampler(int8_model(REAL), F5Config(dtype='int8')).sample([case.request], **case.solver)
    print(f'cosine {cosine(mel, expected):.5f}, relative error {relative_error(mel, expected):.4f}')
    assert cosine(mel, expected) >= 0.999


@needs_kernel
def test_a_row_does_not_see_the_others():
    """Bit for bit, even beside values a million times larger: results do not depend on batch or padding."""
    packed, bias = int8.pack(torch.randn(48, 64)), torch.randn(48)
    x = torch.randn(20, 64)
    alone = torch.stack([int8.linear(row[None], packed, bias)[0] for row in x])
    assert torch.equal(int8.linear(x, packed, bias), alone)
    assert torch.equal(int8.linear(torch.cat((x, 1e6 * torch.rand(300, 64))), packed, bias)[:20], alone)


@needs_kernel
@pytest.mark.parametrize('padding', ['off', 'on'])
def test_a_batch_is_close_to_one_at_a_time(sampler, padding):
    """Much closer than to fp32. Attention differs in the last bit, which is now and then rounded to the next of 8 bits."""
    together = Sampler(sampler.model, F5Config(dtype='int8', padding=padding)).sample(
        [case.request for case in CASES], **CASES[0].solver)
    for mel, case in zip(together, CASES):
        expected, = sampler.sample([case.request], **case.solver)
        assert cosine(mel, expected) > 0.9999


@needs_kernel
def test_a_product_is_as_exact_as_8_bits_allow():
    """Every element, also where rows and channels differ by orders of magnitude: half a level of each, summed up."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 50, 64, generator=generator) * torch.logspace(-6, 6, 100).view(2, 50, 1)
    weight = torch.randn(48, 64, generator=generator) * torch.logspace(-3, 3, 48)[:, None]
    bias = torch.randn(48, generator=generator)
    expected = x @ weight.T + bias
    x_error = x.abs().amax(-1, keepdim=True) / 126
    weight_error = weight.abs().amax(-1) / 254
    bound = (x_error * weight.abs().sum(-1) + weight_error * x.abs().sum(-1, keepdim=True)
             + 64 * x_error * weight_error)
    error = (int8.linear(x, int8.pack(weight), bias) - expected).abs()
    assert (error <= 1.001 * bound + 1e-6 * expected.abs()).all()


@needs_kernel
def test_the_largest_values_do_not_overflow():
    """Sums of the greatest values of both signs: 8-bit activations would be cut off at 16 bits without VNNI."""
    x = torch.stack((torch.ones(1024), -torch.ones(1024), torch.ones(1024)))
    weight = torch.stack((torch.ones(1024), -torch.ones(1024), torch.linspace(-1, 1, 1024)))
    found = int8.linear(x, int8.pack(weight), torch.zeros(3))
    assert torch.allclose(found, x @ weight.T, atol=1.0, rtol=1e-3)


@needs_kernel
def test_zeros_stay_zero_and_what_is_not_a_number_is_not_hidden():
    weight = torch.randn(8, 16)
    weight[3] = 0
    packed = int8.pack(weight)
    assert torch.equal(int8.linear(torch.zeros(5, 16), packed, torch.zeros(8)), torch.zeros(5, 8))
    assert torch.equal(int8.linear(torch.randn(5, 16), packed, torch.zeros(8))[:, 3], torch.zeros(5))
    for bad in (math.nan, math.inf, -math.inf):
        x = torch.randn(5, 16)
        x[2, 7] = bad
        found = int8.linear(x, packed, torch.zeros(8))
        assert not found[2].isfinite().any() and found[[0, 1, 3, 4]].isfinite().all()
        spoiled = weight.clone()
        spoiled[5, 1] = bad
        assert not int8.linear(torch.randn(5, 16), int8.pack(spoiled), torch.zeros(8))[:, 5].isfinite().any()


@needs_kernel
def test_packing_leaves_torch_as_it_was():
    before = torch.backends.quantized.engine
    int8.pack(torch.randn(8, 16))
    assert torch.backends.quantized.engine == before


@needs_kernel
def test_the_32_bit_weights_are_gone():
    """What the blocks multiply by is three quarters smaller: no fp32 tensor of that shape is left."""
    def in_memory():
        held = [tensor for tensor in gc.get_objects() if type(tensor) in (torch.Tensor, torch.nn.Parameter)
                and tensor.dim() >= 2 and tensor.dtype == torch.float32]
        return {name for name, shape in shapes.items() if any(tensor.shape[-2:] == shape for tensor in held)}

    odd = Architecture(dim=48, depth=2, heads=2, dim_head=20, ff_mult=3, text_dim=16, conv_layers=1)
    shapes = {'qkv': (3 * odd.inner_dim, odd.dim), 'out': (odd.dim, odd.inner_dim),
              'up': (odd.ff_dim, odd.dim), 'down': (odd.dim, odd.ff_dim)}
    fused = weights.fuse(weights.random_weights(odd, VOCAB_SIZE), odd)
    model = DiT.from_fused(fused, odd, VOCAB_SIZE, torch.device('cpu'), torch.float32)
    assert in_memory() == set(shapes)
    model.quantize()
    assert in_memory() == set()
    assert all(isinstance(block.qkv_weight, torch.ScriptObject) for block in model.block_weights)


@needs_kernel
def test_an_engine_speaks_with_it(tiny, voice):
    """f5.dtype int8 through load, warm-up, speech and close, the vocoder in fp32."""
    with loaded('f5', tiny, voice, dtype='int8', vocoder_dtype='auto') as engine:
        assert engine.dtype == 'int8'
        engine.warmup(lambda done, what: None)
        before = engine.counters['int8_products']
        samples = heard(engine, 'Hello there.')
        assert len(samples) > 0 and engine.counters['int8_products'] > before
    with loaded('f5', tiny, voice) as engine:
        assert engine.dtype == 'float32'
        assert len(heard(engine, 'Hello there.')) == len(samples) and engine.counters['int8_products'] == 0


def test_a_gpu_is_refused_with_the_cure():
    with pytest.raises(SpeechError, match='f5.dtype to float16') as caught:
        resolve_dtype('int8', torch.device('cuda'))
    assert caught.value.code == ErrorCode.ENGINE_UNAVAILABLE


def test_compilation_is_refused_with_the_cure():
    with pytest.raises(SpeechError, match='none where f5.dtype is int8') as caught:
        F5Config(dtype='int8', compile='default')
    assert caught.value.code == ErrorCode.INVALID_PARAMETER


@pytest.mark.parametrize('engine', ['qnnpack', 'onednn', 'none'])
def test_a_torch_without_the_kernel_is_refused_with_the_cure(monkeypatch, engine):
    """Packed for another kernel (all that ARM has), or for none, the product is not there: found out at load."""
    real = torch.backends.quantized
    if engine not in real.supported_engines and engine != 'none':
        pytest.skip(f'this torch is built without {engine}, so nobody can choose it; the others are tested')

    class Backend:
        """Stands for torch.backends.quantized where 'fbgemm' is not to be had."""

        engine = property(lambda self: real.engine, lambda self, name: select(name))

    def select(name):
        if name == 'fbgemm' and engine == 'none':
            raise RuntimeError('quantized engine FBGEMM is not supported')
        real.engine = engine if name == 'fbgemm' else name

    before = real.engine
    monkeypatch.setattr(torch.backends, 'quantized', Backend())
    with pytest.raises(SpeechError, match='AVX2.*set f5.dtype to auto') as caught:
        int8.pack(torch.randn(8, 16))
    assert caught.value.code == ErrorCode.ENGINE_UNAVAILABLE
    assert real.engine == before

"""What can be known of the CUDA path where there is no GPU: devices, dtypes, and that a step can be captured and replayed.

No value is computed; test_cuda.py compares values, on a GPU.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')

from torch._subclasses.fake_tensor import DynamicOutputShapeException

from ishowtts_ros.core.types import ErrorCode, SpeechError, SynthesisSettings
from ishowtts_ros.core.voices import VoiceRegistry
from ishowtts_ros.engines import registry
from ishowtts_ros.engines.f5 import acceleration, failures, weights
from ishowtts_ros.engines.f5.acceleration import Counters, StepGraph, StepGraphs
from ishowtts_ros.engines.f5.config import F5Config
from ishowtts_ros.engines.f5.model import DiT
from ishowtts_ros.engines.f5.prompt import PromptCache
from ishowtts_ros.engines.f5.sampler import Sampler
from ishowtts_ros.engines.f5.vocoder import Vocoder
from pretend_gpu import VIEWS, NotCapturable, pretend_gpu
from reference import SMALL, VOCAB_SIZE, Case

SOLVER = {'nfe_step': 2, 'cfg_strength': 2.0, 'sway_sampling_coef': -1.0}
FLAT = replace(SMALL, depth=1, conv_layers=1)
ARCHITECTURES = {
    'v1': FLAT,
    'base': replace(FLAT, text_mask_padding=False, pe_attn_head=1),
    'qk_norm': replace(FLAT, qk_norm='rms_norm', conv_layers=0),
}
BATCHES = [(1, 'off'), (1, 'on'), (3, 'off'), (3, 'on')]
NVML = RuntimeError('NVML_SUCCESS == r INTERNAL ASSERT FAILED at "c10/cuda/CUDACachingAllocator.cpp":838')

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU: test_cuda.py tests the same, with values'),
    pytest.mark.skipif(not hasattr(torch._C, '_ensureCUDADeviceGuardSet'),
                       reason='this torch needs a GPU to pretend one (pytorch#163187)')]


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(acceleration, '_capture_streams', acceleration.CaptureStreams())
    with pretend_gpu(monkeypatch) as driver:
        yield driver


def make_sampler(arch=FLAT, dtype=torch.float16, device='cuda:0', **options) -> Sampler:
    fused = weights.fuse(weights.random_weights(arch, VOCAB_SIZE), arch)
    return Sampler(DiT.from_fused(fused, arch, VOCAB_SIZE, torch.device(device), dtype), F5Config(**options))


def requests(count: int) -> list:
    """With noise from the host and from the device, of lengths that no kernel is made for."""
    made = [Case(101 + 30 * index, 50, 20).request for index in range(count)]
    made[-1].noise = torch.randn(made[-1].total_frames, 100)
    return made


def captured(sampler: Sampler, watch) -> None:
    """Have every step of the sampler run as if it were captured."""
    step = sampler._step

    def run(*inputs):
        with watch.capture():
            return step(*inputs)

    sampler._step = run


@pytest.mark.parametrize('arch, dtype, guided, count, padding', [
    *[('v1', torch.float16, guided, *batch) for guided in (True, False) for batch in BATCHES],
    *[(arch, dtype, True, *BATCHES[-1]) for arch in ARCHITECTURES for dtype in (torch.float16, torch.float32)],
    *[(arch, torch.float32, True, *BATCHES[0]) for arch in ARCHITECTURES]])
def test_steps_stay_on_the_gpu_and_in_their_dtype(gpu, arch, dtype, guided, count, padding):
    """From requests on the host to mels: no operation mixes devices. The steps have nothing that a graph cannot hold, all
    their products take the model's dtype, and what they advance is fp32. Once, at the end, the host waits for a value."""
    sampler = make_sampler(ARCHITECTURES[arch], dtype, cuda_graphs=False, padding=padding, buckets=[4.0])
    captured(sampler, gpu.watch)
    mels = sampler.sample(requests(count), **{**SOLVER, 'cfg_strength': 2.0 if guided else 0.0})
    assert [tuple(mel.shape) for mel in mels] == [(101 + 30 * index, 100) for index in range(count)]
    assert all(mel.device.type == 'cuda' and mel.dtype == torch.float32 for mel in mels)
    assert len(gpu.watch.products) == SOLVER['nfe_step'] * (1 + 2 + 5 * FLAT.depth + 1)
    assert {frozenset(dtypes) for _, dtypes in gpu.watch.products} == {frozenset({dtype})}
    assert gpu.watch.reads == 1


WRONG = {
    'a value for the host': lambda x: x * x.sum().item(),
    'a condition': lambda x: x if x.sum() > 0 else -x,
    'data of the host': lambda x: x * torch.tensor([2.0], device=x.device),
    'a number in memory of the host': lambda x: x * torch.tensor(2.0),
    'a copy to the host': lambda x: x * x.mean().cpu(),
    'a shape that depends on data': lambda x: x + x[x > 0].sum(),
}


@pytest.mark.parametrize('wrong', WRONG)
def test_what_cannot_be_captured_is_seen(gpu, wrong):
    sampler = make_sampler()
    project = sampler._parts.project
    sampler._parts = sampler._parts._replace(project=lambda *inputs: WRONG[wrong](project(*inputs)))
    with pytest.raises((NotCapturable, DynamicOutputShapeException)):
        sampler.sample(requests(1), **SOLVER)


def test_a_product_in_another_dtype_is_seen(gpu):
    sampler = make_sampler()
    project = sampler._parts.project
    sampler._parts = sampler._parts._replace(
        project=lambda h, modulation, weight, bias: project(h.float(), modulation.float(), weight.float(), bias.float()))
    sampler.sample(requests(1), **SOLVER)
    assert {torch.float32} in [dtypes for _, dtypes in gpu.watch.products]


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
@pytest.mark.parametrize('count', [1, 3])
def test_between_replays_there_are_copies_on_the_gpu_and_nothing_else(gpu, dtype, count):
    """Three for each step: dt and the tables of two AdaLN parts. One capture, whose products take the model's dtype, serves
    another length as well."""
    sampler = make_sampler(dtype=dtype, buckets=[4.0])
    sampler.sample(requests(count), **SOLVER)
    between = gpu.watch.between_replays
    assert {name for name, _ in between} <= VIEWS | {'copy_'} and all(devices == {'cuda'} for _, devices in between)
    assert sum(name == 'copy_' for name, _ in between) == 3 * (SOLVER['nfe_step'] - 1)
    assert {frozenset(dtypes) for _, dtypes in gpu.watch.products} == {frozenset({dtype})}
    sampler.sample([Case(40, 20, 10).request] * count, **SOLVER)
    counters = sampler.counters
    assert (counters['graph_captures'], counters['graph_replays'], counters['eager_steps']) == (1, 4, 0)


def test_what_comes_between_replays_is_seen(gpu):
    sampler = make_sampler()
    sampler.sample(requests(1), **SOLVER, canceled=lambda: torch.ones(1, device='cuda:0').cpu() is None)
    assert {'cpu', 'cuda'} in [devices for _, devices in gpu.watch.between_replays]


@pytest.mark.parametrize('graphs', [True, False])
def test_all_is_on_the_models_device(gpu, graphs):
    """Streams, events, graphs and memory figures too: torch means device 0 by them, in every new thread."""
    sampler = make_sampler(device='cuda:1', cuda_graphs=graphs)
    mel, = sampler.sample(requests(1), **SOLVER)
    assert mel.device == torch.device('cuda:1') and gpu.devices == {1}
    assert torch.cuda.current_stream().device.index == 0, 'put back'


def capture(graphs: StepGraphs, length: int) -> StepGraph:
    return graphs.get(lambda state: state + 1, [torch.zeros(1, length, device='cuda:0')])


def test_no_stream_has_captured_two_living_graphs(gpu):
    """A dropped graph takes its stream's workspace along. Its stream, and its memory, are there for the next."""
    graphs = StepGraphs(memory_limit=3.0, counters=Counters())      # a capture takes 1 GiB here
    for length in (100, 200, 300):
        capture(graphs, length)
    first = [stream for stream, _ in gpu.captures]
    assert len(set(first)) == 3
    emptied = gpu.emptied
    capture(graphs, 400)                # the first goes
    assert gpu.emptied == emptied + 3, 'before and after the capture, and when a graph was dropped'
    capture(graphs, 100)                # the second goes
    assert gpu.captures[-1][0] == first[0] and len({stream for stream, _ in gpu.captures}) == 4
    assert graphs.bytes == 3 * 2**30


def test_graphs_are_no_more_than_torch_has_streams_for(gpu):
    graphs = StepGraphs(memory_limit=1000.0, counters=Counters())
    for length in range(1, 50):
        capture(graphs, length)
    assert graphs.bytes == 30 * 2**30 and len({stream for stream, _ in gpu.captures}) == 31
    assert len({stream for stream, _ in gpu.captures[-30:]}) == 30, 'those of the living ones'


def test_graphs_of_single_utterances_stay_when_those_of_batches_do_not_fit(gpu, caplog):
    """Four shapes are warmed up, three graphs fit."""
    sampler = make_sampler(buckets=[2.0, 4.0], max_batch=2, batching='always', graph_memory_limit=3.0)
    sampler.warmup(lambda done, what: None)
    captures = sampler.counters['graph_captures']
    for frames in (80, 280):
        sampler.sample([Case(frames, 50, 20).request], **SOLVER)
    assert sampler.counters['graph_captures'] == captures
    assert '1 of 4 CUDA graphs do not fit' in caplog.text


def test_other_threads_do_not_spoil_a_capture(gpu):
    """Such as the one that loads an engine or frees memory: in CUDA's default mode that would be an error here or there."""
    make_sampler().sample(requests(1), **SOLVER)
    assert [mode for _, mode in gpu.captures] == ['thread_local']


@pytest.mark.parametrize('failure', [RuntimeError('operation failed due to a previous error during capture'), NVML,
                                     torch.OutOfMemoryError('CUDA out of memory')])
def test_an_engine_that_cannot_capture_goes_on_without(gpu, failure, caplog):
    """After a failed warm-up: neither graphs nor padding for them, and work goes to the stream that it went to before."""
    gpu.failure = failure
    sampler = make_sampler(buckets=[4.0])
    stream = torch.cuda.current_stream()
    sampler.warmup(lambda done, what: None)
    assert 'going on without CUDA graphs' in caplog.text
    assert torch.cuda.current_stream() == stream
    gpu.failure = None
    sampler.sample(requests(1), **SOLVER)
    assert sampler.counters['graph_captures'] == 0 and sampler._length(100) == (100, False)


@pytest.mark.parametrize('failure', [NVML, torch.OutOfMemoryError('CUDA out of memory'),
                                     RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)')])
def test_no_memory_for_a_graph_while_speaking(gpu, failure):
    """Said so, whatever torch calls it; all graphs are given back, and the next utterance has one again."""
    sampler = make_sampler(buckets=[2.0, 4.0])
    sampler.sample([Case(80, 50, 20).request], **SOLVER)
    gpu.failure = failure
    with pytest.raises(SpeechError) as caught:
        sampler.sample([Case(280, 50, 20).request], **SOLVER)
    assert caught.value.code == ErrorCode.OUT_OF_MEMORY and sampler._graphs.bytes == 0
    gpu.failure = None
    sampler.sample([Case(280, 50, 20).request], **SOLVER)
    assert sampler.counters['graph_captures'] == 2


def test_a_lost_gpu_is_an_error_like_others(monkeypatch):
    """Giving memory back fails as well then, and must not hide what happened. The cure is named."""
    error = RuntimeError('CUDA error: an illegal memory access was encountered')

    def lost():
        raise error

    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.cuda, 'empty_cache', lost)
    failures.release_memory()
    assert 'started anew' in str(failures.as_speech_error(error))


@pytest.mark.parametrize('device, options', [
    ('cuda', {}), ('cuda:1', {'vocoder_dtype': 'auto'}), ('cuda:1', {'dtype': 'float32', 'cuda_graphs': False}),
    ('cuda:0', {'streaming': True, 'max_batch': 2, 'batching': 'always'})])
def test_from_text_to_samples(monkeypatch, tiny, voice, device, options):
    """Loading from files, warming up and speaking: all that the engine does on a GPU, with values left out."""
    prompt = PromptCache(1).get(voice)
    monkeypatch.setattr(PromptCache, 'get', lambda self, voice: prompt)
    monkeypatch.setattr(torch.Tensor, 'numpy', lambda tensor: to_host(tensor))
    emitted = []
    with pretend_gpu(monkeypatch) as gpu:
        engine = registry.create('f5', {'model': str(tiny.model), 'checkpoint': str(tiny.checkpoint_pt), 'vocab': str(tiny.vocab),
                                        'vocoder': str(tiny.vocoder), 'device': device, 'buckets': [4.0, 10.0],
                                        **options}, VoiceRegistry([voice]))
        engine.load(lambda done, what: None)
        engine.warmup(lambda done, what: None)
        assert engine.dtype == options.get('dtype', 'float16') and engine.device == torch.device(device)
        before = engine.counters
        engine.synthesize('Hello there. How are you, on this fine day? I am well.', SynthesisSettings(nfe_step=2, seed=1),
                          emitted.append, lambda: False)
        steps = {name: engine.counters[name] - before[name] for name in ('graph_replays', 'eager_steps')}
        assert [name for name in steps if steps[name]] == ['graph_replays' if options.get('cuda_graphs', True) else 'eager_steps']
        assert gpu.devices == {1 if device == 'cuda:1' else 0}
        engine.close()
    assert sum(map(len, emitted)) > 24_000


def to_host(tensor):
    import numpy as np

    assert tensor.device.type == 'cpu', 'a GPU has no memory that numpy could read'
    return np.zeros(tuple(tensor.shape), np.float32)


@pytest.mark.parametrize('dtype', ['float32', 'float16', 'bfloat16'])
def test_the_vocoder_stays_on_the_gpu(tiny, monkeypatch, dtype):
    """The host waits twice, for torch's check of the inverse STFT's windows and for ours of the samples."""
    with pretend_gpu(monkeypatch) as gpu:
        vocoder = Vocoder.load(tiny.vocoder, torch.device('cuda:0'), F5Config(vocoder_dtype=dtype))
        reads = gpu.watch.reads
        wave = vocoder.decode(torch.randn(2, 101, 100, device='cuda:0'))
        assert wave.shape == (2, 100 * 256) and wave.device.type == 'cuda' and wave.dtype == torch.float32
        assert gpu.watch.reads == reads + 2

"""What only a GPU can show: the same mels as on a CPU, from graphs, in every thread, within the memory allowed.

`make gpu-check` runs this and the benchmark. test_cuda_without_gpu.py has what can be known without.
"""

from __future__ import annotations

from dataclasses import replace
import gc
import importlib.util
import random
import threading

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')

from ishowtts_ros.core.types import ErrorCode, SpeechError
from ishowtts_ros.engines.f5 import acceleration, weights
from ishowtts_ros.engines.f5.config import F5Config
from ishowtts_ros.engines.f5.model import DiT
from ishowtts_ros.engines.f5.sampler import Canceled, Sampler
from ishowtts_ros.engines.f5.vocoder import Vocoder
from reference import SMALL, VOCAB_SIZE, Case, cosine, our_sampler, relative_error
from speaking import heard, loaded, speak

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')

needs_triton = pytest.mark.skipif(importlib.util.find_spec('triton') is None,
                                  reason='torch.compile needs triton on a GPU; wheels for Jetsons come without')

DEVICE = torch.device('cuda:0')
SOLVER = {'nfe_step': 2, 'cfg_strength': 2.0, 'sway_sampling_coef': -1.0}
HEADS = replace(SMALL, dim=128, dim_head=64)        # as wide as those of the published models: other attention kernels
CASES = [Case(20, 10, 5), Case(130, 50, 20), Case(700, 20, 60)]
MIB = 2**20


def quiet(fraction: float, what: str) -> None:
    pass


def cuda_sampler(dtype: torch.dtype = torch.float32, arch=SMALL, device: torch.device = DEVICE, **options) -> Sampler:
    fused = weights.fuse(weights.random_weights(arch, VOCAB_SIZE), arch)
    return Sampler(DiT.from_fused(fused, arch, VOCAB_SIZE, device, dtype), F5Config(**options))


def noisy(case: Case):
    """The request with noise drawn on the CPU, so that both devices see the same."""
    request = case.request
    request.noise = torch.randn(request.total_frames, 100, generator=torch.Generator().manual_seed(case.seed))
    return request


def on_cpu(case: Case, arch=SMALL) -> torch.Tensor:
    mel, = our_sampler(arch).sample([noisy(case)], **SOLVER)
    return mel


def in_a_thread(work) -> None:
    """Run `work` in a thread that has ended when this returns."""
    problems = []

    def run():
        try:
            work()
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]


def almost_equal(samples: np.ndarray, others: np.ndarray) -> bool:
    """Of 16 bits: kernels may add in another order."""
    return len(samples) == len(others) and np.abs(samples.astype(int) - others).max() <= 8


def reserved() -> int:
    """Memory that torch holds on the GPU [bytes]."""
    gc.collect()
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved(DEVICE)


def test_fp32_convolutions_are_exact():
    """With TF32 the relative error would be about 1e-3."""
    x, w = torch.randn(1, 1024, 500), torch.randn(1024, 64, 31)
    with acceleration.exact_fp32():
        found = torch.nn.functional.conv1d(x.to(DEVICE), w.to(DEVICE), groups=16).cpu()
    assert relative_error(found, torch.nn.functional.conv1d(x.double(), w.double(), groups=16)) < 1e-5


@pytest.mark.parametrize('mode', ['none', pytest.param('default', marks=needs_triton)])
def test_graphs_replay_and_are_the_same(mode):
    """Every step is a replay, also of lengths never seen before, and the mel is that of the CPU."""
    sampler = cuda_sampler(compile=mode)
    sampler.warmup(quiet)
    before = sampler.counters
    for case in CASES:
        mel, = sampler.sample([noisy(case)], **SOLVER)
        assert relative_error(mel.cpu(), on_cpu(case)) <= 1e-3      # TF32 is off, but sums run in another order
    after = sampler.counters
    assert after['graph_replays'] - before['graph_replays'] == 3 * SOLVER['nfe_step']
    # compiled code is warmed up without guidance too, which makes a graph of its own
    assert after['graph_captures'] == before['graph_captures'] == len(F5Config().bucket_frames) + (mode != 'none')
    assert after['compiled_frames'] == before['compiled_frames']


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_replayed_steps_are_issued_steps(dtype):
    """With the same padding, so that the same kernels run in the same order."""
    graphs, issued = (cuda_sampler(dtype, HEADS, padding='on', cuda_graphs=captured) for captured in (True, False))
    for case in CASES:
        mel, = graphs.sample([noisy(case)], **SOLVER)
        expected, = issued.sample([noisy(case)], **SOLVER)
        assert relative_error(mel, expected) <= 1e-5
    assert graphs.counters['graph_replays'] == issued.counters['eager_steps'] == 3 * SOLVER['nfe_step']


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('together', [False, True])
@pytest.mark.parametrize('graphs', [True, False])
def test_16_bits(dtype, together, graphs):
    """Padded and masked or not, alone and in a batch: the mel is that of fp32 on the CPU, to the criterion for 16 bits.
    Warm-up cannot see an attention kernel that is wrong: it compares that kernel with itself."""
    sampler = cuda_sampler(dtype, HEADS, cuda_graphs=graphs)
    requests = [noisy(case) for case in CASES]
    mels = sampler.sample(requests, **SOLVER) if together else [sampler.sample([r], **SOLVER)[0] for r in requests]
    for mel, case in zip(mels, CASES):
        assert cosine(mel.cpu(), on_cpu(case, HEADS)) >= 0.999


@needs_triton
def test_new_lengths_neither_compile_nor_capture():
    """200 random lengths after warm-up, alone and in pairs: all their steps are replays of what is there."""
    sampler = cuda_sampler(compile='default', max_batch=2, batching='always', buckets=(2.0, 4.0, 6.0))
    sampler.warmup(quiet)
    before = sampler.counters
    lengths = random.Random(0)
    for index in range(200):
        batch = [Case(lengths.randint(2, 400), lengths.randint(1, 60), lengths.randint(1, 50), seed=seed)
                 for seed in range(1 + index % 2)]
        sampler.sample([case.request for case in batch], nfe_step=1, cfg_strength=2.0, sway_sampling_coef=-1.0)
    after = sampler.counters
    assert after == {**before, 'graph_replays': before['graph_replays'] + 200}


def test_a_canceled_replay_leaves_nothing_behind():
    case = CASES[1]
    sampler = cuda_sampler()
    expected, = sampler.sample([noisy(case)], **SOLVER)
    asked = iter([False, True])
    with pytest.raises(Canceled):
        sampler.sample([noisy(case)], **SOLVER, canceled=lambda: next(asked))
    mel, = sampler.sample([noisy(case)], **SOLVER)
    assert torch.equal(mel, expected)


def test_graphs_stay_within_their_memory_and_dropping_one_spoils_none():
    """A limit for about half of them. A graph that was dropped has taken nothing along that others need."""
    sampler = cuda_sampler(torch.float16, HEADS, graph_memory_limit=1000.0)
    expected = [sampler.sample([noisy(case)], **SOLVER)[0] for case in CASES]
    sampler.warmup(quiet)
    largest = max(size for _, size in sampler._graphs._graphs.values())
    limit = max(sampler._graphs.bytes / 2, largest)
    sampler.close()
    del sampler

    sampler = cuda_sampler(torch.float16, HEADS, graph_memory_limit=limit / 2**30)
    before = reserved()
    sampler.warmup(quiet)
    count = len(F5Config().bucket_frames)
    assert 0 < len(sampler._graphs._graphs) < count
    assert reserved() - before <= limit + 64 * MIB      # schedules, and workspaces of streams that are idle now
    for _ in range(2):
        spoiler = torch.full((64 * MIB,), float('nan'), device=DEVICE)      # on what memory was given back
        for case, mel in zip(CASES, expected):
            found, = sampler.sample([noisy(case)], **SOLVER)
            assert relative_error(found, mel) <= 1e-5
        del spoiler


def test_closing_gives_the_gpu_memory_back():
    first = cuda_sampler()
    first.warmup(quiet)             # libraries keep their own workspaces from here on
    first.close()
    del first
    before, held = reserved(), torch.cuda.memory_allocated(DEVICE)
    sampler = cuda_sampler()
    sampler.warmup(quiet)
    assert torch.cuda.memory_allocated(DEVICE) > held
    sampler.close()
    del sampler
    assert reserved() <= before and torch.cuda.memory_allocated(DEVICE) <= held


@pytest.mark.parametrize('frames', [60_000, 2_700])     # too long for a graph, and in one
def test_out_of_memory_and_on(frames):
    """The error is the one that names the cure, and the next utterance is as if nothing had happened."""
    sampler = cuda_sampler(arch=replace(HEADS, dim=512, heads=8))
    expected, = sampler.sample([noisy(CASES[1])], **SOLVER)
    total = torch.cuda.get_device_properties(DEVICE).total_memory
    torch.cuda.set_per_process_memory_fraction((reserved() + 16 * MIB) / total, DEVICE)
    try:
        with pytest.raises(SpeechError) as caught:
            sampler.sample([Case(frames).request], **SOLVER)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, DEVICE)
    assert caught.value.code == ErrorCode.OUT_OF_MEMORY
    mel, = sampler.sample([noisy(CASES[1])], **SOLVER)
    assert relative_error(mel, expected) <= 1e-5


def test_graphs_outlive_the_thread_that_captured_them():
    """An engine is brought back, and warmed up, by a thread that ends; the worker thread then replays."""
    sampler = cuda_sampler(torch.float16, HEADS)
    in_a_thread(lambda: sampler.warmup(quiet))
    replays = sampler.counters['graph_replays']
    spoiler = torch.full((64 * MIB,), float('nan'), device=DEVICE)
    for case in CASES:
        mel, = sampler.sample([noisy(case)], **SOLVER)
        assert cosine(mel.cpu(), on_cpu(case, HEADS)) >= 0.999
    assert sampler.counters['graph_replays'] - replays == 3 * SOLVER['nfe_step'] and spoiler.isnan().all()


def test_captures_while_another_thread_loads_an_engine():
    """What loading does on the GPU: allocations, uploads, and giving memory back."""
    sampler, stop = cuda_sampler(), threading.Event()

    def load():
        while not stop.is_set():
            torch.randn(MIB).pin_memory().to(DEVICE, torch.float16, non_blocking=True)
            torch.cuda.empty_cache()

    loader = threading.Thread(target=load)
    loader.start()
    try:
        sampler.warmup(quiet)
    finally:
        stop.set()
        loader.join()
    assert sampler.counters['graph_captures'] == len(F5Config().bucket_frames) and sampler._graphs is not None
    mel, = sampler.sample([noisy(CASES[1])], **SOLVER)
    assert relative_error(mel.cpu(), on_cpu(CASES[1])) <= 1e-3


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason='needs two CUDA devices')
def test_another_device_than_the_first():
    """In a thread that knows nothing of it."""
    sampler = cuda_sampler(device=torch.device('cuda:1'))
    in_a_thread(lambda: sampler.warmup(quiet))
    assert sampler.counters['graph_replays'] > 0 and sampler._graphs is not None
    mel, = sampler.sample([noisy(CASES[1])], **SOLVER)
    assert mel.device.index == 1 and relative_error(mel.cpu(), on_cpu(CASES[1])) <= 1e-3


@pytest.mark.parametrize('dtype', ['float32', 'float16'])
def test_the_vocoder_sounds_as_on_the_cpu(tiny, dtype):
    mel = torch.randn(1, 200, 100, generator=torch.Generator().manual_seed(0)) * 2 - 3
    expected = Vocoder.load(tiny.vocoder, torch.device('cpu'), F5Config()).decode(mel)
    vocoder = Vocoder.load(tiny.vocoder, DEVICE, F5Config(vocoder_dtype=dtype))
    wave = vocoder.decode(mel.to(DEVICE)).cpu()
    assert relative_error(wave, expected) <= 1e-4 if dtype == 'float32' else cosine(wave, expected) >= 0.999


@pytest.mark.parametrize('options', [{}, pytest.param({'compile': 'default'}, marks=needs_triton), {'dtype': 'float32', 'cuda_graphs': False}])
def test_the_engine_speaks(tiny, voice, options):
    """From files to samples; a seed says the same each time, a cancellation leaves nothing behind, memory comes back."""
    text = 'Hello there, how are you? This is the second sentence of the text.'
    with loaded('f5', tiny, voice, **{'device': str(DEVICE), 'dtype': 'auto', **options}) as engine:
        engine.warmup(quiet)
        first, again = heard(engine, text), heard(engine, text)
        assert len(first) > 24_000 and np.abs(first).max() > 100 and almost_equal(again, first)
        asked = iter([False] * 3 + [True] * 100)
        speak(engine, text, canceled=lambda: next(asked))
        assert almost_equal(heard(engine, text), first)
        report = engine.device_report()
        assert report['dtype'] == options.get('dtype', 'float16') and report['allocated [MiB]'] <= report['reserved [MiB]']
        held = torch.cuda.memory_allocated(DEVICE)
    gc.collect()
    assert torch.cuda.memory_allocated(DEVICE) < held

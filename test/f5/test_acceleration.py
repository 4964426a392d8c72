"""Every acceleration gives the same mel as plain execution, and counters prove that it ran."""

from __future__ import annotations

import json
import os
from pathlib import Path
import random
import subprocess
import sys

import pytest

torch = pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')

from ishowtts_ros.engines.f5 import acceleration
from ishowtts_ros.engines.f5.acceleration import Counters, StepGraphs
from ishowtts_ros.engines.f5.sampler import Sampler
from reference import SMALL, Case, our_sampler, relative_error

SOLVER = {'nfe_step': 2, 'cfg_strength': 2.0, 'sway_sampling_coef': -1.0}


def quiet(fraction: float, what: str) -> None:
    pass


def plain(case: Case) -> torch.Tensor:
    mel, = our_sampler().sample([case.request], **SOLVER)
    return mel


@pytest.fixture(scope='module')
def compiled() -> Sampler:
    """A warmed sampler with dynamic compilation, for single requests and pairs."""
    sampler = our_sampler(compile='default', max_batch=2, batching='always')
    sampler.warmup(quiet)
    return sampler


def test_compiled_code_runs_and_is_the_same(compiled):
    """Every part of every step runs compiled: embed, each block, project."""
    case = Case(130, 50, 20)
    expected = plain(case)
    before = compiled.counters
    mel, = compiled.sample([case.request], **SOLVER)
    assert relative_error(mel, expected) <= 1e-4
    assert before['compiled_frames'] >= 3
    assert compiled.counters['compiled_calls'] - before['compiled_calls'] == 2 * (SMALL.depth + 2)


def test_a_new_length_never_recompiles(compiled):
    """200 random lengths after warm-up, alone and in pairs, with guidance and without: no new compiled frame, and all
    steps ran compiled."""
    before = compiled.counters
    lengths = random.Random(0)
    steps = 0
    for index in range(200):
        batch = [Case(lengths.randint(2, 400), lengths.randint(1, 60), lengths.randint(1, 50), seed=index)
                 for _ in range(1 + index % 2)]
        compiled.sample([case.request for case in batch], nfe_step=1, cfg_strength=2.0 if index % 4 < 2 else 0.0,
                        sway_sampling_coef=-1.0)
        steps += 1
    after = compiled.counters
    assert after['compiled_frames'] == before['compiled_frames']
    assert after['compiled_calls'] - before['compiled_calls'] == steps * (SMALL.depth + 2)


def test_compiled_batch_is_the_same(compiled):
    cases = [Case(130, 50, 20), Case(300, 20, 40)]
    for mel, case in zip(compiled.sample([case.request for case in cases], **SOLVER), cases):
        assert relative_error(mel, plain(case)) <= 1e-4


def test_one_compilation_per_bucket():
    """Without dynamic shapes each bucket is compiled at warm-up, and no length compiles anything more."""
    sampler = our_sampler(compile='default', compile_dynamic=False, buckets=(1.0, 2.0))
    sampler.warmup(quiet)
    before = sampler.counters
    for case in (Case(20, 10, 5), Case(60, 10, 5), Case(120, 30, 15)):
        mel, = sampler.sample([case.request], **SOLVER)
        assert relative_error(mel, plain(case)) <= 1e-4
    after = sampler.counters
    assert before['compiled_frames'] == 2 * 3 and after['compiled_frames'] == before['compiled_frames']
    assert after['compiled_calls'] - before['compiled_calls'] == 3 * 2 * (SMALL.depth + 2)


@pytest.mark.parametrize('mode', ['reduce-overhead', 'max-autotune'])
def test_other_modes(mode):
    case = Case(130, 50, 20)
    sampler = our_sampler(compile=mode)
    mel, = sampler.sample([case.request], **SOLVER)
    assert relative_error(mel, plain(case)) <= 1e-4
    assert sampler.counters['compiled_frames'] == 3
    assert sampler.counters['compiled_calls'] == 2 * (SMALL.depth + 2)


def test_switched_off_means_off():
    """With everything off, nothing compiled and nothing captured runs, on whatever device."""
    sampler = our_sampler(compile='none', cuda_graphs=False)
    sampler.sample([Case(50).request], **SOLVER)
    assert sampler.counters == {'compiled_frames': 0, 'compiled_calls': 0, 'graph_captures': 0, 'graph_replays': 0,
                                'eager_steps': 2, 'int8_products': 0}


@pytest.mark.parametrize('options, length, padded', [
    ({}, 100, False),                                                   # a CPU without static compilation needs none
    ({'padding': 'on'}, 100, True),
    ({'padding': 'on'}, 5000, False),                                   # longer than all buckets
    ({'padding': 'off', 'compile': 'default', 'compile_dynamic': False}, 100, False),
    ({'compile': 'default', 'compile_dynamic': False}, 100, True),
    ({'compile': 'default'}, 100, False),
])
def test_where_padding_happens(options, length, padded):
    frames, bucketed = our_sampler(cuda_graphs=False, **options)._length(length)
    assert bucketed == padded and frames == (384 if padded else length)


class FakeGraph:
    """Stands for a captured graph, so that the bookkeeping can be tested without a GPU."""

    def __init__(self, step, inputs):
        self.shape = inputs[0].shape


def test_graphs_are_bounded_and_the_least_recently_used_goes_first(monkeypatch):
    """Memory held by graphs stays under the limit; a graph in use is never the one dropped."""
    counters = Counters()
    graphs = StepGraphs(memory_limit=3.0, counters=counters)

    def capture(step, inputs):
        counters.graph_captures += 1
        return FakeGraph(step, inputs), 2**30

    monkeypatch.setattr(graphs, '_capture', capture)
    a, b, c, d = ([torch.zeros(1, frames)] for frames in (10, 20, 30, 40))
    first = graphs.get(None, a)
    graphs.get(None, b), graphs.get(None, c)
    assert graphs.get(None, a) is first and counters.graph_captures == 3
    graphs.get(None, d)                                 # b is the oldest now
    assert graphs.bytes == 3 * 2**30 and counters.graph_captures == 4
    assert graphs.get(None, a) is first and counters.graph_captures == 4
    graphs.get(None, b)
    assert counters.graph_captures == 5
    graphs.clear()
    assert graphs.bytes == 0


def test_a_graph_larger_than_the_limit_still_serves(monkeypatch):
    graphs = StepGraphs(memory_limit=0.5, counters=Counters())
    monkeypatch.setattr(graphs, '_capture', lambda step, inputs: (FakeGraph(step, inputs), 2**30))
    assert graphs.get(None, [torch.zeros(3)]) is graphs.get(None, [torch.zeros(3)])


class StepwiseGraphs:
    """Stands for StepGraphs on a CPU: a "graph" that runs the step each time, off by `error`."""

    def __init__(self, error):
        self._error = error
        self.replays = 0

    def get(self, step, inputs):
        if self._error is RuntimeError:
            raise RuntimeError('operation not permitted when stream is capturing')
        self._step = step
        return self

    def set(self, start, tensors):
        if not start:
            self._inputs = list(tensors)
        self._inputs[start:start + len(tensors)] = tensors

    def replay(self):
        self.replays += 1
        self._inputs[0] = self._step(*self._inputs) * (1 + self._error)

    @property
    def state(self):
        return self._inputs[0]

    def clear(self):
        pass


@pytest.mark.parametrize('error, kept', [(0.0, True), (0.05, False), (RuntimeError, False)])
def test_graphs_that_cannot_be_proved_at_warmup_are_not_used(error, kept, caplog):
    """Warm-up compares replayed with issued steps, and an engine goes on without graphs that are wrong."""
    sampler = our_sampler(padding='on', buckets=[4.0])
    graphs = sampler._graphs = StepwiseGraphs(error)
    sampler.warmup(quiet)
    assert (sampler._graphs is graphs) == kept
    assert ('without CUDA graphs' in caplog.text) != kept
    case = Case(50)
    before = graphs.replays
    mel, = sampler.sample([case.request], **SOLVER)
    assert graphs.replays - before == (SOLVER['nfe_step'] if kept else 0)
    assert relative_error(mel, plain(case)) < 1e-5


@pytest.mark.parametrize('flags, native', [
    ('flags : fpu avx2 fma', False), ('flags : avx512f avx512_bf16', True), ('flags : amx_tile amx_bf16', True),
    ('Features : fp asimd bf16 i8mm', True)])
def test_bf16_only_where_the_cpu_has_it(monkeypatch, flags, native):
    monkeypatch.setattr(acceleration.Path, 'read_text', lambda *args, **kwargs: flags)
    assert acceleration.has_bf16_instructions() is native
    expected = torch.bfloat16 if native else torch.float32
    assert acceleration.resolve_dtype('auto', torch.device('cpu')) is expected


@pytest.mark.parametrize('names', ['old', 'new'])
@pytest.mark.parametrize('allowed', [False, True])
def test_fp32_is_exact_while_sampling_and_settings_are_put_back(allowed, names):
    """TF32 is off inside a step and as the process had it afterwards, also after a cancellation; whether the process
    has set it by torch's old names or by those that are new in 2.9. In a process of its own: the names do not mix."""
    if names == 'new' and not hasattr(torch.backends.cudnn, 'conv'):
        pytest.skip('torch before 2.9 has no new names for TF32; the old ones are tested')
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parents[1]), os.environ.get('PYTHONPATH', '')])
    result = subprocess.run([sys.executable, str(here / 'tf32_settings.py'), names, str(int(allowed))], timeout=120,
                            capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': path})
    assert result.returncode == 0, result.stderr[-2000:]
    seen = json.loads(result.stdout.splitlines()[-1])
    assert seen == {'inside': [[False, False]], 'after': [allowed] * 2, 'canceled': [allowed] * 2}


@pytest.mark.parametrize('device, dtype, exact', [
    ('cuda', torch.float32, True), ('cuda', torch.float16, False), ('cpu', torch.float32, False)])
def test_only_fp32_on_a_gpu_changes_settings(device, dtype, exact):
    assert (acceleration.exactness(torch.device(device), dtype) is acceleration.exact_fp32) == exact

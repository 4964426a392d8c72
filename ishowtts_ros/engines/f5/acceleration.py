"""Device and precision, torch.compile and CUDA graphs, with counters that prove what ran.

Nothing here changes a result; every part can be switched off in F5Config.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Callable, ContextManager, Iterator, Mapping, Sequence
import weakref

import torch
from torch import Tensor

from ...core.types import ErrorCode, SpeechError
from .config import F5Config, invalid

_MAX_FRAMES_PER_FUNCTION = 256      # dynamo's own limit is 8, past which it runs eager without a word
_SIDE_STREAMS = 32                  # that torch has on a device: whoever asks for more is given the same ones again
_MAX_GRAPHS = _SIDE_STREAMS - 2     # a stream for each, one for uploads, one for the graph that comes before the oldest goes


@dataclass
class Counters:
    """What really ran since loading."""

    compiled_frames: int = 0        # compilations by torch.compile's backend
    compiled_calls: int = 0         # executions of compiled code
    graph_captures: int = 0
    graph_replays: int = 0          # solver steps replayed from a CUDA graph
    eager_steps: int = 0            # solver steps issued kernel by kernel (their parts may be compiled)
    int8_products: int = 0          # matrix products in 8 bits

    def as_dict(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def resolve_device(config: F5Config) -> torch.device:
    """The device that `config.device` means on this machine.

    :raises SpeechError: INVALID_PARAMETER when it is no device name; ENGINE_UNAVAILABLE when it is not there
    """
    if config.device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(config.device)
    except RuntimeError:
        raise invalid('device', config.device, 'auto, cpu, cuda or cuda:<n>') from None
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise SpeechError(ErrorCode.ENGINE_UNAVAILABLE,
                          f"device '{config.device}' is not there ({torch.cuda.device_count()} CUDA devices seen by "
                          f"torch {torch.__version__}); set f5.device to cpu or install torch for your GPU")
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype that one of config.DTYPES means on `device`; float32 for int8, which only the blocks' products have.

    :raises SpeechError: ENGINE_UNAVAILABLE for int8 on a GPU
    """
    if name == 'int8':
        if device.type != 'cpu':
            raise SpeechError(ErrorCode.ENGINE_UNAVAILABLE, 'f5.dtype int8 is for CPUs without 16-bit instructions; '
                              f'set f5.dtype to float16 for {device}, or f5.device to cpu')
        return torch.float32
    if name != 'auto':
        return getattr(torch, name)
    if device.type == 'cuda':
        return torch.float16
    return torch.bfloat16 if has_bf16_instructions() else torch.float32


def has_bf16_instructions() -> bool:
    """Whether this CPU multiplies bf16 natively; without, bf16 is emulated and slower than fp32."""
    try:
        flags = set(Path('/proc/cpuinfo').read_text(encoding='utf-8', errors='replace').split())
    except OSError:
        return False
    return bool(flags & {'amx_bf16', 'avx512_bf16', 'bf16'})    # the last one is what aarch64 says


def paying_batch(step_times: Mapping[int, float], margin: float = 0.1) -> int:
    """How many requests one pass should hold: as many as make the time for each the shortest.

    :param step_times: seconds of a solver step, by requests in the pass; 1 is among them
    :param margin: share of the time that has to be saved; with less, 1 is the answer: alone, each is ready sooner
    """
    each = {size: seconds / size for size, seconds in step_times.items()}
    best = min(each, key=each.get)
    return best if each[best] <= (1 - margin) * each[1] else 1


def is_faster(step_times: Mapping[int, float], size: int) -> bool:
    """Is each request ready sooner in a pass of this size than in any smaller one?"""
    return all(step_times[size] / size < seconds / smaller for smaller, seconds in step_times.items() if smaller < size)


@contextmanager
def exact_fp32() -> Iterator[None]:
    """In here fp32 means fp32 on CUDA: torch's default multiplies in TF32 (10 bits of mantissa) in convolutions.

    The settings belong to the whole process, so they are put back; other threads see them meanwhile.
    """
    settings = _tf32_settings()
    try:
        for owner, name, exact, _ in settings:
            setattr(owner, name, exact)
        yield
    finally:
        for owner, name, _, before in settings:
            setattr(owner, name, before)


def _tf32_settings() -> list[tuple[object, str, object, object]]:
    """Owner, name, exact value and value now of what decides on TF32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    try:
        return [(owner, 'allow_tf32', False, owner.allow_tf32) for owner in (matmul, cudnn)]
    except RuntimeError:            # somebody has used the names that are new in torch 2.9: the old ones fail from then on
        return [(owner, 'fp32_precision', 'ieee', owner.fp32_precision) for owner in (matmul, cudnn.conv)]


def current(device: torch.device) -> ContextManager[None]:
    """In here new events and graphs, memory figures and the current stream are those of `device`.

    Without, they are of device 0 in every new thread, whichever device the model is on.
    """
    return torch.cuda.device(device) if device.type == 'cuda' else nullcontext()


def exactness(device: torch.device, dtype: torch.dtype) -> Callable[[], ContextManager[None]]:
    """What to compute in: `exact_fp32` for fp32 on a GPU; elsewhere there is nothing to set."""
    return exact_fp32 if device.type == 'cuda' and dtype is torch.float32 else nullcontext


class Compiler:
    """torch.compile with inductor, counting. CUDA graphs are left to `StepGraphs`, whatever the mode."""

    def __init__(self, mode: str, dynamic: bool, counters: Counters):
        """
        :param mode: one of config.COMPILE_MODES; 'none' compiles nothing
        :param dynamic: one compilation for all lengths; False = one for each
        """
        self._mode = mode
        self._dynamic = dynamic
        self._counters = counters
        if mode == 'none':          # torch._dynamo takes seconds to import
            return
        for name in ('recompile_limit', 'cache_size_limit'):       # the second is its name before torch 2.7
            if hasattr(torch._dynamo.config, name):
                limit = max(getattr(torch._dynamo.config, name), _MAX_FRAMES_PER_FUNCTION)
                setattr(torch._dynamo.config, name, limit)

    def __call__(self, function: Callable, *length_dims: int | None) -> Callable:
        """`function` compiled, or itself when the mode is 'none'.

        :param length_dims: which dimension is the length, for each of its leading tensor arguments
        """
        if self._mode == 'none':
            return function
        # dynamic=None: only what is marked varies; False: dynamo must not make a second bucket's length dynamic
        compiled = torch.compile(function, backend=self._backend, fullgraph=True,
                                 dynamic=None if self._dynamic else False)
        if not self._dynamic:
            return compiled

        def run(*arguments):
            for argument, dim in zip(arguments, length_dims):
                if argument is not None and dim is not None:
                    torch._dynamo.mark_dynamic(argument, dim)
            return compiled(*arguments)

        return run

    def _backend(self, graph: torch.fx.GraphModule, inputs: Sequence[Tensor]) -> Callable:
        from torch._inductor import list_mode_options
        from torch._inductor.compile_fx import compile_fx

        options = {name: value for name, value in list_mode_options(self._mode).items() if name != 'triton.cudagraphs'}
        compiled = compile_fx(graph, inputs, config_patches=options)
        self._counters.compiled_frames += 1

        def run(*arguments):
            self._counters.compiled_calls += 1
            return compiled(*arguments)

        return run


class Upload:
    """Copies host tensors to the device on a stream of its own, beside what the GPU is computing."""

    def __init__(self, device: torch.device):
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == 'cuda' else None

    def __call__(self, tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """The tensor on the device; call `wait` before using it."""
        if self._stream is None or tensor.device == self._device:
            return tensor.to(self._device, dtype)
        with torch.cuda.stream(self._stream):
            copy = tensor.to(dtype=dtype).pin_memory().to(self._device, non_blocking=True)
        copy.record_stream(torch.cuda.current_stream(self._device))     # or its memory could be reused too early
        return copy

    def wait(self) -> None:
        """Make what is launched next on the current stream wait for the copies."""
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_stream(self._stream)


class Pace:
    """Keeps the host at most one step ahead of the GPU, so that a cancellation takes effect within two steps."""

    def __init__(self, device: torch.device):
        self._events = [torch.cuda.Event() for _ in range(2)] if device.type == 'cuda' else []

    def step_launched(self) -> None:
        if self._events:
            self._events[0].record()
            self._events.reverse()
            self._events[0].synchronize()       # the step before; an event never recorded does not block


class CaptureStreams:
    """Streams to capture on, never one for two living graphs.

    cuBLAS has a workspace for each stream, whose address graphs remember. With one stream for all graphs, as in
    torch.cuda.graph's default, the workspace lies in the memory of the graph that was captured first, and with torch
    2.12 to 2.14 goes with any of them: the others then write into memory that is not theirs (pytorch#193402).
    """

    def __init__(self):
        self._made: list[torch.cuda.Stream] = []
        self._idle: list[torch.cuda.Stream] = []

    def lend(self, graph: StepGraph, device: torch.device) -> torch.cuda.Stream:
        """A stream of `device` for as long as `graph` lives."""
        stream = next((idle for idle in self._idle if idle.device == device), None)
        if stream is not None:
            self._idle.remove(stream)           # rather than a new one: it has its workspace already
        else:
            stream = self._new(device)
        weakref.finalize(graph, self._idle.append, stream)
        return stream

    def _new(self, device: torch.device) -> torch.cuda.Stream:
        for _ in range(_SIDE_STREAMS):
            stream = torch.cuda.Stream(device)
            if stream not in self._made:
                break
        self._made.append(stream)
        return stream


_capture_streams = CaptureStreams()         # of the process, as torch's streams are


class StepGraph:
    """One solver step of one shape, captured as a CUDA graph over static buffers."""

    def __init__(self, step: Callable[..., Tensor], inputs: Sequence[Tensor | None]):
        """Capture `step(*inputs)`, whose result goes back into the first input. The inputs become the buffers."""
        self._inputs = [tensor.clone() if tensor is not None else None for tensor in inputs]
        stream = _capture_streams.lend(self, inputs[0].device)
        stream.wait_stream(torch.cuda.current_stream())
        # also brings the current stream back where a capture fails: torch.cuda.graph then leaves its own behind
        with torch.cuda.stream(stream):
            for _ in range(2):                  # libraries choose kernels and workspaces outside the capture
                step(*self._inputs)
            self._graph = torch.cuda.CUDAGraph()
            # what other threads do meanwhile, such as loading an engine, must not spoil the capture
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode='thread_local'):
                self._inputs[0].copy_(step(*self._inputs))
        torch.cuda.current_stream().wait_stream(stream)

    def set(self, start: int, tensors: Sequence[Tensor | None]) -> None:
        """Copy into the buffers from position `start` on. Shapes must be those of the capture."""
        for buffer, tensor in zip(self._inputs[start:], tensors):
            if (buffer is None) != (tensor is None) or (buffer is not None and buffer.shape != tensor.shape):
                raise ValueError(f'captured for {getattr(buffer, "shape", None)}, '
                                 f'called with {getattr(tensor, "shape", None)}')
            if buffer is not None:
                buffer.copy_(tensor)

    def replay(self) -> None:
        self._graph.replay()

    @property
    def state(self) -> Tensor:
        """The first buffer: what the step advances."""
        return self._inputs[0]


class StepGraphs:
    """Captured steps by shape, bounded in memory and number: the least recently used is dropped first."""

    def __init__(self, memory_limit: float, counters: Counters):
        """:param memory_limit: GiB that captured graphs may hold together"""
        self._limit = memory_limit * 2**30
        self._graphs: OrderedDict[tuple, tuple[StepGraph, int]] = OrderedDict()     # shapes -> graph, bytes
        self._counters = counters

    def get(self, step: Callable[..., Tensor], inputs: Sequence[Tensor | None]) -> StepGraph:
        """The graph for inputs of these shapes, captured now if need be."""
        key = tuple(tuple(tensor.shape) if tensor is not None else None for tensor in inputs)
        if key not in self._graphs:
            self._graphs[key] = self._capture(step, inputs)
        self._graphs.move_to_end(key)
        excess = []
        while len(self._graphs) > 1 and (self.bytes > self._limit or len(self._graphs) > _MAX_GRAPHS):
            excess.append(self._graphs.popitem(last=False))
        if excess:
            excess.clear()
            torch.cuda.empty_cache()            # until then torch keeps the memory of a graph that is gone
        return self._graphs[key][0]

    def _capture(self, step: Callable[..., Tensor], inputs: Sequence[Tensor | None]) -> tuple[StepGraph, int]:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()                # so that what is reserved from here on is the graph's
        before = torch.cuda.memory_reserved()
        graph = StepGraph(step, inputs)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        self._counters.graph_captures += 1
        return graph, max(0, torch.cuda.memory_reserved() - before)

    def drop_batches_over(self, size: int) -> None:
        """Give back the graphs of larger batches."""
        for key in [key for key in self._graphs if key[0][0] > size]:
            del self._graphs[key]
        torch.cuda.empty_cache()

    def __len__(self) -> int:
        return len(self._graphs)

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self._graphs.values())

    def clear(self) -> None:
        self._graphs.clear()

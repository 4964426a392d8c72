"""A GPU that computes nothing: torch's FakeTensorMode, and stand-ins for the CUDA calls that need a driver.

Tensors have a device, a dtype and a shape, but no values. An operation on tensors of two devices fails, as on a GPU. `Watch` sees
every operation, and refuses in a capture what a CUDA graph cannot hold.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable, Iterator

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

VIEWS = {'view', 'select', 'slice', 'unbind', 'detach', 'alias', 'as_strided', 't', 'transpose', 'expand', 'unsqueeze', 'squeeze'}
PRODUCTS = {'mm', 'addmm', 'bmm', 'baddbmm', 'convolution', '_scaled_dot_product_efficient_attention'}
SIDE_STREAMS = 32       # of a device in torch: whoever asks for more is given the same ones again

_READS = {'_local_scalar_dense', 'equal'}
_HOST_DATA = {'lift_fresh', 'lift_fresh_copy', '_pin_memory'}
_DATA_DEPENDENT = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class NotCapturable(Exception):
    """What a CUDA graph could not hold, or would hold as a constant."""


class Watch(TorchDispatchMode):
    """Sees all operations on tensors, and refuses in a capture what cannot be captured."""

    def __init__(self):
        super().__init__()
        self.capturing = False
        self.log: list[tuple[str, set[str]]] = []       # operations outside captures, and the devices of their tensors
        self.products: list[tuple[str, set[torch.dtype]]] = []      # in captures: operations, and dtypes of what they take

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = getattr(func, 'overloadpacket', func).__name__
        if self.capturing and _DATA_DEPENDENT & set(func.tags):
            raise NotCapturable(f'{name}: the host waits for a value')
        if name in _READS:
            self.log.append((name, set()))
            return self.log[-2][0] == 'all'         # all are finite; no window of an inverse STFT is too small
        result = func(*args, **(kwargs or {}))
        given, made = _tensors((args, kwargs)), _tensors(result)
        devices = {tensor.device.type for tensor in given + made}
        if made and not self.capturing:
            self.log.append((name, devices))
        elif made and (devices != {'cuda'} or name in _HOST_DATA):
            raise NotCapturable(f'{name}: memory of the host')
        elif made and name in PRODUCTS:
            self.products.append((name, {tensor.dtype for tensor in given}))
        return result

    @contextmanager
    def capture(self) -> Iterator[None]:
        self.capturing = True
        try:
            yield
        finally:
            self.capturing = False

    @property
    def reads(self) -> int:
        """How often the host has waited for a value."""
        return sum(name in _READS for name, _ in self.log)

    @property
    def between_replays(self) -> list[tuple[str, set[str]]]:
        """Operations between the first replay and the last."""
        replays = [index for index, (name, _) in enumerate(self.log) if name == 'replay']
        return [entry for entry in self.log[replays[0]:replays[-1]] if entry[0] != 'replay']


def _tensors(values: object) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


class FusedAttention(TorchFunctionMode):
    """Takes the kernel that GPUs have for additive masks; torch itself would choose by what GPU there is."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value = args
        mask = kwargs['attn_mask']
        if mask is not None:
            assert mask.dtype == query.dtype
            assert not any(stride % 8 for stride in mask.stride()[:-1]), 'such a mask would be copied in every block'
            mask = mask.expand(*query.shape[:3], key.shape[2])
        return torch.ops.aten._scaled_dot_product_efficient_attention(query, key, value, mask, False)[0]


@dataclass(frozen=True)
class Stream:
    device: torch.device
    number: int             # -1: the default stream

    def wait_stream(self, other: Stream) -> None:
        pass


class HostGenerator(torch.Generator):
    def __new__(cls, device='cpu'):
        return super().__new__(cls)


class Driver:
    """Stand-ins for parts of torch.cuda, under their names there; `devices` is where they were used."""

    def __init__(self, watch: Watch):
        self.watch = watch
        self.devices: set[int] = set()
        self.captures: list[tuple[Stream, str]] = []    # stream and error mode of each
        self.failure: Exception | None = None           # of every capture, when it ends
        self.reserved = 0                               # bytes
        self.emptied = 0                                # calls of empty_cache
        self._device = 0
        self._made = 0
        self._streams = [Stream(torch.device('cuda', index), -1) for index in range(self.device_count())]

    def _used(self, device: torch.device | None) -> int:
        index = self._device if device is None else torch.device(device).index or 0
        self.devices.add(index)
        return index

    def device_count(self) -> int:
        return 2

    @contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        before, self._device = self._device, device.index or 0
        yield
        self._device = before

    def Stream(self, device: torch.device | None = None) -> Stream:
        self._made += 1
        return Stream(torch.device('cuda', self._used(device)), self._made % SIDE_STREAMS)

    def current_stream(self, device: torch.device | None = None) -> Stream:
        return self._streams[self._used(device)]

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        index = self._used(stream.device)
        before, self._streams[index] = self._streams[index], stream
        try:
            yield
        finally:
            self._streams[index] = before

    @contextmanager
    def graph(self, graph: object, stream: Stream | None = None, capture_error_mode: str = 'global') -> Iterator[None]:
        self._used(None)
        stream = stream or Stream(torch.device('cuda', 0), 0)       # one for all, of the device that came first
        self.captures.append((stream, capture_error_mode))
        before, self._streams[stream.device.index] = self._streams[stream.device.index], stream
        with self.watch.capture():
            yield
        if self.failure:
            raise self.failure              # and the stream stays, as in torch
        self._streams[stream.device.index] = before
        self.reserved += 2**30

    def synchronize(self, device: torch.device | None = None) -> None:
        self._used(device)

    def memory_reserved(self, device: torch.device | None = None) -> int:
        self._used(device)
        return self.reserved

    def empty_cache(self) -> None:
        self.emptied += 1

    def CUDAGraph(self) -> Graph:
        return Graph(self.watch)

    def Event(self) -> Event:
        return Event(self)

    def install(self, monkeypatch) -> None:
        for name in ('device_count', 'device', 'Stream', 'current_stream', 'stream', 'graph', 'synchronize', 'memory_reserved',
                     'empty_cache', 'CUDAGraph', 'Event'):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(Tensor, 'pin_memory', lambda tensor: tensor)
        monkeypatch.setattr(Tensor, 'record_stream', lambda tensor, stream: None)
        monkeypatch.setattr(torch, 'Generator', HostGenerator)
        monkeypatch.setattr(torch.nn.Module, '_apply', _apply)


def _apply(module: torch.nn.Module, function: Callable[[Tensor], Tensor]) -> torch.nn.Module:
    """What Module.to does; torch's own exchanges tensors in place, which fake ones refuse."""
    for part in module.modules():
        for name, tensor in part._parameters.items():
            part._parameters[name] = tensor if tensor is None else torch.nn.Parameter(function(tensor), requires_grad=False)
        for name, tensor in part._buffers.items():
            part._buffers[name] = tensor if tensor is None else function(tensor)
    return module


@dataclass
class Graph:
    watch: Watch

    def replay(self) -> None:
        self.watch.log.append(('replay', set()))


@dataclass
class Event:
    driver: Driver

    def record(self) -> None:
        self.driver._used(None)

    def synchronize(self) -> None:
        pass


@contextmanager
def pretend_gpu(monkeypatch) -> Iterator[Driver]:
    """In here 'cuda' and 'cuda:1' are there, and tensors have no values."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)       # imports dynamo, which would make something of the stand-ins
    watch = Watch()
    driver = Driver(watch)
    with monkeypatch.context() as patch:
        driver.install(patch)
        with fake, FusedAttention(), watch:
            yield driver

"""What the machine of a benchmark is, and how fast it multiplies matrices."""

from __future__ import annotations

import os
from pathlib import Path
import platform
import resource
import time
from typing import Any, Callable


def gemm_rate(dtype: str, device: Any, seconds: float = 0.5) -> float:
    """What this machine reaches at best on the largest matrix product of a step, both rows of guidance [TFLOP/s]."""
    a, b = (2560, 1024), (3072, 1024)
    product = matrix_product(dtype, device, a, b)
    repeat = 1 if device.type == 'cpu' else 100
    rates = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 3:
        synchronize(device)
        start = time.perf_counter()
        for _ in range(repeat):
            product()
        synchronize(device)
        rates.append(repeat * 2 * a[0] * a[1] * b[0] / (time.perf_counter() - start) / 1e12)
    return max(rates)


def matrix_product(dtype: str, device: Any, a: tuple[int, int], b: tuple[int, int]) -> Callable[[], Any]:
    """The product of a and b transposed, random matrices of these shapes, as the engine does it in this dtype."""
    import torch

    from ..engines.f5 import int8

    if dtype == 'int8':
        x, packed, bias = torch.randn(a), int8.pack(torch.randn(b)), torch.zeros(b[0])
        return lambda: int8.linear(x, packed, bias)
    x, weight = (torch.randn(shape, device=device).to(getattr(torch, dtype)) for shape in (a, b))
    return lambda: torch.nn.functional.linear(x, weight)


def synchronize(device: Any) -> None:
    import torch

    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def peak_memory(device: Any) -> float:
    """Highest so far [GiB], of all engines together: what torch held on the GPU, CUDA graphs included, or this process on a CPU."""
    import torch

    if device.type == 'cuda':
        return torch.cuda.max_memory_reserved(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def describe(device: Any) -> dict[str, Any]:
    import torch

    named = torch.cuda.get_device_name(device) if device.type == 'cuda' else cpu_name()
    return {'device': str(device), 'name': named, 'threads': torch.get_num_threads(), 'cores': os.cpu_count(),
            'load': os.getloadavg()[0], 'torch': torch.__version__, 'python': platform.python_version()}


def cpu_name() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(':')[2].strip() for line in lines if line.startswith('model name')), platform.machine())

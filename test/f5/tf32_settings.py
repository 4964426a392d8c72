"""Allow TF32 or not, sample in exact fp32, and print what a step saw and what was left behind, as JSON.

    python test/f5/tf32_settings.py old|new 0|1
"""

import json
import sys

import torch

from ishowtts_ros.engines.f5 import acceleration
from ishowtts_ros.engines.f5.sampler import Canceled
from reference import Case, our_sampler

SOLVER = {'nfe_step': 2, 'cfg_strength': 2.0, 'sway_sampling_coef': -1.0}
matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn


def allow(names: str, allowed: bool) -> None:
    if names == 'old':
        matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    else:
        matmul.fp32_precision = cudnn.conv.fp32_precision = 'tf32' if allowed else 'ieee'


def tf32() -> tuple[bool, bool]:
    """May matrix products, may convolutions use it? The new names can always be read."""
    if hasattr(cudnn, 'conv'):
        return matmul.fp32_precision == 'tf32', cudnn.conv.fp32_precision == 'tf32'
    return matmul.allow_tf32, cudnn.allow_tf32


names, allowed = sys.argv[1:]
allow(names, bool(int(allowed)))
sampler, inside = our_sampler(), set()
sampler._exactness = acceleration.exact_fp32        # as on CUDA
block = sampler._parts.block
sampler._parts = sampler._parts._replace(block=lambda *args: inside.add(tf32()) or block(*args))
sampler.sample([Case(50).request], **SOLVER)
after = tf32()
try:
    sampler.sample([Case(50).request], **SOLVER, canceled=lambda: True)
except Canceled:
    print(json.dumps({'inside': sorted(inside), 'after': after, 'canceled': tf32()}))

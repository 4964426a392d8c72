"""Matrix products in 8 bits, for CPUs without 16-bit matrix instructions. Not equal to fp32: an opt-in.

Weights are rounded once, each output channel by its own scale; activations in every product, each row (one mel frame
of one request) by its own. So a result depends neither on padding nor on what else is in the batch. Sums are exact,
and everything between the products stays fp32. The scheme is that of LLM.int8()'s vector-wise quantization
(arXiv:2208.07339, section 2.1), without its outlier columns.

The product is FBGEMM's, through torch's op for a quantized linear layer between fp32 ones. There is no such kernel
on ARM or on a GPU.
"""

from __future__ import annotations

from typing import Callable

import torch
from torch import Tensor

from ...core.types import ErrorCode, SpeechError
from .acceleration import Counters

# Activations take 7 bits: without VNNI instructions, pairs of 8 x 8-bit products overflow the 16 bits they are added in
_LEVELS = 63
_ZERO_POINT = 64
_TINY = 1e-12           # keeps the scale of an all-zero row or channel from being 0


def pack(weight: Tensor) -> torch.ScriptObject:
    """A weight fp32 [out, in] in 8 bits, laid out for `linear`. The original is not referenced any more.

    :raises SpeechError: ENGINE_UNAVAILABLE where this torch or this CPU has no such kernel
    """
    quantized = torch.backends.quantized
    before = quantized.engine
    try:
        quantized.engine = 'fbgemm'         # decides what prepacking packs for; global, so it is put back
        scale = weight.abs().amax(1).double().clamp(min=_TINY) / 127
        rounded = torch.quantize_per_channel(weight, scale, torch.zeros(len(weight), dtype=torch.int64), 0, torch.qint8)
        packed = torch.ops.quantized.linear_prepack(rounded, None)
        _product(torch.zeros(1, weight.shape[1]), packed)
        return packed
    except (RuntimeError, AttributeError) as error:      # RuntimeError also where there is no such kernel
        raise SpeechError(ErrorCode.ENGINE_UNAVAILABLE,
                          f'f5.dtype int8 needs an x86-64 CPU with AVX2 and a torch built with FBGEMM ({error}); '
                          'set f5.dtype to auto') from error
    finally:
        quantized.engine = before


def linear(x: Tensor, weight: torch.ScriptObject, bias: Tensor) -> Tensor:
    """x fp32 [..., in] times a packed weight [out, in], plus bias [out]: fp32 [..., out].

    NaN and infinity in a row make the row's result NaN or infinite.
    """
    largest = torch.maximum(x.amax(-1, keepdim=True), -x.amin(-1, keepdim=True)).clamp_(min=_TINY)
    product = _product(x / largest, weight)
    return torch.addcmul(bias, product, largest, out=product)


def counted(counters: Counters) -> Callable[..., Tensor]:
    """`linear` that counts its calls."""
    def run(x: Tensor, weight: torch.ScriptObject, bias: Tensor) -> Tensor:
        counters.int8_products += 1
        return linear(x, weight, bias)

    return run


def _product(x: Tensor, weight: torch.ScriptObject) -> Tensor:
    """x from -1 to 1."""
    return torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(x, 1 / _LEVELS, _ZERO_POINT, weight)

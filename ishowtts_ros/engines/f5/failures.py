"""What can go wrong inside torch, as errors that name their cure."""

from __future__ import annotations

import numpy as np
import torch

from ...core.types import ErrorCode, SpeechError


def as_speech_error(error: Exception, code: str = ErrorCode.ENGINE_FAILED) -> SpeechError:
    """The SpeechError that stands for `error`, holding on to none of its frames and the tensors in them.

    :param code: for what is neither a SpeechError already nor out of memory
    """
    if isinstance(error, SpeechError):
        return SpeechError(error.code, str(error))
    if is_out_of_memory(error):
        return SpeechError(ErrorCode.OUT_OF_MEMORY,
                           'not enough memory; say it in shorter sentences, lower max_batch or graph_memory_limit, '
                           'choose a 16-bit dtype, or free memory used by other programs')
    return SpeechError(code,
                       f'{type(error).__name__}: {error}'.strip() + '; with compile: none, cuda_graphs: false and '
                       "dtype: float32 the engine is at its simplest, and engine 'f5_upstream' is the way back")


def is_out_of_memory(error: BaseException) -> bool:
    """On the GPU or on the host; torch has a type of its own only for the GPU."""
    return (isinstance(error, (torch.OutOfMemoryError, MemoryError))
            or isinstance(error, RuntimeError) and ("can't allocate memory" in str(error)
                                                    or 'out of memory' in str(error)))


def release_memory() -> None:
    """Give what torch keeps for later back to the GPU."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def finite(wave: np.ndarray) -> np.ndarray:
    """:raises SpeechError: NON_FINITE_AUDIO, never noise in someone's ear"""
    if not np.isfinite(wave).all():
        raise SpeechError(ErrorCode.NON_FINITE_AUDIO,
                          'the model gave samples that are not numbers; choose dtype float32, or another checkpoint')
    return wave

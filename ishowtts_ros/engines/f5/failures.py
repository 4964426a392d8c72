"""What can go wrong inside torch, as errors that name their cure."""

from __future__ import annotations

import logging

import numpy as np
import torch

from ...core.types import ErrorCode, SpeechError

# What torch, its libraries and drivers say; torch has a type of its own only for its own allocator's failures
_OUT_OF_MEMORY = (
    'out of memory', "can't allocate memory",
    'ALLOC_FAILED',             # cuBLAS and cuDNN
    'NVML_SUCCESS == r',        # torch's allocator on a Jetson: it fails to find out how much there was (pytorch#185240)
)
# After these a process has no GPU any more (CUDA runtime API, cudaError: "must be terminated and relaunched")
_GPU_IS_LOST = ('illegal memory access', 'device-side assert', 'unspecified launch failure', 'misaligned address',
                'illegal instruction')

logger = logging.getLogger(__name__)


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
    if any(text in str(error) for text in _GPU_IS_LOST):
        return SpeechError(code, f'{type(error).__name__}: {error}'.strip() + '; after this no engine can use the GPU '
                           'until the node is started anew')
    return SpeechError(code,
                       f'{type(error).__name__}: {error}'.strip() + '; with compile: none, cuda_graphs: false and '
                       "dtype: float32 the engine is at its simplest, and engine 'f5_upstream' is the way back")


def is_out_of_memory(error: BaseException) -> bool:
    """On the GPU or on the host."""
    return (isinstance(error, (torch.OutOfMemoryError, MemoryError))
            or isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY))


def release_memory() -> None:
    """Give what torch keeps for later back to the GPU. Never an error, since it is what follows one."""
    if not torch.cuda.is_initialized():
        return
    try:
        torch.cuda.empty_cache()
    except RuntimeError as error:       # the GPU is lost
        logger.warning('no GPU memory could be given back: %s', error)


def finite(wave: np.ndarray) -> np.ndarray:
    """:raises SpeechError: NON_FINITE_AUDIO, never noise in someone's ear"""
    if not np.isfinite(wave).all():
        raise SpeechError(ErrorCode.NON_FINITE_AUDIO,
                          'the model gave samples that are not numbers; choose dtype float32, or another checkpoint')
    return wave

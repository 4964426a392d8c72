"""The flow-matching solver: noise -> mel, one Euler step after another.

Knows nothing of text, audio files or voices: it is given token ids, a prompt mel and a number of frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence

from torch import Tensor

from ...core.engine import Progress
from .config import F5Config
from .model import DiT


class Canceled(Exception):
    """`canceled()` became true between two steps."""


@dataclass
class SampleRequest:
    """One piece of speech to sample."""

    prompt_mel: Tensor              # [ref_frames, 100] fp32 log mel of the reference, any device
    tokens: Tensor                  # [n_tokens] int64 vocabulary ids of transcript + text, any device
    frames: int                     # mel frames in all, prompt included
    seed: int | None = None         # of the noise; None = a new one
    noise: Tensor | None = None     # [total_frames, 100] fp32, instead of seeded noise

    @property
    def total_frames(self) -> int:
        """`frames`, but always more than the prompt and the tokens have, as upstream's CFM.sample has it."""
        return max(self.frames, len(self.tokens) + 1, self.prompt_mel.shape[0] + 1)


def time_schedule(nfe_step: int, sway_sampling_coef: float) -> Tensor:
    """[nfe_step + 1] fp64 times from 0 to 1: empirically pruned steps (EPSS) where there are, then sway sampling."""
    raise NotImplementedError


class Sampler:
    """Samples mels with one DiT. One thread at a time."""

    def __init__(self, model: DiT, config: F5Config):
        raise NotImplementedError

    def sample(self, requests: Sequence[SampleRequest], *, nfe_step: int, cfg_strength: float,
               sway_sampling_coef: float, canceled: Callable[[], bool] = lambda: False) -> list[Tensor]:
        """Speech mels, one per request: [total_frames - ref_frames, 100] fp32 on the model's device.

        Upstream's infer_process also gives the vocoder the last frame of the prompt (its mel has one frame more
        than samples // hop_length); put `prompt_mel[-1:]` in front to have the same waveform.

        :raises Canceled: `canceled()` was true before a step
        :raises SpeechError: NON_FINITE_AUDIO, OUT_OF_MEMORY (what was captured or cached has been released)
        """
        raise NotImplementedError

    def warmup(self, progress: Progress) -> None:
        """Compile and capture for every bucket and batch size, so that no utterance has to."""
        raise NotImplementedError

    @property
    def counters(self) -> dict[str, int]:
        """compiled_frames, compiled_calls, graph_replays, eager_steps since the sampler was made."""
        raise NotImplementedError

    def close(self) -> None:
        """Release graphs, buffers and caches."""

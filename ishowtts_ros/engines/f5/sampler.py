"""The flow-matching solver: noise -> mel, one Euler step after another.

Knows nothing of text, audio files or voices: it is given token ids, a prompt mel and a number of frames.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial
import logging
import math
import time
from typing import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ...core.engine import Progress
from ...core.types import ErrorCode, SpeechError
from . import int8
from .acceleration import Compiler, Counters, Pace, StepGraphs, Upload, current, exactness, is_faster, paying_batch
from .config import FRAME_RATE, F5Config
from .failures import is_out_of_memory, release_memory
from .model import Conditioning, DiT, Parts, Prompt, block, embed, project

# Empirically pruned step sampling (EPSS): times in 1/32, by nfe_step (upstream model/utils.py get_epss_timesteps)
_EPSS = {
    5: (0, 2, 4, 8, 16, 32),
    6: (0, 2, 4, 6, 8, 16, 32),
    7: (0, 2, 4, 6, 8, 16, 24, 32),
    10: (0, 2, 4, 6, 8, 12, 16, 20, 24, 28, 32),
    12: (0, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32),
    16: (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32),
}
_MAX_FRAMES = 65_536            # upstream CFM.sample's max_duration
_MAX_SCHEDULES = 8              # AdaLN tables kept; 1 to 9 MB each
_NO_GUIDANCE = 1e-5             # below, upstream runs the conditional pass alone
_MASK_ALIGNMENT = 8             # elements of a row: attention kernels copy the mask in every block where it is another
_GRAPH_TOLERANCE = 1e-2         # relative; the same kernels in the same order differ by nothing or next to nothing

logger = logging.getLogger(__name__)


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
        """`frames`, but more than the prompt and the tokens have, as upstream's CFM.sample makes it."""
        return min(max(self.frames, len(self.tokens) + 1, len(self.prompt_mel) + 1), _MAX_FRAMES)


@dataclass(frozen=True)
class Schedule:
    """A time schedule with everything that depends on it alone."""

    steps: list[Tensor]         # [] fp32 each: dt
    blocks: Tensor              # [nfe_step, depth, 6, dim] AdaLN tables
    final: Tensor               # [nfe_step, 2, dim]


def time_schedule(nfe_step: int, sway_sampling_coef: float) -> Tensor:
    """[nfe_step + 1] fp64 times from 0 to 1: pruned (EPSS) where a table exists, else uniform; then sway sampling.

    :param sway_sampling_coef: F5-TTS eq. 7; -1 puts more steps near the noise, 0 changes nothing
    :raises SpeechError: INVALID_PARAMETER for less than one step
    """
    if nfe_step < 1:
        raise SpeechError(ErrorCode.INVALID_PARAMETER, f'nfe_step is {nfe_step}; it takes 1 or more (7 is usual)')
    if nfe_step in _EPSS:
        times = torch.tensor(_EPSS[nfe_step], dtype=torch.float64) / 32
    else:
        times = torch.linspace(0, 1, nfe_step + 1, dtype=torch.float64)
    return times + sway_sampling_coef * (torch.cos(math.pi / 2 * times) - 1 + times)


class Sampler:
    """Samples mels with one DiT. One thread at a time."""

    def __init__(self, model: DiT, config: F5Config):
        self.model = model
        self._config = config
        self._counters = Counters()
        self._schedules: OrderedDict[tuple[int, float], Schedule] = OrderedDict()
        self._upload = Upload(model.device)
        self._exactness = exactness(model.device, model.dtype)
        self._graphs = None
        if config.cuda_graphs and model.device.type == 'cuda':
            self._graphs = StepGraphs(config.graph_memory_limit, self._counters)
        compiler = Compiler(config.compile, config.compile_dynamic, self._counters)
        self._parts = Parts(compiler(embed, 1, 1, 2, 1), compiler(block, 1, None, 0, 0, 3), compiler(project, 1))
        if model.quantized:
            self._parts = self._parts._replace(block=partial(block, linear=int8.counted(self._counters)))
        self._padded = self._pads()
        self.batch_size = config.max_batch if config.batching == 'always' else 1     # requests a pass should hold at most

    def _pads(self) -> bool:
        """Is padding to buckets good for something?"""
        config = self._config
        static = self._graphs is not None or config.compile != 'none' and not config.compile_dynamic
        return config.padding == 'on' or config.padding == 'auto' and static

    @torch.no_grad()
    def sample(self, requests: Sequence[SampleRequest], *, nfe_step: int, cfg_strength: float,
               sway_sampling_coef: float, canceled: Callable[[], bool] = lambda: False) -> list[Tensor]:
        """Speech mels, one per request: [total_frames - ref_frames, 100] fp32 on the model's device.

        The results do not depend on which other requests are in the batch, nor on padding.
        Upstream's infer_process also gives the vocoder the last frame of the prompt (its mel has one frame more
        than samples // hop_length); put `prompt_mel[-1:]` in front to have the same waveform.

        :raises Canceled: `canceled()` was true before a step
        :raises SpeechError: NON_FINITE_AUDIO; OUT_OF_MEMORY, once graphs and caches have been released;
            INVALID_PARAMETER for requests that make no sense
        """
        for request in requests:
            self._check(request)
        try:
            with current(self.model.device), self._exactness():
                return self._sample(requests, self._schedule(nfe_step, sway_sampling_coef), cfg_strength, canceled)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            longest = max(request.total_frames for request in requests) / FRAME_RATE
            message = (f'out of GPU memory while sampling {len(requests)} x {longest:.1f} s; use shorter texts, or '
                       'lower f5.max_batch or f5.graph_memory_limit')
            # the traceback's frames hold the tensors that did not fit
            failure = SpeechError(ErrorCode.OUT_OF_MEMORY, message).with_traceback(None)
        self.release()
        raise failure

    def _sample(self, requests: Sequence[SampleRequest], schedule: Schedule, cfg_strength: float,
                canceled: Callable[[], bool]) -> list[Tensor]:
        lengths = [request.total_frames for request in requests]
        frames, bucketed = self._length(max(lengths))
        masked = bucketed or len(requests) > 1
        if masked:
            frames += -frames % _MASK_ALIGNMENT
        guided = cfg_strength >= _NO_GUIDANCE
        prompts = [Prompt(self._upload(request.prompt_mel, torch.float32), self._upload(request.tokens), length)
                   for request, length in zip(requests, lengths)]
        mel = torch.zeros(len(requests), frames, self.model.arch.mel_dim, device=self.model.device)
        noises = [self._noise(request) for request in requests]
        self._upload.wait()
        for row, noise, length in zip(mel, noises, lengths):
            row[:length] = noise
        condition = self.model.condition(prompts, frames, guided, masked)
        guidance = torch.tensor(cfg_strength, dtype=torch.float32, device=self.model.device)
        solve = self._replay if self._graphs is not None and bucketed else self._issue
        mel = solve(mel, guidance, condition, schedule, canceled)
        if not torch.isfinite(mel).all():
            raise SpeechError(ErrorCode.NON_FINITE_AUDIO,
                              'the model produced NaN or infinite values; set f5.dtype to float32 or bfloat16, and '
                              'check that the checkpoint is intact')
        return [row[len(prompt.mel):length].clone() for row, prompt, length in zip(mel, prompts, lengths)]

    def _issue(self, mel: Tensor, guidance: Tensor, condition: Conditioning, schedule: Schedule,
               canceled: Callable[[], bool]) -> Tensor:
        """Run the steps kernel by kernel (or compiled region by region)."""
        pace = Pace(self.model.device)
        for step, blocks, final in zip(schedule.steps, schedule.blocks, schedule.final):
            if canceled():
                raise Canceled
            mel = self._step(mel, step, blocks, final, guidance, *condition.tensors())
            self._counters.eager_steps += 1
            pace.step_launched()
        return mel

    def _replay(self, mel: Tensor, guidance: Tensor, condition: Conditioning, schedule: Schedule,
                canceled: Callable[[], bool]) -> Tensor:
        """Run the steps from the CUDA graph of this shape."""
        first = (schedule.steps[0], schedule.blocks[0], schedule.final[0])
        inputs = (mel, *first, guidance, *condition.tensors())
        graph = self._graphs.get(self._step, inputs)
        graph.set(0, inputs)
        pace = Pace(self.model.device)
        for step in zip(schedule.steps, schedule.blocks, schedule.final):
            if canceled():
                raise Canceled
            graph.set(1, step)
            graph.replay()
            self._counters.graph_replays += 1
            pace.step_launched()
        return graph.state

    def _step(self, mel: Tensor, step: Tensor, blocks: Tensor, final: Tensor, guidance: Tensor,
              *condition: Tensor | None) -> Tensor:
        """One Euler step of mel [b, n, 100] fp32, with classifier-free guidance if there are rows for it."""
        constants = Conditioning(*condition)
        velocity = self.model.velocity(mel, blocks, final, constants, self._parts).float()
        if len(velocity) > len(mel):
            conditional, unconditional = velocity.chunk(2)
            velocity = conditional + (conditional - unconditional) * guidance
        if constants.valid is not None:         # padding starts at zero and stays zero
            velocity = velocity * constants.valid[:len(mel)]
        return torch.addcmul(mel, velocity, step)

    def _schedule(self, nfe_step: int, sway_sampling_coef: float) -> Schedule:
        key = (nfe_step, sway_sampling_coef)
        if key not in self._schedules:
            times = time_schedule(nfe_step, sway_sampling_coef)
            steps = times.diff().float().to(self.model.device)
            self._schedules[key] = Schedule(list(steps), *self.model.modulations(times[:-1]))
            if len(self._schedules) > _MAX_SCHEDULES:
                self._schedules.popitem(last=False)
        self._schedules.move_to_end(key)
        return self._schedules[key]

    def _length(self, frames: int) -> tuple[int, bool]:
        """Frames to compute and whether that is a bucket; longer than all buckets runs at its own length."""
        if self._padded:
            for bucket in self._config.bucket_frames:
                if frames <= bucket:
                    return bucket, True
        return frames, False

    def _noise(self, request: SampleRequest) -> Tensor:
        """[total_frames, 100]: the noise that upstream draws with the same seed on the same kind of device."""
        if request.noise is not None:
            return self._upload(request.noise, torch.float32)
        generator = torch.Generator(self.model.device)
        generator.manual_seed(request.seed) if request.seed is not None else generator.seed()
        return torch.randn(request.total_frames, self.model.arch.mel_dim, generator=generator,
                           device=self.model.device)

    def _check(self, request: SampleRequest) -> None:
        mel_dim = self.model.arch.mel_dim
        total = (request.total_frames, mel_dim)
        if request.prompt_mel.ndim != 2 or request.prompt_mel.shape[1] != mel_dim:
            raise SpeechError(ErrorCode.INVALID_PARAMETER,
                              f'prompt_mel is {tuple(request.prompt_mel.shape)}; it must be (frames, {mel_dim})')
        if request.noise is not None and request.noise.shape != total:
            raise SpeechError(ErrorCode.INVALID_PARAMETER, f'noise is {tuple(request.noise.shape)}; it must be {total}')
        if len(request.prompt_mel) >= _MAX_FRAMES or len(request.tokens) >= _MAX_FRAMES:
            raise SpeechError(ErrorCode.TEXT_TOO_LONG, f'a request may have up to {_MAX_FRAMES} frames')

    def warmup(self, progress: Progress) -> None:
        """Compile and capture for every batch size and bucket with guidance, so that no utterance has to.

        With batching auto, also time a step of each and set `batch_size` to what pays. Without guidance only dynamic
        compilation is done: one for all lengths. Graphs and compilations by bucket would be twice as many, for a
        setting that hardly anybody uses; the first utterance without guidance makes those it needs.

        :raises SpeechError: LOAD_FAILED when compilation is asked for and does not work
        """
        buckets = self._config.bucket_frames if self._padded else self._config.bucket_frames[:1] or (384,)
        sizes, timed = range(1, self._config.max_batch + 1), self._config.batching == 'auto' and self._config.max_batch > 1
        step_times: dict[int, float] = {}
        for size in sizes:
            for index, frames in enumerate(buckets):
                progress(((size - 1) * len(buckets) + index) / len(sizes) / len(buckets),
                         f'warming up {size} x {frames / FRAME_RATE:.1f} s')
                requests = [self._silence(frames)] * size
                self._warm(requests)
                if timed:
                    step_times[size] = step_times.get(size, 0.0) + self._step_time(requests)
            if timed and not is_faster(step_times, size):       # nor will larger ones be
                break
        if timed:
            self._set_batch_size(step_times)
        if self._graphs is not None and len(sizes) > 1:
            self._keep_graphs_of_single_requests(buckets)
        if self._config.compile != 'none' and self._config.compile_dynamic:
            progress(1.0, 'warming up without guidance')        # half the rows: other code, though for all lengths
            for size in range(1, self.batch_size + 1):
                self.sample([self._silence(buckets[0])] * size, nfe_step=1, cfg_strength=0.0, sway_sampling_coef=0.0)
        progress(1.0, 'warm')

    def _silence(self, frames: int) -> SampleRequest:
        device = self.model.device
        return SampleRequest(torch.zeros(8, self.model.arch.mel_dim, device=device),
                             torch.zeros(8, dtype=torch.int64, device=device), frames)

    def _set_batch_size(self, step_times: Mapping[int, float]) -> None:
        """:param step_times: seconds of a step, by requests in the pass"""
        self.batch_size = paying_batch(step_times)
        logger.info('up to %d requests go into one pass: a step takes %s', self.batch_size, ', '.join(
            f'{1e3 * seconds / size:.0f} ms for each of {size}' for size, seconds in step_times.items()))
        if self._graphs is not None:
            self._graphs.drop_batches_over(self.batch_size)

    def _keep_graphs_of_single_requests(self, buckets: Sequence[int]) -> None:
        """Whoever waits for nothing but this one utterance must not wait for a capture. Where not all graphs fit, those of
        batches were captured last, and go first now."""
        for frames in buckets:
            self.sample([self._silence(frames)], nfe_step=1, cfg_strength=2.0, sway_sampling_coef=0.0)
        missing = self.batch_size * len(buckets) - len(self._graphs)
        if missing > 0:
            logger.warning('%d of %d CUDA graphs do not fit and are captured when they are needed, which takes longer; lower '
                           'f5.max_batch, name fewer f5.buckets, or raise f5.graph_memory_limit', missing, missing + len(self._graphs))

    def _step_time(self, requests: Sequence[SampleRequest]) -> float:
        """The shorter of two steps [s]."""
        starts = []
        ahead = 2 if self.model.device.type == 'cuda' else 0        # steps until the host waits for a GPU in each
        self.sample(requests, nfe_step=ahead + 3, cfg_strength=2.0, sway_sampling_coef=0.0,
                    canceled=lambda: starts.append(time.perf_counter()))
        return min(later - earlier for earlier, later in zip(starts[ahead:], starts[ahead + 1:]))

    def _warm(self, requests: Sequence[SampleRequest]) -> None:
        """Sample two steps. A CUDA graph must give what the same steps give when they are issued one by one;
        where it does not, or cannot be captured, the engine goes on without graphs: slower, and right."""
        def sample() -> Tensor:
            seeded = [replace(request, seed=0) for request in requests]
            return torch.stack(self.sample(seeded, nfe_step=2, cfg_strength=2.0, sway_sampling_coef=0.0))

        if self._graphs is None:
            sample()
            return
        graphs, self._graphs = self._graphs, None
        issued = sample()
        self._graphs = graphs
        try:
            difference = ((sample() - issued).norm() / issued.norm()).item()
            problem = f'they differ from issued steps by {difference:.1e}' if difference > _GRAPH_TOLERANCE else ''
        except (RuntimeError, SpeechError) as error:    # a capture has failed, or had no memory left
            problem = str(error)
        if problem:
            logger.warning('going on without CUDA graphs: %s', problem)
            self._graphs = None
            self._padded = self._pads()
            graphs.clear()

    @property
    def counters(self) -> dict[str, int]:
        """What really ran since the sampler was made: the fields of `Counters`, by name."""
        return self._counters.as_dict()

    def release(self) -> None:
        """Give captured graphs and cached tables back; the next utterance makes what it needs again."""
        if self._graphs is not None:
            self._graphs.clear()
        self._schedules.clear()
        release_memory()

    def close(self) -> None:
        """Release everything, the model included."""
        self.release()
        self.model = None


"""The solver's own promises: schedules, seeds, batches, cancellation, and what happens when something goes wrong."""

from __future__ import annotations

import weakref

import pytest

torch = pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')

from ishowtts_ros.core.types import ErrorCode, SpeechError
from ishowtts_ros.engines.f5.sampler import Canceled, SampleRequest, time_schedule
from installed import imported
from reference import SMALL, Case, our_model, our_sampler, relative_error

SOLVER = {'nfe_step': 5, 'cfg_strength': 2.0, 'sway_sampling_coef': -1.0}


def request(frames: int = 120, seed: int | None = 0, prompt: int = 40, tokens: int = 20) -> SampleRequest:
    mel, ids = Case(frames - prompt, prompt, tokens).inputs
    return SampleRequest(mel, ids, frames, seed=seed)


def replace_part(sampler, name: str, wrap) -> None:
    sampler._parts = sampler._parts._replace(**{name: wrap(getattr(sampler._parts, name))})


@pytest.mark.parametrize('nfe_step', [5, 6, 7, 8, 10, 12, 13, 16, 32])
@pytest.mark.parametrize('sway', [-1.0, 0.0, 0.4])
def test_schedule_is_upstreams(nfe_step, sway):
    """The same times as upstream's EPSS tables and sway, computed in fp64."""
    utils = imported('f5_tts.model.utils')
    t = utils.get_epss_timesteps(nfe_step, device='cpu', dtype=torch.float64)
    expected = t + sway * (torch.cos(torch.pi / 2 * t) - 1 + t)
    times = time_schedule(nfe_step, sway)
    assert times.dtype == torch.float64 and torch.allclose(times, expected, rtol=0, atol=1e-15)


def test_time_steps_are_not_half_precision():
    """fp16 times would change dt by more than 10 % at NFE 32; the steps stay fp32 in a half model."""
    sampler = our_sampler(dtype=torch.float16)
    steps = torch.stack(sampler._schedule(32, -1.0).steps)
    exact = time_schedule(32, -1.0).diff()
    assert steps.dtype == torch.float32
    assert ((steps - exact) / exact).abs().max() < 1e-6
    t = torch.linspace(0, 1, 33, dtype=torch.float16)
    half = (t - (torch.cos(torch.pi / 2 * t) - 1 + t)).diff()
    assert ((half - exact) / exact).abs().max() > 0.1


def test_no_steps_is_refused():
    with pytest.raises(SpeechError) as caught:
        our_sampler().sample([request()], **{**SOLVER, 'nfe_step': 0})
    assert caught.value.code == ErrorCode.INVALID_PARAMETER


def test_same_seed_same_speech():
    sampler = our_sampler()
    first, again, other, fresh, fresh_again = (
        sampler.sample([request(seed=seed)], **SOLVER)[0] for seed in (7, 7, 8, None, None))
    assert torch.equal(first, again)
    assert relative_error(other, first) > 0.1
    assert relative_error(fresh_again, fresh) > 0.1


def test_sampling_leaves_the_global_generator_alone():
    """A seeded utterance does not make other users of torch's generator repeat themselves."""
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    our_sampler().sample([request(seed=3)], **SOLVER)
    assert torch.equal(torch.rand(4), expected)


def test_injected_noise_is_what_a_seed_draws():
    sampler = our_sampler()
    seeded = request(seed=11)
    noise = torch.randn(120, 100, generator=torch.Generator().manual_seed(11))
    given = SampleRequest(seeded.prompt_mel, seeded.tokens, 120, noise=noise)
    assert torch.equal(*(sampler.sample([r], **SOLVER)[0] for r in (seeded, given)))


@pytest.mark.parametrize('padding', ['off', 'on'])
def test_a_batch_is_the_same_as_one_at_a_time(padding):
    """Lengths, prompts and texts all differ; order does not matter."""
    sampler = our_sampler(padding=padding)
    requests = [request(120, 0), request(380, 1, 90, 60), request(41, 2, 40, 39), request(700, 3, 20, 5)]
    alone = [sampler.sample([r], **SOLVER)[0] for r in requests]
    for mel, expected in zip(sampler.sample(requests, **SOLVER), alone):
        assert relative_error(mel, expected) < 1e-5
    for mel, expected in zip(sampler.sample(requests[::-1], **SOLVER), alone[::-1]):
        assert relative_error(mel, expected) < 1e-5


def test_padding_never_reaches_the_speech():
    """With garbage in the padding of every input of the step, the speech does not change at all."""
    sampler = our_sampler(padding='on')
    model, frames = sampler.model, 120
    prompt = request(frames)
    expected, = sampler.sample([prompt], **SOLVER)
    condition = model.condition

    def spoiled(*args, **kwargs):
        made = condition(*args, **kwargs)
        assert made.projection.shape[1] > frames
        made.projection[:, frames:] = 3.0
        return made

    model.condition = spoiled
    try:
        mel, = sampler.sample([prompt], **SOLVER)
    finally:
        del model.condition
    # the first position convolution sees the projection's padding only through `convolution`, made before the spoiling
    assert torch.equal(mel, expected)


def test_no_guidance_skips_the_second_half_of_the_batch():
    sampler = our_sampler()
    rows = []
    replace_part(sampler, 'block', lambda block: lambda h, *rest: rows.append(len(h)) or block(h, *rest))
    sampler.sample([request()], **{**SOLVER, 'cfg_strength': 0.0})
    sampler.sample([request()], **SOLVER)
    assert rows == [1] * 5 * SMALL.depth + [2] * 5 * SMALL.depth


def test_constants_are_computed_once_per_utterance():
    """Text encoder and AdaLN tables do not run in the steps, and tables are shared by utterances."""
    sampler = our_sampler()
    calls = {'encode_text': 0, 'modulations': 0, 'velocity': 0}
    model = sampler.model
    for name in calls:
        def counted(*args, _name=name, _method=getattr(model, name)):
            calls[_name] += 1
            return _method(*args)
        setattr(model, name, counted)
    try:
        for _ in range(3):
            sampler.sample([request()], **SOLVER)
    finally:
        for name in calls:
            delattr(model, name)
    assert calls == {'encode_text': 3, 'modulations': 1, 'velocity': 15}


@pytest.mark.parametrize('after', [0, 1, 3])
def test_cancellation_between_steps(after):
    """No further step runs once canceled, and the next utterance is as if nothing had happened."""
    sampler = our_sampler()
    expected, = our_sampler().sample([request()], **SOLVER)
    asked = iter([False] * after + [True])
    with pytest.raises(Canceled):
        sampler.sample([request()], **SOLVER, canceled=lambda: next(asked))
    assert sampler.counters['eager_steps'] == after
    assert torch.equal(sampler.sample([request()], **SOLVER)[0], expected)


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_non_finite_values_are_an_error(bad):
    """NaN or Inf from the model never leaves the sampler, and the next utterance is fine."""
    sampler = our_sampler()
    expected, = sampler.sample([request()], **SOLVER)
    whole = sampler._parts

    def broken(*args):
        velocity = whole.project(*args)
        velocity[0, 77, 3] = bad
        return velocity

    replace_part(sampler, 'project', lambda project: broken)
    with pytest.raises(SpeechError) as caught:
        sampler.sample([request()], **SOLVER)
    assert caught.value.code == ErrorCode.NON_FINITE_AUDIO and 'f5.dtype' in str(caught.value)
    sampler._parts = whole
    assert torch.equal(sampler.sample([request()], **SOLVER)[0], expected)


def test_out_of_memory_releases_and_recovers():
    """The error names the cure, holds on to none of the tensors, and the next utterance is fine."""
    sampler = our_sampler()
    expected, = sampler.sample([request()], **SOLVER)

    whole, held = sampler._parts, []

    def exhausted(h, *rest):
        held.append(weakref.ref(h))
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')

    replace_part(sampler, 'block', lambda block: exhausted)
    with pytest.raises(SpeechError) as caught:
        sampler.sample([request()], **SOLVER)
    assert caught.value.code == ErrorCode.OUT_OF_MEMORY and 'f5.max_batch' in str(caught.value)
    assert held[0]() is None and not sampler._schedules
    sampler._parts = whole
    assert torch.equal(sampler.sample([request()], **SOLVER)[0], expected)


def test_schedules_are_bounded():
    """Ever new settings do not fill the memory with AdaLN tables; the latest ones are kept."""
    sampler = our_sampler()
    for index in range(30):
        sampler.sample([request()], nfe_step=1, cfg_strength=2.0, sway_sampling_coef=-index / 1000)
    assert list(sampler._schedules) == [(1, -index / 1000) for index in range(22, 30)]


def test_inputs_are_not_changed():
    sampler = our_sampler()
    noise = torch.randn(120, 100)
    given = SampleRequest(request().prompt_mel, request().tokens, 120, noise=noise)
    copies = [tensor.clone() for tensor in (given.prompt_mel, given.tokens, noise)]
    sampler.sample([given], **SOLVER)
    assert all(torch.equal(*pair) for pair in zip(copies, (given.prompt_mel, given.tokens, noise)))


def test_wrong_shapes_are_refused():
    sampler = our_sampler()
    good = request()
    for bad in (SampleRequest(good.prompt_mel.t(), good.tokens, 120),
                SampleRequest(good.prompt_mel, good.tokens, 120, noise=torch.zeros(119, 100))):
        with pytest.raises(SpeechError) as caught:
            sampler.sample([bad], **SOLVER)
        assert caught.value.code == ErrorCode.INVALID_PARAMETER


def test_warmup_reports_progress_and_close_lets_go():
    told = []
    sampler = our_sampler(padding='on', buckets=(1.0, 2.0), max_batch=2, batching='always')
    sampler.warmup(lambda fraction, what: told.append(fraction))
    assert told == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert sampler.counters['eager_steps'] == 2 * 4     # two steps for each bucket and batch size
    sampler.close()
    assert sampler.model is None and not sampler._schedules
    assert our_model() is not None

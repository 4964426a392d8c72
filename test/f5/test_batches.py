"""Utterances that go through the model together sound as they do alone, fail alone, are canceled alone."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')

import soundfile
from speaking import loaded, speak

from ishowtts_ros.core.engine import Speech
from ishowtts_ros.core.types import ErrorCode, SpeechError, SynthesisSettings
from ishowtts_ros.core.voices import Voice
from ishowtts_ros.engines.f5 import engine as engine_module
from ishowtts_ros.engines.f5 import sampler as sampler_module
from ishowtts_ros.engines.f5.acceleration import is_faster, paying_batch
from reference import our_sampler
from test_engine import LONG, ONE, SENTENCES

SETTINGS = SynthesisSettings(nfe_step=2, seed=1)


@pytest.fixture(scope='module')
def berta(tmp_path_factory):
    """A second voice: longer, louder, and with another transcript."""
    path = tmp_path_factory.mktemp('berta') / 'berta.wav'
    soundfile.write(path, 0.2 * np.random.default_rng(1).standard_normal(4 * 24_000).clip(-3, 3), 24_000, subtype='PCM_16')
    return Voice('berta', path, 'Pack my box with five dozen liquor jugs, and be quick about it.', 'en')


@pytest.fixture(scope='module')
def engine(tiny, voice, berta):
    with loaded('f5', tiny, voice, berta, max_batch=4, batching='always') as engine:
        yield engine


@pytest.fixture
def passes(engine, monkeypatch):
    """How many requests each pass held."""
    sizes = []
    sample = engine._sampler.sample
    monkeypatch.setattr(engine._sampler, 'sample',
                        lambda requests, **how: sizes.append(len(requests)) or sample(requests, **how))
    return sizes


@pytest.fixture
def floats(monkeypatch):
    monkeypatch.setattr(engine_module, 'to_pcm', lambda wave: wave)


class Heard:
    """One utterance of a batch, and what is heard of it."""

    def __init__(self, text, canceled=lambda: False, **settings):
        self.pieces = []
        self.speech = Speech(text, dataclasses.replace(SETTINGS, **settings), self.pieces.append, canceled)

    @property
    def wave(self):
        return np.concatenate(self.pieces) if self.pieces else np.zeros(0, np.float32)

    def alone(self, engine):
        return np.concatenate(speak(engine, self.speech.text, **dataclasses.asdict(self.speech.settings)))


def say(engine, *heard):
    return engine.synthesize_batch([one.speech for one in heard])


def error(wave, expected):
    assert wave.shape == expected.shape
    return np.linalg.norm(wave - expected) / np.linalg.norm(expected)


def test_each_sounds_as_it_does_alone(engine, passes, floats):
    """Other voices, lengths, speeds, seeds and numbers of chunks; in as few passes as there is room for."""
    batch = [Heard(ONE), Heard(SENTENCES[0], voice='berta', seed=2), Heard(LONG, speed=1.3), Heard('Hi.', seed=9)]
    assert engine.batch_size == 4
    assert say(engine, *batch) == [None] * 4
    chunks = sum(len(one.pieces) for one in batch)
    assert chunks >= 5 and passes == [4] * (chunks // 4) + [chunks % 4] * (chunks % 4 > 0)
    for one in batch:
        assert error(one.wave, one.alone(engine)) <= 1e-4


def test_another_schedule_goes_through_passes_of_its_own(engine, passes, floats):
    batch = [Heard(ONE), Heard(ONE, nfe_step=3), Heard('Go on.'), Heard(ONE, cfg_strength=0.0),
             Heard('Stop.', nfe_step=3), Heard(ONE, sway_sampling_coef=0.0)]
    assert say(engine, *batch) == [None] * 6
    assert passes == [2, 2, 1, 1]
    for one in batch:
        assert error(one.wave, one.alone(engine)) <= 1e-4


def test_pieces_come_in_order_one_utterance_after_the_other(engine):
    """The first to be heard is served first, and the pieces of each text are those it has alone."""
    order = []
    batch = [Heard(LONG), Heard(ONE), Heard(LONG, seed=5)]
    speeches = [dataclasses.replace(one.speech, emit=lambda samples, index=index: order.append(index))
                for index, one in enumerate(batch)]
    engine.synthesize_batch(speeches)
    assert order == sorted(order) and order.count(1) == 1
    assert order.count(0) == order.count(2) == len(speak(engine, LONG))


def test_a_bad_voice_does_not_hurt_the_others(engine, floats):
    good, bad, other = Heard(ONE), Heard(ONE, voice='nobody'), Heard('Go on.', voice='berta')
    failures = say(engine, good, bad, other)
    assert failures[0] is failures[2] is None
    assert failures[1].code == ErrorCode.UNKNOWN_VOICE and not bad.pieces
    for one in (good, other):
        assert error(one.wave, one.alone(engine)) <= 1e-4


@pytest.mark.parametrize('spoiled', [RuntimeError('cuBLAS is in a bad mood'),
                                     torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB'),
                                     SpeechError(ErrorCode.NON_FINITE_AUDIO, 'NaN')])
def test_when_a_pass_fails_each_is_tried_alone(engine, monkeypatch, floats, spoiled):
    """Whatever fails together, or fails with one of them: only the guilty one gets the error."""
    sample = engine._sampler.sample
    guilty = len(engine._tokenizer.encode(engine._prompts.get(engine._voices.get('')).lead + 'Guilty one.'))
    sizes = []

    def fail(requests, **how):
        sizes.append(len(requests))
        if any(len(request.tokens) == guilty for request in requests):
            raise spoiled
        return sample(requests, **how)

    batch = [Heard(ONE), Heard('Guilty one.'), Heard('Please go on now.')]
    monkeypatch.setattr(engine._sampler, 'sample', fail)
    failures = say(engine, *batch)
    monkeypatch.undo()
    assert sizes == [3, 1, 1, 1]
    assert failures[0] is failures[2] is None and isinstance(failures[1], SpeechError)
    assert not batch[1].pieces
    monkeypatch.setattr(engine_module, 'to_pcm', lambda wave: wave)
    for one in (batch[0], batch[2]):
        assert error(one.wave, one.alone(engine)) <= 1e-4


def test_a_listener_that_fails_does_not_hurt_the_others(engine):
    def broken(samples):
        raise RuntimeError('nobody listens')

    bad, good = Heard(LONG), Heard(ONE)
    failures = engine.synthesize_batch([dataclasses.replace(bad.speech, emit=broken), good.speech])
    assert 'nobody listens' in str(failures[0]) and failures[1] is None and good.pieces


def test_the_canceled_are_left_out_and_the_others_go_on(engine, passes):
    gone, stays = Heard(ONE, canceled=lambda: True), Heard('Go on.')
    assert say(engine, gone, stays) == [None, None]
    assert not gone.pieces and stays.pieces and passes == [1]


def test_one_canceled_in_mid_pass_is_not_heard_and_the_pass_goes_on(engine):
    gone = Heard(LONG, canceled=lambda: engine.counters['eager_steps'] > before)
    stays = Heard(ONE)
    before = engine.counters['eager_steps']
    assert say(engine, gone, stays) == [None, None]
    assert not gone.pieces and len(stays.pieces) == 1


def test_a_pass_is_given_up_when_all_are_canceled(engine):
    """No step is made after the last one is canceled."""
    before = engine.counters['eager_steps']
    batch = [Heard(LONG, canceled=lambda: True),
             Heard(LONG, canceled=lambda: engine.counters['eager_steps'] >= before + 2, nfe_step=2)]
    batch.append(Heard(LONG, canceled=lambda: engine.counters['eager_steps'] >= before + 3, nfe_step=5))
    batch.append(Heard(LONG, canceled=lambda: engine.counters['eager_steps'] >= before + 4, nfe_step=5))
    assert say(engine, *batch) == [None] * 4
    assert engine.counters['eager_steps'] == before + 4
    assert not batch[2].pieces and not batch[3].pieces


def test_the_first_chunk_of_a_text_alone_waits_for_no_other(engine, passes):
    speak(engine, LONG)
    assert passes[0] == 1 and sum(passes) == len(passes) + 1 == 3


# Where batches pay


@pytest.mark.parametrize('step_times, size', [
    ({1: 1.0}, 1),
    ({1: 1.0, 2: 2.0, 3: 3.0}, 1),                  # all cores busy with one already
    ({1: 1.0, 2: 1.85, 4: 3.7}, 1),                 # less than a tenth saved
    ({1: 1.0, 2: 1.8}, 2),
    ({1: 1.0, 2: 1.2, 3: 1.5, 4: 1.9}, 4),          # a GPU that one does not fill
    ({1: 1.0, 2: 1.2, 3: 2.1, 4: 3.9}, 2),          # ... and is full with two
])
def test_batches_are_used_only_where_they_save_time(step_times, size):
    assert paying_batch(step_times) == size


def test_larger_batches_are_not_tried_in_vain():
    assert is_faster({1: 1.0}, 1) and is_faster({1: 1.0, 2: 1.9}, 2)
    assert not is_faster({1: 1.0, 2: 2.0}, 2) and not is_faster({1: 1.0, 2: 1.2, 3: 1.9}, 3)


class Clock:
    """Advances by what a step of the batch under way is said to take."""

    def __init__(self, sampler, seconds):
        self.now = 0.0
        sample = sampler.sample

        def timed(requests, *, canceled=lambda: False, **how):
            def ask():
                answer = canceled()
                self.now += seconds[len(requests)]
                return answer
            return sample(requests, canceled=ask, **how)

        sampler.sample = timed


@pytest.mark.parametrize('seconds, size, tried', [({1: 1.0, 2: 1.3, 3: 1.6}, 3, 3), ({1: 1.0, 2: 2.1, 3: 1.0}, 1, 2)])
def test_warmup_finds_out_whether_batches_pay(monkeypatch, caplog, seconds, size, tried):
    """From the steps it times, and says so in the log. Before it, nothing is batched."""
    sampler = our_sampler(max_batch=3, buckets=(1.0,))
    clock = Clock(sampler, seconds)
    monkeypatch.setattr(sampler_module.time, 'perf_counter', lambda: clock.now)
    assert sampler.batch_size == 1
    told = []
    with caplog.at_level(logging.INFO):
        sampler.warmup(lambda fraction, what: told.append(what))
    assert sampler.batch_size == size and len(told) == tried + 1
    assert f'up to {size} requests go into one pass' in caplog.text and '1000 ms for each of 1' in caplog.text


def test_an_engine_batches_no_more_than_pays(tiny, voice, monkeypatch):
    """What warm-up finds decides for waiting utterances and for the chunks of one text."""
    with loaded('f5', tiny, voice, max_batch=3) as engine:
        sizes = []
        sample = engine._sampler.sample
        monkeypatch.setattr(engine._sampler, 'sample',
                            lambda requests, **how: sizes.append(len(requests)) or sample(requests, **how))
        for batch_size, expected in ((1, [1] * 7), (2, [1, 2, 2, 2])):
            engine._sampler.batch_size = batch_size
            assert engine.batch_size == batch_size
            sizes.clear()
            speak(engine, LONG)
            say(engine, Heard(LONG), Heard(ONE))
            assert sizes == expected
    assert engine.batch_size == 1

"""The f5 engine cuts a text into chunks, emits each when it is there, and joins them as f5-tts does."""

import dataclasses

from hypothesis import given, settings as hypothesis_settings, strategies as st
import numpy as np
import pytest
from speaking import LONG, speak
import torch

from ishowtts_ros.core.types import SynthesisSettings
from ishowtts_ros.engines.f5.crossfade import CrossFader
from ishowtts_ros.engines.f5.throughput import Throughput


@hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(2, 40), min_size=1, max_size=6), overlap=st.integers(0, 20),
       seed=st.integers(0, 99))
def test_what_comes_out_is_upstreams_cross_faded_whole(upstream, lengths, overlap, seed):
    """f5-tts joins the same waves, also those shorter than the cross-fade."""
    generator = np.random.default_rng(seed)
    waves = {f'{index:10}': generator.standard_normal(length).astype(np.float32) for index, length in enumerate(lengths)}
    expected = join_as_upstream(upstream, waves, overlap)
    fader = CrossFader(overlap)
    pieces = [fader.push(wave, last=index == len(waves) - 1) for index, wave in enumerate(waves.values())]
    np.testing.assert_allclose(np.concatenate(pieces), expected, atol=1e-6)


def join_as_upstream(upstream, waves, overlap):
    """Have f5-tts's infer_batch_process join given waves, keyed by the text of their chunk."""
    class Model:
        def sample(self, text, **arguments):
            self.said = ''.join(text[0])[-10:]
            return torch.zeros(1, 8, 100), None

    class Vocos:
        def decode(self, mel):
            return torch.from_numpy(waves[model.said])[None]

    class Executor:             # one after the other: the fake model remembers what it was asked last
        __enter__ = lambda self: self
        __exit__ = lambda self, *error: None

        def submit(self, function, *arguments):
            result = function(*arguments)
            return type('Future', (), {'result': lambda self: result})()

    model = Model()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upstream, 'ThreadPoolExecutor', Executor)
        patch.setattr(upstream, 'convert_char_to_pinyin', lambda texts: [list(text) for text in texts])
        wave, _, _ = next(upstream.infer_batch_process(
            (torch.ones(1, 2560), 24_000), 'A. ', list(waves), model, Vocos(), progress=None,
            cross_fade_duration=overlap / 24_000 + 1e-9, device='cpu'))
    return np.atleast_1d(wave)


def test_audio_is_emitted_as_soon_as_a_chunk_is_vocoded(quick):
    """Nothing waits for the end: when a chunk is heard, the next has not been asked for."""
    engine, requested = quick
    so_far = []
    engine.synthesize(LONG, SynthesisSettings(), lambda samples: so_far.append(len(requested)), lambda: False)
    assert so_far == [1, 2, 3]


def test_streaming_starts_with_a_short_clause(quick, voice, monkeypatch):
    """The first piece is under half as long as without streaming; later ones grow; the whole text is spoken."""
    engine, requested = quick
    whole = speak(engine, LONG)
    said = []
    encode = engine._tokenizer.encode
    monkeypatch.setattr(engine._tokenizer, 'encode', lambda text: said.append(text) or encode(text))
    monkeypatch.setattr(engine, '_config', dataclasses.replace(engine._config, streaming=True))
    monkeypatch.setattr(engine, '_throughput', Throughput())      # as if nothing were known of the machine's speed
    pieces = speak(engine, LONG)
    chunks = [text.removeprefix(voice.transcript + '  ') for text in said]
    assert ' '.join(chunks).split() == LONG.split()
    assert chunks[0] == 'The pump in hall three is running again,'
    assert len(pieces[0]) < len(whole[0]) / 2
    assert [len(piece) for piece in pieces[:2]] == sorted(len(piece) for piece in pieces[:2])
    total, without = sum(map(len, pieces)), sum(map(len, whole))
    assert abs(total - without) < 0.2 * 24_000 * len(pieces), 'only cross-fades and rounding differ'


def test_streaming_starts_with_what_the_machine_can_follow_in_time(quick, voice, monkeypatch):
    """On a slow machine the first chunk is longer, and on one slower than speech as long as without streaming."""
    engine, requested = quick
    monkeypatch.setattr(engine, '_config', dataclasses.replace(engine._config, streaming=True))
    first = {}
    for share in (0.01, 0.65, 2.0):      # of the time that reference and speech last, in a pass
        throughput = Throughput()
        throughput.add(share, nfe_step=7, length=1.0)
        monkeypatch.setattr(throughput, 'add', lambda *_: None)
        monkeypatch.setattr(engine, '_throughput', throughput)
        first[share] = len(speak(engine, LONG, nfe_step=7)[0])
    assert first[0.01] < first[0.65] <= first[2.0]
    monkeypatch.undo()
    assert first[2.0] == len(speak(engine, LONG, nfe_step=7)[0])


def test_every_pass_is_measured(quick, monkeypatch):
    engine, requested = quick
    measured = []
    monkeypatch.setattr(engine._throughput, 'add', lambda work, nfe_step, length: measured.append((work, nfe_step, length)))
    speak(engine, LONG, nfe_step=5)
    assert len(measured) == 3 and all(work > 0 and steps == 5 and 1.0 < length < 43.0 for work, steps, length in measured)


def test_text_without_any_punctuation_is_spoken_in_bounded_pieces(quick):
    engine, requested = quick
    speak(engine, 'word ' * 600)
    lengths = [request.total_frames for request in requested]
    assert len(lengths) > 3 and max(lengths) <= 4096

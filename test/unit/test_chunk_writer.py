"""core/chunk_writer.py: every utterance ends in one last chunk, without a click."""

import numpy as np
import pytest

from ishowtts_ros.core.chunk_writer import ChunkWriter

RATE = 24000
HELD = 240     # samples: 10 ms


@pytest.fixture
def chunks():
    return []


@pytest.fixture
def writer(chunks):
    return ChunkWriter('u', RATE, chunks.append)


@pytest.mark.parametrize('sizes', [[], [1], [240], [241], [1000, 1, 1, 5000, 239], [100] * 50])
def test_all_samples_arrive_in_order_whatever_the_pieces(writer, chunks, sizes):
    samples = np.random.default_rng(0).integers(-32768, 32767, sum(sizes), dtype=np.int16)
    for piece in np.split(samples, np.cumsum(sizes)[:-1]) if sizes else []:
        writer.write(piece)
    writer.finish()
    assert np.array_equal(np.concatenate([c.samples for c in chunks]), samples)
    assert [c.sequence for c in chunks] == list(range(len(chunks)))
    assert [c.last for c in chunks] == [False] * (len(chunks) - 1) + [True]
    assert writer.duration == len(samples) / RATE and writer.chunks == len(chunks)


def test_a_cut_off_utterance_ends_in_a_fade_over_what_was_held_back(writer, chunks):
    writer.write(np.full(2400, 10000, np.int16))
    assert len(chunks[0].samples) == 2400 - HELD
    writer.cut_off()
    end = chunks[1]
    assert end.last and len(end.samples) == HELD
    assert end.samples[0] == 10000 and end.samples[-1] == 0 and (np.diff(end.samples) <= 0).all()


def test_an_utterance_cut_off_before_any_audio_still_has_its_last_chunk(writer, chunks):
    writer.cut_off()
    assert len(chunks) == 1 and chunks[0].last and not len(chunks[0].samples)

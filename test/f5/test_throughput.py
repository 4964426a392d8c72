"""throughput.py: chunks that follow each other without a gap, on any machine."""

import math

import pytest

from ishowtts_ros.engines.f5.throughput import SPARE, Throughput

REFERENCE = 5.33    # s


def measured(share, nfe_step=7):
    """A machine on which a pass takes this share of the time that reference and speech last."""
    throughput = Throughput()
    throughput.add(share * 10.0, nfe_step, 10.0)
    return throughput


@pytest.mark.parametrize('share', [0.005, 0.1, 0.3, 0.5])
def test_what_follows_is_there_in_time(share):
    throughput = measured(share)
    chunk = throughput.shortest(REFERENCE, 7)
    assert throughput.following(chunk, REFERENCE, 7) == pytest.approx(chunk), 'the shortest is followed by its equal'
    for chunk in (chunk, 2 * chunk, 10 * chunk):
        following = throughput.following(chunk, REFERENCE, 7)
        assert share * (REFERENCE + following) == pytest.approx(SPARE * chunk)
        assert following >= chunk * 0.999


def test_a_chunk_shorter_than_the_shortest_is_followed_by_shorter_ones():
    throughput = measured(0.3)
    short = 0.9 * throughput.shortest(REFERENCE, 7)
    assert throughput.following(short, REFERENCE, 7) < short
    assert throughput.following(0.1, REFERENCE, 7) == 0


def test_more_steps_take_longer():
    throughput = measured(0.1)
    assert throughput.shortest(REFERENCE, 14) > throughput.shortest(REFERENCE, 7)
    assert throughput.shortest(REFERENCE, 70) == math.inf, 'slower than speech: no chunk is long enough'


def test_before_the_first_pass_anything_may_follow():
    assert Throughput().shortest(REFERENCE, 7) == 0 and Throughput().following(1.0, REFERENCE, 7) == math.inf


def test_one_slow_pass_changes_nothing():
    throughput = measured(0.1)
    before = throughput.shortest(REFERENCE, 7)
    throughput.add(0.1 * 10.0, 7, 10.0)
    throughput.add(9.0 * 10.0, 7, 10.0)
    assert throughput.shortest(REFERENCE, 7) == pytest.approx(before)

"""core/queue.py."""

import pytest

from ishowtts_ros.core.queue import SpeechQueue
from ishowtts_ros.core.types import ErrorCode, SpeechError, Utterance


def filled(*priorities, depth=10):
    queue = SpeechQueue(depth)
    for number, priority in enumerate(priorities):
        queue.push(Utterance(f'{priority}-{number}', 'text', priority=priority))
    return queue


def test_higher_priority_first_then_order_of_arrival():
    queue = filled(128, 200, 128, 1, 200)
    assert [queue.pop().id for _ in range(5)] == ['200-1', '200-4', '128-0', '128-2', '1-3']


def test_a_full_queue_refuses_and_keeps_what_it_has():
    queue = filled(5, 5, depth=2)
    with pytest.raises(SpeechError, match='queue_depth') as error:
        queue.push(Utterance('late', 'text', priority=255))
    assert error.value.code == ErrorCode.QUEUE_FULL
    assert len(queue) == 2 and 'late' not in queue


def test_one_is_removed_from_the_middle_and_the_order_of_the_rest_stays():
    queue = filled(1, 9, 5, 7, 3)
    assert queue.remove('5-2').id == '5-2'
    assert queue.remove('5-2') is None
    assert [u.id for u in queue.clear()] == ['9-1', '7-3', '3-4', '1-0']
    assert len(queue) == 0


@pytest.mark.parametrize('overflow, victim', [('drop_oldest', '1-1'), ('drop_newest', '1-3')])
def test_a_full_queue_drops_the_oldest_or_newest_of_the_lowest_priority(overflow, victim):
    queue = filled(9, 1, 5, 1, depth=4)
    assert queue.push(Utterance('late', 'text', priority=1), overflow).id == victim
    assert len(queue) == 4 and 'late' in queue and victim not in queue


@pytest.mark.parametrize('overflow', ['drop_oldest', 'drop_newest'])
def test_nobody_is_dropped_for_a_newcomer_of_a_lower_priority_than_all(overflow):
    queue = filled(5, 9, depth=2)
    with pytest.raises(SpeechError) as error:
        queue.push(Utterance('late', 'text', priority=4), overflow)
    assert error.value.code == ErrorCode.QUEUE_FULL and len(queue) == 2


def test_what_came_before_an_instant_is_taken_out():
    queue = SpeechQueue(10)
    for number in range(5):
        queue.push(Utterance(str(number), 'text', received=float(number)))
    assert [u.id for u in queue.remove_received_before(3.0)] == ['0', '1', '2']
    assert [u.id for u in queue.clear()] == ['3', '4']

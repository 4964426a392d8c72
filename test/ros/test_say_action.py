"""say_action.py as its clients meet it: goals, feedback, cancel and results over DDS."""

import threading

from action_msgs.msg import GoalStatus
import pytest
from rclpy.action import ActionClient

from ishowtts.action import Say
from ishowtts.msg import SpeechRequest
from ishowtts_ros.bench.ros_client import SpeechClient
from ishowtts_ros.core.types import ErrorCode, UtteranceState

QUEUED, STARTED, FINISHED, CANCELED, REJECTED, FAILED = UtteranceState


class Sayer:
    """An action client whose answers can be waited for."""

    def __init__(self, client):
        self._client = client
        # In the executor's thread: rclpy shows a half-made ActionClient to an executor that waits meanwhile.
        self._action = self.wait(client.executor.create_task(lambda: ActionClient(client, Say, 'say')))
        assert self._action.wait_for_server(30)

    def send(self, **fields):
        """Send a goal. Returns its handle, which may not be accepted, and the list its feedback comes into."""
        feedback = []
        goal = Say.Goal(request=SpeechRequest(**fields))
        return self.wait(self._action.send_goal_async(goal, lambda message: feedback.append(message.feedback))), feedback

    def say(self, **fields):
        """Send a goal and wait for its end. Returns (status, result)."""
        handle, _ = self.send(**fields)
        assert handle.accepted
        return self.result(handle)

    def result(self, handle):
        answer = self.wait(handle.get_result_async())
        return answer.status, answer.result

    def wait(self, future):
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        assert done.wait(30)
        return future.result()


@pytest.fixture
def sayer(speaking_node, client):
    speaking_node(engine='tone', tone__real_time_factor=0.5, tone__fail_on='boom')
    sayer = Sayer(client)
    yield sayer
    sayer._action.destroy()


def test_a_goal_is_followed_to_its_end(sayer, client):
    handle, feedback = sayer.send(text='twenty characters ab')
    assert handle.accepted
    status, result = sayer.result(handle)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.outcome.state == FINISHED and result.outcome.text == 'twenty characters ab'
    assert result.stats.audio_duration == pytest.approx(1.0) and result.stats.engine == 'tone'
    heard = client.wait_for(lambda: client.ended(result.outcome.utterance_id), 30, 'the same on the topics')
    assert heard.states == [QUEUED, STARTED, FINISHED]
    client.wait_for(lambda: feedback and feedback[-1].audio_duration == pytest.approx(1.0), 30, 'feedback')
    assert [f.chunks for f in feedback] == sorted(f.chunks for f in feedback)
    assert feedback[-1].state == STARTED and feedback[-1].chunks == len(heard.chunks)


def test_bad_goals_are_rejected_with_an_event_that_says_why(sayer, client):
    for number, (fields, code) in enumerate((
            ({'text': ''}, ErrorCode.EMPTY_TEXT), ({'text': 'word', 'voice': 'lo'}, ErrorCode.UNKNOWN_VOICE),
            ({'text': 'word', 'nfe_step': 999}, ErrorCode.INVALID_PARAMETER),
            ({'text': 'word', 'policy': 7}, ErrorCode.INVALID_PARAMETER))):
        handle, _ = sayer.send(id=f'bad-{number}', **fields)
        assert not handle.accepted
        event = client.wait_for(lambda: client.ended(f'bad-{number}'), 30, 'rejection')
        assert event.states == [REJECTED] and event.code == code and event.reason
    status, _ = sayer.say(text='good')
    assert status == GoalStatus.STATUS_SUCCEEDED


def test_a_second_goal_of_the_same_id_leaves_the_first_alone(sayer):
    first, _ = sayer.send(id='a', text='x' * 40)
    second, _ = sayer.send(id='a', text='another')
    assert first.accepted and not second.accepted
    status, result = sayer.result(first)
    assert status == GoalStatus.STATUS_SUCCEEDED and result.stats.text_length == 40


def test_a_later_request_may_have_the_id_of_a_goal_that_ended(sayer, client):
    assert sayer.say(id='a', text='first')[0] == GoalStatus.STATUS_SUCCEEDED
    client.wait_for(lambda: client.ended('a'), 30, 'end')
    client.recordings.clear()
    assert client.speak(id='a', text='again').states == [QUEUED, STARTED, FINISHED]
    assert sayer.say(id='a', text='and again')[0] == GoalStatus.STATUS_SUCCEEDED


def test_cancel_ends_a_goal_that_sounds_or_waits(sayer, client):
    sounding, feedback = sayer.send(id='sounding', text='x' * 400)
    waiting, _ = sayer.send(id='waiting', text='y' * 400)
    client.wait_for(lambda: feedback and feedback[-1].chunks, 30, 'audio')
    for handle in (waiting, sounding):
        assert sayer.wait(handle.cancel_goal_async()).goals_canceling
    for handle, started in ((waiting, False), (sounding, True)):
        status, result = sayer.result(handle)
        assert status == GoalStatus.STATUS_CANCELED and result.outcome.state == CANCELED
        assert (result.stats.engine == 'tone') == started
    assert not sayer.wait(sounding.cancel_goal_async()).goals_canceling, 'it has ended'
    assert client.wait_for(lambda: client.ended('sounding'), 30, 'end').chunks[-1].last


def test_a_goal_that_is_interrupted_or_fails_is_aborted(sayer):
    handle, _ = sayer.send(id='long', text='x' * 400)
    status, _ = sayer.say(text='now', policy=SpeechRequest.INTERRUPT)
    assert status == GoalStatus.STATUS_SUCCEEDED
    status, result = sayer.result(handle)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.outcome.state == CANCELED and result.outcome.code == ErrorCode.INTERRUPTED
    status, result = sayer.say(text='boom')
    assert status == GoalStatus.STATUS_ABORTED
    assert result.outcome.state == FAILED and result.outcome.code == ErrorCode.ENGINE_FAILED


def test_a_burst_of_goals_is_answered_to_the_last(speaking_node, client):
    """More than the ten that rclpy's action server has room for by itself."""
    speaking_node(engine='tone', queue_depth=100)
    sayer = Sayer(client)
    futures = [sayer._action.send_goal_async(Say.Goal(request=SpeechRequest(id=str(number), text='x')))
               for number in range(60)]
    assert all(sayer.wait(future).accepted for future in futures)


def test_goals_have_their_results_when_the_process_ends(start_node, client):
    node = start_node({'engine': 'tone'})
    client.wait_until_active(node)
    sayer = Sayer(client)
    handles = [sayer.send(text='x' * 400)[0] for _ in range(8)]
    results = [handle.get_result_async() for handle in handles]
    assert client.state() == 'active', 'a call later, so that the requests for results are there'
    assert node.stop() == 0
    for future in results:
        answer = sayer.wait(future)
        assert answer.result.outcome.state == CANCELED and answer.result.outcome.code == ErrorCode.NOT_ACTIVE


def test_many_goals_at_once_share_the_queue_with_the_topics_and_one_may_lose_its_client(sayer, client):
    leaving = SpeechClient('leaving')
    lost = Sayer(leaving)
    assert lost.send(id='lost', text='x' * 40)[0].accepted
    leaving.close()
    handles = [sayer.send(id=f'goal-{number}', text='x', priority=100 + number)[0] for number in range(10)]
    client.request(id='topic', text='x', priority=255)
    for handle in handles:
        status, result = sayer.result(handle)
        assert status == GoalStatus.STATUS_SUCCEEDED and result.outcome.state == FINISHED
    for name in ('lost', 'topic'):
        assert client.wait_for(lambda: client.ended(name), 30, f'end of {name}').states == [QUEUED, STARTED, FINISHED]

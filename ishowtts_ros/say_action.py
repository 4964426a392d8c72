"""The action `say`: a goal is an utterance that is followed to its end."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Callable

from ishowtts.action import Say
from ishowtts.msg import SpeechRequest
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from . import conversions
from .core import types
from .core.types import ErrorCode, UtteranceState

SERVICES_QOS = QoSProfile(depth=1000)       # as many goals may arrive at once; rclpy's own depth is 10, and the rest is lost


class _Goal:
    """An accepted goal, as far as it has come."""

    def __init__(self, utterance_id: str):
        self.utterance_id = utterance_id
        self.handle: ServerGoalHandle | None = None     # None until the client has been told of the acceptance
        self.state = UtteranceState.QUEUED
        self.audio_duration = 0.0       # s published
        self.chunks = 0                 # published
        self.started = False
        self.outcome: types.UtteranceEvent | None = None
        self.stats: types.UtteranceStats | None = None
        self.ended: Future = Future()   # the outcome is known, and the statistics if it was started

    def publish_feedback(self) -> None:
        if self.handle:
            self.handle.publish_feedback(Say.Feedback(
                state=int(self.state), audio_duration=self.audio_duration, chunks=self.chunks))

    def end_if_complete(self) -> bool:
        complete = self.outcome is not None and (not self.started or self.stats is not None)
        if complete:
            self.ended.set_result(None)
        return complete


class SayAction:
    """Turns goals into requests, and what the node hears of them into feedback and results.

    No thread waits for an utterance: a goal is executed, in rclpy's sense, when its utterance has
    ended, so its status is ACCEPTED until then and its feedback tells how far it is. Whether the
    client is still there makes no difference to the utterance.

    :param submit: take a request; False if it was rejected, which has been told by an event
    :param cancel: (utterance id, code, reason) -> was there something to cancel?
    """

    def __init__(self, node: Node, submit: Callable[[SpeechRequest], bool], cancel: Callable[[str, str, str], bool],
                 header: Callable[[], Header]):
        self._node = node
        self._submit = submit
        self._cancel = cancel
        self._header = header
        self._asked: _Goal | None = None            # the goal being submitted
        self._submitted: _Goal | None = None        # the goal that was submitted last
        self._goals: dict[str, _Goal] = {}          # accepted and not ended, by utterance id
        self._server = ActionServer(
            node, Say, 'say', lambda handle: Say.Result(), goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted, cancel_callback=self._on_cancel,
            goal_service_qos_profile=SERVICES_QOS, result_service_qos_profile=SERVICES_QOS,
            cancel_service_qos_profile=SERVICES_QOS)

    # --- what the client asks, in the executor's thread

    def _on_goal(self, goal: Say.Goal) -> GoalResponse:
        goal.request.id = goal.request.id or conversions.new_id()
        self._asked = self._submitted = _Goal(goal.request.id)
        accepted = self._submit(goal.request)
        self._asked = None      # a later request of the same id is not this goal
        return GoalResponse.ACCEPT if accepted else GoalResponse.REJECT

    def _on_accepted(self, handle: ServerGoalHandle) -> None:
        goal = self._submitted      # nothing else runs in the executor's thread in between
        goal.handle = handle
        goal.publish_feedback()
        # Not executed here but by the executor, so that it never crosses a cancel request.
        goal.ended.add_done_callback(lambda _: self._node.executor.create_task(
            handle.execute, lambda handle: self._execute(handle, goal)))

    def _on_cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        canceled = self._cancel(handle.request.request.id, ErrorCode.STOPPED, 'canceled by the client of its goal')
        return CancelResponse.ACCEPT if canceled else CancelResponse.REJECT

    def _execute(self, handle: ServerGoalHandle, goal: _Goal) -> Say.Result:
        if goal.outcome.state is UtteranceState.FINISHED:
            handle.succeed()
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        result = Say.Result(outcome=conversions.event_to_message(goal.outcome, self._header()))
        if goal.stats:
            result.stats = conversions.stats_to_message(goal.stats, self._header())
        return result

    # --- what the node hears, in order and one at a time

    def on_event(self, event: types.UtteranceEvent) -> None:
        if event.state is UtteranceState.QUEUED and self._asked and event.utterance_id == self._asked.utterance_id:
            self._goals[event.utterance_id] = self._asked
        goal = self._goals.get(event.utterance_id)
        if goal is None or event.state is UtteranceState.REJECTED:     # a second request of the same id
            return
        goal.state = event.state
        goal.started |= event.state is UtteranceState.STARTED
        if event.state.terminal:
            goal.outcome = event
            self._forget_if_complete(goal)
        else:
            goal.publish_feedback()

    def on_audio(self, chunk: types.AudioChunk) -> None:
        if goal := self._goals.get(chunk.utterance_id):
            goal.audio_duration += chunk.duration
            goal.chunks += 1
            goal.publish_feedback()

    def on_stats(self, stats: types.UtteranceStats) -> None:
        if goal := self._goals.get(stats.utterance_id):
            goal.stats = stats
            self._forget_if_complete(goal)

    def _forget_if_complete(self, goal: _Goal) -> None:
        if goal.end_if_complete():
            del self._goals[goal.utterance_id]

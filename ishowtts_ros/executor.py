"""One thread for everything that is quick, and a thread each for what is not.

rclpy's MultiThreadedExecutor would do, but its waiting thread competes with its workers for the
interpreter, and messages arrive late; docs/performance.md has what was seen, and how comparable that is.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Callable

import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import ParameterException
from rclpy.executors import ConditionReachedException, ShutdownException, SingleThreadedExecutor, TimeoutException
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from . import ros_logging

ANSWER_TIME = 2.0       # s that callbacks have for their answers when the process ends
CLOSE_TIME = 2.0        # s that the node has to let go of everything; launch loses its patience 5 s after its signal


class SlowCallbackGroup(ReentrantCallbackGroup):
    """The callbacks of this group may take long: each call gets a thread of its own."""


class NodeExecutor(SingleThreadedExecutor):
    """A SingleThreadedExecutor that no callback of a SlowCallbackGroup holds up, and that stops between callbacks."""

    def __init__(self):
        super().__init__()
        self._stopping = threading.Event()
        self._slow: list[threading.Thread] = []

    def spin_until_stopped(self) -> None:
        while not self._stopping.is_set():
            self.spin_once()
        self._finish_tasks()

    def stop(self) -> None:
        """End spin_until_stopped; from any thread. Shut down only after that: it must not happen under a callback."""
        self._stopping.set()
        self.wake()

    def spin_once(self, timeout_sec: float | None = None) -> None:
        try:
            handler, entity, _ = self.wait_for_ready_callbacks(timeout_sec=timeout_sec, condition=self._stopping.is_set)
        except (ConditionReachedException, ShutdownException, TimeoutException):
            return
        if entity is not None and isinstance(entity.callback_group, SlowCallbackGroup):
            thread = threading.Thread(target=self._run, args=(handler,), name='slow_callback', daemon=True)
            self._slow = [*(other for other in self._slow if other.is_alive()), thread]
            thread.start()
        else:
            handler()
            if handler.exception() is not None:
                raise handler.exception()

    def _finish_tasks(self) -> None:
        """Results of actions are sent by tasks, in several hops; those of goals that have just ended are still to go."""
        deadline = time.monotonic() + ANSWER_TIME
        while self._tasks and time.monotonic() < deadline:
            try:
                handler, _, _ = self.wait_for_ready_callbacks(timeout_sec=0.01)
                handler()
            except TimeoutException:
                pass
            except ShutdownException:
                return

    def wait_for_slow_callbacks(self, timeout: float) -> None:
        """Let slow callbacks that are about to end do so, and their answers be sent; `timeout` [s] for all together."""
        deadline = time.monotonic() + timeout
        for thread in self._slow:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self, handler) -> None:
        handler()
        if handler.exception() is not None:
            get_logger('executor').error(f'a callback failed: {handler.exception()!r}')


def run(make_node: Callable) -> int:
    """Run the node that `make_node()` returns until SIGINT or SIGTERM; returns the process's exit code.

    The node's `close()` is called while it can still publish, so that what is under way is told to have ended.
    What it then waits for in vain, such as a download or a compilation, ends with the process.
    """
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    try:
        # rclpy's own handlers would take the topics away before the node is closed.
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:     # a params file that cannot be read ends up here
        sys.exit(f'ishowtts: cannot start: {error}')
    if strange := remove_ros_args(sys.argv)[1:]:       # rclpy ignores them without a word
        sys.exit(f"ishowtts: cannot start: unknown arguments {' '.join(strange)}; parameters and remaps follow --ros-args")
    try:
        node = make_node()
    except (ParameterException, RuntimeError) as error:     # a parameter, or rcl: a name or a QoS setting
        sys.exit(f'ishowtts: cannot start: {error}')
    ros_logging.to_ros(node.get_logger())
    executor = NodeExecutor()
    executor.add_node(node)
    failures: list[BaseException] = []

    def spin() -> None:
        try:
            executor.spin_until_stopped()
        except BaseException as error:
            failures.append(error)
        ending.set()

    def close() -> None:
        try:
            node.close()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=spin, name='executor')
    thread.start()
    ending.wait()
    closing = threading.Thread(target=close, name='closing', daemon=True)
    closing.start()
    closing.join(CLOSE_TIME)
    if closing.is_alive():
        node.get_logger().warning(f'still busy after {CLOSE_TIME:g} s; what it is busy with ends with the process')
    else:
        executor.wait_for_slow_callbacks(ANSWER_TIME)
    executor.stop()
    thread.join()
    executor.shutdown()
    rclpy.shutdown()
    if failures:
        raise failures[0]
    if closing.is_alive():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)     # tearing the interpreter down under a thread that computes may crash
    return 0

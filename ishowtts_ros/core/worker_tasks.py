"""What the worker thread is asked to do when the engine has nothing to do."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from typing import Any, Callable

from .types import as_speech_error, ErrorCode, SpeechError


class WorkerTasks:
    """In order of arrival; each answered exactly once, by its Future. Not thread-safe: its owner holds the lock."""

    def __init__(self):
        self._waiting: deque[tuple[Callable[[], Any], Future]] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, task: Callable[[], Any]) -> Future:
        future: Future = Future()
        self._waiting.append((task, future))
        if self._closed:
            self.close()
        return future

    def pop(self) -> Callable[[], None]:
        """The next one, to be called without the lock. :raises IndexError: when there is none"""
        task, future = self._waiting.popleft()

        def run() -> None:
            try:
                future.set_result(task())
            except Exception as error:
                future.set_exception(as_speech_error(error, ErrorCode.ENGINE_FAILED))
        return run

    def close(self) -> None:
        """Refuse those that wait and those that are still to come."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft()[1].set_exception(SpeechError(
                ErrorCode.NOT_ACTIVE, 'the engine was freed before it came to this; configure the node and ask again'))

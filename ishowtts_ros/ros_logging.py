"""Python's logging, which all that knows nothing of ROS uses, where ROS users look: the screen, /rosout, log files."""

from __future__ import annotations

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger


def to_ros(logger: RcutilsLogger) -> None:
    """Send what this package logs from now on to a node's logger, and nowhere else that nobody asked for."""
    package = logging.getLogger(__package__)
    package.setLevel(logging.INFO)
    package.handlers = [_RosHandler(logger)]


class _RosHandler(logging.Handler):

    def __init__(self, logger: RcutilsLogger):
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            # A line for each level: rclpy holds every line of code to the level that it logged at first.
            if record.levelno >= logging.ERROR:
                self._logger.error(text)
            elif record.levelno >= logging.WARNING:
                self._logger.warning(text)
            else:
                self._logger.info(text)
        except Exception:
            self.handleError(record)

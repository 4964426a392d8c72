"""ishowtts: a fast, natural, interruptible voice for robots, as a ROS 2 node."""

__version__ = '0.1.0'

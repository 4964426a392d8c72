"""Plays audio chunks on a sound card: knows samples, formats and devices; nothing of ROS."""

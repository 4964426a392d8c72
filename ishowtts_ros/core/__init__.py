"""What speech synthesis needs and ROS does not: numpy and the standard library only."""

"""What is fast, against what, measured how. Each module runs by itself: python3 -m ishowtts_ros.bench.<name>."""

"""Says its argument through a running speech node and ends when it has been heard. For demo.launch.py."""

from __future__ import annotations

import sys
import threading

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.utilities import remove_ros_args
from std_msgs.msg import Bool

from .bench.ros_client import SpeechClient
from .conversions import new_id
from .core.types import UtteranceState

START_TIMEOUT = 600.0      # s, an engine may have to be downloaded and compiled
SPEECH_TIMEOUT = 600.0     # s


def main() -> int:
    """Exit code 0: heard; 1: refused or not in time, with the reason on stderr."""
    rclpy.init()
    client = SpeechClient('say_once')
    silent = threading.Event()
    client.create_subscription(
        Bool, 'speaking', lambda message: silent.clear() if message.data else silent.set(),
        QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    try:
        client.wait_until_active(timeout=START_TIMEOUT)
        silent.clear()     # what follows is about this text
        recording = client.speak(SPEECH_TIMEOUT, id=new_id(), text=' '.join(remove_ros_args(sys.argv)[1:]))
        if recording.states[-1] is not UtteranceState.FINISHED:
            raise RuntimeError(f'{recording.states[-1].name}: {recording.reason}')
        print(f'{recording.stats.audio_duration:.2f} s of speech, RTF {recording.stats.real_time_factor:.4f}')
        client.wait_for(silent.is_set, SPEECH_TIMEOUT, 'silence after the speech')
        return 0
    except (RuntimeError, TimeoutError) as error:
        print(f'say_once: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    finally:
        client.close()
        rclpy.try_shutdown()

"""One of the processes of test_conversation.py: publishes requests and ends when each of them has ended.

usage: conversation_client.py NAME COUNT
"""

import random
import sys
import threading

from ishowtts.msg import SpeechRequest, UtteranceEvent
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile

UNDER_WAY = 100     # requests that may be unanswered: a topic's history is bounded


def main(name: str, count: int) -> None:
    rclpy.init()
    node, chance = rclpy.create_node(name), random.Random(name)
    waiting, ended = set(), threading.Condition()

    def on_event(event: UtteranceEvent) -> None:
        with ended:
            if event.state >= UtteranceEvent.FINISHED:
                waiting.discard(event.utterance_id)
                ended.notify()
    node.create_subscription(UtteranceEvent, 'utterance_events', on_event, QoSProfile(depth=10_000))
    publisher = node.create_publisher(SpeechRequest, 'speech', QoSProfile(depth=1000))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    while not (publisher.get_subscription_count() and node.count_publishers('utterance_events')):
        with ended:
            ended.wait(0.02)     # nobody tells of discovery
    for number in range(count):
        with ended:
            ended.wait_for(lambda: len(waiting) < UNDER_WAY)
            request = SpeechRequest(
                id=f'{name}-{number}', text='boom' if chance.random() < 0.02 else 'x' * chance.randint(1, 3),
                priority=chance.randint(1, 255), policy=int(chance.random() < 0.005))
            waiting.add(request.id)
        publisher.publish(request)
    with ended:
        ended.wait_for(lambda: not waiting)
    executor.shutdown()
    thread.join()
    node.destroy_node()
    rclpy.shutdown()


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]))

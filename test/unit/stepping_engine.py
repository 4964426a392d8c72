"""An engine that is driven step by step, and a listener that remembers: for tests of the synthesizer."""

from collections import defaultdict
import threading

import numpy as np

from ishowtts_ros.core.types import ErrorCode, SpeechError
from ishowtts_ros.core.voices import unknown_voice

DEADLINE = 20.0     # s; everything here takes milliseconds, a loaded machine may take longer


class SteppingEngine:
    """Speaks one 100 ms piece for each permit it is given; fails or breaks on request."""

    name, sample_rate, has_solver = 'stepping', 1000, True

    def __init__(self, permits=1_000_000):
        self.permits = threading.Semaphore(permits)
        self.settings = []
        self.threads = set()
        self.speaking = threading.Event()
        self.closed = False
        self.load_error = None

    def load(self, progress):
        self.threads.add(threading.current_thread().name)
        progress(1.0, 'loaded')
        if self.load_error:
            raise self.load_error

    def warmup(self, progress):
        progress(1.0, 'warm')

    def voices(self):
        return ['plain', 'robot']

    def voice_for(self, language):
        return 'plain'

    def check_voice(self, name):
        if name not in self.voices():
            raise unknown_voice(name, self.voices())

    def synthesize(self, text, settings, emit, canceled):
        self.threads.add(threading.current_thread().name)
        self.settings.append(settings)
        for word in text.split():
            self.speaking.set()
            while not self.permits.acquire(timeout=0.01):
                if canceled():
                    return
            if canceled():
                return
            if word == 'fail':
                raise SpeechError(ErrorCode.OUT_OF_MEMORY, 'no memory; lower the batch')
            if word == 'break':
                raise ZeroDivisionError('a bug')
            emit(np.full(100, 1000, np.int16))

    def close(self):
        self.threads.add(threading.current_thread().name)
        self.closed = True


class Recorder:
    """A listener that remembers."""

    def __init__(self):
        self.log = []
        self.chunks = defaultdict(list)
        self.stats = {}
        self.events = defaultdict(list)

    def on_event(self, event):
        self.log.append((event.utterance_id, event.state))
        self.events[event.utterance_id].append(event)

    def on_audio(self, chunk):
        self.log.append((chunk.utterance_id, 'last' if chunk.last else 'audio'))
        self.chunks[chunk.utterance_id].append(chunk)

    def on_stats(self, stats):
        self.stats[stats.utterance_id] = stats

    def on_speaking(self, speaking):
        self.log.append(('', speaking))

    def states(self, utterance_id):
        return [event.state for event in self.events[utterance_id]]

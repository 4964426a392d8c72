"""Whatever is asked in whatever order: every request ends exactly once, and every utterance is heard whole or cut off."""

from collections import defaultdict
from itertools import groupby
import time

import numpy as np
import pytest

pytest.importorskip('hypothesis', reason='hypothesis is not installed; `make test` installs it')
from hypothesis import settings as hypothesis_settings, strategies as st  # noqa: E402
from hypothesis.stateful import Bundle, multiple, rule, RuleBasedStateMachine  # noqa: E402

from ishowtts_ros.core.admission import AdmissionRules, OVERFLOW  # noqa: E402
from ishowtts_ros.core.failover import Failover  # noqa: E402
from ishowtts_ros.core.pacer import Pacing  # noqa: E402
from ishowtts_ros.core.synthesizer import AHEAD, Limits, Synthesizer  # noqa: E402
from ishowtts_ros.core.types import (ErrorCode, Policy, SpeechError, SynthesisSettings, Utterance,  # noqa: E402
                                     UtteranceState)

QUEUED, STARTED, FINISHED, CANCELED, REJECTED, FAILED = UtteranceState
DEADLINE = 30.0     # s in which everything must have ended
BATCH = 3           # utterances that the engine speaks in one pass
PIECE = 20          # samples of each word: 20 ms
CANCEL_CODES = {ErrorCode.STOPPED, ErrorCode.INTERRUPTED, ErrorCode.DROPPED, ErrorCode.EXPIRED}
REQUEST = st.fixed_dictionaries({'words': st.integers(1, 6), 'fails': st.booleans(), 'priority': st.integers(1, 4),
                                 'voice': st.sampled_from(['', 'plain', 'robot'])})


class WordEngine:
    """20 ms of audio for each word; fails at the word 'fail'. Remembers what it was asked for."""

    name, sample_rate, has_solver, batch_size = 'words', 1000, True, BATCH

    def __init__(self, sample_rate=1000):
        self.sample_rate = sample_rate      # Hz
        self.asked = {}     # text -> settings

    def load(self, progress):
        pass

    def warmup(self, progress):
        pass

    def voices(self):
        return ['plain', 'robot']

    def voice_for(self, language):
        return 'plain'

    def check_voice(self, name):
        assert name in self.voices()

    def synthesize(self, text, settings, emit, canceled):
        self.asked[text] = settings
        for word in text.split():
            if canceled():
                return
            if word == 'fail':
                raise SpeechError(ErrorCode.ENGINE_FAILED, 'told to')
            emit(np.full(PIECE, 1000, np.int16))

    def synthesize_batch(self, batch):
        assert len(batch) <= BATCH and len({speech.settings.nfe_step for speech in batch}) == 1
        failures = []
        for speech in batch:
            try:
                self.synthesize(speech.text, speech.settings, speech.emit, speech.canceled)
                failures.append(None)
            except SpeechError as error:
                failures.append(error)
        return failures

    def close(self):
        pass


class Conversation(RuleBasedStateMachine):
    """Requests and commands at random against the worker and the pacer, which run meanwhile."""

    ids = Bundle('ids')

    def __init__(self):
        super().__init__()
        self.log = []            # everything heard, in order: events and chunks
        self.spoken_with = {}    # id -> the current settings when it started
        self.utterances = {}     # id -> what was accepted
        self.rejected = set()
        self.current = SynthesisSettings(voice='plain')
        self.rules_now, self.pacing = AdmissionRules(), Pacing('realtime', 0.05)
        self.engine, fallback = WordEngine(), WordEngine(sample_rate=500)
        # three failures in a row hand over to the fallback, and the next moment the main engine is back
        engines = Failover(lambda: self.engine, lambda: fallback, retry_period=0.01)
        self.synthesizer = Synthesizer(engines, lambda: self.current, self, Limits(queue_depth=4),
                                       lambda: self.rules_now, lambda: self.pacing)
        self.synthesizer.start(lambda done, doing: None).result(DEADLINE)
        self.synthesizer.accept(True)

    # What the synthesizer tells

    def on_event(self, event):
        self.log.append(event)
        if event.state is STARTED:
            self.spoken_with[event.utterance_id] = self.current

    def on_audio(self, chunk):
        self.log.append(chunk)

    def on_stats(self, stats):
        pass

    def on_speaking(self, speaking):
        pass

    # What is done

    @rule(target=ids, requests=st.lists(REQUEST, min_size=1, max_size=4), interrupts=st.integers(0, 9).map(lambda n: n == 0))
    def publish(self, requests, interrupts):
        return multiple(*[self._submit(interrupts and not index, **request) for index, request in enumerate(requests)])

    def _submit(self, interrupts, words, fails, priority, voice):
        number = len(self.utterances) + len(self.rejected)
        text = ' '.join([f'word{number}'] * words + ['fail'] * fails)
        utterance = Utterance(str(number), text, voice=voice, priority=priority, received=time.monotonic(),
                              policy=Policy.INTERRUPT if interrupts else Policy.QUEUE)
        try:
            self.synthesizer.submit(utterance)
            self.utterances[utterance.id] = utterance
        except SpeechError as error:
            assert error.code in (ErrorCode.QUEUE_FULL, ErrorCode.RATE_LIMITED)
            self.rejected.add(utterance.id)
        return utterance.id

    @rule(utterance_id=ids)
    def cancel(self, utterance_id):
        self.synthesizer.cancel(utterance_id, ErrorCode.STOPPED, 'canceled')

    @rule()
    def stop(self):
        self.synthesizer.stop()

    @rule()
    def pause(self):
        self.synthesizer.pause()

    @rule()
    def resume(self):
        self.synthesizer.resume()

    @rule(overflow=st.sampled_from(OVERFLOW), max_age=st.sampled_from([0.0, 0.0, 0.05]), rate=st.sampled_from([0.0, 0.0, 100.0]))
    def change_rules(self, overflow, max_age, rate):
        self.rules_now = AdmissionRules(overflow, max_age=max_age, rate_limit=rate)
        self.synthesizer.expire()

    @rule(pacing=st.builds(Pacing, st.sampled_from(['realtime', 'burst']), st.sampled_from([0.02, 0.05])))
    def change_pacing(self, pacing):
        self.pacing = pacing

    @rule(voice=st.sampled_from(['plain', 'robot']), nfe_step=st.integers(1, 128))
    def change_settings(self, voice, nfe_step):
        with self.synthesizer._changed:      # so that spoken_with knows which of two was read
            self.current = SynthesisSettings(voice=voice, nfe_step=nfe_step)

    @rule()
    def be_silent_for_a_moment(self):
        self.synthesizer.wait_until_idle(0.03)

    # What must be true in the end

    def teardown(self):
        try:
            self.synthesizer.resume()
            assert self.synthesizer.wait_until_idle(DEADLINE), 'deadlock'
            self.every_request_ends_once()
            self.every_started_utterance_is_heard_in_one_piece()
            self.order_follows_priority()
        finally:
            self.synthesizer.close()

    def every_request_ends_once(self):
        told = defaultdict(list)
        for entry in self.log:
            if hasattr(entry, 'state'):
                told[entry.utterance_id].append(entry)
        assert set(told) == set(self.utterances)
        for utterance_id, events in told.items():
            states = [event.state for event in events]
            assert states in ([QUEUED, CANCELED], [QUEUED, STARTED, CANCELED], [QUEUED, STARTED, FAILED],
                              [QUEUED, STARTED, FINISHED]), states
            assert states[-1] is not CANCELED or events[-1].code in CANCEL_CODES
            utterance = self.utterances[utterance_id]
            assert states[-1] is not FINISHED or 'fail' not in utterance.text
            if utterance.text in self.engine.asked:
                assert self.engine.asked[utterance.text] == utterance.settings(self.spoken_with[utterance_id])

    def every_started_utterance_is_heard_in_one_piece(self):
        pieces = [(name, list(chunks)) for name, chunks in groupby(
            [entry for entry in self.log if hasattr(entry, 'samples')], key=lambda chunk: chunk.utterance_id)]
        started = [entry.utterance_id for entry in self.log if getattr(entry, 'state', None) is STARTED]
        assert [name for name, _ in pieces] == started, 'all of them, in order, each contiguous'
        finished = {entry.utterance_id for entry in self.log if getattr(entry, 'state', None) is FINISHED}
        for name, chunks in pieces:
            assert [c.sequence for c in chunks] == list(range(len(chunks)))
            assert [c.last for c in chunks] == [False] * (len(chunks) - 1) + [True]
            if name in finished:
                assert sum(len(c.samples) for c in chunks) == PIECE * len(self.utterances[name].text.split())

    def order_follows_priority(self):
        waiting, under_way = [], 0
        for entry in self.log:
            if hasattr(entry, 'samples'):
                under_way -= entry.last
            elif entry.state is QUEUED:
                waiting.append(entry.utterance_id)
            elif entry.state is STARTED:
                best = max(waiting, key=lambda name: self.utterances[name].priority)     # the first of the best
                assert entry.utterance_id == best
                under_way += 1
                assert under_way <= AHEAD - 1 + BATCH
            if not hasattr(entry, 'samples') and entry.state is not QUEUED and entry.utterance_id in waiting:
                waiting.remove(entry.utterance_id)


TestConversation = Conversation.TestCase
TestConversation.settings = hypothesis_settings(max_examples=40, stateful_step_count=40, deadline=None)

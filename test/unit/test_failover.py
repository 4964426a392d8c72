"""core/failover.py: somebody always speaks, and the main engine comes back."""

import threading

import pytest

from ishowtts_ros.core.failover import FAILURES, Failover
from ishowtts_ros.core.synthesizer import Synthesizer
from ishowtts_ros.core.types import ErrorCode, SpeechError, SynthesisSettings
from ishowtts_ros.core.voices import unknown_voice, Voice, VoiceRegistry

DEADLINE = 20.0     # s; a retry here takes milliseconds
NO_MEMORY = SpeechError(ErrorCode.OUT_OF_MEMORY, 'no memory; lower the batch')
ANNA = Voice('anna', '/anna.wav', 'Guten Tag.', 'de')


class PlainEngine:
    """Loads, or fails to as often as it is told to; remembers what happened to it."""

    has_solver, sample_rate = False, 16_000

    def __init__(self, name, voices=('anna',), bad_loads=0):
        self.name, self._voices, self.bad_loads = name, voices, bad_loads
        self.loads, self.closes, self.warm = 0, 0, False
        self.loaded_again = threading.Event()

    def voice_for(self, language):
        return self._voices[0]

    def load(self, progress):
        self.loads += 1
        progress(1.0, 'loaded')
        if self.loads <= self.bad_loads:
            raise SpeechError(ErrorCode.LOAD_FAILED, f'{self.name} has no checkpoint; download it')

    def warmup(self, progress):
        progress(1.0, 'warm')
        self.warm = True
        if self.loads > 1:
            self.loaded_again.set()

    def voices(self):
        return self._voices

    def check_voice(self, name):
        if name not in self._voices:
            raise unknown_voice(name, self._voices)

    def close(self):
        self.closes += 1
        self.warm = False


def loaded(main, fallback, retry_period=1e6):
    engines = Failover(lambda: main, fallback and (lambda: fallback), VoiceRegistry([ANNA]), retry_period)
    engines.load(lambda done, what: None)
    return engines


def speaker(engines, **settings):
    return engines.cast(SynthesisSettings(**settings))


def test_the_main_engine_speaks_while_it_can():
    main, fallback = PlainEngine('main'), PlainEngine('fallback', ('en',))
    engines = loaded(main, fallback)
    assert speaker(engines, voice='anna') == (main, SynthesisSettings(voice='anna'))
    assert fallback.warm and engines.problem == ''
    engines.close()
    assert (main.closes, fallback.closes) == (1, 1)


def test_without_a_fallback_a_failure_to_load_is_the_callers():
    engines = Failover(lambda: PlainEngine('main', bad_loads=1))
    with pytest.raises(SpeechError, match='no checkpoint'):
        engines.load(lambda done, what: None)
    engines.close()


def test_without_a_fallback_the_main_engine_goes_on_however_often_it_fails():
    main = PlainEngine('main')
    engines = loaded(main, None)
    for _ in range(FAILURES + 1):
        engines.report(main, NO_MEMORY)
    assert speaker(engines)[0] is main and engines.problem == ''


def test_the_fallback_speaks_when_the_main_engine_cannot_be_loaded_and_says_why():
    engines = loaded(PlainEngine('main', bad_loads=1), fallback := PlainEngine('fallback', ('en',)))
    assert speaker(engines)[0] is fallback
    assert engines.problem == 'fallback speaks instead: main has no checkpoint; download it'
    engines.close()


def test_the_fallback_speaks_when_the_main_engine_cannot_even_be_made():
    def make():
        raise SpeechError(ErrorCode.ENGINE_UNAVAILABLE, 'pip install torch')
    fallback = PlainEngine('fallback', ('en',))
    engines = Failover(make, lambda: fallback, VoiceRegistry([ANNA]))
    engines.load(lambda done, what: None)
    engines.check_voice('who knows')
    assert speaker(engines)[0] is fallback and engines.voices() == ['anna'] and 'pip install torch' in engines.problem
    engines.close()


def test_a_fallback_that_cannot_speak_is_no_fallback():
    engines = Failover(lambda: PlainEngine('main'), lambda: PlainEngine('fallback', bad_loads=1))
    with pytest.raises(SpeechError, match='the fallback engine cannot be loaded: fallback has no checkpoint'):
        engines.load(lambda done, what: None)
    engines.close()


def test_three_failures_in_a_row_hand_over_and_fewer_do_not():
    main, fallback = PlainEngine('main'), PlainEngine('fallback', ('en',))
    engines = loaded(main, fallback)
    for error in (NO_MEMORY, NO_MEMORY, None, NO_MEMORY, NO_MEMORY):
        engines.report(main, error)
        assert speaker(engines)[0] is main
    engines.report(main, NO_MEMORY)
    assert speaker(engines)[0] is fallback and 'no memory' in engines.problem
    engines.close()


@pytest.mark.parametrize('code', [ErrorCode.UNKNOWN_VOICE, ErrorCode.INVALID_REFERENCE, ErrorCode.INVALID_PARAMETER])
def test_a_bad_request_is_not_the_engines_fault(code):
    main = PlainEngine('main')
    engines = loaded(main, PlainEngine('fallback', ('en',)))
    for _ in range(2 * FAILURES):
        engines.report(main, SpeechError(code, 'bad request'))
    assert speaker(engines)[0] is main
    engines.close()


def test_the_fallback_speaks_the_voices_language_with_a_voice_of_its_own():
    engines = loaded(PlainEngine('main', ('anna', 'bob'), bad_loads=1), PlainEngine('fallback', ('en',)))
    for asked, spoken in (({'voice': 'anna', 'speed': 2.0}, {'language': 'de', 'speed': 2.0}), ({}, {'language': 'de'}),
                          ({'voice': 'anna', 'language': 'fr'}, {'language': 'fr'}), ({'voice': 'bob'}, {})):
        assert speaker(engines, **asked)[1] == SynthesisSettings(**spoken)
    engines.check_voice('bob')      # what the main engine speaks with stays valid
    with pytest.raises(SpeechError):
        engines.check_voice('en')
    engines.close()


def test_the_main_engine_is_tried_in_the_background_until_it_is_back():
    main, fallback = PlainEngine('main', bad_loads=3), PlainEngine('fallback', ('en',))
    engines = loaded(main, fallback, retry_period=0.01)
    assert main.loaded_again.wait(DEADLINE)
    engines._retry.join(DEADLINE)
    assert engines.problem == '' and speaker(engines)[0] is main and main.loads == 4
    assert main.closes == 3     # before each attempt, so that a half-loaded engine keeps no memory
    for _ in range(FAILURES):
        engines.report(main, NO_MEMORY)
    assert speaker(engines)[0] is fallback      # and may be lost again
    engines.close()


def test_closing_ends_an_attempt_at_its_next_step():
    main, loading = PlainEngine('main', bad_loads=1_000_000), threading.Event()
    engines = loaded(main, PlainEngine('fallback', ('en',)), retry_period=0.01)

    def endless(progress):
        while True:
            loading.set()
            progress(0.5, 'reading')
    main.load = endless
    assert loading.wait(DEADLINE)
    engines.close()
    assert not engines._retry.is_alive()


class CloningEngine(PlainEngine):
    def prepare_voice(self, voice):
        self.prepared = voice


def test_voices_are_prepared_by_the_main_engine_while_it_is_there():
    main = CloningEngine('main')
    engines = loaded(main, PlainEngine('fallback', ('en',)))
    engines.prepare_voice(ANNA)
    assert main.prepared is ANNA
    for _ in range(FAILURES):
        engines.report(main, NO_MEMORY)
    with pytest.raises(SpeechError, match='fallback speaks instead: no memory') as error:
        engines.prepare_voice(ANNA)
    assert error.value.code == ErrorCode.ENGINE_UNAVAILABLE
    engines.close()


def test_an_engine_that_clones_no_voices_says_so():
    engines = loaded(PlainEngine('main'), None)
    with pytest.raises(SpeechError, match="engine 'main' clones no voices") as error:
        engines.check_cloning()
    assert error.value.code == ErrorCode.NOT_SUPPORTED


def test_a_batch_that_fails_as_a_whole_is_one_hand_over():
    """More of a batch may fail than it takes: only one thread brings the main engine back."""
    main = PlainEngine('main')
    engines = loaded(main, PlainEngine('fallback', ('en',)))
    for _ in range(FAILURES + 1):
        engines.report(main, NO_MEMORY)
    retries = [thread for thread in threading.enumerate() if thread.name == 'engine_retry']
    assert retries == [engines._retry]
    engines.close()


class Wreck(PlainEngine):
    """Broken so badly that it cannot even be closed, as after a fault of its device."""

    def close(self):
        super().close()
        raise RuntimeError('device fault')


def test_an_engine_that_cannot_be_closed_holds_up_neither_the_other_nor_its_return():
    main, fallback = Wreck('main', bad_loads=1), PlainEngine('fallback')
    engines = loaded(main, fallback, retry_period=1e-3)
    assert main.loaded_again.wait(DEADLINE), 'loaded anew although it could not be closed'
    engines.close()
    assert fallback.closes == 1


def test_loading_that_fails_is_told_even_if_the_engine_cannot_be_closed(recorder):
    synthesizer = Synthesizer(Failover(lambda: Wreck('main', bad_loads=1)), SynthesisSettings, recorder)
    with pytest.raises(SpeechError, match='no checkpoint'):
        synthesizer.start(lambda done, what: None).result(DEADLINE)
    synthesizer.close()

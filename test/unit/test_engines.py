"""engines/: the registry, espeak and tone."""

import numpy as np
import pytest

from ishowtts_ros.core.audio import rms
from ishowtts_ros.core.engine import ClonesVoices
from ishowtts_ros.core.types import ErrorCode, SpeechError, SynthesisSettings
from ishowtts_ros.engines import registry


def ignore(*_):
    pass


def speak(engine, text, stop_after=None, **settings):
    """All samples; cancels once `stop_after` seconds are there."""
    pieces = []

    def canceled():
        return stop_after is not None and sum(map(len, pieces)) >= stop_after * engine.sample_rate
    engine.synthesize(text, SynthesisSettings(**settings), pieces.append, canceled)
    assert all(piece.dtype == np.int16 and len(piece) for piece in pieces)
    return np.concatenate(pieces or [np.zeros(0, np.int16)])


@pytest.fixture(scope='module')
def espeak():
    engine = registry.create('espeak')
    engine.load(ignore)
    engine.warmup(ignore)
    yield engine
    engine.close()


def test_an_unknown_engine_is_answered_with_those_there_are():
    with pytest.raises(SpeechError, match='espeak.*tone') as error:
        registry.create('espeek')
    assert error.value.code == ErrorCode.UNKNOWN_ENGINE


def test_an_unknown_option_is_answered_with_those_there_are():
    with pytest.raises(SpeechError, match='data_path'):
        registry.create('espeak', {'datapath': 'x'})


def test_espeak_speaks_audibly_and_streams(espeak):
    pieces = []
    espeak.synthesize('This is a sentence of some length, to be heard in pieces.', SynthesisSettings(), pieces.append, lambda: False)
    assert len(pieces) > 10, 'samples are handed over as they come, not at the end'
    samples = np.concatenate(pieces)
    assert 2.0 < len(samples) / espeak.sample_rate < 6.0
    assert rms(samples) > 0.02
    speech = np.abs(np.fft.rfft(samples.astype(float))) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / espeak.sample_rate)
    assert speech[(frequency > 80) & (frequency < 4000)].sum() > 0.9 * speech.sum(), 'energy lies where speech has it'


def test_espeak_rate_follows_speed(espeak):
    text = 'one two three four five six seven eight nine ten'
    normal, fast, slow = (len(speak(espeak, text, speed=speed)) for speed in (1.0, 2.0, 0.5))
    assert 0.4 < fast / normal < 0.7 and 1.5 < slow / normal < 2.5


def test_espeak_stops_in_its_callback_when_canceled_and_speaks_again(espeak):
    text = 'word ' * 500
    assert len(speak(espeak, text, stop_after=0.5)) < 0.8 * espeak.sample_rate
    assert len(speak(espeak, 'And now all of it.')) > 0.8 * espeak.sample_rate


def test_every_espeak_voice_and_a_variant_of_it_can_be_selected(espeak):
    assert len(espeak.voices()) > 100 and len(espeak.variants()) > 50
    for number, voice in enumerate(espeak.voices()):
        variant = espeak.variants()[number % len(espeak.variants())]
        assert rms(speak(espeak, 'a 1 Ꭰ', voice=voice, speed=3.0)) > 0.005, voice
        espeak.check_voice(f'{voice}+{variant}')
        speak(espeak, '1', voice=f'{voice}+{variant}', speed=4.0)


def test_espeak_voices_and_variants_sound_different(espeak):
    plain, variant, french = (speak(espeak, 'Robert', voice=v) for v in ('en-us', 'en-us+f3', 'fr'))
    assert len(plain) != len(french) or not np.allclose(plain, french)
    assert len(plain) != len(variant) or rms((plain - variant).astype(np.int16)) > 0.01


@pytest.mark.parametrize('voice, near', [('en-uss', 'en-us'), ('en-us+f33', r'en-us\+f3'), ('', 'unknown voice')])
def test_espeak_refuses_unknown_voices_with_near_names(espeak, voice, near):
    with pytest.raises(SpeechError, match=near) as error:
        espeak.check_voice(voice)
    assert error.value.code == ErrorCode.UNKNOWN_VOICE


def test_espeak_takes_the_voice_from_the_language(espeak):
    by_language, french, english = (len(speak(espeak, '99 98 97', **asked)) for asked in (
        {'language': 'fr-FR'}, {'voice': 'fr'}, {'voice': 'en-us'}))
    assert by_language == pytest.approx(french, rel=0.05) and english < 0.9 * french
    assert [espeak.voice_for(tag) for tag in ('fr-FR', 'EN-us', 'xx', '')] == ['fr', 'en-us', 'en-us', 'en-us']
    assert [espeak.voice_for(tag) for tag in ('zh', 'zh-CN', 'zh-HK', 'no')] == ['cmn', 'cmn', 'yue', 'nb']


def test_an_error_while_handing_over_comes_out_and_espeak_stays_usable(espeak):
    def broken(samples):
        raise OSError('the line is dead')
    with pytest.raises(OSError, match='the line is dead'):
        espeak.synthesize('Hello there', SynthesisSettings(), broken, lambda: False)
    assert rms(speak(espeak, 'Hello')) > 0.01


def test_a_second_espeak_is_refused_while_the_first_is_loaded(espeak):
    with pytest.raises(SpeechError, match='already loaded'):
        registry.create('espeak').load(ignore)


@pytest.mark.parametrize('options, says', [({'library': '/nowhere/lib.so'}, 'espeak.library'),
                                           ({'voice': 'klingon-x'}, 'unknown voice')])
def test_espeak_options_that_cannot_work_say_what_to_set(espeak, options, says):
    espeak.close()
    try:
        with pytest.raises(SpeechError, match=says):
            registry.create('espeak', options).load(ignore)
    finally:
        espeak.load(ignore)     # also shows that the failed load gave the library back


def test_espeak_paths_may_start_at_the_home_directory(espeak, tmp_path, monkeypatch):
    loader = pytest.importorskip('espeakng_loader', reason='espeak is the system\'s here')
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'my lib').symlink_to(loader.get_library_path())
    (tmp_path / 'my data').symlink_to(loader.get_data_path())
    espeak.close()
    try:
        homely = registry.create('espeak', {'library': '~/my lib', 'data_path': '~/my data'})
        homely.load(ignore)
        homely.close()
    finally:
        espeak.load(ignore)


def test_tone_is_deterministic_and_as_long_as_its_text():
    engine = registry.create('tone', {'seconds_per_character': 0.1})
    engine.load(ignore)
    first, second = speak(engine, 'ten chars!'), speak(engine, 'ten chars!')
    assert np.array_equal(first, second) and len(first) == engine.sample_rate
    assert len(speak(engine, 'ten chars!', speed=2.0)) == engine.sample_rate / 2
    peak = np.fft.rfftfreq(len(first), 1 / engine.sample_rate)[np.argmax(np.abs(np.fft.rfft(first)))]
    assert peak == pytest.approx(440, abs=1)


@pytest.mark.parametrize('name', ['espeak', 'tone'])
def test_engines_with_voices_of_their_own_clone_none(name):
    assert not isinstance(registry.create(name), ClonesVoices)

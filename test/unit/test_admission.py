"""core/admission.py: repetitions and floods are told apart from requests."""

import pytest

from ishowtts_ros.core.admission import Admission, AdmissionRules
from ishowtts_ros.core.types import ErrorCode, SpeechError, Utterance


def ask(admission, rules, now, text='text', voice='voice'):
    """'' if accepted, else the code."""
    utterance = Utterance('u', text)
    try:
        admission.check(utterance, voice, rules, now)
    except SpeechError as error:
        return error.code
    admission.accepted(utterance, voice, rules, now)
    return ''


def test_the_same_text_by_the_same_voice_is_accepted_once_in_the_window():
    admission, rules, again = Admission(), AdmissionRules(dedupe_window=10.0), ErrorCode.DUPLICATE_TEXT
    assert ask(admission, rules, 100.0) == ''
    assert ask(admission, rules, 105.0) == again
    assert ask(admission, rules, 105.0, voice='another') == ''
    assert ask(admission, rules, 105.0, text='another') == ''
    assert ask(admission, rules, 109.9) == again
    assert ask(admission, rules, 110.0) == '', 'the window starts at what was accepted, not at what was asked'
    assert ask(admission, rules, 112.0) == again


def test_the_rate_holds_in_the_long_run_and_a_second_of_it_may_come_at_once():
    admission, rules = Admission(), AdmissionRules(rate_limit=5.0)
    outcomes = [ask(admission, rules, 100.0, text=str(n)) for n in range(7)]
    assert outcomes == [''] * 5 + [ErrorCode.RATE_LIMITED] * 2
    assert ask(admission, rules, 100.19) == ErrorCode.RATE_LIMITED
    assert ask(admission, rules, 100.21) == ''
    accepted = sum(ask(admission, rules, 200.0 + n / 100) == '' for n in range(1000))
    assert accepted == pytest.approx(5 + 10 * 5, abs=1)


def test_a_rate_below_one_lets_one_in_at_a_time():
    admission, rules = Admission(), AdmissionRules(rate_limit=0.5)
    assert [ask(admission, rules, now) == '' for now in (10.0, 11.0, 12.1, 12.2, 14.2)] == [True, False, True, False, True]


def test_rules_that_are_off_let_everything_in_and_one_switched_on_starts_fresh():
    admission = Admission()
    assert [ask(admission, AdmissionRules(), 1.0) for _ in range(100)] == [''] * 100
    rules = AdmissionRules(dedupe_window=10.0, rate_limit=1.0)
    assert ask(admission, rules, 2.5) == ''

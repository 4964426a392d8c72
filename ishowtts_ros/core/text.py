"""Text before it reaches an engine: is it speakable, and where may it be cut?"""

from __future__ import annotations

import re
import unicodedata

from .types import ErrorCode, SpeechError

_SPACE = re.compile(r'\s+')
# A sentence ends after . ! ? … (with closing quotes) before white space, after their CJK forms, or at a line break.
_SENTENCE_END = re.compile(r'''(?<=[.!?…])["'”’)\]]*\s+|(?<=[。！？])["'”’」』）]*|\n+''')
# The full stop of an abbreviation ends no sentence: of "e.g." and "Dr." never, nor of an initial ("J. S. Bach"); of
# "No." not before a number; of "etc." not where a small letter follows.
_NO_END = re.compile(r'\b(?:(?i:e\.g|i\.e|vs|cf|approx|ca|dr|mr|mrs|ms|prof|st|mt)|[A-Z])\.$')
_NO_END_BEFORE_NUMBER = re.compile(r'\b(?i:no|nos|fig|vol|ch|eq|p|pp)\.$')
_NO_END_BEFORE_SMALL = re.compile(r'\b(?i:etc|[ap]\.m|inc|ltd|jr|sr|max|min|incl|dept|al)\.$')
_LONGEST_ABBREVIATION = 8       # characters, and one before them


def clean(text: str, max_length: int) -> str:
    """The text with white space collapsed to single blanks, if it can be spoken.

    :param max_length: longest text accepted, in characters
    :raises SpeechError: EMPTY_TEXT, TEXT_TOO_LONG or INVALID_TEXT, saying what would be right
    """
    if len(text) > max_length:
        raise SpeechError(ErrorCode.TEXT_TOO_LONG,
                          f'the text has {len(text)} characters; at most {max_length} are spoken (parameter max_text_length)')
    for position, character in enumerate(text):
        if character == '\ufffd' or unicodedata.category(character) == 'Cs':
            raise SpeechError(ErrorCode.INVALID_TEXT,
                              f'character {position} is not valid Unicode (U+{ord(character):04X}); send the text as UTF-8')
        if unicodedata.category(character) == 'Cc' and not character.isspace():
            raise SpeechError(ErrorCode.INVALID_TEXT,
                              f'character {position} is the control character U+{ord(character):04X}; send plain text')
    spoken = _SPACE.sub(' ', text).strip()
    if not spoken:
        raise SpeechError(ErrorCode.EMPTY_TEXT, 'the text is empty or blank; send at least one word')
    return spoken


def split_sentences(text: str) -> list[str]:
    """The sentences of `text`, in order, each stripped; joined they hold every word of it.

    "3.5", "e.g.", "Dr. Who" and initials end no sentence; CJK full stops end one without a blank.
    """
    sentences, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        if '\n' not in end.group() and _is_abbreviation(text, end.start(), text[end.end():end.end() + 1]):
            continue
        sentence = text[start:end.end()].strip()
        if sentence:
            sentences.append(sentence)
        start = end.end()
    rest = text[start:].strip()
    return sentences + [rest] if rest else sentences


def _is_abbreviation(text: str, end: int, following: str) -> bool:
    """Does the full stop just before `end` belong to an abbreviation? `following` is the next sentence's first letter."""
    tail = text[max(0, end - _LONGEST_ABBREVIATION):end]
    return bool(_NO_END.search(tail)
                or following.isdigit() and _NO_END_BEFORE_NUMBER.search(tail)
                or following.islower() and _NO_END_BEFORE_SMALL.search(tail))

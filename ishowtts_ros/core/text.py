"""Text before it reaches an engine: is it speakable, and where may it be cut?"""

from __future__ import annotations

import re
import unicodedata

from .types import ErrorCode, SpeechError

_SPACE = re.compile(r'\s+')
# A sentence ends after . ! ? … (with closing quotes) before white space, after their CJK forms, or at a line break.
_SENTENCE_END = re.compile(r'''(?<=[.!?…])["'”’)\]]*\s+|(?<=[。！？])["'”’」』）]*|\n+''')
# "e.g. this", "Dr. Who", "J. S. Bach": the full stop of an abbreviation ends no sentence.
_ABBREVIATION = re.compile(
    r'\b(?:(?i:e\.g|i\.e|vs|cf|approx|no|fig|vol|dr|mr|mrs|ms|prof|st)|[A-Z])\.$')


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

    "3.5", "e.g." and initials end no sentence; CJK full stops end one without a blank.
    """
    sentences, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        sentence = text[start:end.end()].strip()
        if _ABBREVIATION.search(sentence) and '\n' not in end.group():
            continue
        if sentence:
            sentences.append(sentence)
        start = end.end()
    rest = text[start:].strip()
    return sentences + [rest] if rest else sentences

"""Text as it is read aloud, for engines that know letters and no numbers.

F5-TTS speaks what it has heard written out: "three point five kilograms" well, "3.5 kg" badly. Here numbers, units,
times, dates, money, abbreviations and addresses become words. espeak does that by itself and does not come here.

What is not understood stays as it is written; nothing is raised, and no word is lost.
"""

from __future__ import annotations

import re

from ..core.types import ErrorCode, SpeechError
from .number_words import library

_KANA = re.compile('[\u3040-\u30ff]')
_HAN = re.compile('[\u3400-\u9fff\uf900-\ufaff]')
_HANGUL = re.compile('[\uac00-\ud7af]')
_LATIN = re.compile('[A-Za-z\u00c0-\u024f]')
_LETTER = re.compile(r'[^\W\d_]')
EAST_ASIAN = ('zh', 'cmn', 'yue', 'ja', 'ko')


def prepare() -> None:
    """Import what number words need, so that the first utterance need not wait for it.

    :raises SpeechError: ENGINE_UNAVAILABLE
    """
    try:
        library()
    except ImportError as error:
        raise SpeechError(
            ErrorCode.ENGINE_UNAVAILABLE,
            f'numbers cannot be read as words: {error}; pip install num2words, or set normalize_text to false'
        ) from error
    normalize('1', 'en')


def normalize(text: str, language: str) -> str:
    """The text as it is read aloud; the same text where there is nothing to expand or the language is unknown.

    :param language: BCP 47, as language_of() tells it
    """
    base = re.split('[-_]', language)[0].lower()
    if base == 'en':
        from .english import read
    elif base in ('zh', 'cmn', 'yue'):
        from .chinese import read
    else:
        from .other_languages import read as read_other
        return read_other(text, language)
    return read(text)


def language_of(text: str, requested: str = '', of_voice: str = '') -> str:
    """The language to read a text in: the one asked for, else the voice's, else a guess from the script.

    A cloned voice speaks any language, so the voice's gives way to a script that it is not written in: Chinese text
    is Chinese in an English voice too.

    :return: BCP 47; '' when the script alone does not tell
    """
    if requested:
        return requested
    if of_voice and (not _LETTER.search(text) or is_east_asian(text) == (_base(of_voice) in EAST_ASIAN)):
        return of_voice
    if _KANA.search(text):
        return 'ja'
    if _HAN.search(text):
        return 'zh'
    if _HANGUL.search(text):
        return 'ko'
    return 'en' if _LATIN.search(text) or not _LETTER.search(text) else ''


def is_east_asian(text: str) -> bool:
    return any(script.search(text) for script in (_KANA, _HAN, _HANGUL))


def _base(language: str) -> str:
    return re.split('[-_]', language)[0].lower()

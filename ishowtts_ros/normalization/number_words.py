"""Numbers in words, in the languages that num2words knows.

Of num2words (LGPL, 0.5.10 in Debian and later on PyPI) only words for whole numbers from 0 on are used. Its decimals
lose digits in some languages (Italian reads 3.5 as "tre", Persian 3.05 as "three and a half"), negative numbers fail
in others, and large ones never end in Amharic: those are read here, or left as they are.
"""

from __future__ import annotations

from functools import lru_cache

LONGEST = 15                # digits of a number read as a whole; longer ones are read digit by digit
ALIASES = {'nb': 'no', 'nn': 'no', 'iw': 'he', 'in': 'id', 'kk': 'kz'}     # BCP 47 to num2words


class Unreadable(Exception):
    """There are no words for it: it stays as it is written."""


@lru_cache(maxsize=1)
def library():
    """The num2words package, imported on first use (0.1 s).

    :raises ImportError: it is not installed
    """
    import num2words
    return num2words


@lru_cache(maxsize=64)
def code(language: str) -> str:
    """The name that num2words has for a BCP 47 tag; '' when it does not know the language."""
    try:
        known = library().CONVERTER_CLASSES
    except ImportError:
        return ''
    base, _, region = language.replace('_', '-').partition('-')
    base = ALIASES.get(base.lower(), base.lower())
    return next((name for name in (f'{base}_{region.upper()}', base) if name in known), '')


@lru_cache(maxsize=4096)
def words(number: int, language: str, form: str = 'cardinal') -> str:
    """A whole number from 0 on.

    :param language: BCP 47
    :param form: 'cardinal' | 'ordinal' | 'year'
    :raises Unreadable: neither num2words nor its language has words for it
    """
    name = code(language)
    if not name or not 0 <= number < 10 ** LONGEST:
        raise Unreadable(number)
    try:
        spoken = library().num2words(number, lang=name, to=form)
    except Exception as error:      # each language fails in its own way
        raise Unreadable(number) from error
    if not spoken or any(character.isdigit() for character in spoken):
        raise Unreadable(number)
    return ' '.join(spoken.replace(',', ' ').split())     # a comma would be spoken as a pause


def digits(token: str, language: str) -> str:
    """Digit by digit; characters that are none are left out."""
    return ' '.join(words(int(digit), language) for digit in token if digit in '0123456789')


def whole(token: str, language: str) -> str:
    """The digits of a whole number in words: one by one where there are too many, or zeros in front."""
    if len(token) > LONGEST or token.startswith('0') and len(token) > 1:
        return digits(token, language)
    return words(int(token), language)

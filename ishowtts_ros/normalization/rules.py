"""A language's rules: what to look for, and what is said instead."""

from __future__ import annotations

import re
from typing import Callable, Iterable

from .number_words import Unreadable

Read = Callable[[re.Match], str]
Rule = tuple[re.Pattern, Read]

# Written one way, meant another: full-width forms, minus signs, subscripts, fractions in one character.
SAME = str.maketrans({
    **{chr(zero + digit): str(digit) for zero in (0xff10, 0x2080) for digit in range(10)},
    '％': '%', '￥': '¥', '＄': '$', '＃': '#', '＋': '+', '＆': '&', '＠': '@',
    '−': '-', 'µ': 'μ', '\u2126': 'Ω',
    '½': ' 1/2', '⅓': ' 1/3', '⅔': ' 2/3', '¼': ' 1/4', '¾': ' 3/4', '⅛': ' 1/8', '⅕': ' 1/5',
})
_SPACES = re.compile(' {2,}')


def rule(pattern: str, reader: Read) -> Rule:
    return re.compile(pattern), reader


def apply(rules: Iterable[Rule], text: str) -> str:
    """The text after each rule in turn; what has no words stays as it is written."""
    plain = spoken = text.translate(SAME)
    for pattern, read in rules:
        spoken = pattern.sub(lambda match: _read(read, match), spoken)
    return text if spoken == plain else _SPACES.sub(' ', spoken).strip()


def _read(read: Read, match: re.Match) -> str:
    try:
        return read(match)
    except Unreadable:
        return match.group()


def one_of(words: Iterable[str]) -> str:
    """The words as alternatives of a regular expression, the longest first."""
    return '|'.join(re.escape(word) for word in sorted(words, key=len, reverse=True))

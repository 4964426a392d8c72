"""What is spelled rather than read in English: addresses of mail, web, network and machine, files, and ROS names."""

from __future__ import annotations

import re

from . import english_tables as tables
from .number_words import digits, whole
from .rules import Rule, rule

LANGUAGE = 'en'
PATH = r'''(?::[0-9]+)?(?:/[^\s<>"')\],;]*[\w/])?'''
FIRST = r'''(?<![^\s("'`\[{=,])'''      # nothing else stands right before it
MAC = r'(?P<mac>[0-9A-Fa-f]{2}(?P<between>[:-])(?:[0-9A-Fa-f]{2}(?P=between)){4}[0-9A-Fa-f]{2})'
GROUP = r'[0-9A-Fa-f]{1,4}'
GROUPS = rf'(?:{GROUP}(?::{GROUP}){{0,6}})?'
IPV6 = rf'(?=[0-9a-fA-F:]*[0-9])(?:(?:{GROUP}:){{7}}{GROUP}|{GROUPS}::{GROUPS})'


def code(token: str) -> str:
    """Digits that count nothing, as in A4 or A380: up to two as a number, more of them one by one."""
    return whole(token, LANGUAGE) if len(token) < 3 else digits(token, LANGUAGE)


def address(match: re.Match) -> str:
    """A URL, an e-mail address or a file name: its words, its signs by name, its digits as a code."""
    return named(re.sub(r'^[a-zA-Z][a-zA-Z0-9+]*://|^mailto:', '', match.group()))


def path(match: re.Match) -> str:
    """A file's path as an address; of others, such as topics, the words alone and the slashes."""
    token = match.group()
    return named(token if re.search(r'\w\.\w', token) else token.replace('_', ' '))


def hardware_address(match: re.Match) -> str:
    """MAC and IPv6, character by character: a pause after two, or the colons by name."""
    token = match.group().upper()
    if match['mac']:
        return ', '.join(spelled(pair) for pair in re.split('[:-]', token))
    return ' '.join('colon' if part == ':' else spelled(part) for part in re.findall('[0-9A-F]+|:', token))


def spelled(token: str) -> str:
    return ' '.join(digits(character, LANGUAGE) or character for character in token)


def named(token: str) -> str:
    spoken = []
    for part in re.findall(r'[0-9]+|[^\W\d_]+|.', token):
        if part[0] in '0123456789':
            part = code(part)
        elif part == 'www':
            part = 'w w w'
        spoken.append(tables.ADDRESS_SIGNS.get(part, part))
    return ' '.join(spoken).strip()


RULES: tuple[Rule, ...] = (
    rule(r'(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}', address),
    rule(r'\b(?:https?|ftp|wss?|rtsp)://[^\s<>"\')\]]*[\w/]', address),
    rule(rf'(?<![\w.@])www\.[\w-]+(?:\.[\w-]+)+{PATH}', address),
    rule(rf'(?<![\w.@-])localhost(?=[:/]){PATH}', address),
    rule(rf'(?<![\w.@-])(?:[a-zA-Z][\w-]{{0,62}}\.){{1,6}}(?:{tables.TOP_DOMAINS})\b(?!\.\w){PATH}', address),
    rule(rf'{FIRST}(?:~|\.\.?)?/\.?[a-zA-Z_](?:[\w./-]*\w)?|{FIRST}[a-zA-Z]:\\[\w.\\-]*\w', path),
    rule(rf'(?<![\w.@/-])(?:[\w-]{{1,62}}/){{0,8}}[a-zA-Z_][\w-]{{0,62}}(?:\.[\w-]{{1,62}}){{0,4}}'
         rf'\.(?:{tables.FILE_TYPES})\b(?!\.\w)', address),
    rule(r'(?<![\w.@/-])(?=\w{1,62}_)[a-zA-Z]\w{1,62}(?:/[a-zA-Z_]\w{0,62}){1,6}(?![\w/])', path),
    rule(rf'(?<![\w:.-])(?:{MAC}|{IPV6})(?![\w:-])', hardware_address),
)

"""English as it is read aloud.

The rules run one after the other over the whole text, the most particular first: what an address or a date has
taken is words by the time that the rules for plain numbers come. The last ones leave no digit behind.
"""

from __future__ import annotations

import re

from . import english_addresses, english_tables as tables
from .english_addresses import LANGUAGE, code
from .number_words import Unreadable, digits, whole, words
from .rules import Rule, apply, one_of, rule

GROUPED = re.compile(r'[1-9][0-9]{0,2}(?:,[0-9]{3})+')
INTEGER = r'[0-9]+'
NUMBER = r'[0-9]+(?:\.[0-9]+)?|\.[0-9]+'
START = r'(?<![\w.])(?<![0-9][:/])'
SIGN = r'''(?:(?<![^\s("'\[=<>~≈≤≥±])[-+])?'''
SIGNED = rf'(?P<n>{START}{SIGN}(?:{NUMBER}))'
END = r'(?!\w)'
UNIT = one_of(tables.UNITS)
UNIT_WORD = one_of({form for noun in tables.UNITS.values() for form in (noun.split('|') if '|' in noun else (noun, noun + 's'))})
CURRENCY = one_of(tables.MONEY)
SCALE = one_of(tables.SCALES)
CLOCK = r'(?P<hour>[01]?[0-9]|2[0-4]):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9]))?'
SUFFIX = r'(?:st|nd|rd|th)'
MONTH = '|'.join((*tables.MONTHS, *(rf'{name[:3]}\.?' for name in tables.MONTHS), r'Sept\.?'))
YEAR = r'(?:1[0-9]|20)[0-9]{2}'
SENTENCE_GOES_ON = r'''(?!\s*$|["')\]]|\s+[A-Z])'''
HALF = rf'(?P<half>\s?(?:[ap]\.?m|[AP]\.?M)\b)(?:\.{SENTENCE_GOES_ON})?'
MONEY_SIGN = one_of(symbol for symbol in tables.MONEY if not symbol.isalpha())
MONEY_CODE = one_of(symbol for symbol in tables.MONEY if symbol.isalpha())
AMOUNT = rf'(?P<amount>{INTEGER}(?:\.[0-9]+)?)(?:\s?[-–]\s?(?:{MONEY_SIGN})?(?P<upto>{INTEGER}(?:\.[0-9]+)?))?'
EMERGENCY = '(?:911|112|999|110|119)'


def read(text: str) -> str:
    """The text with nothing in it that must be known to be read."""
    return apply(RULES, text)


# Numbers

def number(token: str) -> str:
    """'1234.50', '-5', '.5', '007' in words."""
    sign, token = (token[0], token[1:]) if token[0] in '+-' else ('', token)
    integer, point, decimals = token.partition('.')
    spoken = whole(integer, LANGUAGE) if integer else ''
    if point:
        spoken += ' point ' + digits(decimals, LANGUAGE)
    return ' '.join((tables.SIGNS.get(sign, '') + ' ' + spoken).split())


def counted(noun: str, many: bool) -> str:
    one, _, plural = noun.partition('|')
    return (plural or one + 's') if many else one


def ordinal(token: str) -> str:
    return words(int(token), LANGUAGE, 'ordinal') if len(token) < 7 else number(token) + 'th'


def year(token: str) -> str:
    return words(int(token), LANGUAGE, 'year')


def in_groups(match: re.Match) -> str:
    """A telephone or serial number: digit by digit, with a pause where it is written in groups."""
    token = match.group()
    plus = 'plus ' if token.startswith('+') else ''
    return plus + ', '.join(digits(group, LANGUAGE) for group in re.findall('[0-9]+', token))


def dialed(match: re.Match) -> str:
    return match['before'] + re.sub(INTEGER, lambda m: digits(m.group(), LANGUAGE), match['numbers'])


def decimal_comma(match: re.Match) -> str:
    """A comma as the continent of Europe has it; one before three digits groups them in English."""
    if GROUPED.fullmatch(match.group()):
        raise Unreadable(match.group())
    return match.group().replace(',', '.')


def scaled(match: re.Match) -> str:
    """ "10k", "1.5M". Behind a whole number a capital may be no more than a letter, as in "gate 4B", "4K"."""
    n, scale = match['n'], match['scale']
    round_thousands = scale == 'K' and len(n) > 2 and n.endswith('0')
    if scale.isupper() and '.' not in n and match['counted'] is None and not round_thousands:
        raise Unreadable(match.group())
    return f'{number(n)} {tables.SCALES[scale]}'


def dotted(match: re.Match) -> str:
    """A version or an address of four bytes."""
    parts = match['dotted'].split('.')
    if len(parts) == 4 and not match['v'] and all(len(part) <= 3 and int(part) < 256 for part in parts):
        spoken = ' dot '.join(digits(part, LANGUAGE) for part in parts)
    else:
        spoken = ' point '.join(code(part) for part in parts)
    port = f" port {digits(match['port'], LANGUAGE)}" if match['port'] else ''
    prefix = f" slash {whole(match['prefix'], LANGUAGE)}" if match['prefix'] else ''
    return ('version ' if match['v'] else '') + spoken + port + prefix


def fraction(match: re.Match) -> str:
    over, under = int(match['over']), int(match['under'])
    if (over, under) in ((24, 7), (9, 11)):
        return f'{number(match["over"])} {number(match["under"])}'
    before = f'{number(match["whole"])} and ' if match['whole'] else ''
    if over == under:
        return f'{before}{number(match["over"])} out of {number(match["under"])}'
    if over > under or under < 2 or over == 0:
        return f'{before}{number(match["over"])} over {number(match["under"])}'
    name = {2: 'half|halves', 4: 'quarter'}.get(under) or words(under, LANGUAGE, 'ordinal')
    return f'{before}{number(match["over"])} {counted(name, over > 1)}'


def power(match: re.Match) -> str:
    base = f"{number(match['n'])} times ten" if match['e'] in 'eE' else number(match['n'])
    return f"{base} to the power of {number(match['power'])}"


def decade(match: re.Match) -> str:
    spoken = year(match['decade']) if len(match['decade']) == 4 else number(match['decade'])
    if spoken.endswith('hundred') or spoken.endswith('thousand'):
        return spoken + 's'
    return spoken[:-1] + 'ies' if spoken.endswith('y') else spoken + 's'


# Measures and money

def measure(match: re.Match) -> str:
    if match['unit'] in tables.SPACED_UNITS and not match['gap'] and '.' not in match['n']:
        raise Unreadable(match.group())
    if match['gap'] == '-':         # "a 5-km run"
        return f"{number(match['n'])}-{counted(tables.UNITS[match['unit']], False)}"
    spoken = counted(tables.UNITS[match['unit']], match['n'].lstrip('+-') != '1')
    if match['per']:
        spoken += ' per ' + counted(tables.UNITS[match['per']], False)
    return f"{number(match['n'])} {spoken}"


def lone_unit(match: re.Match) -> str:
    unit, _, per = match.group().partition('/')
    return counted(tables.UNITS[unit], True) + (' per ' + counted(tables.UNITS[per], False) if per else '')


def money(match: re.Match) -> str:
    unit, part = tables.MONEY[match['currency']]
    amount, scale, upto = match['amount'], match['scale'], match['upto']
    sign = 'minus ' if match['sign'] else ''
    if scale or upto:
        upto = f' to {number(upto)}' if upto else ''
        scale = f' {tables.SCALES[scale]}' if scale else ''
        return f'{sign}{number(amount)}{upto}{scale} {counted(unit, True)}'
    integer, _, cents = amount.partition('.')
    if cents and (len(cents) != 2 or not part):
        return f'{sign}{number(amount)} {counted(unit, True)}'
    spoken = []
    if integer.strip('0') or not int(cents or '0'):
        spoken.append(f'{number(integer)} {counted(unit, integer != "1")}')
    if int(cents or '0'):
        spoken.append(f'{words(int(cents), LANGUAGE)} {counted(part, int(cents) != 1)}')
    return sign + ' and '.join(spoken)


# Days and hours

def iso_date(match: re.Match) -> str:
    return day_of(int(match['month']), match['day'], match['year']) + (', ' if match['t'] else '')


def slash_date(match: re.Match) -> str:
    """Month first, as in the United States, unless only the other way makes a date."""
    month, day = int(match['a']), int(match['b'])
    if month > 12:
        month, day = day, month
    return day_of(month, str(day), match['year'])


def iso_month(match: re.Match) -> str:
    """ "2024-05"; "2010-12" may be years as well, from one to another."""
    if int(match['month']) > int(match['year'][2:]):
        raise Unreadable(match.group())
    return f"{tables.MONTHS[int(match['month']) - 1]} {year(match['year'])}"


def day_of(month: int, day: str, of_year: str | None) -> str:
    if not (1 <= month <= 12 and 1 <= int(day) <= 31):
        raise Unreadable(day)
    return f'{tables.MONTHS[month - 1]} {ordinal(str(int(day)))}' + (f', {year(of_year)}' if of_year else '')


def month_day(match: re.Match) -> str:
    return day_of(month_number(match['month']), match['day'], match['year'])


def day_month(match: re.Match) -> str:
    month = tables.MONTHS[month_number(match['month']) - 1]
    article = '' if match['the'] else 'the '
    return f"{match['the'] or ''}{article}{ordinal(match['day'])} of {month}" + (
        f", {year(match['year'])}" if match['year'] else '')


def month_number(name: str) -> int:
    return next(index for index, month in enumerate(tables.MONTHS, 1) if month.startswith(name[:3]))


def clock(match: re.Match) -> str:
    hour, minute = int(match['hour']), int(match['minute'])
    half = half_of_day(match['half'])
    if minute:
        spoken = f"{words(hour, LANGUAGE)} {'oh ' if minute < 10 else ''}{words(minute, LANGUAGE)}"
    elif half:
        spoken = words(hour, LANGUAGE)
    elif hour == 0:
        spoken = 'midnight'
    else:
        spoken = words(hour, LANGUAGE) + (" o'clock" if hour <= 12 else ' hundred')
    if int(match['second'] or 0):
        spoken += f" and {words(int(match['second']), LANGUAGE)} {counted('second', match['second'] != '01')}"
    return spoken + half + (' U T C' if match['utc'] else '')


def half_of_day(token: str | None) -> str:
    """" a m" or " p m": letters, because the full stops of "p.m." would end a sentence."""
    return f' {token.strip()[0].lower()} m' if token else ''


# Names

def saint(match: re.Match) -> str:
    """ "St." before a name, unless a name stands before it as well: "on Main St. The", but "In St. Louis"."""
    before = match['before'] or ''
    return before + ('Saint' if not before or before.strip() in tables.NOT_STREETS else 'Street.')


def in_word(match: re.Match) -> str:
    """Digits beside letters, as in H2O: a space goes between them."""
    left, right = match.string[:match.start()][-1:], match.string[match.end():match.end() + 1]
    spoken = number(match.group()) if '.' in match.group() else code(match.group())
    return (' ' if left.isalnum() else '') + spoken + (' ' if right.isalnum() else '')


def said(table: dict[str, str], after: str = ''):
    """A reader that looks its match up; a capital at the beginning stays one."""
    def read_short(match: re.Match) -> str:
        token = match['short']
        word = table.get(token) or table[token.lower()]
        return (word[0].upper() + word[1:] if token[0].isupper() else word) + after
    return read_short


def short(table: dict[str, str]) -> str:
    """Matches what a table has, and the same at the beginning of a sentence."""
    return rf'(?<![\w.])(?P<short>{one_of({*table, *(token[0].upper() + token[1:] for token in table)})})'


RULES: tuple[Rule, ...] = (
    *english_addresses.RULES,
    # days
    rule(rf'{START}(?P<year>{YEAR})(?P<between>[-/])(?P<month>[01]?[0-9])(?P=between)(?P<day>[0-3]?[0-9])'
         rf'(?:(?P<t>T)(?=[0-9]{{2}}:)|(?![\w/-]))', iso_date),
    rule(rf'{START}(?P<a>[0-3]?[0-9])/(?P<b>[0-3]?[0-9])/(?P<year>{YEAR})(?![\w/])', slash_date),
    rule(rf'\b(?P<month>{MONTH})\s(?P<day>[0-3]?[0-9]){SUFFIX}?(?![\w:%-]|[.,][0-9])(?:,?\s(?P<year>{YEAR})(?![\w:]))?',
         month_day),
    rule(rf'(?P<the>\b[Tt]he\s)?{START}(?P<day>[0-3]?[0-9]){SUFFIX}?\s(?:of\s)?(?P<month>{MONTH})(?!\w)'
         rf'(?:,?\s(?P<year>{YEAR})(?![\w:]))?', day_month),
    rule(rf'{START}(?P<year>{YEAR})-(?P<month>0[1-9]|1[0-2])(?![\w-])', iso_month),
    # "3,5 kg" and "€3,50" are no lists, nor is "0,5"
    rule(r'(?<![\w.,])[0-9]+,[0-9]+(?=(?:\s?(?:and|or|to|[-–x×])\s?[0-9]+(?:,[0-9]+)?)?'
         rf'\s?(?:[%‰€£]|(?:{UNIT}|{UNIT_WORD}|{CURRENCY}|{SCALE}){END}))', decimal_comma),
    rule(r'(?:(?<![\w.,])(?=0)|(?<=[$€£¥₹₩])|(?<=[$€£¥₹₩]\s))[0-9]+,[0-9]+(?!\w|,[0-9])', decimal_comma),
    # "1,2,3" is a list, "1,234" is not
    rule(r'(?<![\w.])[0-9]+(?:,[0-9]+)+',
         lambda m: m.group().replace(',', '' if GROUPED.fullmatch(m.group()) else ', ')),
    # signs before a number
    rule(r'(?<![\w<>=-])(?P<sign>[<>≤≥~≈±])\s?(?=[-+.$€£]?[0-9])', lambda m: tables.SIGNS[m['sign']] + ' '),
    # money
    rule(rf'(?P<sign>(?<![\w.])-)?(?P<currency>{MONEY_SIGN})\s?{AMOUNT}(?:\s?(?P<scale>{SCALE})\b)?', money),
    rule(rf'{START}(?P<sign>(?<!\w)-)?{AMOUNT}(?:\s?(?P<scale>{SCALE}))?\s?(?P<currency>{CURRENCY}){END}', money),
    rule(rf'\b(?P<currency>{MONEY_CODE})\s(?P<sign>-)?{AMOUNT}(?:\s?(?P<scale>{SCALE})\b)?', money),
    # numbers that count nothing
    rule(rf'\b(?P<before>(?:[Dd]ial(?:s|ed|ing)?|[Ee]xtension)\s)(?P<numbers>{INTEGER})'
         rf'(?!\w|[.,:/-][0-9]|\s?(?:{UNIT}){END})', dialed),
    rule(r'\b(?P<before>(?:[Cc]all|[Pp]hone|[Rr]ing)(?:s|ed|ing)?\s'
         r'|[Ee]mergency(?:\s(?:number|line|services))?(?:\sis|:)?\s)'
         rf'(?P<numbers>{EMERGENCY}(?:(?:,|\sor|\sand)\s{EMERGENCY})*)'
         r'(?!\w|[.,:/-][0-9]|\s(?:more|of|people|persons|[a-z]{2,}[^s\W]s\b))', dialed),
    rule(rf'(?P<before>){START}(?P<numbers>{EMERGENCY})(?=\s(?:call|operator|dispatch|emergency))', dialed),
    rule(rf'(?<![\w.])\+[0-9]{{1,3}}[ -]?(?:\([0-9]+\)[ -]?)?[0-9]{{2,}}(?:[ /-][0-9]{{2,}})+{END}', in_groups),
    rule(rf'(?<![\w.])\+[0-9]{{8,}}{END}', in_groups),
    rule(rf'(?<![\w.])\([0-9]{{2,5}}\) ?[0-9]{{2,}}(?:[ -][0-9]{{2,}})*{END}', in_groups),
    rule(rf'{START}0[0-9]{{2,4}}[ /-][0-9]{{3,}}(?:[ -][0-9]{{2,}})*{END}', in_groups),
    rule(rf'{START}[0-9]+(?:-[0-9]+){{2,}}{END}|{START}[0-9]{{3}}-[0-9]{{4}}{END}', in_groups),
    rule(r'(?:(?<!\w)(?P<v>[vV]))?(?<![0-9.])(?P<dotted>[0-9]+(?:\.[0-9]+){2,})(?::(?P<port>[0-9]{1,5})(?![0-9]))?'
         r'(?:/(?P<prefix>[0-9]{1,2})(?![\w/.]))?', dotted),
    rule(r'(?<!\w)[vV](?P<n>[0-9]+(?:\.[0-9]+)?)(?!\w)', lambda m: 'version ' + number(m['n'])),
    # ranges
    rule(rf'{START}(?P<a>{YEAR})\s?[-–]\s?(?P<b>{YEAR})(?!\w|[.,:][0-9]|\s?(?:{UNIT}){END})',
         lambda m: f"{year(m['a'])} to {year(m['b'])}"),
    rule(rf'(?P<a>{START}{SIGN}(?:[0-9]{{1,2}}:[0-9]{{2}}|{NUMBER})(?:%|\s?[ap]m)?)(?:-|\s?–\s?)(?=[0-9])',
         lambda m: m['a'] + ' to '),
    # hours
    rule(rf'{START}{CLOCK}(?:{HALF}|(?P<utc>Z\b))?(?![\w:]|[.,][0-9])', clock),
    rule(rf'{START}(?P<n>1[0-2]|0?[1-9]){HALF}', lambda m: number(m['n'].lstrip('0')) + half_of_day(m['half'])),
    # measures
    rule(rf'{SIGNED}(?P<scale>k|bn|[KMB])(?!\w|\s(?:{tables.PICTURES}))'
         rf'(?P<counted>(?=\s(?:{tables.COUNTLESS})\b))?', scaled),
    rule(rf"{START}'?(?P<decade>(?:1[0-9]|20)[0-9]0)'?s{END}", decade),
    rule(rf"(?:(?<=\b[Tt]he )|(?<=\b[Hh]is )|(?<=\b[Hh]er )|(?<=\b[Mm]y )|(?<=mid-)|'){START}(?P<decade>[2-9]0)'?s{END}",
         decade),
    rule(rf'{START}(?!0x)(?:{NUMBER})(?:\s?[x×]\s?(?:{NUMBER}))+', lambda m: re.sub(r'\s?[x×]\s?', ' by ', m.group())),
    rule(rf'{SIGNED}\s?%', lambda m: number(m['n']) + ' percent'),
    rule(rf'{SIGNED}\s?‰', lambda m: number(m['n']) + ' per mille'),
    rule(rf'{SIGNED}(?P<gap>[ \u00a0\u202f-]?)(?P<unit>{UNIT})(?:/(?P<per>{UNIT}))?(?![\w/²³°])'
         rf'(?:(?<=[a-z]{{2}})\.{SENTENCE_GOES_ON})?', measure),
    rule(rf'(?<![\w/])(?:{one_of(tables.LONE_UNITS)})(?![\w/²³])', lone_unit),
    rule(rf'{START}(?P<n>{NUMBER})\s?[x×](?!\w)', lambda m: number(m['n']) + ' times'),
    rule(rf'{SIGNED}(?P<e>[eE^])(?P<power>[-+]?[0-9]{{1,3}}){END}', power),
    rule(rf'{START}(?:(?P<whole>[0-9]{{1,3}}) )?(?P<over>[0-9]{{1,3}})/(?P<under>[0-9]{{1,3}})(?![\w/]|\.[0-9])',
         fraction),
    rule(rf'{START}(?P<a>{NUMBER}):(?P<b>[0-9]+)(?![\w:]|\.[0-9])', lambda m: f"{number(m['a'])} to {number(m['b'])}"),
    rule(rf'{START}(?P<n>{INTEGER}){SUFFIX}{END}', lambda m: ordinal(m['n'])),
    rule(rf'(?<![\w.])(?P<short>{one_of(tables.COUNTED)})\s?(?=[0-9])', said(tables.COUNTED, ' ')),
    rule(rf'(?<![0-9]\s)\b(?P<before>(?:{one_of(tables.BEFORE_YEARS)}|{MONTH}),?\s)(?P<year>{YEAR})'
         r'(?![\w%]|[.,:][0-9])', lambda m: m['before'] + year(m['year'])),
    # signs
    rule(r'(?<=[\w)])\s?(?P<sign>[+=×÷])\s?(?=[-\w(])', lambda m: f" {tables.OPERATORS[m['sign']]} "),
    rule(r'(?<=[0-9])\s-\s(?=[0-9.]+\s(?:=|equals))', lambda m: ' minus '),
    rule(r'(?<=\w)\s?&\s?(?=\w)|(?<!\S)&(?!\S)', lambda m: ' and '),
    rule(r'(?<!\S)@(?=\s|\w)', lambda m: ' at '),
    rule(r'(?<![\w&])#(?=[^\W\d_])', lambda m: 'hashtag '),
    # plain numbers, then digits within words
    rule(rf'{SIGNED}(?!\w|\.[0-9])', lambda m: number(m['n'])),
    rule(r'(?<=[^\W_])_+(?=[^\W_])', lambda m: ' '),
    rule(r'[0-9]+(?:\.[0-9]+)?', in_word),
    # abbreviations
    rule(short(tables.INNER) + r'(?!\w)', said(tables.INNER)),
    rule(rf'(?<![\w.])(?P<short>{one_of(tables.TITLES)})(?=\s(?:[A-Z]|and\s))', said(tables.TITLES)),
    rule(r'(?P<before>\b[A-Z][a-z]+\s)?(?<![\w.])St\.(?=\s[A-Z])', saint),
    rule(r'(?<=[a-z]\s)St\.' + SENTENCE_GOES_ON, lambda m: 'Street'),
    rule(r'(?<=[a-z]\s)St\.', lambda m: 'Street.'),
    rule(short(tables.ENDING) + r'(?!\w)' + SENTENCE_GOES_ON, said(tables.ENDING)),
    rule(short(tables.ENDING) + r'(?!\w)', said(tables.ENDING, '.')),
    rule(r'(?<![\w.])(?P<letters>(?:[A-Z]\.){2,})(?P<end>(?=["\')\]]*\s*$))?',
         lambda m: ' '.join(m['letters'].replace('.', '')) + ('.' if m['end'] is not None else '')),
)

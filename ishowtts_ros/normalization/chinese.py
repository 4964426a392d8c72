"""Mandarin as it is read aloud, in simplified characters.

num2words has no Chinese. cn2an (MIT) has, but never says 两, and leaves out a 零 (100001000 becomes 一亿一千), so numbers
are read here and compared with cn2an's by a test. The rules run as the English ones do.
"""

from __future__ import annotations

import re

from .number_words import LONGEST
from .rules import Rule, apply, one_of, rule

DIGITS = '零一二三四五六七八九'
TELEPHONE = str.maketrans('0123456789', '零幺二三四五六七八九')     # 幺: an 一 that is not misheard
UNITS = {
    'mm': '毫米', 'cm': '厘米', 'm': '米', 'km': '公里', 'nm': '纳米', 'μm': '微米', 'm²': '平方米', 'm2': '平方米',
    'm³': '立方米', 'm3': '立方米', 'km²': '平方公里', 'km2': '平方公里', 'mg': '毫克', 'g': '克', 'kg': '公斤', 't': '吨',
    'ml': '毫升', 'mL': '毫升', 'l': '升', 'L': '升', 'ms': '毫秒', 's': '秒', 'min': '分钟', 'h': '小时', 'Hz': '赫兹',
    'kHz': '千赫兹', 'MHz': '兆赫兹', 'GHz': '吉赫兹', 'V': '伏', 'mV': '毫伏', 'A': '安', 'mA': '毫安', 'mAh': '毫安时',
    'Ah': '安时', 'W': '瓦', 'kW': '千瓦', 'kWh': '千瓦时', 'N': '牛', 'Nm': '牛米', 'Pa': '帕', 'kPa': '千帕',
    'MPa': '兆帕', 'hPa': '百帕', 'bar': '巴', 'dB': '分贝', 'rad': '弧度', '°': '度', 'rpm': '转每分钟', 'fps': '帧每秒',
    'KB': 'KB', 'MB': '兆字节', 'GB': 'GB', 'TB': 'TB', 's²': '二次方秒', 'Ω': '欧姆', 'px': '像素',
}
DEGREES = {'°C': '摄氏度', '℃': '摄氏度', '°F': '华氏度', '℉': '华氏度'}
MONEY = {'¥': '元', '$': '美元', '€': '欧元', '£': '英镑', 'USD': '美元', 'EUR': '欧元', 'GBP': '英镑', 'CNY': '元',
         'RMB': '元', 'JPY': '日元', 'HK$': '港元', 'US$': '美元'}
# Two of these are 两.
COUNTED = ('小时', '公里', '公斤', '千克', '分钟',
           *'个只台次天年位条张本件辆块种倍米升吨克匹头名周岁群双对层家座支枚颗杯瓶碗步遍元人')
ADDRESS_SIGNS = {'.': '点', '/': '斜杠', '-': '杠', '_': '下划线', ':': '冒号', '@': '艾特', '?': '问号', '=': '等于',
                 '&': '和', '#': '井号', '%': '百分号', '+': '加', '~': '波浪号'}
OPERATORS = {'+': '加', '=': '等于', '×': '乘', '÷': '除以', '&': '和', '<': '小于', '>': '大于', '≤': '不超过', '≥': '不少于',
             '±': '正负', '≈': '约', '~': '约'}

NUMBER = r'[0-9]+(?:\.[0-9]+)?'
START = r'(?<![A-Za-z0-9_.])'
SIGNED = rf'(?P<n>(?:(?<![\w.)])[-+])?{START}{NUMBER})'
END = r'(?![A-Za-z0-9_])'
YEAR = r'(?:1[0-9]|20)[0-9]{2}'
UNIT = one_of(UNITS)
CLOCK = r'(?P<hour>[01]?[0-9]|2[0-4])[:：](?P<minute>[0-5][0-9])(?:[:：](?P<second>[0-5][0-9]))?'


def read(text: str) -> str:
    """The text with its numbers and signs in characters."""
    return apply(RULES, text)


def whole(token: str) -> str:
    """A whole number: 两 before 千, 万 and 亿, digit by digit beyond 10^15."""
    if len(token) > LONGEST or token.startswith('0') and len(token) > 1:
        return digits(token)
    spoken = _whole(int(token)) or '零'
    return spoken[1:] if spoken.startswith('一十') else spoken


def _whole(value: int) -> str:
    """From 1 on; '' for 0. What stands before 亿 and 万 is a number of its own."""
    for size, name in ((10 ** 8, '亿'), (10 ** 4, '万')):
        high, low = divmod(value, size)
        if high:
            gap = '零' if 0 < low < size // 10 else ''
            return ('两' if high == 2 else _whole(high)) + name + gap + _whole(low)
    return _thousands(value)


def _thousands(group: int) -> str:
    """1 to 9999; '' for 0."""
    spoken, gap = '', False
    for unit, name in ((1000, '千'), (100, '百'), (10, '十'), (1, '')):
        digit = group // unit % 10
        if digit:
            spoken += ('零' if gap and spoken else '') + ('两' if digit == 2 and unit == 1000 else DIGITS[digit]) + name
        gap = not digit
    return spoken


def digits(token: str) -> str:
    """Digit by digit, as years and codes are read."""
    return ''.join(DIGITS[int(digit)] for digit in token if digit in '0123456789')


def number(token: str) -> str:
    """'-3.50' in characters."""
    sign = {'-': '负', '+': '正'}.get(token[0], '')
    integer, _, decimals = token.lstrip('+-').partition('.')
    return sign + whole(integer) + ('点' + digits(decimals) if decimals else '')


def code(token: str) -> str:
    return whole(token) if len(token) < 3 else digits(token)


def telephone(match: re.Match) -> str:
    plus = '加' if match.group().startswith('+') else ''
    return plus + '，'.join(group.translate(TELEPHONE) for group in re.findall('[0-9]+', match.group()))


def dotted(match: re.Match) -> str:
    parts = match['dotted'].split('.')
    address = len(parts) == 4 and any(len(part) > 2 for part in parts)
    return ('版本' if match['v'] else '') + '点'.join((digits if address else code)(part) for part in parts)


def address(match: re.Match) -> str:
    token = re.sub(r'^[a-zA-Z][a-zA-Z0-9+]*://', '', match.group())
    parts = re.findall(r'[0-9]+|[^\W\d_]+|.', token)
    return ' '.join(code(part) if part[0] in '0123456789' else ADDRESS_SIGNS.get(part, part) for part in parts)


def date(match: re.Match) -> str:
    month, day = int(match['month']), int(match['day'])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match.group()
    return f"{digits(match['year'])}年{whole(str(month))}月{whole(str(day))}日"


def clock(match: re.Match) -> str:
    hour, minute = int(match['hour']), int(match['minute'])
    spoken = ('两' if hour == 2 else whole(str(hour))) + '点'
    if minute or match['second']:
        spoken += ('零' if minute < 10 else '') + (whole(str(minute)) if minute else '') + '分'
    if match['second']:
        spoken += whole(str(int(match['second']))) + '秒'
    return spoken


def money(match: re.Match) -> str:
    unit = MONEY[match['currency']]
    sign = '负' if match['sign'] else ''
    integer, _, cents = match['amount'].partition('.')
    if match['upto']:
        return f"{sign}{number(match['amount'])}到{number(match['upto'])}{match['scale'] or ''}{unit}"
    if match['scale'] or unit != '元' or not 0 < len(cents) <= 2:
        amount = f'{integer}.{cents}'.rstrip('0').rstrip('.') if cents else integer
        return sign + ('两' if amount == '2' else number(amount)) + (match['scale'] or '') + unit
    tens, ones = (int(digit) for digit in cents.ljust(2, '0'))
    spoken = number(integer) + '元' if integer.strip('0') or not (tens or ones) else ''
    spoken += DIGITS[tens] + '角' if tens else '零' if ones and spoken else ''
    return sign + spoken + (DIGITS[ones] + '分' if ones else '')


def degrees(match: re.Match) -> str:
    below = match['n'].startswith('-')
    return ('零下' if below else '') + number(match['n'].lstrip('-')) + DEGREES[match['unit']]


def measure(match: re.Match) -> str:
    spoken = '两' if match['n'] == '2' else number(match['n'])
    return spoken + UNITS[match['unit']] + (f"每{UNITS[match['per']]}" if match['per'] else '')


def in_word(match: re.Match) -> str:
    """Digits beside Latin letters, as in H2O: a space goes between them."""
    left, right = match.string[:match.start()][-1:], match.string[match.end():match.end() + 1]
    spoken = number(match.group()) if '.' in match.group() else code(match.group())
    before, after = (' ' if side.isascii() and side.isalnum() else '' for side in (left, right))
    return before + spoken + after


AMOUNT = rf'(?P<amount>{NUMBER})(?:[-–~～](?P<upto>{NUMBER}))?(?:\s?(?P<scale>万亿|亿|万|千|百))?'
RULES: tuple[Rule, ...] = (
    rule(r'(?<![A-Za-z0-9_.+-])[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}', address),
    rule(r'''(?<![A-Za-z])(?:https?://|ftp://|www\.)[!-~]*[A-Za-z0-9/]''', address),
    rule(r'(?<![A-Za-z0-9_.@-])(?:[A-Za-z][A-Za-z0-9-]{0,62}\.){1,6}(?:com|org|net|cn|io|edu|gov)'
         r'(?![A-Za-z0-9_.])(?:/[!-~]*[A-Za-z0-9/])?', address),
    rule(r'(?<![A-Za-z0-9_.])[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9])', lambda m: m.group().replace(',', '')),
    # days and hours
    rule(rf'{START}(?P<year>{YEAR})(?P<between>[-/.])(?P<month>[01]?[0-9])(?P=between)(?P<day>[0-3]?[0-9])'
         r'(?![0-9/.-]*[0-9])', date),
    rule(rf'{START}(?P<a>{YEAR})\s?(?:[-–~～]|至|到)\s?(?P<b>{YEAR})(?=\s?年)',
         lambda m: f"{digits(m['a'])}到{digits(m['b'])}"),
    rule(rf'{START}(?P<n>[0-9]{{4}})(?=\s?年)', lambda m: digits(m['n'])),
    rule(rf'{START}{CLOCK}(?![0-9:：])', clock),
    # numbers that count nothing
    rule(r'(?<![A-Za-z0-9_.])\+[0-9]{1,3}[ -]?[0-9]{2,}(?:[ -][0-9]{2,})*(?![0-9])', telephone),
    rule(rf'{START}(?:1[3-9][0-9]{{9}}|0[0-9]{{2,3}}-[0-9]{{7,8}}|[48]00-[0-9]{{3}}-[0-9]{{4}})(?![0-9.])', telephone),
    rule(rf'{START}[0-9]+(?:-[0-9]+){{2,}}(?![0-9])', telephone),
    rule(r'(?:(?<![A-Za-z])(?P<v>[vV]))?(?<![0-9.])(?P<dotted>[0-9]+(?:\.[0-9]+){2,})', dotted),
    rule(rf'(?<![A-Za-z])[vV](?P<n>{NUMBER})(?![A-Za-z0-9_.])', lambda m: '版本' + number(m['n'])),
    # money and measures
    rule(rf'(?P<sign>(?<![\w.])-)?(?P<currency>{one_of(MONEY)})\s?{AMOUNT}', money),
    rule(rf'{START}(?P<sign>(?<![\w.])-)?{AMOUNT}\s?(?P<currency>{one_of(MONEY)}){END}', money),
    rule(rf'(?P<n>{START}{NUMBER}%?)\s?[-–~～]\s?(?=[0-9])', lambda m: m['n'] + '到'),
    rule(rf'{SIGNED}\s?[%]', lambda m: ('负' if m['n'][0] == '-' else '') + '百分之' + number(m['n'].lstrip('+-'))),
    rule(rf'{SIGNED}\s?‰', lambda m: '千分之' + number(m['n'])),
    rule(rf'{SIGNED}\s?(?P<unit>{one_of(DEGREES)})', degrees),
    rule(rf'{SIGNED}\s?(?P<unit>{UNIT})(?:/(?P<per>{UNIT}))?(?![A-Za-z0-9_/²³])', measure),
    rule(rf'{START}(?P<over>[0-9]{{1,3}})/(?P<under>[1-9][0-9]{{0,2}})(?![0-9/]|\.[0-9])',
         lambda m: f"{whole(m['under'])}分之{whole(m['over'])}"),
    rule(rf'{START}(?P<a>{NUMBER})\s?[:：]\s?(?P<b>{NUMBER})(?![0-9:：])',
         lambda m: f"{number(m['a'])}比{number(m['b'])}"),
    rule(rf'{START}(?P<a>{NUMBER})\s?[x×]\s?(?=[0-9])', lambda m: number(m['a']) + '乘'),
    # signs
    rule(r'(?:#|[Nn]o\.\s?|№\s?)(?P<n>[0-9]+)(?![0-9.])', lambda m: code(m['n']) + '号'),
    rule(r'(?<=[0-9])\s?(?P<sign>[+=÷])\s?(?=[0-9])', lambda m: OPERATORS[m['sign']]),
    rule(r'(?<![\w<>=-])(?P<sign>[<>≤≥±≈~])\s?(?=[0-9])', lambda m: OPERATORS[m['sign']]),
    rule(r'(?<=\w)\s?&\s?(?=\w)|(?<!\S)&(?!\S)', lambda m: '和'),
    rule(r'@(?=\w)', lambda m: '艾特'),
    # plain numbers
    rule(r'第(?P<n>[0-9]+)(?![0-9.])', lambda m: '第' + whole(m['n'])),
    rule(rf'{START}2(?=\s?(?:{one_of(COUNTED)}))', lambda m: '两'),
    rule(rf'{SIGNED}(?![A-Za-z_])', lambda m: number(m['n'])),
    rule(r'[0-9]+(?:\.[0-9]+)?', in_word),
)

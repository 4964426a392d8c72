"""Numbers, percentages and times in languages other than English and Chinese.

Only what is sure is read: everything else stays as it is written. A language with a row below has its own words for
the signs; for the others that num2words knows, whole numbers are read and nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
import re

from .number_words import Unreadable, code, whole, words
from .rules import Rule, apply, one_of


BLANKS = ' \u00a0\u202f'


@dataclass(frozen=True)
class Language:
    """What a number is written and read with."""

    point: str                          # read for the decimal mark
    minus: str
    percent: str                        # around '{}', or behind the number
    time: str = ''                      # with {h} and {m}; '' = times stay
    full_hour: str = ''                 # with {h}; '' = {h} alone
    mark: str = ','                     # decimal mark
    group: str = '.'        # thousands marks
    before: dict[str, str] = field(default_factory=dict)    # number words before a noun: German ein, not eins
    hour: dict[str, str] = field(default_factory=dict)      # number words before the hour: French une, not un
    units: dict[str, str] = field(default_factory=dict)     # symbol: 'one|many', or one for both


LANGUAGES = {
    'de': Language('Komma', 'minus', 'Prozent', '{h} Uhr {m}', '{h} Uhr',
                   before={'eins': 'ein'}, hour={'eins': 'ein'}, units={
        'km/h': 'Kilometer pro Stunde', 'm/s': 'Meter pro Sekunde', 'km': 'Kilometer', 'm': 'Meter', 'cm': 'Zentimeter',
        'mm': 'Millimeter', 'kg': 'Kilogramm', 'g': 'Gramm', 'l': 'Liter', '°C': 'Grad Celsius', '°': 'Grad',
        '€': 'Euro', '$': 'Dollar', 'V': 'Volt', 'W': 'Watt'}),
    'fr': Language('virgule', 'moins', 'pour cent', '{h} heures {m}', '{h} heures', group=BLANKS,
                   hour={'un': 'une', 'vingt et un': 'vingt et une'}, units={
        'km/h': 'kilomètre par heure|kilomètres par heure', 'km': 'kilomètre|kilomètres', 'm': 'mètre|mètres',
        'cm': 'centimètre|centimètres', 'mm': 'millimètre|millimètres', 'kg': 'kilogramme|kilogrammes',
        'g': 'gramme|grammes', 'l': 'litre|litres', '°C': 'degré Celsius|degrés Celsius', '°': 'degré|degrés',
        '€': 'euro|euros', '$': 'dollar|dollars', 'V': 'volt|volts', 'W': 'watt|watts', 'min': 'minute|minutes',
        's': 'seconde|secondes'}),
    'es': Language('coma', 'menos', 'por ciento', '{h} y {m}', '{h} en punto', before={'uno': 'un'},
                   hour={'uno': 'una', 'veintiuno': 'veintiuna'}, units={
        'km/h': 'kilómetro por hora|kilómetros por hora', 'km': 'kilómetro|kilómetros', 'm': 'metro|metros',
        'cm': 'centímetro|centímetros', 'mm': 'milímetro|milímetros', 'kg': 'kilogramo|kilogramos', 'g': 'gramo|gramos',
        'l': 'litro|litros', '°C': 'grado Celsius|grados Celsius', '°': 'grado|grados', '€': 'euro|euros',
        '$': 'dólar|dólares', 'V': 'voltio|voltios', 'W': 'vatio|vatios', 'min': 'minuto|minutos',
        's': 'segundo|segundos'}),
    'it': Language('virgola', 'meno', 'per cento', '{h} e {m}'),
    'pt': Language('vírgula', 'menos', 'por cento', '{h} e {m}'),
    'ca': Language('coma', 'menys', 'per cent', '{h} i {m}'),
    'ro': Language('virgulă', 'minus', 'la sută', '{h} și {m}'),
    'nl': Language('komma', 'min', 'procent', '{h} uur {m}', '{h} uur'),
    'sv': Language('komma', 'minus', 'procent', '{h} {m}', group=BLANKS),
    'da': Language('komma', 'minus', 'procent', '{h} {m}'),
    'no': Language('komma', 'minus', 'prosent', '{h} {m}', group=BLANKS),
    'fi': Language('pilkku', 'miinus', 'prosenttia', '{h} {m}', group=BLANKS),
    'pl': Language('przecinek', 'minus', 'procent', '{h} {m}', group=BLANKS),
    'cs': Language('celá', 'minus', 'procent', '{h} {m}', group=BLANKS),
    'ru': Language('запятая', 'минус', 'процентов', '{h} {m}', group=BLANKS),
    'uk': Language('кома', 'мінус', 'відсотків', '{h} {m}', group=BLANKS),
    'tr': Language('virgül', 'eksi', 'yüzde {}', '{h} {m}'),
    'id': Language('koma', 'minus', 'persen', '{h} {m}'),
    'ja': Language('点', 'マイナス', '{}パーセント', '{h}時{m}分', '{h}時', mark='.', group=','),
    'ko': Language('점', '마이너스', '퍼센트', '{h}시 {m}분', '{h}시', mark='.', group=','),
}
GERMAN_MONTHS = 'Januar Februar März April Mai Juni Juli August September Oktober November Dezember'.split()


def read(text: str, language: str) -> str:
    """The text with its numbers in words; untouched when num2words does not know the language."""
    return apply(rules(language), text) if code(language) else text


class Reader:
    """Reads the tokens of one language."""

    def __init__(self, language: str):
        self.language = language
        self.row = LANGUAGES.get(base(language))
        self.joiner = '' if base(language) == 'ja' else ' '

    def number(self, token: str) -> str:
        row = self.row
        sign, token = (row.minus + self.joiner, token[1:]) if token[0] == '-' else ('', token)
        integer, _, decimals = token.partition(row.mark)
        integer = ''.join(character for character in integer if character.isdigit())
        spoken = self.whole(integer)
        if decimals:
            spoken = self.joiner.join((spoken, row.point, *(words(int(digit), self.language) for digit in decimals)))
        return sign + spoken

    def whole(self, token: str) -> str:
        if base(self.language) == 'de' and len(token) == 4 and 1100 <= int(token) < 2000:
            return words(int(token), self.language, 'year')     # neunzehnhundert..., of years and of meters
        return whole(token, self.language)

    def plain(self, match: re.Match) -> str:
        spoken = self.number(match['n'])
        goes_on = re.match(r'\s[^\W\d_]', match.string[match.end():match.end() + 2])
        return self.row.before.get(spoken, spoken) if goes_on else spoken

    def percent(self, match: re.Match) -> str:
        spoken = self.number(match['n'])
        return self.row.percent.format(spoken) if '{}' in self.row.percent else f'{spoken} {self.row.percent}'

    def unit(self, match: re.Match) -> str:
        one, _, many = self.row.units[match['unit']].partition('|')
        single = match['n'].lstrip('-') == '1'
        spoken = self.number(match['n'])
        return f'{self.row.before.get(spoken, spoken)} {one if single or not many else many}'

    def time(self, match: re.Match) -> str:
        hour, minute = words(int(match['hour']), self.language), int(match['minute'])
        hour = self.row.hour.get(hour, hour)
        pattern = self.row.time if minute else self.row.full_hour or '{h}'
        spoken = pattern.format(h=hour, m=words(minute, self.language))
        return spoken.replace('heures', 'heure') if hour == 'une' else spoken

    def german_day(self, match: re.Match) -> str:
        """ "am 3. Mai": declined after am, vom, zum, dem, den, bis; an article or nothing before it leaves "dritte"."""
        spoken = words(int(match['day']), self.language, 'ordinal')
        declined = re.search(r'\b(?:am|vom|zum|dem|den|bis|beim)\s$', match.string[:match.start()], re.IGNORECASE)
        return spoken + ('n' if declined else '')

    def bare(self, match: re.Match) -> str:
        if len(match['n']) > 6:
            raise Unreadable(match['n'])
        return whole(match['n'], self.language)


@lru_cache(maxsize=16)
def rules(language: str) -> tuple[Rule, ...]:
    """The rules of a language that num2words knows."""
    reader = Reader(language)
    row = reader.row
    start = r'(?<![\w.,:/@%-])' if reader.joiner else r'(?<![A-Za-z0-9_.,:/@%-])'
    end = r'(?!\w|[.,:/@-]\w)' if reader.joiner else r'(?![A-Za-z0-9_]|[.,:/@-][A-Za-z0-9_])'
    end += r'(?!\.\s[^\W\d_A-ZÄÖÜÉ])'         # "3. mai": an ordinal
    if row is None:
        return (re.compile(rf'{start}(?P<n>[0-9]+){end}'), reader.bare),
    integer = rf'(?:[0-9]{{1,3}}(?:[{row.group}][0-9]{{3}})+|[0-9]+)'
    signed = rf'''{start}(?P<n>(?:(?<![^\s("'])-)?{integer}(?:{re.escape(row.mark)}[0-9]+)?)'''
    german = base(language) == 'de'
    clock = r'(?P<hour>[01]?[0-9]|2[0-4])[:h](?P<minute>[0-5][0-9])' + (r'(?:\sUhr\b)?' if german else '')
    made = [(re.compile(rf'{signed}\s?%(?!\w)'), reader.percent)]
    if german:
        made.append((re.compile(rf'{start}(?P<day>[0-3]?[0-9])\.(?=\s(?:{one_of(GERMAN_MONTHS)})\b)'), reader.german_day))
    if row.time:
        made.append((re.compile(rf'{start}{clock}{end}'), reader.time))
    if row.units:
        made.append((re.compile(rf'{signed}\s?(?P<unit>{one_of(row.units)})(?![\w/²³])'), reader.unit))
    made.append((re.compile(signed + end), reader.plain))
    return tuple(made)


def base(language: str) -> str:
    language = re.split('[-_]', language)[0].lower()
    return {'nb': 'no', 'nn': 'no'}.get(language, language)

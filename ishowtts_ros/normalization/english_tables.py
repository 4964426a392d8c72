"""What English writes short. Nouns are 'one|many', or just 'one' where 's' makes many of it."""

from __future__ import annotations

MONTHS = ('January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October',
          'November', 'December')

UNITS = {
    # length, area, volume
    'nm': 'nanometer', 'μm': 'micrometer', 'mm': 'millimeter', 'cm': 'centimeter', 'dm': 'decimeter',
    'm': 'meter', 'km': 'kilometer', 'ft': 'foot|feet', 'yd': 'yard', 'mi': 'mile',
    **{f'{symbol}{power}': f'{word} {name}' for symbol, name in
       (('mm', 'millimeter'), ('cm', 'centimeter'), ('m', 'meter'), ('km', 'kilometer'))
       for powers, word in (('²2', 'square'), ('³3', 'cubic')) for power in (*powers, '^' + powers[1])},
    'ha': 'hectare', 'l': 'liter', 'L': 'liter', 'ml': 'milliliter', 'mL': 'milliliter',
    # mass
    'μg': 'microgram', 'mg': 'milligram', 'g': 'gram', 'kg': 'kilogram', 't': 'ton', 'lb': 'pound', 'lbs': 'pound',
    'oz': 'ounce',
    # time and rates
    'ns': 'nanosecond', 'μs': 'microsecond', 'us': 'microsecond', 'ms': 'millisecond',
    's': 'second', 'sec': 'second', 'min': 'minute', 'mins': 'minute', 'h': 'hour', 'hr': 'hour', 'hrs': 'hour',
    **dict.fromkeys(('s²', 's2', 's^2'), 'second squared|seconds squared'), 'Hz': 'hertz|hertz', 'kHz': 'kilohertz|kilohertz',
    'MHz': 'megahertz|megahertz', 'GHz': 'gigahertz|gigahertz', 'rpm': 'revolution per minute|revolutions per minute',
    'fps': 'frame per second|frames per second', 'mph': 'mile per hour|miles per hour',
    'kph': 'kilometer per hour|kilometers per hour', 'rad': 'radian', 'deg': 'degree',
    # temperature and angle
    '°C': 'degree Celsius|degrees Celsius', '°F': 'degree Fahrenheit|degrees Fahrenheit', 'K': 'kelvin',
    '°': 'degree', '℃': 'degree Celsius|degrees Celsius', '℉': 'degree Fahrenheit|degrees Fahrenheit',
    # force, energy, electricity, sound
    'N': 'newton', 'Nm': 'newton meter', 'Pa': 'pascal', 'hPa': 'hectopascal', 'kPa': 'kilopascal', 'MPa': 'megapascal',
    'bar': 'bar', 'mbar': 'millibar', 'psi': 'P S I|P S I', 'J': 'joule', 'kJ': 'kilojoule', 'cal': 'calorie',
    'kcal': 'kilocalorie', 'mW': 'milliwatt', 'W': 'watt', 'kW': 'kilowatt', 'MW': 'megawatt', 'GW': 'gigawatt',
    'Wh': 'watt hour', 'kWh': 'kilowatt hour', 'MWh': 'megawatt hour', 'mV': 'millivolt', 'V': 'volt', 'kV': 'kilovolt',
    'mA': 'milliampere', 'A': 'ampere', 'Ah': 'ampere hour', 'mAh': 'milliampere hour', 'Ω': 'ohm',
    'kΩ': 'kiloohm', 'dB': 'decibel', 'lm': 'lumen', 'lx': 'lux|lux', 'ppm': 'part per million|parts per million',
    # data
    'bit': 'bit', 'kbit': 'kilobit', 'Mbit': 'megabit', 'Gbit': 'gigabit', 'kB': 'kilobyte', 'KB': 'kilobyte',
    'MB': 'megabyte', 'GB': 'gigabyte', 'TB': 'terabyte', 'KiB': 'kibibyte', 'MiB': 'mebibyte', 'GiB': 'gibibyte',
    'TiB': 'tebibyte', 'kbps': 'kilobit per second|kilobits per second',
    'Mbps': 'megabit per second|megabits per second',
    'Gbps': 'gigabit per second|gigabits per second', 'px': 'pixel', 'MP': 'megapixel',
}
# "gate 4A" is no current: these count as units only after a space.
SPACED_UNITS = frozenset('A N K J L'.split())
# Read without a number too: "the speed in km/h".
LONE_UNITS = ('km/h', 'm/s', 'm/s²', 'rad/s', 'l/min', 'MB/s', 'GB/s', 'Mbit/s', 'Gbit/s', 'kWh', '°C', '°F', '℃', '℉')

# symbol or code: unit, its hundredth ('' = none in use)
MONEY = {
    '$': ('dollar', 'cent'), 'US$': ('US dollar', 'cent'), '€': ('euro', 'cent'), '£': ('pound', 'penny|pence'),
    '¥': ('yen|yen', ''), '₹': ('rupee', 'paisa|paise'), '₩': ('won|won', ''), 'USD': ('US dollar', 'cent'),
    'EUR': ('euro', 'cent'), 'GBP': ('pound', 'penny|pence'), 'JPY': ('yen|yen', ''), 'CNY': ('yuan|yuan', ''),
    'RMB': ('yuan|yuan', ''), 'CHF': ('Swiss franc', 'centime'),
}
SCALES = {'k': 'thousand', 'K': 'thousand', 'M': 'million', 'bn': 'billion', 'B': 'billion', 'T': 'trillion',
          'thousand': 'thousand', 'million': 'million', 'billion': 'billion', 'trillion': 'trillion'}
# Of these there may be as many as "2M"; but "4K video" has four thousand of nothing.
COUNTLESS = ('people|users|robots|parameters|tokens|samples|steps|points|pixels|cells|rows|items|messages|records|entries|'
             'files|times|years|views|downloads|dollars|euros')
PICTURES = 'video|camera|resolution|display|screen|monitor|stream|image|TV'

# Before a number.
COUNTED = {'No.': 'number', 'no.': 'number', 'Nos.': 'numbers', 'nos.': 'numbers', 'Fig.': 'figure', 'fig.': 'figure',
           'Vol.': 'volume', 'vol.': 'volume', 'Ch.': 'chapter', 'ch.': 'chapter', 'p.': 'page', 'pp.': 'pages',
           'Sec.': 'section', 'sec.': 'section', 'Eq.': 'equation', 'eq.': 'equation', '§': 'section', '№': 'number',
           '#': 'number'}
# Before a name; its full stop ends no sentence.
TITLES = {'Dr.': 'Doctor', 'Mr.': 'Mister', 'Mrs.': 'Missus', 'Ms.': 'Miz', 'Prof.': 'Professor', 'Mt.': 'Mount',
          'Gen.': 'General', 'Capt.': 'Captain', 'Lt.': 'Lieutenant', 'Sgt.': 'Sergeant', 'Rev.': 'Reverend'}
# Words with a capital that name no street.
NOT_STREETS = frozenset('In At On Near To From The By Visit And For Of Via Saint'.split())
BEFORE_YEARS = tuple(form for word in ('in', 'since', 'until', 'from', 'by', 'of', 'before', 'after', 'year', 'around')
                     for form in (word, word.capitalize()))
# Anywhere inside a sentence; its full stop ends none.
INNER = {'e.g.': 'for example', 'i.e.': 'that is', 'vs.': 'versus', 'approx.': 'approximately', 'cf.': 'compare',
         'incl.': 'including', 'excl.': 'excluding', 'ca.': 'circa', 'viz.': 'namely', 'w/o': 'without', 'w/': 'with'}
# May end a sentence: then its full stop stays.
ENDING = {'etc.': 'et cetera', 'Jr.': 'Junior', 'Sr.': 'Senior', 'Inc.': 'Incorporated', 'Ltd.': 'Limited',
          'Corp.': 'Corporation', 'Ave.': 'Avenue', 'Blvd.': 'Boulevard', 'Rd.': 'Road', 'dept.': 'department',
          'Dept.': 'Department', 'max.': 'maximum', 'min.': 'minimum', 'avg.': 'average', 'temp.': 'temperature',
          'et al.': 'et al', 'a.m.': 'a m', 'p.m.': 'p m', 'Ph.D.': 'P H D'}

SIGNS = {'<': 'less than', '>': 'more than', '≤': 'at most', '≥': 'at least', '~': 'about', '≈': 'about',
         '±': 'plus or minus', '+': 'plus', '-': 'minus'}
OPERATORS = {'+': 'plus', '=': 'equals', '×': 'times', '÷': 'divided by'}

ADDRESS_SIGNS = {'.': 'dot', '/': 'slash', '-': 'dash', '_': 'underscore', ':': 'colon', '?': 'question mark',
                 '=': 'equals', '&': 'and', '#': 'hash', '~': 'tilde', '%': 'percent', '+': 'plus', '@': 'at', '\\': 'backslash'}
TOP_DOMAINS = 'com|org|net|edu|gov|mil|int|io|ai|dev|app|info|eu|de|fr|es|uk|cn|jp|ch|nl|pl|ru|ca|au|local'
FILE_TYPES = ('md|txt|py|cpp|hpp|yaml|yml|json|xml|csv|pdf|wav|mp3|mp4|png|jpg|jpeg|svg|html|zip|log|toml|sh|exe|urdf|'
              'pt|onnx|safetensors|msg|srv')

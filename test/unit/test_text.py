"""core/text.py: what is refused, and where text is cut."""

import time

import pytest

from ishowtts_ros.core.text import clean, split_sentences
from ishowtts_ros.core.types import ErrorCode, SpeechError


@pytest.mark.parametrize('text, code, cure', [
    ('', ErrorCode.EMPTY_TEXT, 'at least one word'),
    (' \n\t ', ErrorCode.EMPTY_TEXT, 'at least one word'),
    ('\u3000', ErrorCode.EMPTY_TEXT, 'at least one word'),
    ('x' * 101, ErrorCode.TEXT_TOO_LONG, 'max_text_length'),
    ('bell\x07', ErrorCode.INVALID_TEXT, 'U+0007'),
    ('\x00', ErrorCode.INVALID_TEXT, 'U+0000'),
    ('half \ud83d pair', ErrorCode.INVALID_TEXT, 'UTF-8'),
    ('\ufffd', ErrorCode.INVALID_TEXT, 'UTF-8'),
])
def test_unspeakable_text_is_refused_with_its_cure(text, code, cure):
    with pytest.raises(SpeechError, match=cure.replace('+', r'\+')) as error:
        clean(text, max_length=100)
    assert error.value.code == code


def test_white_space_is_collapsed_and_the_rest_kept():
    assert clean('  one\n two\tthree  ', 100) == 'one two three'
    assert clean('naïve 你好 🙂 e\u0301', 100) == 'naïve 你好 🙂 e\u0301'


@pytest.mark.parametrize('text, sentences', [
    ('One. Two! Three?', ['One.', 'Two!', 'Three?']),
    ('It is 3.5 m. Go.', ['It is 3.5 m.', 'Go.']),
    ('Take fruit, e.g. apples. Dr. Who agrees.', ['Take fruit, e.g. apples.', 'Dr. Who agrees.']),
    ('J. S. Bach played. Yes.', ['J. S. Bach played.', 'Yes.']),
    ('He said "Stop!" Then he left.', ['He said "Stop!"', 'Then he left.']),
    ('你好。今天好吗？好！', ['你好。', '今天好吗？', '好！']),
    ('First line\nsecond line', ['First line', 'second line']),
    ('no end', ['no end']),
    ('I said no. Then I left. See No. 5 there.', ['I said no.', 'Then I left.', 'See No. 5 there.']),
    ('Nuts, etc. and more, etc. Then 3 p.m. sharp.', ['Nuts, etc. and more, etc.', 'Then 3 p.m. sharp.']),
    ('Well… “Stop!” he said. (Yes.) No', ['Well…', '“Stop!”', 'he said.', '(Yes.)', 'No']),
    ('他说：“好。”然后走了。3.5米！', ['他说：“好。”', '然后走了。', '3.5米！']),
    ('Version 2.1.3 at www.ros.org is out.New', ['Version 2.1.3 at www.ros.org is out.New']),
    ('', []),
])
def test_sentences(text, sentences):
    assert split_sentences(text) == sentences


def test_ten_thousand_abbreviations_are_split_quickly():
    """Each would be looked at again with all that stands before it, were it not for a look at the last letters only."""
    start = time.process_time()
    assert split_sentences('Dr. ' * 10_000) == [('Dr. ' * 10_000).strip()]
    assert time.process_time() - start < 2


def test_no_word_is_lost_between_sentences():
    text = 'A b c. D e f! G? ' * 50
    assert ' '.join(split_sentences(text)).split() == text.split()

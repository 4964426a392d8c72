"""Chunks are those of f5-tts; streaming chunks start short, grow, and lose no letter."""

from hypothesis import given, settings, strategies as st
import pytest

from ishowtts_ros.engines.f5.chunking import SHORT_TEXT, chunk_text, growing_chunks, split_oversized

STORY = ("Good morning! The pump in hall three reports a pressure of 4.2 bar; that is normal. Please close the valve, "
         'wait for the green light, and then open the second one slowly. If it hisses, step back: the seal is old. '
         '早上好，三号泵的压力正常。请关闭阀门！ Danach bitte zurückkommen — wir warten auf Sie.')
PIECES = ['hello', 'world', 'the valve is open', '你好', '世界', 'ä', '🙂', '3.14', '"quoted"', '-', ' ', '  ', '\n', '\t',
          '.', ',', ';', ':', '!', '?', '...', '。', '，', '；', '：', '！', '？', ', ', '. ', '! ', 'Привет', 'ありがとう']


def mixed_text(max_size=60):
    return st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=max_size).map(''.join).filter(
        lambda text: text.isprintable() or text.encode('utf-8', 'ignore').decode() == text)


def letters(text):
    return ''.join(text.split())


@pytest.mark.parametrize('max_bytes', [1, 20, 60, 135, 400])
@pytest.mark.parametrize('text', ['', ' ', 'Hi.', 'no punctuation at all in this text', STORY, STORY * 5])
def test_equals_upstream(upstream, text, max_bytes):
    assert chunk_text(text, max_bytes) == upstream.chunk_text(text, max_chars=max_bytes)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(text=mixed_text(), max_bytes=st.integers(-5, 300))
def test_equals_upstream_on_any_text(upstream, text, max_bytes):
    assert chunk_text(text, max_bytes) == upstream.chunk_text(text, max_chars=max_bytes)


def test_first_chunk_is_a_short_clause_and_the_rest_grows():
    chunks = growing_chunks(STORY, max_bytes=200, first_bytes=40)
    assert chunks[0] == 'Good morning!'
    sizes = [len(chunk.encode()) for chunk in chunks]
    assert max(sizes) <= 200
    assert len(chunk_text(STORY, 200)[0].encode()) > 2 * sizes[0], 'then streaming would win nothing'
    assert all(size <= limit for size, limit in zip(sizes, [40, 80, 160, 200, 200, 200]))


def test_a_slow_engines_chunks_grow_no_faster_than_it_can_make_them():
    """Each may be as long as is made while the one before plays, but never shorter than the first."""
    text = 'Five words and a stop. ' * 40
    fast = [len(chunk) for chunk in growing_chunks(text, max_bytes=400, first_bytes=50)]
    slow = [len(chunk) for chunk in growing_chunks(text, max_bytes=400, first_bytes=50, following=lambda size: 1.3 * size)]
    stuck = [len(chunk) for chunk in growing_chunks(text, max_bytes=400, first_bytes=50, following=lambda size: 0)]
    assert all(after <= 1.3 * before + 1 for before, after in zip(slow, slow[1:-1])) and max(slow) < max(fast)
    assert set(stuck[:-1]) == {45} and fast[0] == slow[0] == 45


@pytest.mark.parametrize('text, chunks', [
    ('It weighs 3.5 kg, e.g. with Dr. Who inside. Then it is heavy.',
     ['It weighs 3.5 kg,', 'e.g. with Dr. Who inside.', 'Then it is heavy.']),
    ('Wait here please… “Stop now!” he said. Then he left us.',
     ['Wait here please…', '“Stop now!”', 'he said. Then he left us.']),
    ('他说：“今天天气好。”然后走了，没有回来。', ['他说：“今天天气好。”', '然后走了，没有回来。']),
])
def test_streaming_cuts_where_a_sentence_or_clause_ends(text, chunks):
    """With room for one clause only; where upstream cuts after "e.g." and "Dr.", and before a closing quote."""
    assert growing_chunks(text, max_bytes=30, first_bytes=10) == chunks


def test_a_clause_is_never_cut_for_the_first_chunk():
    text = 'This one sentence has no mark inside and is far longer than the first chunk. A second one.'
    assert growing_chunks(text, max_bytes=200, first_bytes=20)[0].endswith('first chunk.')


def test_no_chunk_is_short_enough_to_be_dragged():
    """Under 10 bytes upstream's duration rule speaks at 0.3 of the speed: fine for "Yes.", not inside a text."""
    chunks = growing_chunks('Yes. No. The door at the end is locked. The other door is open, ok?', 200, 20)
    assert len(chunks) > 1
    assert all(len(chunk.encode()) >= SHORT_TEXT for chunk in chunks)
    assert growing_chunks('Yes.', 200) == ['Yes.']


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=mixed_text(), first=st.integers(10, 80), max_bytes=st.integers(80, 300))
def test_streaming_loses_no_letter(text, first, max_bytes):
    assert letters(''.join(growing_chunks(text, max_bytes, first))) == letters(text)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(sentences=st.lists(st.sampled_from(['Dr. Who has 3.5 kg, e.g. of nuts.', 'Wait…', '“Yes!”', 'No.', 'Is it 14:30, now?']),
                          min_size=1, max_size=20), first=st.integers(10, 80), max_bytes=st.integers(30, 300))
def test_streamed_chunks_are_the_text_in_order(sentences, first, max_bytes):
    assert ' '.join(growing_chunks(' '.join(sentences), max_bytes, first)) == ' '.join(sentences)


def test_oversized_clauses_are_cut_between_words():
    words = ' '.join(f'word{index}' for index in range(60))
    pieces = split_oversized([words, 'short one'], max_bytes=100)
    assert ' '.join(pieces) == words + ' short one'
    assert all(len(piece.encode()) <= 100 for piece in pieces)
    assert len(pieces) == 1 + -(-len(words) // 98)


def test_oversized_words_are_cut_between_characters():
    pieces = split_oversized(['你' * 100], max_bytes=90)
    assert [len(piece) for piece in pieces] == [30, 30, 30, 10]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=mixed_text(), max_bytes=st.integers(8, 100))
def test_cutting_oversized_loses_no_letter_and_keeps_the_limit(text, max_bytes):
    pieces = split_oversized(chunk_text(text, 1000), max_bytes)
    assert letters(''.join(pieces)) == letters(text)
    assert all(len(piece.encode()) <= max_bytes for piece in pieces)

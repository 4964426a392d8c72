"""Tokens are those of f5-tts."""

from importlib.util import find_spec
from pathlib import Path
import subprocess
import sys

from hypothesis import given, settings, strategies as st
import pytest

from ishowtts_ros.core.types import ErrorCode, SpeechError
from ishowtts_ros.engines.f5.tokenizer import Tokenizer, split_pinyin

TEXTS = [
    '', ' ', '  two  spaces ', 'Hello, world!', "I don't care; really: it's “fine”, isn't it?",
    'The pressure is 4.2 bar (61 psi) at 15:30 — 98% of normal.', 'v1.2.3-rc4 costs $3,000.50/€2\'500',
    '你好，世界。', '银行行长在长江边长大，重新重视重量。', '一个不是一天，看一看。', '我有3个iPhone手机和 2 台Jetson Orin。',
    'Hello你好world世界', '机器人说：“OK！”', 'emoji 🙂🚀 in text', '你好🙂吗', 'Привет, мир', 'ありがとう、元気ですか', '안녕하세요',
    'naïve café — Zürich', '㐀㐁𠀀', 'tab\tand\nnewline', '¡Hola! ¿Qué tal?', 'ABC' * 50, '１２３ＡＢＣ',
]
ALPHABET = 'abcXYZ 019.,;:!?\'"()-—“”‘’。，；：！？你好世界长行重银了不一个的中国人说話テすแا🙂🚀éßñ\n\t'


@pytest.fixture(scope='module')
def vocabulary(upstream_text, tmp_path_factory):
    """A vocab.txt with what the texts need, less some of it, so that unknown tokens occur."""
    tokens = sorted({token for parts in upstream_text.convert_char_to_pinyin(TEXTS) for token in parts} - {' ', '\n'})
    path = tmp_path_factory.mktemp('vocabulary') / 'vocab.txt'
    path.write_text(''.join(token + '\n' for token in [' ', *tokens[::3], *tokens[1::3]]), encoding='utf-8')
    return path


def upstream_tokens(upstream_text, text):
    """What f5-tts gives, or None where it fails (characters that have no pinyin)."""
    try:
        return upstream_text.convert_char_to_pinyin([text])[0]
    except IndexError:
        return None


@pytest.mark.parametrize('text', TEXTS)
def test_tokens_equal_upstream(upstream_text, text):
    expected = upstream_tokens(upstream_text, text)
    assert expected is not None
    assert split_pinyin(text) == expected


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(text=st.one_of(st.text(ALPHABET, max_size=60), st.text(st.characters(codec='utf-8'), max_size=30)))
def test_tokens_equal_upstream_on_any_text(upstream_text, text):
    expected = upstream_tokens(upstream_text, text)
    tokens = split_pinyin(text)
    assert expected is None or tokens == expected


@pytest.mark.parametrize('text', TEXTS)
def test_ids_equal_upstream_with_unknown_as_zero(upstream_text, vocabulary, text):
    char_map, size = upstream_text.get_tokenizer(str(vocabulary), 'custom')
    tokenizer = Tokenizer.from_file(vocabulary)
    assert len(tokenizer) == size
    expected = upstream_text.list_str_to_idx(upstream_text.convert_char_to_pinyin([text]), char_map)[0]
    assert tokenizer.encode(text).tolist() == expected.tolist()


def test_unknown_tokens_occur_in_that_test(vocabulary):
    """Proves that the test above reaches the unknown token."""
    vocabulary = Tokenizer.from_file(vocabulary).vocabulary
    assert any(token not in vocabulary for text in TEXTS for token in split_pinyin(text))


def test_published_vocabulary(upstream_text):
    """The vocabulary that belongs to F5TTS_v1_Base, as f5-tts ships it, is read alike."""
    path = Path(find_spec('f5_tts').submodule_search_locations[0]) / 'infer/examples/vocab.txt'
    char_map, size = upstream_text.get_tokenizer(str(path), 'custom')
    assert Tokenizer.from_file(path).vocabulary == char_map
    assert size == 2545


@pytest.mark.parametrize('content', [b'', b'a\nb\n', b'\xff\xfe\x00'])
def test_a_wrong_file_is_named(tmp_path, content):
    path = tmp_path / 'vocab.txt'
    path.write_bytes(content)
    with pytest.raises(SpeechError, match='vocab.txt') as caught:
        Tokenizer.from_file(path)
    assert caught.value.code == ErrorCode.LOAD_FAILED


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SpeechError, match='nowhere.txt'):
        Tokenizer.from_file(tmp_path / 'nowhere.txt')


def test_dictionaries_are_imported_on_first_use():
    """Start-up does not pay for the dictionaries of languages."""
    code = ('import sys; import ishowtts_ros.engines.f5.tokenizer as t;'
            'assert not {"pypinyin", "rjieba"} & set(sys.modules); t.split_pinyin("a");'
            'assert {"pypinyin", "rjieba"} <= set(sys.modules)')
    subprocess.run([sys.executable, '-c', code], check=True)

"""Text to tokens, exactly as the model was trained: characters, and pinyin for Chinese.

The rules are those of f5-tts (SWivid/F5-TTS, model/utils.py: convert_char_to_pinyin, list_str_to_idx).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from ...core.types import ErrorCode, SpeechError

# Marks the vocabulary does not have, by marks it does.
NORMALIZED = str.maketrans({';': ',', '“': '"', '”': '"', '‘': "'", '’': "'"})
NO_SPACE_AFTER = " :'\""


class Tokenizer:
    """Tokens of one vocabulary. It knows nothing about voices, chunks or durations."""

    def __init__(self, vocabulary: dict[str, int]):
        self.vocabulary = vocabulary

    @classmethod
    def from_file(cls, path: Path) -> Tokenizer:
        """Read a vocab.txt: one token per line, its id is its line number.

        :raises SpeechError: LOAD_FAILED when the file is missing, empty or no text, or does not begin with a space
        """
        try:
            lines = Path(path).read_text(encoding='utf-8').split('\n')
        except (OSError, UnicodeDecodeError) as error:
            raise SpeechError(ErrorCode.LOAD_FAILED,
                              f'cannot read vocabulary {path}: {error}; give the vocab.txt of the checkpoint') from error
        tokens = lines[:-1] if lines[-1] == '' else lines
        vocabulary = {token: index for index, token in enumerate(tokens)}
        if vocabulary.get(' ') != 0:
            raise SpeechError(ErrorCode.LOAD_FAILED,
                              f'{path} is no F5-TTS vocabulary: its first line must be one space, '
                              'which also stands for unknown characters; give the vocab.txt of the checkpoint')
        return cls(vocabulary)

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str) -> torch.Tensor:
        """:return: int64 [n_tokens]; what the vocabulary does not have becomes 0"""
        return torch.tensor([self.vocabulary.get(token, 0) for token in split_pinyin(text)], dtype=torch.int64)


def split_pinyin(text: str) -> list[str]:
    """Split into characters, with a space and the pinyin syllable in place of each Chinese one.

    Words are found by jieba's dictionary: they decide between the readings of a character, and
    a space is put where one word follows another without any.
    """
    cut, read = _language_tools()
    tokens: list[str] = []
    for word in cut(text.translate(NORMALIZED)):
        n_bytes = len(word.encode('utf-8'))
        if n_bytes == len(word):
            if tokens and n_bytes > 1 and tokens[-1] not in NO_SPACE_AFTER:
                tokens.append(' ')
            tokens.extend(word)
        elif n_bytes == 3 * len(word):
            tokens.extend(_word_syllables(word, read))
        else:
            for character in word:
                if _is_chinese(character):
                    tokens.extend([' ', *read(character)])
                else:
                    tokens.append(character)
    return tokens


def _word_syllables(word: str, read) -> list[str]:
    syllables = read(word)
    if len(syllables) != len(word):     # characters without a reading come back as one piece
        syllables = [syllable for character in word for syllable in read(character)]
    tokens = []
    for character, syllable in zip(word, syllables):
        tokens.extend([' ', syllable] if _is_chinese(character) else [syllable])
    return tokens


def _is_chinese(character: str) -> bool:
    return '\u3100' <= character <= '\u9fff'


@lru_cache(maxsize=1)
def _language_tools():
    """Word splitter and reader. Imported on first use: their dictionaries take most of a second."""
    from pypinyin import Style, lazy_pinyin
    import rjieba

    return rjieba.cut, lambda word: lazy_pinyin(word, style=Style.TONE3, tone_sandhi=True)

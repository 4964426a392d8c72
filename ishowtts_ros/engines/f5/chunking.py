"""Where a text is cut, so that each piece fits what the model was trained on. Sizes are UTF-8 bytes.

F5-TTS makes a whole piece at once, so the pieces decide both how it sounds and how soon the first is heard.
"""

from __future__ import annotations

import math
import re
from typing import Callable

from ...core.text import split_sentences

CLAUSE_END = re.compile(r'(?<=[;:,.!?])\s+|(?<=[；：，。！？])')
# Inside a sentence, and not inside a number ("14：30").
INNER_CLAUSE_END = re.compile(r'(?<=[;:,])\s+|(?<=[；：，、])(?![0-9])')
FULL_WIDTH = re.compile('[\u3000-\u303f\uff00-\uffef]')      # marks that need no space after them
SHORT_TEXT = 10             # bytes; below it the duration rule stretches speech, so no piece is cut that short
FIRST_CHUNK = 40            # bytes, about 3 s of English
GROWTH = 2.0                # each chunk may be this much longer than the one before


def chunk_text(text: str, max_bytes: int) -> list[str]:
    """Cut between clauses, filling each chunk up to `max_bytes`; a longer clause stays whole.

    Gives the chunks of f5-tts (infer/utils_infer.py: chunk_text).
    """
    return _fill(_clauses(text), lambda chunks: max_bytes)


def growing_chunks(text: str, max_bytes: int, first_bytes: int = FIRST_CHUNK,
                   following: Callable[[int], float] = lambda size: math.inf) -> list[str]:
    """Cut between sentences and clauses, the first chunk short and each next one up to twice as long.

    The first is heard soon, and while it plays there is time to make the next. Traded away: the
    shorter a chunk, the less context its melody has. Unlike `chunk_text`, which has to cut where f5-tts
    does, this one knows that "Dr." and "e.g." end nothing.

    :param following: how many bytes can be made while a chunk of so many bytes plays
    """
    def limit(chunks: list[str]) -> int:
        if not chunks:
            return min(max_bytes, first_bytes)
        grown = min(first_bytes * GROWTH ** min(len(chunks), 16), following(_size(chunks[-1])))
        return int(min(max_bytes, max(grown, first_bytes)))

    return _join_short(_fill(_sentence_clauses(text), limit))


def split_oversized(chunks: list[str], max_bytes: int) -> list[str]:
    """Cut chunks over `max_bytes` between words, or inside a word that is itself longer.

    For text without punctuation, beyond what the model can speak in one go.
    """
    pieces = []
    for chunk in chunks:
        if _size(chunk) <= max_bytes:
            pieces.append(chunk)
        else:
            pieces.extend(_fill(_short_words(chunk, max_bytes), lambda chunks: max_bytes))
    return pieces


def _size(text: str) -> int:
    return len(text.encode('utf-8'))


def _clauses(text: str) -> list[tuple[str, str]]:
    """The clauses of a text, each with what follows it: nothing after a full-width mark, else a space."""
    return [(clause, ' ' if clause[-1].isascii() else '') for clause in CLAUSE_END.split(text) if clause]


def _sentence_clauses(text: str) -> list[tuple[str, str]]:
    """The clauses of a text's sentences, each with what follows it: a space where there was white space."""
    clauses, start = [], 0
    for sentence in split_sentences(text):
        for clause in INNER_CLAUSE_END.split(sentence):
            if clause:
                start = text.index(clause, start) + len(clause)
                clauses.append((clause, ' ' if text[start:start + 1].isspace() else ''))
    return clauses


def _short_words(text: str, max_bytes: int) -> list[tuple[str, str]]:
    """The words of a text, each with what follows it; one over `max_bytes` in characters."""
    words = []
    for word in text.split():
        words.extend([(word, ' ')] if _size(word) <= max_bytes else [(character, '') for character in word])
    return words


def _fill(pieces: list[tuple[str, str]], limit: Callable[[list[str]], int]) -> list[str]:
    """Join pieces while they fit; `limit(chunks)` is the room in the chunk after these."""
    chunks: list[str] = []
    current = ''
    for piece, separator in pieces:
        if current and _size(current) + _size(piece) > limit(chunks):
            chunks.append(current.strip())
            current = ''
        current += piece + separator
    return chunks + [current.strip()] if current else chunks


def _join_short(chunks: list[str]) -> list[str]:
    """Join a chunk too short for its own pace to the one after it, the last one to the one before."""
    joined: list[str] = []
    for chunk in chunks:
        if joined and (_size(joined[-1]) < SHORT_TEXT or _size(chunk) < SHORT_TEXT):
            joined[-1] += ('' if FULL_WIDTH.match(joined[-1][-1:]) else ' ') + chunk
        else:
            joined.append(chunk)
    return joined

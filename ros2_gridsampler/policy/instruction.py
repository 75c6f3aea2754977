# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Sentence -> the numbers that a policy reads: hashed words, or the vector of an encoder."""

import hashlib
import re
import unicodedata
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from .sentence_encoder import NUMBERS, sentence_encoder
from .signature import ArraySpec

Reader = Literal['hashed_words', 'all-MiniLM-L6-v2']
"""How a policy reads its instruction."""

WORDS = 20  # the longest LIBERO instruction has 16
PIECES = 12  # the word itself and its letter trigrams
BUCKETS = 4096  # 0 means "nothing here"


def read_instruction(reader: Reader, sentence: str) -> np.ndarray[Any, Any]:
    """A sentence as a policy with this reader takes it.

    Returns:
        For 'hashed_words' what `tokenise` says; for 'all-MiniLM-L6-v2' float32 [384], see
        `sentence_encoder`.

    Raises:
        ValueError: The sentence has no words, or is longer than the encoder reads.
        FileNotFoundError: The encoder is not on this machine.
    """
    return (tokenise if reader == 'hashed_words' else _encoded)(sentence)


def words_spec(reader: Reader) -> ArraySpec:
    """Returns the form of what `read_instruction` gives, as a batch of one."""
    if reader == 'hashed_words':
        return ArraySpec((1, WORDS, PIECES), 'int64')
    return ArraySpec((1, NUMBERS), 'float32')


def hashable(reader: Reader, sentence: str) -> Int[np.ndarray, ' *numbers']:
    """Whole numbers that are equal on all machines where a sentence is read in the same way.

    The vector of an encoder differs in its last bits from one processor to the next; the pieces
    that it is made of do not, and the encoder's weights are known by their hash.
    """
    if reader == 'hashed_words':
        return tokenise(sentence)
    return sentence_encoder().pieces(sentence)


def tokenise(sentence: str) -> Int[np.ndarray, '20 12']:
    """Numbers the words of a sentence in any language.

    A word becomes itself and its letter trigrams, each hashed to a row of an embedding table
    (as in fastText, arXiv:1607.04606), so that an unknown word still shares parts with known
    ones.

    Args:
        sentence: Any Unicode text; case and compatibility forms do not matter.

    Returns:
        Rows of the table per word, padded with 0. A word of more than eleven trigrams keeps its
        first eleven, beside the row of the whole word.

    Raises:
        ValueError: There is no letter or digit in it, or more words than a policy reads: none is
            left out.
    """
    return _numbered(sentence).copy()


# As below.
@lru_cache(maxsize=16)
def _encoded_once(sentence: str) -> Float[np.ndarray, '384']:
    return sentence_encoder()(sentence)


def _encoded(sentence: str) -> Float[np.ndarray, '384']:
    return _encoded_once(sentence).copy()


# The same sentence comes with every picture; it is hashed once.
@lru_cache(maxsize=16)
def _numbered(sentence: str) -> Int[np.ndarray, '20 12']:
    words = re.findall(r'\w+', unicodedata.normalize('NFKC', sentence).casefold())
    if not words:
        raise ValueError(f'An instruction needs at least one word, got {sentence!r}.')
    if len(words) > WORDS:
        raise ValueError(
            f'The instruction has {len(words)} words, and this policy reads at most {WORDS}: '
            f'{sentence!r}. Say it in fewer words.'
        )
    tokens = np.zeros((WORDS, PIECES), np.int64)
    for row, word in zip(tokens, words, strict=False):
        marked = f'<{word}>'
        trigrams = [marked[i : i + 3] for i in range(len(marked) - 2)]
        pieces = [marked, *trigrams][:PIECES]
        row[: len(pieces)] = [_bucket(piece) for piece in pieces]
    return tokens


def _bucket(piece: str) -> int:
    digest = hashlib.blake2b(piece.encode(), digest_size=8).digest()
    return 1 + int.from_bytes(digest, 'little') % (BUCKETS - 1)

# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Sentence -> numbers for the words: hashed, so there is no vocabulary file to lose."""

import hashlib
import re
import unicodedata
from functools import lru_cache

import numpy as np
from jaxtyping import Int

WORDS = 20  # the longest LIBERO instruction has 16
PIECES = 12  # the word itself and its letter trigrams
BUCKETS = 4096  # 0 means "nothing here"


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

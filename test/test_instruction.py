# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Any sentence becomes numbers, and words that look alike share some of them."""

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.policy.instruction import BUCKETS, PIECES, WORDS, tokenise


def few(text):
    return 0 < len(re.findall(r'\w+', unicodedata.normalize('NFKC', text).casefold())) <= WORDS


@given(st.text(min_size=1).filter(few))
def test_any_sentence_in_any_script_becomes_rows_of_the_table(sentence):
    tokens = tokenise(sentence)
    assert tokens.shape == (WORDS, PIECES)
    assert tokens.min() >= 0
    assert tokens.max() < BUCKETS
    assert tokens[0, 0] > 0


@given(st.text(alphabet='abc dé,.', min_size=1).filter(few))
def test_case_and_punctuation_do_not_matter(sentence):
    loud = sentence.upper().replace(',', ' ').replace('.', ' ')
    np.testing.assert_array_equal(tokenise(sentence), tokenise(loud))


def test_words_that_look_alike_share_pieces():
    bowl, bowls, plate = (set(tokenise(word)[0]) - {0} for word in ('bowl', 'bowls', 'plate'))
    assert len(bowl & bowls) >= 3
    assert not bowl & plate


@given(st.integers(1, 40), st.data())
def test_two_sentences_that_differ_in_a_word_are_two_or_are_refused(count, data):
    words = [f'word{i}' for i in range(count)]
    place = data.draw(st.integers(0, count - 1))
    other = [*words[:place], 'another', *words[place + 1 :]]
    if count > WORDS:
        for sentence in (words, other):
            with pytest.raises(ValueError, match=f'has {count} words, and this policy reads at'):
                tokenise(' '.join(sentence))
    else:
        assert (tokenise(' '.join(words)) != tokenise(' '.join(other))).any()


@pytest.mark.parametrize('sentence', ['', '   ', '?!'])
def test_a_sentence_without_words_is_refused(sentence):
    with pytest.raises(ValueError, match='at least one word'):
        tokenise(sentence)


def test_a_word_that_would_be_left_out_refuses_the_sentence():
    sentence = ' '.join(f'word{number}' for number in range(WORDS))
    assert tokenise(sentence)[-1, 0] > 0
    with pytest.raises(ValueError, match=f'has {WORDS + 1} words'):
        tokenise(f'{sentence} more')


def test_what_a_caller_does_to_the_numbers_stays_with_him():
    sentence = 'push the plate to the front of the stove'
    first = tokenise(sentence)
    wanted = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(tokenise(sentence), wanted)

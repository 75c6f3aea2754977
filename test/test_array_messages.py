# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes come: bounded arrays of numbers, or one ValueError."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

pytest.importorskip('msgpack', reason="pip install 'ros2_gridsampler[remote]'")
import msgpack

from ros2_gridsampler.vla.array_messages import (
    DTYPES,
    MAX_BYTES,
    as_numbers,
    decode_message,
    encode_message,
)

ANY_ARRAY = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda name: arrays(DTYPES[name], array_shapes(min_dims=0, min_side=0, max_side=4))
)
SHAPES = st.lists(
    st.one_of(st.integers(-2, 5), st.integers(2**30, 2**64 - 1), st.booleans()), max_size=10
)
DTYPE_NAMES = st.one_of(
    st.sampled_from([*DTYPES, '|O', '|V8', '<U4', '<M8[s]', '<c8', 'O', 'f4', '(2,)<f4']),
    st.text(max_size=4),
    st.none(),
)
CLAIMS = st.one_of(
    st.fixed_dictionaries(
        {b'__ndarray__': st.just(True)},
        optional={b'data': st.binary(max_size=40), b'dtype': DTYPE_NAMES, b'shape': SHAPES},
    ),
    st.fixed_dictionaries(
        {b'__npgeneric__': st.just(True), b'dtype': DTYPE_NAMES},
        optional={
            b'data': st.one_of(
                st.integers(-(2**63), 2**64 - 1), st.floats(), st.booleans(), st.text(max_size=3)
            )
        },
    ),
)
VALUES = st.recursive(
    st.one_of(CLAIMS, st.none(), st.booleans(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=6,
)


def parts(value):
    """Every value inside of a value."""
    yield value
    inner = value.values() if isinstance(value, dict) else value if type(value) is list else ()
    for each in inner:
        yield from parts(each)


def check_bounded(data):
    """The bytes are refused, or everything in them is of a few kinds and no larger than they."""
    try:
        content = decode_message(data)
    except ValueError:
        return
    for value in parts(content):
        if isinstance(value, np.ndarray):
            assert value.nbytes <= len(data)
            assert value.dtype.kind in 'biuf'
            assert value.dtype.isnative
        elif isinstance(value, np.generic):
            assert value.dtype.kind in 'biuf'
        else:
            assert type(value) in (dict, list, str, bytes, int, float, bool, type(None))


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_bounded_numbers_or_one_error(data):
    check_bounded(data)


@settings(max_examples=400)
@given(VALUES)
def test_whatever_an_array_claims_it_is_bounded_or_one_error(value):
    check_bounded(msgpack.packb({'actions': value}))


@settings(max_examples=200)
@given(ANY_ARRAY, st.data())
def test_a_message_that_was_cut_or_changed_is_bounded_or_one_error(array, data):
    whole = bytearray(encode_message({'actions': array, 'text': 'x'}))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    check_bounded(bytes(whole))
    check_bounded(bytes(whole[:place]))


@settings(max_examples=200)
@given(ANY_ARRAY)
def test_an_array_of_every_dtype_and_shape_comes_back_as_it_was(array):
    back = decode_message(encode_message({'a': array}))['a']
    assert back.dtype == array.dtype.newbyteorder('=')
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


@settings(max_examples=200)
@given(ANY_ARRAY)
def test_a_number_of_every_dtype_comes_back_as_it_was(array):
    for number in array.reshape(-1)[:2]:
        back = decode_message(encode_message({'a': number}))['a']
        # A float64 of NumPy is a float of Python, and is written as that.
        assert np.asarray(back).dtype == number.dtype.newbyteorder('=')
        assert back == number or (math.isnan(back) and math.isnan(number))


@pytest.mark.parametrize(
    ('claim', 'reason'),
    [
        ({b'dtype': '|O', b'shape': [0], b'data': b''}, "dtype '|O' is not one of"),
        ({b'dtype': '<f4', b'shape': [2], b'data': b'1234'}, '8 bytes, got 4'),
        ({b'dtype': '<f4', b'shape': [-1], b'data': b'1234'}, 'impossible shape'),
        ({b'dtype': '<f4', b'shape': [True], b'data': b'1234'}, 'impossible shape'),
        ({b'dtype': '<f4', b'shape': [1] * 9, b'data': b'1234'}, 'up to 8 sides'),
        ({b'dtype': '<f4', b'shape': [0, 2**31 - 1, 2**31 - 1, 2**31 - 1], b'data': b''}, ''),
        ({b'dtype': '<f4', b'shape': [1], b'data': 'text'}, 'no bytes but str'),
    ],
)
def test_an_array_that_is_none_is_refused_with_the_reason(claim, reason):
    with pytest.raises(ValueError, match='not MessagePack of openpi') as refused:
        decode_message(msgpack.packb({'actions': {b'__ndarray__': True, **claim}}))
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    'data',
    [
        b'\x81\xa1a' + b'\xdd\x00\x00\x0f\xff' * 900,
        b'\x81\xa1a\xdd\xff\xff\xff\xff',
        b'\x81\xa1a\xdf\xff\xff\xff\xff',
        b'\x81\xa1a\xc6\xff\xff\xff\xff',
        b'\x81\xa1a\xc9\xff\xff\xff\xff\x01',
        b'\x91' * 100_000,
    ],
    ids=['nested lists', 'list', 'map', 'bytes', 'extension', 'depth'],
)
def test_sizes_that_are_only_claimed_take_no_memory(data):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match='not MessagePack of openpi'):
            decode_message(data)
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()


def test_more_than_a_message_may_be_is_neither_read_nor_written():
    with pytest.raises(ValueError, match='at most'):
        decode_message(bytes(MAX_BYTES + 1))
    with pytest.raises(ValueError, match='at most'):
        encode_message({'a': np.zeros(MAX_BYTES + 1, np.uint8)})


@pytest.mark.parametrize('value', [object(), np.array([object()]), np.array([1j]), {1}])
def test_what_is_no_number_is_not_written(value):
    with pytest.raises(ValueError, match='cannot be written'):
        encode_message({'a': value})


@pytest.mark.parametrize('value', ['text', [[1.0], [1.0, 2.0]], [True], [None], {'a': 1}])
def test_actions_that_are_no_numbers_are_refused_by_name(value):
    with pytest.raises(ValueError, match="'actions' has"):
        as_numbers(value, 'actions')

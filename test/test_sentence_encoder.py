# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The sentence encoder in NumPy gives what its authors' network gives, and nothing is cut."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import tiny_policy

from ros2_gridsampler.engines import load
from ros2_gridsampler.policy.manifest import golden_observation
from ros2_gridsampler.policy.policy import Policy
from ros2_gridsampler.policy.sentence_encoder import (
    MAX_PIECES,
    MINILM,
    NUMBERS,
    TOKENIZER,
    WEIGHTS,
    SentenceEncoder,
    encoder_folder,
)
from ros2_gridsampler.training.batches import load_paraphrases

# First four numbers by transformers 5.24 in PyTorch 2.13, same weights, mean over the pieces and
# divided by its length.
REFERENCE = {
    'pick up the black bowl between the plate and the ramekin and place it on the plate': (
        0.016835009679198265,
        0.049802593886852264,
        -0.03280973434448242,
        -0.022275006398558617,
    ),
    'Öffne die oberste Schublade! 123': (
        -0.06100771203637123,
        0.08589679002761841,
        -0.028814958408474922,
        -0.024236755445599556,
    ),
    'bowl': (
        0.05105416104197502,
        0.018676413223147392,
        -0.008264735341072083,
        0.0002626872737891972,
    ),
    'put the bowl on the stove, ' * 25: (
        0.014251597225666046,
        -0.01254701055586338,
        -0.0373653769493103,
        -0.03405827656388283,
    ),
}


@pytest.fixture(scope='module')
def encoder():
    """The published network."""
    try:
        return SentenceEncoder(encoder_folder())
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize('sentence', REFERENCE)
def test_the_vector_is_the_one_of_the_reference_implementation(encoder, sentence):
    vector = encoder(sentence)
    assert vector.shape == (NUMBERS,)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector[:4], REFERENCE[sentence], atol=1e-5)


def test_sentences_of_one_meaning_are_nearer_than_those_of_another(encoder):
    told, same, other = (
        encoder(text)
        for text in (
            'put the wine bottle on top of the cabinet',
            'set the bottle of wine onto the cupboard',
            'turn on the stove',
        )
    )
    assert told @ same > told @ other + 0.2


@settings(max_examples=20)
@given(st.text(min_size=1, max_size=60).filter(lambda text: any(c.isalnum() for c in text)))
def test_any_text_becomes_a_vector_of_length_one(encoder, text):
    assert abs(float(np.linalg.norm(encoder(text))) - 1.0) < 1e-5


def test_a_word_at_the_end_of_a_long_sentence_counts(encoder):
    start = 'go slowly and carefully, without touching anything that stands in the way, ' * 6
    assert np.abs(encoder(f'{start} to the plate') - encoder(f'{start} to the stove')).max() > 1e-3


def test_a_sentence_that_is_too_long_is_refused_whole(encoder):
    with pytest.raises(ValueError, match=f'reads at most {MAX_PIECES}'):
        encoder('bowl ' * (MAX_PIECES + 1))


@pytest.mark.parametrize('sentence', ['', '  ', '?!'])
def test_a_sentence_without_words_is_refused(encoder, sentence):
    with pytest.raises(ValueError, match='at least one word'):
        encoder(sentence)


@pytest.mark.parametrize('backend', ['onnxruntime', 'openvino'])
def test_engines_take_the_vector_as_one_more_input(encoder, backend):
    pytest.importorskip(backend)
    config = dataclasses.replace(tiny_policy().config, instruction=MINILM)
    torch.manual_seed(0)
    policy = Policy(config).eval()
    golden = golden_observation(config)
    compiled = load(policy, [golden], backends=(backend,), strict=True)
    for sentence in ('put the bowl on the plate', 'turn on the stove'):
        told = dataclasses.replace(golden, instruction=sentence)
        np.testing.assert_allclose(
            compiled.predict(told).chunk.targets, policy.predict(told).chunk.targets, atol=1e-4
        )
    with_other_words = [
        policy.predict(dataclasses.replace(golden, instruction=text)).chunk.targets
        for text in ('put the bowl on the plate', 'turn on the stove')
    ]
    assert np.abs(with_other_words[0] - with_other_words[1]).max() > 1e-6


def test_files_that_are_not_the_published_ones_are_refused(tmp_path):
    (tmp_path / WEIGHTS).write_bytes(b'weights')
    (tmp_path / TOKENIZER).write_text('{}')
    with pytest.raises(ValueError, match='sha256'):
        SentenceEncoder(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(ValueError, match='cannot be read'):
        SentenceEncoder(tmp_path)


def ways(name):
    """Instruction -> other ways to say it, from one of the published files."""
    return load_paraphrases(f'paraphrases/{name}')


def test_no_sentence_of_evaluation_is_one_of_training():
    training, evaluation = ways('training'), ways('evaluation')
    assert set(training) == set(evaluation)
    seen = {text.casefold() for told, others in training.items() for text in (told, *others)}
    unseen = [text.casefold() for others in evaluation.values() for text in others]
    assert len(unseen) == len(set(unseen))
    assert not seen & set(unseen)


def test_unseen_sentences_are_told_in_turn_and_an_unknown_instruction_is_refused():
    pytest.importorskip('libero', reason='LIBERO is not installed')
    from ros2_gridsampler.simulation.perturbations import unseen_sentence

    for told, others in ways('evaluation').items():
        assert [unseen_sentence(told, number) for number in range(len(others))] == others
        assert unseen_sentence(told, len(others)) == others[0]
    with pytest.raises(ValueError, match='no other words'):
        unseen_sentence('dance', 0)

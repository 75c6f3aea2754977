# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Manifests and chunk streams of a hostile server, any number of them, always the same."""

import copy
import json
import random
from dataclasses import dataclass

from ros2_gridsampler.encoders.encoder_checkpoint import save_encoder
from ros2_gridsampler.encoders.strict_json import NotBelieved
from ros2_gridsampler.encoders.weight_chunks import CHUNK_BYTES, Chunk, ChunkAssembly
from ros2_gridsampler.policy.encoder import Encoder
from ros2_gridsampler.policy.policy_config import EncoderConfig
from ros2_gridsampler.seeing.calibration import ImagePreparation

SMALL = EncoderConfig(32, 32, patch=16, width=16, depth=1, heads=2, stem=())
VALUES = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**12, 10**400, 1.5, -0.0, 1e308, '', 'x' * 300,
    '../../etc/passwd', '/etc/passwd', '..', 'a/b', 'a\x00b', '.', '-rf', [], {}, [[]], {'a': {}},
)  # fmt: skip


def save_small_encoder(folder, *, config=SMALL, training=None, results=None, change=None):
    """An encoder with random weights as a folder."""
    encoder = Encoder(config)
    if change is not None:
        change(encoder)
    save_encoder(
        encoder,
        folder,
        preparation=ImagePreparation(config.image_width, config.image_height),
        method='untrained',
        loss_weights={},
        steps=0,
        compute=0.0,
        training=training or {},
        results=results or {},
    )
    return encoder


def places(content, path=()):
    """Paths to every value in nested lists and objects."""
    yield path
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from places(value, (*path, key))


def mutate_values(content, chooser):
    """A copy with one to three values replaced, removed, repeated or added."""
    content = json.loads(json.dumps(content))
    for _ in range(chooser.randint(1, 3)):
        path = chooser.choice([p for p in places(content) if p])
        parent = content
        for key in path[:-1]:
            parent = parent[key]
        kind = chooser.randrange(4)
        if kind == 0:
            parent[path[-1]] = copy.deepcopy(chooser.choice(VALUES))
        elif kind == 1:
            del parent[path[-1]]
        elif kind == 2 and isinstance(parent, list):
            parent.insert(0, parent[path[-1]])
        elif isinstance(parent, dict):
            key = chooser.choice(('bytes', 'name', 'x', '__class__', ''))
            parent[key] = copy.deepcopy(chooser.choice(VALUES))
        if not isinstance(content, dict) or not content:
            return content
    return content


def mutate_text(text, chooser):
    """A copy with bytes flipped, cut, doubled or foreign parts put in."""
    position = chooser.randrange(len(text))
    kind = chooser.randrange(6)
    if kind == 0:
        return text[:position]
    if kind == 1:
        return text[:position] + chr(chooser.randrange(0x250)) + text[position + 1 :]
    if kind == 2:
        return text[:position] + text[position // 2 :]
    if kind == 3:
        return text[:position] + '[' * chooser.choice((10, 10_000)) + text[position:]
    if kind == 4:
        part = chooser.choice(('NaN', '-Infinity', '1e999', '9' * 5000, '\ud800', '\\ud800', '"'))
        return text[:position] + part + text[position:]
    return text[:position] + text[position:] * 2


@dataclass
class Tally:
    """What became of hostile input."""

    refused: int = 0
    unchanged: int = 0


def fuzz_manifests(read, text, count, seed):
    """Feed mutated manifests; whatever is accepted has to be harmless.

    Returns how many were refused, and how many were accepted.
    """
    chooser = random.Random(seed)
    content = json.loads(text)
    tally = Tally()
    for _ in range(count):
        if chooser.random() < 0.7:
            mutated = json.dumps(mutate_values(content, chooser))
        else:
            mutated = mutate_text(text, chooser)
        try:
            manifest = read(mutated)
        except NotBelieved:
            tally.refused += 1
            continue
        tally.unchanged += 1
        assert len(manifest.encoders) <= 64
        for encoder in manifest.encoders:
            assert '/' not in encoder.name
            assert '\x00' not in encoder.name
            assert not encoder.name.startswith('.')
            assert encoder.bytes < 1 << 33
            assert len(encoder.sha256) == 64
    return tally


def fuzz_streams(folder, path, count, seed):
    """Feed chunk streams with lost, repeated, changed, foreign and misnumbered chunks.

    Every file that is believed must be the file that was announced, and nothing may be written
    beyond its length. Returns how many were refused, and how many complete.
    """
    import hashlib

    chooser = random.Random(seed)
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    count_right = -(-len(data) // CHUNK_BYTES)
    good = [
        Chunk(sha256, i, count_right, data[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES])
        for i in range(count_right)
    ]
    tally = Tally()
    for number in range(count):
        stream = [good[chooser.randrange(len(good))] for _ in range(chooser.randint(0, 2))]
        stream += good if chooser.random() < 0.8 else good[1:]
        chooser.shuffle(stream)
        for _ in range(chooser.randint(0, 2)):
            if stream:
                place = chooser.randrange(len(stream))
                stream[place] = mutate_chunk(stream[place], chooser)
        assembly = ChunkAssembly(folder / f'{number % 8}.part', sha256, len(data))
        try:
            for chunk in stream:
                assembly.add(chunk)
            assembly.finish()
        except NotBelieved:
            tally.refused += 1
            assert assembly.path.stat().st_size <= len(data)
            continue
        finally:
            assembly.close()
        tally.unchanged += 1
        assert assembly.path.read_bytes() == data
    return tally


def mutate_chunk(chunk, chooser):
    """Another hash, number, count, length or content."""
    kind = chooser.randrange(6)
    if kind == 0:
        return Chunk('0' * 64, chunk.index, chunk.count, chunk.data)
    if kind == 1:
        index = chooser.choice((-1, chunk.count, 2**32 - 1, chunk.index + 1))
        return Chunk(chunk.sha256, index, chunk.count, chunk.data)
    if kind == 2:
        return Chunk(chunk.sha256, chunk.index, chooser.choice((0, 2**32 - 1)), chunk.data)
    if kind == 3:
        return Chunk(chunk.sha256, chunk.index, chunk.count, chunk.data[:-1])
    if kind == 4:
        return Chunk(chunk.sha256, chunk.index, chunk.count, chunk.data + b'x')
    changed = bytearray(chunk.data)
    changed[chooser.randrange(len(changed))] ^= 1 << chooser.randrange(8)
    return Chunk(chunk.sha256, chunk.index, chunk.count, bytes(changed))

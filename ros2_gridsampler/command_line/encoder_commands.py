# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler encoders list|show|verify|compare|serve`: encoders, looked at and offered."""

from pathlib import Path

from .arguments import Bags, Encoder, Folder, Policy


def list_known(policy: str = '', store: Path | None = None) -> None:
    """List the encoders here, and what is read from them.

    One table compares what linear readers got out of those that were probed, with 95% intervals.
    Of a policy it says, too, what keeps each encoder from it.

    Args:
        policy: Checkpoint folder or name; empty to ask about none.
        store: Folder of received encoders; default the user's cache.
    """
    import sys

    from ..encoders.compatibility import PolicyNeeds
    from ..encoders.encoder_store import default_folder
    from ..encoders.known_encoders import known_encoders
    from ..encoders.probe_scores import read_scores, score_table
    from ..files import find
    from ..policy.manifest import load_manifest

    if store is not None and not store.is_dir():
        raise ValueError(f'{store} is no folder; name a store of encoders, or leave --store out.')
    needs = None
    if policy:
        folder = find('models', policy)
        needs = PolicyNeeds.of(load_manifest(folder), folder.name)
    damaged: dict[str, str] = {}
    listed = list(known_encoders(store or default_folder(), damaged))
    for name, reason in damaged.items():
        print(f'{name} cannot be used: {reason}', file=sys.stderr)
    for known in listed:
        config = known.manifest.encoder
        line = (
            f'{known.name}: {known.manifest.method}, {config.image_width}x{config.image_height}, '
            f'patch {config.patch}, width {config.width}, depth {config.depth}, '
            f'{known.manifest.weights_sha256[:12]}'
        )
        if needs is not None:
            validated = needs.is_validated(known.manifest)
            fits = 'fits, measured with it' if validated else 'fits in shape, never measured'
            line += f'; {"; ".join(needs.differences(known.manifest)) or fits}'
        print(line)
    scores = {}
    for known in listed:
        try:
            scores[known.name] = read_scores(known.manifest)
        except ValueError as error:
            print(f'The scores of {known.name} cannot be read: {error}', file=sys.stderr)
    if any(scores.values()):
        print(f'\n{score_table(scores)}')
    if store is not None and not any(known.folder.parent == store for known in listed):
        print(f'{store} holds no encoder that was received from a server.', file=sys.stderr)
    elif not listed:
        print('There is no encoder on this machine; pretrain or import one.', file=sys.stderr)


def show(encoder: Encoder) -> None:
    """Print what an encoder's manifest says.

    Its golden features, which are long, are left out.

    Args:
        encoder: Folder or name.
    """
    import json

    import cattrs

    from ..encoders.encoder_checkpoint import load_encoder_manifest
    from ..encoders.encoder_store import default_folder
    from ..encoders.known_encoders import find_encoder

    content = cattrs.unstructure(load_encoder_manifest(find_encoder(encoder, default_folder())))
    del content['golden_features']
    print(json.dumps(content, indent=1))


def verify(folder: Folder) -> None:
    """Check an encoder as a receiver does.

    Ends with 1 and one sentence where anything does not match.

    Args:
        folder: Folder of the encoder.
    """
    from ..encoders.encoder_checkpoint import ENCODER_WEIGHTS, load_encoder, load_encoder_manifest
    from ..encoders.server_manifest import ServedEncoder
    from ..encoders.weight_file import check_weight_file

    manifest = load_encoder_manifest(folder)
    weights = folder / ENCODER_WEIGHTS
    if not weights.is_file():
        raise ValueError(f'{folder} has no {weights.name}; copy the whole folder again.')
    size = weights.stat().st_size
    ServedEncoder(folder.resolve().name, manifest.weights_sha256, size, manifest)
    check_weight_file(weights, manifest.encoder)
    load_encoder(folder)
    print(f'{folder}: {size} bytes, sha256 {manifest.weights_sha256}, all checks passed.')


def compare(
    policy: Policy,
    encoder: Encoder,
    bags: Bags,
    recipe: Path,
    observations: int = 20,
    device: str = 'auto',
) -> None:
    """Say what the gate before a swap would say.

    It is asked about observations from recordings. Ends with 1 where it refuses.

    Args:
        policy: Checkpoint folder, or the name of one that comes with the package.
        encoder: Encoder folder, or the name of one.
        bags: Bags, or folders of bags; no labels are needed.
        recipe: Recipe of a policy, which says where cameras, joints and pose are in the bags.
        observations: How many observations of each bag are looked at.
        device: Where both are computed: auto (the GPU, if any), cpu, cuda or cuda:1.
    """
    import sys

    from ..bags.bag_reader import find_bags
    from ..encoders.swap_config import SwapConfig
    from ..evaluating.encoder_comparison import compare_encoder
    from ..files import find
    from ..training.recipe import load_recipe

    topics = load_recipe(recipe).episodes.topics
    drift = compare_encoder(
        find('models', policy), encoder, find_bags(bags), topics, observations, device
    )
    for name, cosine, deviation in zip(drift.names, drift.cosine, drift.deviation, strict=True):
        print(f'{name}: cosine {cosine:.3f}, off by {deviation:.3f} standard deviations')
    count = len(drift.names)
    print(
        f'On {drift.observations} observations: cosine {sum(drift.cosine) / count:.3f} '
        f'({min(drift.cosine):.3f} at least), off by {sum(drift.deviation) / count:.3f} '
        f'({max(drift.deviation):.3f} at most).'
    )
    if reason := drift.refusal(SwapConfig()):
        sys.exit(f'The gate would refuse it. {reason}')
    print('The gate would let it pass.')


def serve_encoders(folder: Folder, active: str = '') -> None:
    """Serve a folder of encoders over ROS 2 until Ctrl-C.

    This is what `encoder_server_node` does.

    Args:
        folder: Folder of encoder folders.
        active: Name of the encoder that the fleet should use; empty for each policy's own.
    """
    import json
    import sys

    from ..encoders.served_folder import refuse_no_encoders

    refuse_no_encoders(folder)
    from ..nodes.encoder_server_node import EncoderServerNode, prepare_server_process
    from ..nodes.node_setup import run

    prepare_server_process()
    given = {'folder': str(folder.resolve()), 'active': active}
    arguments = [part for k, v in given.items() for part in ('-p', f'{k}:={json.dumps(v)}')]
    sys.exit(run(EncoderServerNode, ['serve', '--ros-args', *arguments]))

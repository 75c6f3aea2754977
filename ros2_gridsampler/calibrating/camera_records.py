# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Bags -> reference views and lenses of the cameras, kept with a checkpoint."""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from ..bags.bag_files import DamagedBag
from ..bags.bag_reader import read_camera_infos, read_messages
from ..bags.bag_storage import RecordedMessage
from ..policy.manifest import load_manifest, write_manifest
from ..seeing.camera_message import UncalibratedCamera, decode_image, intrinsics
from ..seeing.camera_record import CameraRecord, LensRecord
from .mount_drift import DriftLimits
from .reference_views import save_reference_view, why_not_fixed

# Bags that are compared, spread over all; and how far into each a second picture is taken [s].
_BAGS = 4
_LATER = 3.0


def record_cameras(
    bags: Sequence[Path],
    cameras: Mapping[str, str],
    checkpoint: Path,
    depth: Collection[str] = (),
) -> dict[str, CameraRecord]:
    """Writes a reference view of every camera that stands still; says why not of the others.

    The first picture of the first bag is the view, if the pictures at the begin of other bags
    and a few seconds into them agree with it.

    A CameraInfo that cannot be read is said and left out: who rectifies by it was refused before.

    Args:
        bags: Recordings of the place where the policy will work.
        cameras: Name -> topic of its pictures.
        checkpoint: Its folder; see `take_reference_views` for one that is written already.
        depth: Those of the cameras that measure distances: nothing is compared with them.
    """
    spread = [bags[i] for i in np.unique(np.linspace(0, len(bags) - 1, _BAGS).astype(int))]
    infos = read_camera_infos(bags[0], cameras)
    records = {}
    for camera, topic in cameras.items():
        if camera in depth:
            records[camera] = CameraRecord(no_view_because='it measures distances')
            continue
        views = [picture for bag in spread for picture in _two_pictures(bag, topic)]
        record = CameraRecord(no_view_because=why_not_fixed(views, DriftLimits()))
        if not record.no_view_because:
            record = CameraRecord(save_reference_view(checkpoint, camera, views[0]))
        if camera in infos:
            try:
                record = replace(record, lens=LensRecord.of(intrinsics(infos[camera])))
            except UncalibratedCamera:
                pass
            except ValueError as error:
                tqdm.write(f'The lens of {camera} is not kept with the checkpoint: {error}')
        records[camera] = record
    return records


def take_reference_views(
    checkpoint: Path, bags: Sequence[Path], cameras: Mapping[str, str]
) -> dict[str, CameraRecord]:
    """Gives a checkpoint new reference views and lenses; its manifest names them from then on.

    Raises:
        BadCheckpoint: The manifest cannot be read.
        ValueError: The checkpoint has no such camera.
    """
    manifest = load_manifest(checkpoint)
    unknown = sorted(set(cameras) - set(manifest.policy.cameras))
    if unknown:
        raise ValueError(
            f'The checkpoint has no cameras {unknown}; it has {list(manifest.policy.cameras)}.'
        )
    records = manifest.cameras | record_cameras(bags, cameras, checkpoint)
    write_manifest(checkpoint, replace(manifest, cameras=records))
    return records


def _two_pictures(bag: Path, topic: str) -> Iterator[UInt8[np.ndarray, 'height width 3']]:
    """Yields the first picture, and one a few seconds later or, in a short bag, the last."""
    first: RecordedMessage | None = None
    last: RecordedMessage | None = None
    with contextlib.suppress(DamagedBag):
        for recorded in read_messages(bag, (topic,)):
            first, last = first or recorded, recorded
            if recorded.time - first.time >= _LATER:
                break
    for each in (first, None if last is first else last):
        if each is not None:
            yield decode_image(each.message)

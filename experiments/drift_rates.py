# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Views with a known shift and changed light -> how often a moved camera is noticed."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from ros2_gridsampler.calibrating.board_pictures import read_pictures
from ros2_gridsampler.calibrating.mount_drift import DriftLimits, NotComparable, measure_drift
from ros2_gridsampler.command_line.arguments import Bags, Json
from ros2_gridsampler.command_line.outputs import json_output
from ros2_gridsampler.evaluating.success_rate import wilson_interval

from . import run

SHIFTS = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0)
# Cut off every side of a recorded frame: what a shift brings into view must be real.
_MARGIN = 42
_TWISTING_STEPS = 15


@dataclass(frozen=True)
class DriftTrial:
    """One comparison.

    Attributes:
        shift: The true one [px].
        measured: What was found [px]; None where the views could not be compared.
        refused: Whether the policy would not start.
    """

    shift: float
    measured: float | None
    refused: bool


@dataclass(frozen=True, eq=False)
class ViewPair:
    """Two views and the true shift between them [px]."""

    reference: UInt8[np.ndarray, 'height width 3']
    live: UInt8[np.ndarray, 'height width 3']
    shift: float


def compare(pair: ViewPair, limits: DriftLimits) -> DriftTrial:
    """What the check says of two views."""
    try:
        drift = measure_drift(pair.reference, pair.live)
    except NotComparable:
        return DriftTrial(pair.shift, None, True)
    return DriftTrial(pair.shift, drift.shift, bool(drift.complaint('', limits)))


def recorded_pairs(
    bags: Sequence[Path], topic: str, per_bag: int, seed: int, shifts: Sequence[float] = SHIFTS
) -> Iterator[ViewPair]:
    """Frames of recordings and the frames after them, shifted in the plane, in other light.

    Neighbouring frames: a robot's own sway between distant ones would count as false alarms.

    Raises:
        ValueError: A recording has fewer than two frames, or too small ones.
    """
    random = np.random.default_rng(seed)
    for bag in bags:
        frames = [picture for _, picture in read_pictures(bag, topic)]
        if len(frames) < 2 or min(frames[0].shape[:2]) < 4 * _MARGIN:
            raise ValueError(
                f'{bag} has {len(frames)} frames; two or more of at least {4 * _MARGIN} px each '
                'way are needed.'
            )
        for index in np.linspace(0, len(frames) - 2, per_bag).astype(int):
            reference = _shift(frames[index], 0, 0)
            for shift in shifts:
                way = random.uniform(0, 2 * np.pi)
                live = _shift(frames[index + 1], shift * np.cos(way), shift * np.sin(way))
                yield ViewPair(reference, change_light(live, random), shift)


def rendered_pairs(
    tasks: Sequence[int],
    per_task: int,
    seed: int,
    shifts: Sequence[float] = SHIFTS,
    image_size: int = 320,
) -> Iterator[ViewPair]:
    """Views of LIBERO's scene camera, turned in place; arm, objects and lamps elsewhere.

    Both views begin at one of the task's official initial states, drawn anew, and come after a
    random motion of the arm.
    """
    random = np.random.default_rng(seed)
    for task in tasks:
        yield from _rendered_pairs(task, per_task, random, shifts, image_size)


def _rendered_pairs(
    task: int,
    count: int,
    random: np.random.Generator,
    shifts: Sequence[float],
    image_size: int,
) -> Iterator[ViewPair]:
    from ros2_gridsampler.simulation.libero_arm import LiberoArm
    from ros2_gridsampler.simulation.placements import Official
    from ros2_gridsampler.simulation.rendering import mujoco

    arm = LiberoArm('libero_spatial', task, image_size=image_size)
    model, data = arm.scene.model, arm.scene.data
    camera = model.camera('agentview').id
    upright = Rotation.from_quat(np.roll(model.cam_quat[camera], -1))
    focal = float(arm.camera_intrinsics('agentview')[0, 0])
    lamps, places = model.light_diffuse.copy(), model.light_pos.copy()

    def view(dx: float, dy: float) -> UInt8[np.ndarray, 'height width 3']:
        turn = Rotation.from_rotvec([np.arctan(dy / focal), np.arctan(dx / focal), 0])
        model.cam_quat[camera] = np.roll((upright * turn).as_quat(), 1)
        mujoco.mj_forward(model, data)
        return arm.observe().images['agentview']

    def stir() -> None:
        arm.reset(Official(int(random.integers(50))))
        twist = np.concatenate([random.uniform(-1, 1, 3), random.uniform(-3, 3, 3)])
        for _ in range(_TWISTING_STEPS):
            arm.step(twist, 0.08)

    try:
        for _ in range(count):
            model.light_diffuse[:], model.light_pos[:] = lamps, places
            stir()
            reference = view(0, 0)
            stir()
            for shift in shifts:
                model.light_diffuse[:] = lamps * random.uniform(0.4, 1.4, (len(lamps), 1))
                model.light_pos[:] = places + random.uniform(-1, 1, places.shape)
                way = random.uniform(0, 2 * np.pi)
                live = view(shift * np.cos(way), shift * np.sin(way))
                yield ViewPair(reference, change_light(live, random), shift)
    finally:
        arm.close()


def change_light(
    rgb: UInt8[np.ndarray, 'height width 3'], random: np.random.Generator
) -> UInt8[np.ndarray, 'height width 3']:
    """Another exposure, contrast, colour, a lamp from one side, and sensor noise."""
    height, width = rgb.shape[:2]
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    way = random.uniform(0, 2 * np.pi)
    side = 1 + random.uniform(0, 0.4) * (np.cos(way) * x + np.sin(way) * y)
    light = (rgb / 255) ** random.uniform(0.6, 1.6)
    light = light * random.uniform(0.6, 1.4) * random.uniform(0.85, 1.15, 3) * side[..., None]
    light += random.normal(0, 0.01, light.shape)
    return np.asarray(255 * light.clip(0, 1), np.uint8)


def format_rates(trials: Sequence[DriftTrial]) -> str:
    """A table: per shift how many were refused, with Wilson's 95% interval."""
    lines = [
        '| shift [px] | refused | 95% interval | median error [px] | not comparable |',
        '|---|---|---|---|---|',
    ]
    for shift in sorted({trial.shift for trial in trials}):
        those = [trial for trial in trials if trial.shift == shift]
        refused = sum(trial.refused for trial in those)
        low, high = wilson_interval(refused, len(those))
        errors = [abs(t.measured - shift) for t in those if t.measured is not None]
        error = f'{np.median(errors):.2f}' if errors else '-'
        lines.append(
            f'| {shift:g} | {refused} of {len(those)} | {100 * low:.0f} to {100 * high:.0f}% | '
            f'{error} | {sum(t.measured is None for t in those)} |'
        )
    return '\n'.join(lines)


def as_json(trials: Sequence[DriftTrial]) -> str:
    """Returns all trials as JSON."""
    rows = [[trial.shift, trial.measured, trial.refused] for trial in trials]
    return json.dumps({'columns': ['shift_px', 'measured_px', 'refused'], 'rows': rows})


def _shift(
    rgb: UInt8[np.ndarray, 'height width 3'], dx: float, dy: float
) -> UInt8[np.ndarray, 'inner_height inner_width 3']:
    motion = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    height, width = rgb.shape[:2]
    moved = cv2.warpAffine(rgb, motion, (width, height), flags=cv2.INTER_CUBIC)
    return np.ascontiguousarray(moved[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN])


def main(
    bags: Bags = (),
    topic: str = '',
    rendered: bool = False,
    pairs: int = 12,
    tasks: tuple[int, ...] = (0, 3, 7),
    image_size: int = 320,
    shifts: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0),
    max_shift: float = 2.0,
    seed: int = 0,
    json: Json = None,
) -> None:
    """Measure how often a moved camera is noticed, by known shifts and changed light.

    Args:
        bags: Recordings, whose frames are shifted in the plane.
        topic: Camera topic of bags with several.
        rendered: Use the simulation's scene camera instead, turned in place, with arm, objects
            and lamps elsewhere.
        pairs: Pairs of views per bag, or per task.
        tasks: Tasks of libero_spatial, with --rendered.
        image_size: Width and height of the pictures, with --rendered [px].
        shifts: By which the live view is moved [px]; `--shifts 0` counts false alarms only.
        max_shift: Allowed shift [px].
        seed: The seed of shifts and light.
        json: File for all trials, or - for standard output.
    """
    if bool(bags) == rendered:
        raise ValueError('Name bags, or use --rendered; one of the two.')
    with json_output(json) as write:
        if rendered:
            views = rendered_pairs(tasks, pairs, seed, shifts, image_size)
        else:
            views = recorded_pairs(bags, topic, pairs, seed, shifts)
        limits = DriftLimits(max_shift)
        trials = [compare(pair, limits) for pair in tqdm(views, unit='pair')]
        print(format_rates(trials))
        write(as_json(trials))


if __name__ == '__main__':
    from experiments.drift_rates import main as command

    run(command)

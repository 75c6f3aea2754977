# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A simulated arm that was reset -> the same episode, in a way that no training has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from ..files import find, read_yaml
from .arm_state import OPEN
from .job_configs import Perturbation
from .rendering import mujoco

if TYPE_CHECKING:
    from .libero_arm import LiberoArm

PERTURBATIONS: tuple[Perturbation, ...] = get_args(Perturbation)

CAMERA_SHIFT = 0.03
"""How far the agentview camera is moved, in a random direction [m]."""
CAMERA_TURN = 0.035
"""How far it is turned about a random axis [rad]."""
SITE_SEED, SITE_SHIFT, SITE_TURN = 0, 0.06, 0.07
"""Of the camera of another site: seed of the directions, way [m] and turn [rad]."""
SITE_TABLE = (0.45, 0.6, 0.8)
"""What another site's table leaves of red, green and blue."""
DIMMED = (0.35, 0.75)
"""What is left of the light."""
START_STEPS = (15, 30)
"""For so many periods the hand wanders before the episode starts."""
THING_SIZE = 0.025
"""Half the side of a thing that does not belong there [m]."""
OTHER_WORDS = (
    ('pick up', 'grab'),
    ('place it on', 'set it down on'),
    ('put', 'place'),
    ('next to', 'beside'),
    ('between', 'in the middle of'),
    ('on top of', 'on'),
)


def perturb(arm: LiberoArm, kind: str, seed: int) -> str:
    """Changes the episode that the arm's reset has begun; the next reset undoes it.

    Args:
        arm: Just reset.
        kind: 'camera' moved and turned, 'light' dimmed, a 'distractor' on the table (seen, but
            without substance), another 'start' of the hand, the instruction in a
            'paraphrase' by rule, or in an 'unseen_sentence' of
            `models/paraphrases/evaluation.yaml`; another 'site', whose camera and table are the
            same whatever the seed.
        seed: The same seed, the same change.

    Returns:
        The instruction to give.

    Raises:
        ValueError: There is no such change.
    """
    if kind not in PERTURBATIONS:
        raise ValueError(f'Perturbation {kind!r} is not known; use one of {[*PERTURBATIONS]}.')
    generator = np.random.default_rng((seed, [*PERTURBATIONS].index(kind)))
    if kind == 'camera':
        _move_camera(arm, generator, CAMERA_SHIFT, CAMERA_TURN)
    elif kind == 'site':
        _move_camera(arm, np.random.default_rng(SITE_SEED), SITE_SHIFT, SITE_TURN)
        _paint_table(arm.scene.model)
    elif kind == 'light':
        _dim(arm.scene.model, float(generator.uniform(*DIMMED)))
    elif kind == 'distractor':
        arm.decorate(*_thing(arm, generator))
    elif kind == 'start':
        twist = np.append(generator.uniform(-0.6, 0.6, 3), np.zeros(3))
        for _ in range(int(generator.integers(*START_STEPS))):
            arm.step(twist, OPEN)
    elif kind == 'paraphrase':
        return paraphrase(arm.instruction)
    elif kind == 'unseen_sentence':
        return unseen_sentence(arm.instruction, seed)
    return arm.instruction


def paraphrase(instruction: str) -> str:
    """Returns the same request in other words."""
    for words, others in OTHER_WORDS:
        instruction = instruction.replace(words, others)
    return instruction


def unseen_sentence(instruction: str, number: int) -> str:
    """Returns the request as people wrote it who did not write the sentences of training.

    Args:
        instruction: As the benchmark says it.
        number: Number of the sentence; counts on from the first after the last.

    Raises:
        ValueError: There is none for this instruction.
    """
    path = find('models', 'paraphrases/evaluation', '.yaml')
    ways = read_yaml(path).get(instruction)
    if not ways:
        raise ValueError(f'{path} has no other words for {instruction!r}; add some.')
    return str(ways[number % len(ways)])


def _move_camera(
    arm: LiberoArm, generator: np.random.Generator, shift: float, angle: float
) -> None:
    camera = arm.scene.model.camera('agentview')
    camera.pos[:] += shift * _direction(generator)
    turn, turned = np.empty(4), np.empty(4)
    mujoco.mju_axisAngle2Quat(turn, _direction(generator), angle)
    mujoco.mju_mulQuat(turned, camera.quat, turn)
    camera.quat[:] = turned
    mujoco.mj_forward(arm.scene.model, arm.scene.data)


def _paint_table(model: Any) -> None:
    for place in range(model.nmat):
        if model.mat(place).name.startswith('table'):
            model.mat_rgba[place, :3] *= SITE_TABLE


def _dim(model: Any, factor: float) -> None:
    model.light_diffuse[:] *= factor
    model.vis.headlight.diffuse[:] *= factor
    model.vis.headlight.ambient[:] *= factor


def _thing(
    arm: LiberoArm, generator: np.random.Generator
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Returns the place in the base frame [m], half side [m] and colour of a cube on the table."""
    things = [*arm.object_positions().values(), *arm.landmarks()]
    table = min(position[2] for position in things)
    place = np.append(np.mean(things, 0)[:2], table + THING_SIZE)
    for _ in range(100):
        place[:2] = np.mean(things, 0)[:2] + generator.uniform(-0.2, 0.2, 2)
        if min(np.linalg.norm(place[:2] - other[:2]) for other in things) > 0.09:
            break
    return place, THING_SIZE, np.append(generator.uniform(0, 1, 3), 1.0)


def _direction(generator: np.random.Generator) -> NDArray[np.float64]:
    vector = generator.normal(size=3)
    return vector / np.linalg.norm(vector)

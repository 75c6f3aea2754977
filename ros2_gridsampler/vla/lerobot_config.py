# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A lerobot policy and a robot -> what a node has to know of the two, or why they do not fit."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from ..bounds import checked
from ..policy.manifest import BadCheckpoint
from ..seeing.calibration import ImagePreparation, prepare_image
from ..seeing.observation import Observation, ObservationConfig
from .lerobot import KINDS
from .lerobot_checkpoint import LerobotModel
from .lerobot_chunking import continues
from .robot import ConfigOfRobot, Robot

_DRIVING = (*KINDS, 'diffusion')
# Policies that do without a camera that is not in the batch, as they were trained without it.
_DO_WITHOUT = ('smolvla', 'pi0', 'pi05')


@dataclass(frozen=True)
@checked
class LerobotConfig(ConfigOfRobot):
    """What a node has to know; the same names as in `PolicyConfig`.

    Attributes:
        robot: Joints, units, cameras.
        preparations: Camera name -> how its pictures are prepared.
        steps: Targets per chunk.
        tokens: Visual tokens kept per camera.
        dense_tokens: Tokens per camera before sampling.
        earlier: Observations that it reads with the newest one, a period apart.
        reads_language: Whether its processors turn a sentence into tokens.
        continues: Whether it is told the steps that are already decided; see `Guidance`.
        ensemble_decay: How the chunks of a policy that averages them weigh, as
            `ScheduleConfig.ensemble_decay` [1/s]; None for a policy that does not.
    """

    robot: Robot
    preparations: dict[str, ImagePreparation]
    steps: int = field(metadata={'minimum': 1})
    tokens: int = field(metadata={'minimum': 0})
    dense_tokens: int = field(metadata={'minimum': 0})
    earlier: int = 0
    reads_language: bool = True
    continues: bool = False
    ensemble_decay: float | None = None

    @property
    def observation(self) -> ObservationConfig:
        robot = self.robot
        return ObservationConfig(
            self.preparations,
            robot.resolution,
            robot.joints,
            robot.uses_pose,
            uses_instruction=self.reads_language,
            earlier=self.earlier,
            earlier_period=self.period if self.earlier else 0.0,
        )


def describe(model: LerobotModel, robot: Robot) -> LerobotConfig:
    """Returns what a node has to know of a policy that drives a robot.

    Raises:
        BadCheckpoint: The robot does not fit the policy, or the policy drives no arm.
    """
    policy = model.policy.config
    if policy.type not in _DRIVING:
        raise BadCheckpoint(
            f'A policy of type {policy.type!r} of lerobot cannot drive an arm here; those of '
            f'{list(_DRIVING)} can.'
        )
    mapless = policy.type == 'diffusion'
    if policy.n_obs_steps != 1 and not mapless:
        raise BadCheckpoint(
            f'The policy reads {policy.n_obs_steps} observations at once, which lerobot does for '
            "'diffusion' alone; set n_obs_steps to 1 in its config.json, or train it so."
        )
    shown = _shown(policy, robot)
    if policy.env_state_feature:
        raise BadCheckpoint(
            'The policy reads the state of its environment (observation.environment_state), '
            'which nobody measures here; train it on pictures and observation.state.'
        )
    state, action = policy.robot_state_feature, policy.action_feature
    sizes = (state.shape[0] if state else 0, action.shape[0])
    expected = (len(robot.state.scale), len(robot.action.scale))
    if sizes != expected:
        raise BadCheckpoint(
            f'The policy reads {sizes[0]} numbers of state and gives {sizes[1]} of action, the '
            f'robot has {expected[0]} and {expected[1]}.'
        )
    preparations = {
        name: ImagePreparation(shown[feature][2], shown[feature][1])
        for name, feature in robot.cameras.items()
    }
    first = next(iter(preparations.values()))
    # Diffusion Policy looks for key points of its own in each map and has no tokens.
    dense = 0 if mapless else int(TowerCells.of(model.policy, first).count.prod())
    tokens = dense if model.plan is None else model.plan.tokens
    return LerobotConfig(
        robot,
        preparations,
        policy.n_action_steps if mapless else policy.chunk_size,
        tokens,
        dense,
        earlier=policy.n_obs_steps - 1,
        # ACT and its like have no step for text.
        reads_language=any(hasattr(step, 'input_tokenizer') for step in model.preprocess.steps),
        continues=continues(model.policy),
        ensemble_decay=_ensemble_decay(policy, robot.period),
    )


def _shown(policy: Any, robot: Robot) -> dict[str, tuple[int, ...]]:
    """Returns the feature of each camera of a policy that this robot has, and its shape.

    Raises:
        BadCheckpoint: The robot has too few cameras, or too many.
    """
    looks_at = {f: v.shape for f, v in policy.image_features.items() if 'empty_camera' not in f}
    absent = set(robot.absent_cameras)
    if unknown := sorted(absent - set(looks_at)):
        raise BadCheckpoint(
            f'The policy does not look at {unknown}, which absent_cameras names; it looks at '
            f'{sorted(looks_at)}.'
        )
    if absent and policy.type not in _DO_WITHOUT:
        raise BadCheckpoint(
            f'A policy of type {policy.type!r} reads every one of its cameras, so none of '
            f'{sorted(absent)} may be absent; give it a camera, or train it without.'
        )
    shown = {feature: shape for feature, shape in looks_at.items() if feature not in absent}
    if set(shown) != set(robot.cameras.values()):
        raise BadCheckpoint(
            f'The policy looks at {sorted(shown)}, the robot has {sorted(robot.cameras.values())};'
            ' name a camera for each, or list those that it was fine-tuned without under '
            'absent_cameras.'
        )
    return shown


def _ensemble_decay(policy: Any, period: float) -> float | None:
    """Returns how much more a chunk counts that is a second older [1/s].

    lerobot weighs the i-th oldest of the chunks, one for each step, by exp(-coefficient * i)
    (arXiv:2304.13705, algorithm 2).
    """
    coefficient = getattr(policy, 'temporal_ensemble_coeff', None)
    return None if coefficient is None else float(coefficient) / period


@dataclass(frozen=True)
class TowerCells:
    """Where a tower's cells are; x and y [px] of the picture that the tower sees.

    Attributes:
        count: Columns and rows.
        side: Distance of two cells.
        first: Centre of the first cell.
        corner: Where the prepared picture begins inside the tower's.
        scale: Factor by which the prepared picture was enlarged.
    """

    count: Float[np.ndarray, '2']
    side: int
    first: float
    corner: Float[np.ndarray, '2']
    scale: float

    @classmethod
    def of(cls, policy: Any, prepared: ImagePreparation) -> 'TowerCells':
        """Returns the cells of a policy's tower on such a picture."""
        config, size = policy.config, np.array([prepared.width, prepared.height], np.float64)
        if config.type == 'act':
            side = 16 if config.replace_final_stride_with_dilation else 32
            # Padded convolutions: the first cell looks at the first pixel.
            return cls(np.ceil(size / side), side, 0.5, np.zeros(2), 1.0)
        if config.type == 'smolvla':
            vision = policy.model.vlm_with_expert.config
            side = vision.vision_config.patch_size * vision.scale_factor
            tower = np.array(config.resize_imgs_with_padding or size, np.float64)
            share = 1.0  # all padding is left and above
        else:
            side, share = 14, 0.5
            tower = np.array(config.image_resolution[::-1], np.float64)
        scale = float((tower / size).min())
        corner = share * (tower - np.floor(size * scale))
        return cls(tower // side, side, side / 2, corner, scale)

    def pixels(self, points: Float[np.ndarray, 'tokens 2']) -> Float[np.ndarray, 'tokens 2']:
        """Returns where points (x, y) in [0, 1] lie in the prepared picture [px]."""
        in_tower = self.first + points * (self.count - 1) * self.side
        return (in_tower - self.corner) / self.scale


def golden_observation(config: LerobotConfig) -> Observation:
    """Returns a made-up observation that is the same on every machine."""
    width, height = config.robot.resolution
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    images = {}
    for index, (camera, preparation) in enumerate(config.preparations.items()):
        channels = [(7 * x + 3 * y) % 256, (x * y // 8 + 40 * index) % 256, (x ^ y) % 256]
        images[camera] = prepare_image(np.stack(channels, -1).astype(np.uint8), preparation)
    joints = np.array(config.robot.state.offset)[6 * config.robot.uses_pose :]
    pose = np.array([0.4, 0, 0.3, 1.0, 0, 0, 0]) if config.robot.uses_pose else None
    return Observation(images, joints, pose, 'golden observation', 0.0)

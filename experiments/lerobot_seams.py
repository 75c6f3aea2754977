# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A recording and a SmolVLA -> how far the command jumps where chunks meet, chunking off and on.

Without a checkpoint the policy is a small SmolVLA of random weights: that tells nothing about
what an arm would do, but a seam is a seam. With one (`--policy`) the seams are its own.
"""

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ros2_gridsampler.acting.action_chunk import ActionSpace
from ros2_gridsampler.acting.chunk_schedule import ChunkSchedule, ScheduleConfig, Seam
from ros2_gridsampler.bags.bag_reader import read_messages
from ros2_gridsampler.bags.observation_replay import StreamTopics, read_observations
from ros2_gridsampler.seeing.camera_message import decode_image
from ros2_gridsampler.seeing.observation import Observation
from ros2_gridsampler.seeing.observation_buffer import ObservationBuffer
from ros2_gridsampler.seeing.stream_health import StreamBudget
from ros2_gridsampler.vla.lerobot_checkpoint import LerobotModel, save_model_folder
from ros2_gridsampler.vla.lerobot_policy import LerobotPolicy, adopt, load_lerobot_policy
from ros2_gridsampler.vla.random_policies import write_language_model
from ros2_gridsampler.vla.robot import Robot, Units

from . import run

_FEATURE, _SIDE, _STEPS = 'observation.images.front', 128, 50
_TEXT = {
    'hidden_size': 64,
    'intermediate_size': 128,
    'num_hidden_layers': 4,
    'num_attention_heads': 4,
    'num_key_value_heads': 2,
    'head_dim': 16,
    'vocab_size': 16,
}
_VISION = {
    'hidden_size': 48,
    'intermediate_size': 96,
    'num_hidden_layers': 2,
    'num_attention_heads': 2,
    'patch_size': 8,
    'image_size': _SIDE,
}


@dataclass(frozen=True)
class Seams:
    """Where one chunk took over from another.

    Attributes:
        position: Largest jump of an action at each seam, in its units.
        velocity: Largest change of its rate at each seam, in its units per second.
        within: Largest jump between two steps of one chunk, of every chunk.
    """

    position: tuple[float, ...]
    velocity: tuple[float, ...]
    within: tuple[float, ...]


def measure(
    policy: LerobotPolicy,
    observations: list[Observation],
    *,
    chunking: bool,
    latency: float,
    every: float,
) -> Seams:
    """Predicts as a node would that needs so long for it, and measures what happens at the seams.

    Args:
        policy: One that `continues`.
        observations: In order.
        chunking: Whether the policy is told the steps under way.
        latency: From capture until the chunk is there [s].
        every: Time between two predictions [s].
    """
    schedule = ChunkSchedule(ScheduleConfig(continue_chunks=chunking))
    seams: list[Seam] = []
    within: list[float] = []
    last = -np.inf
    for observation in observations:
        if observation.time - last < every - 1e-6:
            continue
        last = observation.time
        prefix = schedule.prefix(last, policy.config.period, last)
        chunk = policy.predict(observation, prefix if len(prefix) else None).chunk
        within.append(float(np.abs(np.diff(chunk.targets, axis=0)).max()))
        seam = schedule.add(chunk, last + latency)
        if seam is not None:
            seams.append(seam)
    position = tuple(seam.position for seam in seams)
    return Seams(position, tuple(seam.velocity for seam in seams), tuple(within))


def small_smolvla(folder: Path, robot: Robot) -> LerobotPolicy:
    """Returns an adopted SmolVLA of 0.6 million random parameters, with ten denoising steps."""
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

    numbers = len(robot.joints)
    width, height = robot.resolution
    camera = PolicyFeature(FeatureType.VISUAL, (3, height, width))
    state = PolicyFeature(FeatureType.STATE, (numbers,))
    config = SmolVLAConfig(
        input_features={_FEATURE: camera, 'observation.state': state},
        output_features={'action': PolicyFeature(FeatureType.ACTION, (numbers,))},
        device='cpu',
        chunk_size=_STEPS,
        n_action_steps=_STEPS,
        max_state_dim=numbers,
        max_action_dim=numbers,
        num_vlm_layers=4,
        resize_imgs_with_padding=(_SIDE, _SIDE),
        vlm_model_name=robot.language_model,
    )
    torch.manual_seed(0)
    own: Any = SmolVLAPolicy(config).eval()
    some = {'mean': torch.zeros(numbers), 'std': torch.full((numbers,), 0.1)}
    statistics = {'observation.state': some, 'action': some}
    before, after = make_pre_post_processors(config, dataset_stats=statistics)
    save_model_folder(LerobotModel(own, before, after, None, None), folder)
    return adopt(folder, robot)


def robot_of(bag: Path, camera: str, language_model: str) -> Robot:
    """Returns the robot that a recording shows: one camera, all joints, joint targets."""
    first: dict[str, Any] = {}
    for recorded in read_messages(bag, (camera, '/joint_states')):
        first.setdefault(recorded.topic, recorded.message)
        if len(first) == 2:
            break
    height, width = decode_image(first[camera]).shape[:2]
    joints = tuple(first['/joint_states'].name)
    return Robot(
        cameras={'front': _FEATURE},
        resolution=(width, height),
        joints=joints,
        uses_pose=False,
        state=Units.same(len(joints)),
        action_space=ActionSpace('joint_position', joints, ''),
        action=Units.same(len(joints)),
        period=0.05,
        language_model=language_model,
    )


def seams(
    bag: Path,
    camera: str = '/camera/high/image_raw/compressed',
    policy: Path | None = None,
    latency: float = 0.3,
    every: float = 0.5,
    seconds: float = 60.0,
) -> None:
    """Print a table of the seams, real-time chunking off and on.

    Args:
        bag: A recording with /joint_states.
        camera: Its camera.
        policy: An adopted folder for that camera and those joints; a small one of random weights
            if left out.
        latency: From capture until the chunk is there [s].
        every: Time between two predictions [s].
        seconds: So much of the recording is used [s].
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        if policy is None:
            vlm = write_language_model(Path(place) / 'vlm', _TEXT, _VISION)
            own = small_smolvla(Path(place) / 'policy', robot_of(bag, camera, str(vlm)))
        else:
            own, _ = load_lerobot_policy(policy)
        config = own.config
        topics = StreamTopics(
            {config.cameras[0]: camera}, fixed_instruction='pick it up', instruction=''
        )
        buffer = ObservationBuffer(config.observation, StreamBudget(), any_scale=True)
        found = read_observations(bag, topics, buffer)
        first = next(found)
        rest = itertools.takewhile(lambda each: each.time < first.time + seconds, found)
        observations = [first, *rest]
        print(
            '| chunking | seams | jump, median | jump, p95 | change of rate, median [1/s] | p95 |'
        )
        print('|---|---|---|---|---|---|')
        for chunking in (False, True):
            result = measure(own, observations, chunking=chunking, latency=latency, every=every)
            numbers = [
                f'{np.quantile(values, share):.3g}'
                for values in (result.position, result.velocity)
                for share in (0.5, 0.95)
            ]
            name = 'on' if chunking else 'off'
            print(f'| {name} | {len(result.position)} | {" | ".join(numbers)} |')
        print(f'\nWithin a chunk a step is at most {np.median(result.within):.3g} (median).')


if __name__ == '__main__':
    from experiments.lerobot_seams import seams as command

    run(command)

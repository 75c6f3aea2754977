# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Small bags of one camera that sees a bright spot, and of an arm that is where the spot is."""

import numpy as np

from ros2_gridsampler.bags.bag_writer import BagWriter, build
from ros2_gridsampler.simulation import arm_messages
from ros2_gridsampler.simulation.arm_state import JOINT_NAMES, ArmState

SIDE = 32
TOPIC = '/agentview/image_raw'
TWIST = (arm_messages.EXPERT_TWIST, arm_messages.EXPERT_GRIPPER)


def picture(x, y):
    """A bright spot at (x, y) [px] on grey."""
    image = np.full((SIDE, SIDE, 3), 60, np.uint8)
    image[y - 2 : y + 3, x - 2 : x + 3] = (250, 200, 40)
    return image


def write_bag(path, seed, frames=12):
    """Spot and end effector move together; one pixel is 1 cm."""
    generator = np.random.default_rng(seed)
    with BagWriter(path) as writer:
        sentence = build('std_msgs/msg/String', data='follow the spot')
        writer.write(arm_messages.INSTRUCTION, sentence, 1.0, latched=True)
        for step in range(frames):
            time = 1 + 0.05 * step
            x, y = generator.integers(3, SIDE - 3, 2)
            position = np.array([0.01 * x, 0.01 * y, 0.2])
            state = ArmState(
                {'agentview': picture(x, y)},
                JOINT_NAMES,
                np.zeros(9),
                np.zeros(9),
                np.concatenate([position, [0, 0, 0, 1]]),
                time,
            )
            messages = [
                *arm_messages.state_messages(state, time, compressed=False),
                *arm_messages.command_messages(
                    np.zeros(6), 0.08, time, twist_topic=TWIST[0], gripper_topic=TWIST[1]
                ),
                (
                    arm_messages.LANDMARKS,
                    arm_messages.landmark_message(np.stack([position, position[::-1]]), time),
                ),
            ]
            for topic, message in messages:
                writer.write(topic, message, time)
    return path

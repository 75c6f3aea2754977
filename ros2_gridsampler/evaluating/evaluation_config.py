# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What is judged and how; the flags of `gridsampler evaluate`, so it is light to import."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from ..bounds import checked, setting
from ..device import check_device
from ..files import find
from ..seeing.stream_health import StreamBudget, TimeSource
from .command_replay import CommandConfig
from .topic_choice import TopicChoice, load_topic_choice, with_cameras


@dataclass(frozen=True)
@checked
class CriticalConfig:
    """What is critical, and how chunks are compared there.

    Attributes:
        before: An interval begins so long before the gripper moves [s].
        after: An interval ends so long after the gripper moves [s].
        movement: Share of its range by which the gripper must move within `window`.
        window: See `movement` [s].
        ensemble: Successive predictions that are averaged; 1 for none.
        interpolation: Points per target on which chunks are warped.
    """

    before: float = setting(1.0, unit='s', minimum=0)
    after: float = setting(0.5, unit='s', minimum=0)
    movement: float = setting(0.1, above=0, maximum=1)
    window: float = setting(0.2, unit='s', above=0)
    ensemble: int = setting(4, minimum=1)
    interpolation: int = setting(5, minimum=1)


@dataclass(frozen=True)
@checked
class EvaluationConfig:
    """How recordings are judged.

    Attributes:
        latency_ms: Assumed from a frame's arrival to its chunk. A figure of the reader's, so that
            a report does not depend on the machine that made it.
        injected_ms: What if it took so long.
        time: Whose time is believed: recorded (header stamps against log times, as live), header
            (the recorder had another clock) or log (the drivers do not stamp).
        least_share: Share of the pictures on which a verdict has to rest; on fewer there is none.
        without_pictures: Judge the policy once more with its pictures replaced by their mean over
            the recording, which says how much it owes to them.
        commands: The command loop.
        streams: How old and how far apart streams may be.
        critical: What frames are critical.
    """

    latency_ms: float = setting(50.0, unit='ms', minimum=0)
    injected_ms: tuple[float, ...] = setting((60.0, 120.0, 250.0), unit='ms', minimum=0)
    time: TimeSource = 'recorded'
    least_share: float = setting(0.5, minimum=0, maximum=1)
    without_pictures: bool = False
    commands: Annotated[CommandConfig, tyro.conf.arg(name='')] = field(
        default_factory=CommandConfig
    )
    streams: StreamBudget = field(default_factory=StreamBudget)
    critical: CriticalConfig = field(default_factory=CriticalConfig)

    @property
    def latency(self) -> float:
        """The assumed one [s]."""
        return self.latency_ms / 1e3

    @property
    def injected(self) -> tuple[float, ...]:
        """The others [s]."""
        return tuple(each / 1e3 for each in self.injected_ms)


@dataclass(frozen=True)
class PolicyChoice:
    """A checkpoint, what is exchanged in it and what computes it.

    Attributes:
        folder: The checkpoint.
        encoder: Folder of another encoder for it; None for its own.
        backend: Engine; 'eager' is the same on every machine.
        device: Where the engine computes, see `Settings`.
    """

    folder: Path
    encoder: Path | None = None
    backend: str = 'eager'
    device: str = 'auto'


@dataclass(frozen=True)
class EvaluationTask:
    """Everything about an evaluation but the bags; small, so that it travels to workers.

    Attributes:
        policy: Checkpoint folder, or the name of one that comes with the package.
        arm: YAML with the arm's limits, or a name in calibration/; guessed where only one fits.
        encoder: Encoder folder to use instead of the checkpoint's own.
        compare: Another checkpoint, judged on the same frames; shows the drift between both.
        compare_encoder: Encoder for the other; without --compare, the same checkpoint with it.
        backend: Engine; eager gives the same report on every machine of a kind.
        device: Where the engine computes: auto (the GPU, if any), cpu, cuda or cuda:1; on a GPU
            the last digits of a report may differ.
        topics: YAML that maps topics: cameras {name: topic}, joint_states, pose, instruction,
            fixed_instruction, action, gripper, gripper_joints. Flags go before it.
        camera: A camera's topic, like wrist=/wrist/image_raw; may be given for each.
        intervals: JSON with the critical intervals of each bag, see docs/howto/evaluation.md.
        film: Film of the cameras with the sampled points.
        bag: Bag with the predictions beside the recorded topics.
        real_time: Play each bag over DDS, with /clock, to a live policy node of its own, and judge
            what it answers; measured.json then has its times. Logs are in OUT/live.
        config: How to judge.
        topic: Which topic is which stream; what is obvious is guessed.
    """

    policy: str
    arm: str = ''
    encoder: Path | None = None
    compare: str = ''
    compare_encoder: Path | None = None
    backend: str = 'eager'
    device: str = 'auto'
    topics: Path | None = None
    camera: tuple[str, ...] = ()
    intervals: Path | None = None
    film: bool = True
    bag: bool = True
    real_time: bool = False
    config: Annotated[EvaluationConfig, tyro.conf.arg(name='')] = field(
        default_factory=EvaluationConfig
    )
    topic: Annotated[TopicChoice, tyro.conf.arg(name='')] = field(default_factory=TopicChoice)

    def settled(self, usual_arm: str = '') -> 'EvaluationTask':
        """Returns the same with paths for names, and all that is said of the topics in `topic`.

        Args:
            usual_arm: Taken where no arm is named.

        Raises:
            FileNotFoundError: There is no such policy or arm.
            ValueError: No device is so named, or the file of topics, or a camera, is written
                otherwise.
        """
        check_device(self.device)
        chosen = self.topic.over(load_topic_choice(self.topics) if self.topics else TopicChoice())
        return replace(
            self,
            policy=str(find('models', self.policy)),
            compare=str(find('models', self.compare)) if self.compare else '',
            arm=str(find('calibration', self.arm or usual_arm, '.yaml')),
            topic=with_cameras(chosen, self.camera),
            topics=None,
            camera=(),
        )

    @property
    def choices(self) -> tuple[PolicyChoice, ...]:
        """The policy, and what it is compared with."""
        first = PolicyChoice(Path(self.policy), self.encoder, self.backend, self.device)
        if not (self.compare or self.compare_encoder):
            return (first,)
        other = Path(self.compare or self.policy)
        return first, PolicyChoice(other, self.compare_encoder, self.backend, self.device)

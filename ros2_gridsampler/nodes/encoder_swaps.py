# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The parameter `encoder`, a server and `~/rollback` -> the encoder that a policy sees through."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger

from ..bags.observation_replay import StreamTopics, read_observations
from ..encoders.candidate_maker import CandidateMaker
from ..encoders.compatibility import PolicyNeeds
from ..encoders.encoder_changes import EncoderChanges
from ..encoders.encoder_store import EncoderStore, default_folder
from ..encoders.engine_maker import EngineMaker
from ..encoders.server_manifest import ServedEncoder
from ..encoders.swap_trial import Counts
from ..engines.compiled_policy import Backend, CompiledPolicy
from ..policy.manifest import load_manifest
from ..policy.policy import Policy
from ..seeing.joint_states import parse_joint_names
from ..seeing.observation import Observation, ObservationConfig
from ..seeing.observation_buffer import ObservationBuffer
from .encoder_receiver import EncoderReceiver
from .policy_parameters import PolicyParameters
from .topics import LATCHED

_TICK = 0.1


class EncoderSwaps:
    """The ROS side of `EncoderChanges`.

    Out: `~/encoder` (String, latched, JSON): what is in use, what is tried, what came of it.
    Service: `~/rollback` (Trigger).

    Args:
        node: Owns topics and timer.
        parameters: Of the node.
        folder: Of the policy.
        announce: Told of every engine that was made; gives what predicts.
        steady: Steady time [s].
    """

    def __init__(
        self,
        node: Any,
        parameters: PolicyParameters,
        folder: Path,
        announce: Callable[[CompiledPolicy], Backend],
        steady: Callable[[], float],
    ) -> None:
        """Know everybody; `compute` loads."""
        self._node = node
        self._parameters = parameters
        self._folder = folder
        self._announce = announce
        self._steady = steady
        store = parameters.swap.store
        self._store = Path(store).expanduser() if store else default_folder()
        self._candidates: CandidateMaker | None = None
        self._changes: EncoderChanges | None = None
        self._receiver: EncoderReceiver | None = None
        self._said = ''
        self._following = False
        self._publisher: Any = None
        self._timer: Any = None
        self._service: Any = None

    def compute(self, policy: Policy) -> Backend:
        """The policy on the encoder that the parameters name.

        Raises:
            ValueError: That encoder does not fit or must not be believed.
        """
        parameters = self._parameters
        self._candidates = CandidateMaker(
            policy,
            PolicyNeeds.of(load_manifest(self._folder), self._folder.name),
            self._store,
            EngineMaker(
                self._folder,
                parameters.backend,
                parameters.settings,
                progress=self._node.get_logger().info,
            ),
            self._announce,
            allow_unvalidated=parameters.swap.allow_unvalidated,
        )
        self._changes = EncoderChanges(
            self._candidates,
            parameters.encoder,
            parameters.swap,
            steady=self._steady,
            log=self._node.get_logger(),
        )
        return self._changes.live

    def start(self, counts: Callable[[], Counts], streams: ObservationConfig) -> None:
        """Take wishes from now on.

        Args:
            counts: Of the running policy.
            streams: That the policy reads.

        Raises:
            ValueError: An encoder is asked for, but this policy keeps its own.
        """
        parameters = self._parameters
        if self._changes is None:
            if parameters.encoder or parameters.encoder_server:
                raise ValueError(
                    'A lerobot policy keeps its own encoder; leave the parameters encoder and '
                    'encoder_server empty.'
                )
            return
        self._publisher = self._node.create_publisher(String, '~/encoder', LATCHED)
        self._timer = self._node.create_timer(_TICK, self._tick, clock=self._node.steady_clock)
        self._service = self._node.create_service(Trigger, '~/rollback', self._roll_back)
        self._changes.start(counts, lambda: self._recorded(streams))
        if parameters.encoder_server:
            self._receiver = EncoderReceiver(
                self._node,
                parameters.encoder_server,
                EncoderStore(self._store),
                refusal=self._refusal_of,
                use=self._use,
            )

    def destroy(self) -> None:
        """Take no more wishes."""
        if self._receiver is not None:
            self._receiver.destroy()
        if self._changes is not None:
            self._changes.stop()
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._node.destroy_publisher(self._publisher)
            self._node.destroy_service(self._service)
            self._timer = self._publisher = self._service = None

    def request(self, name: str) -> str:
        """Swap to an encoder as soon as it has shown itself; '' for the policy's own.

        Returns:
            Why that cannot be; empty where it may.
        """
        if self._candidates is None or self._changes is None:
            return 'A lerobot policy keeps its own encoder.'
        if self._following:
            return ''
        reason = self._candidates.refusal(name)
        if not reason:
            self._changes.request(name)
        return reason

    def allow_unvalidated(self, allowed: bool) -> None:
        """From now on an encoder need not, or has to, have been measured with the policy."""
        if self._candidates is not None:
            self._candidates.allow_unvalidated = allowed

    def about(self) -> dict[str, Any]:
        """For diagnostics."""
        if self._changes is None:
            return {}
        server = {} if self._receiver is None else {'server': self._receiver.state}
        return {**self._changes.about(), **server}

    def _recorded(self, streams: ObservationConfig) -> list[Observation]:
        """The first observations of the recording that the parameters name."""
        parameters = self._parameters
        if not (bag := parameters.swap.shadow_bag):
            return []
        named = self._node.resolve_topic_name
        topics = StreamTopics(
            dict(zip(streams.cameras, map(named, parameters.camera_topics), strict=True)),
            joint_states=named(parameters.joint_states_topic) if streams.joints else '',
            pose=named(parameters.pose_topic) if streams.uses_pose else '',
            instruction=named('~/instruction'),
        )
        names = parse_joint_names(parameters.joint_names, parameters.joint_prefix)
        buffer = ObservationBuffer(streams, parameters.streams, names)
        found = read_observations(Path(bag).expanduser(), topics, buffer)
        return list(itertools.islice(found, parameters.swap.shadow_observations))

    def _refusal_of(self, encoder: ServedEncoder) -> str:
        if self._candidates is None:
            return 'A lerobot policy keeps its own encoder.'
        try:
            self._candidates.check(encoder.manifest, encoder.name)
        except ValueError as error:
            return str(error)
        return ''

    def _use(self, folder: Path | None) -> None:
        if reason := self.request('' if folder is None else str(folder)):
            self._node.get_logger().warning(reason)

    def _roll_back(self, request: Any, response: Any) -> Any:
        try:
            if self._changes is None:
                raise ValueError('A lerobot policy keeps its own encoder.')
            response.message, response.success = self._changes.roll_back(), True
        except ValueError as error:
            response.message, response.success = str(error), False
        return response

    def _tick(self) -> None:
        # The executor may have taken a tick before `destroy`, and call it after.
        if self._changes is None or self._timer is None:
            return
        if self._changes.watch():
            self._follow(self._changes.live.current.name)
        if (text := json.dumps(self.about())) != self._said:
            self._said = text
            self._publisher.publish(String(data=text))

    def _follow(self, name: str) -> None:
        """Let the parameter say what is in use."""
        if self._node.get_parameter('encoder').value == name:
            return
        self._following = True
        try:
            self._node.set_parameters([Parameter('encoder', value=name)])
        finally:
            self._following = False

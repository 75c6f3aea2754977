# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The parameter `encoder`, a server and a rollback -> the encoder that a policy sees through."""

import contextlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.parameter import Parameter
from std_msgs.msg import String

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
from .rclpy_repairs import while_alive
from .topics import LATCHED

_TICK = 0.1


def make_changes(
    policy: Policy,
    folder: Path,
    parameters: PolicyParameters,
    announce: Callable[[CompiledPolicy], Backend],
    *,
    steady: Callable[[], float],
    log: Any,
) -> EncoderChanges:
    """Returns the policy on the encoder that the parameters name, ready for others.

    Args:
        policy: Policy on its own encoder.
        folder: Checkpoint of the policy.
        parameters: Parameters of the policy node.
        announce: Is told of every engine that was made; returns what predicts.
        steady: Returns steady time [s].
        log: Logger of the node.

    Raises:
        ValueError: That encoder does not fit or must not be believed.
    """
    engines = EngineMaker(folder, parameters.backend, parameters.settings, progress=log.info)
    candidates = CandidateMaker(
        policy,
        PolicyNeeds.of(load_manifest(folder), folder.name),
        _store(parameters),
        engines,
        announce,
        allow_unvalidated=parameters.swap.allow_unvalidated,
    )
    return EncoderChanges(candidates, parameters.encoder, parameters.swap, steady=steady, log=log)


class EncoderSwaps:
    """The ROS side of `EncoderChanges`; takes wishes as soon as it is made.

    Out: `~/encoder` (String, latched, JSON): what is in use, what is tried, what came of it.

    Args:
        node: Owns topic and timer.
        parameters: Parameters of the node.
        changes: What the policy sees through; belongs to this object from now on.
        counts: Returns the counts of the running policy.
        streams: Streams that the policy reads.

    Raises:
        NameValidationException: `encoder_server` is no name of a node.
    """

    def __init__(
        self,
        node: Any,
        parameters: PolicyParameters,
        changes: EncoderChanges,
        *,
        counts: Callable[[], Counts],
        streams: ObservationConfig,
    ) -> None:
        self._node = node
        self._parameters = parameters
        self._changes = changes
        self._said = ''
        self._following = self._destroyed = False
        # Where something that comes later is refused, nothing of what came before may stay.
        with contextlib.ExitStack() as undo:
            self._publisher = node.create_publisher(String, '~/encoder', LATCHED)
            undo.callback(node.destroy_publisher, self._publisher)
            tick = while_alive(lambda: not self._destroyed, self._tick)
            timer = node.create_timer(_TICK, tick, clock=node.steady_clock)
            undo.callback(node.destroy_timer, timer)
            self._receiver: EncoderReceiver | None = None
            if parameters.encoder_server:
                self._receiver = EncoderReceiver(
                    node,
                    parameters.encoder_server,
                    EncoderStore(_store(parameters)),
                    refusal=self._refusal_of,
                    use=self._use,
                )
                undo.callback(self._receiver.destroy)
            changes.start(counts, lambda: self._recorded(streams))
            undo.callback(changes.stop)
            self._undo = undo.pop_all()

    def destroy(self) -> None:
        """Takes no more wishes."""
        self._destroyed = True
        self._undo.close()

    def refusal(self, name: str, allow_unvalidated: bool | None = None) -> str:
        """Returns why an encoder cannot be swapped in; empty where it may be tried.

        Args:
            name: Name of the encoder; empty for the policy's own.
            allow_unvalidated: Whether it need not have been measured with the policy; None for
                what is set now.
        """
        # What is in use may be named, whatever has become of its folder.
        if name == self._changes.live.current.name:
            return ''
        return self._changes.candidates.refusal(name, allow_unvalidated=allow_unvalidated)

    def request(self, name: str) -> None:
        """Swaps to an encoder that is not refused, as soon as it has shown itself."""
        # What the node itself says of the encoder in use is no wish.
        if not self._following:
            self._changes.request(name)

    def allow_unvalidated(self, allowed: bool) -> None:
        """Sets whether an encoder may be used that was never measured with the policy."""
        self._changes.candidates.allow_unvalidated = allowed

    def roll_back(self) -> tuple[bool, str]:
        """Brings the encoder before back; returns whether there is one, and what happened."""
        try:
            return True, self._changes.roll_back()
        except ValueError as error:
            return False, str(error)

    def about(self) -> dict[str, Any]:
        """Returns what the diagnostics say of the encoders."""
        server = {} if self._receiver is None else {'server': self._receiver.state}
        return {**self._changes.about(), **server}

    def _recorded(self, streams: ObservationConfig) -> list[Observation]:
        """Returns the first observations of the recording that the parameters name."""
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
        try:
            self._changes.candidates.check(encoder.manifest, encoder.name)
        except ValueError as error:
            return str(error)
        return ''

    def _use(self, folder: Path | None) -> None:
        name = '' if folder is None else str(folder)
        if reason := self.refusal(name):
            self._node.get_logger().warning(reason)
        else:
            self.request(name)

    def _tick(self) -> None:
        if self._changes.watch():
            self._follow(self._changes.live.current.name)
        if (text := json.dumps(self.about())) != self._said:
            self._said = text
            self._publisher.publish(String(data=text))

    def _follow(self, name: str) -> None:
        """Sets the parameter to what is in use."""
        if self._node.get_parameter('encoder').value == name:
            return
        self._following = True
        try:
            self._node.set_parameters([Parameter('encoder', value=name)])
        finally:
            self._following = False


def _store(parameters: PolicyParameters) -> Path:
    store = parameters.swap.store
    return Path(store).expanduser() if store else default_folder()

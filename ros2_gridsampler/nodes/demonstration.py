# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy -> a simulated arm driven by it over DDS, and a page that shows it."""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rclpy.parameter import Parameter
from tqdm import tqdm

from ..acting.latency import Summary
from ..encoders.encoder_store import default_folder
from ..encoders.known_encoders import find_encoder
from ..encoders.swap_config import SwapConfig
from ..evaluating.demonstration_page import write_page
from ..evaluating.demonstration_record import Demonstration
from ..evaluating.hardware import describe_hardware
from ..files import find
from ..policy.manifest import load_manifest
from ..policy.policy_config import PolicyConfig
from ..simulation import arm_messages
from ..simulation.arm_state import PERIOD
from ..simulation.job_configs import DemonstrationConfig
from ..stop_request import StopRequest
from .child_process import ChildProcess
from .demonstration_watcher import DemonstrationWatcher
from .encoder_offer import EncoderOffer, encoder_server, fed_by_server
from .node_setup import own_node
from .private_domain import private_domain

# A scene is built in 6 to 10 s; where eight processes share two cores it took 150 [s].
_PICTURE_TIMEOUT = 400.0
_COMMAND_TIMEOUT = 60.0
_MOST_PER_EPISODE = 300.0
# The policy node reports once a second.
_REPORT_TIMEOUT = 3.0
# The encoders that come along have a stem twice as wide as that of the policies, and a demo ends
# before a whole trial does.
_SWAP = SwapConfig(max_latency_ratio=4.0, trial_time=10.0, trial_commands=200)


def run_demonstration(config: DemonstrationConfig, out: Path) -> str:
    """Starts simulated arm and policy node as two processes, and watches them as a third.

    Sets the ROS variables of this process's environment.

    Args:
        config: What to show.
        out: Folder for the page, the film, the numbers and the logs of both nodes.

    Returns:
        The table of all that was measured.

    Raises:
        ChildProcessError: A node ended; its last words are in the text.
        TimeoutError: Nothing moved any more, or all of it took far too long.
        InterruptedError: SIGINT or SIGTERM came.
        ValueError: The checkpoint is not fit to be used, or an episode was cut short.
    """
    folder = find('models', config.policy)
    policy = load_manifest(folder).policy
    encoder = find_encoder(config.encoder, default_folder()).resolve() if config.encoder else None
    out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        # The signals first: whatever is started later is ended.
        check_signals = stack.enter_context(StopRequest()).check
        stack.enter_context(private_domain())
        watcher, _ = stack.enter_context(
            own_node(lambda context: watch_by_simulated_time(policy.cameras, context))
        )
        shown = {
            'suite': config.suite,
            'tasks': list(config.tasks),
            'episodes_per_task': config.episodes,
            'placements': config.placements,
            # An empty list has no type that rcl could read.
            **({'more_episodes': list(config.more_episodes)} if config.more_episodes else {}),
        }
        driven = {'arm': config.arm, **(fed_by_server(_SWAP, out) if encoder else {})}
        children = list(arm_and_policy(folder, policy, shown, driven, out))
        offer = None
        if encoder:
            offer = EncoderOffer(watcher, encoder.name)
            # What else lies beside it is no concern of the demo.
            served = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (served / encoder.name).symlink_to(encoder, target_is_directory=True)
            children.append(encoder_server(served, out))
        for child in children:
            stack.enter_context(child)
        _watch(watcher, offer, children, config, check_signals)
        hardware = describe_hardware()
        _wait_for_report(watcher, check_signals)
    if any(result['result'].get('interrupted') for result in watcher.results):
        raise ValueError('An episode was cut short by a call of /simulated_arm/reset; try again.')
    seen = Demonstration(
        policy=folder.name,
        suite=config.suite,
        period=PERIOD,
        episodes=watcher.episodes(),
        stages=watcher.stages,
        cameras=watcher.traffic(),
        tokens=policy.tokens,
        dense_tokens=policy.dense_tokens,
        hardware=hardware,
        swap=offer.seen() if offer else None,
    )
    return write_page(seen, out, progress=True)


def watch_by_simulated_time(cameras: Sequence[str], context: Any) -> DemonstrationWatcher:
    """Returns a watcher whose clock is that of the simulated arm."""
    sim_time = Parameter('use_sim_time', value=True)
    return DemonstrationWatcher(cameras, context=context, parameter_overrides=[sim_time])


def arm_and_policy(
    folder: Path,
    policy: PolicyConfig,
    shown: Mapping[str, Any],
    driven: Mapping[str, Any],
    out: Path,
) -> tuple[ChildProcess, ChildProcess]:
    """Returns a simulated arm that waits for its policy node, and that node; neither is started.

    Args:
        folder: Checkpoint.
        policy: Its config.
        shown: Parameters of the simulated arm, such as its tasks.
        driven: Parameters of the policy node, such as its arm.
        out: Folder of the logs of both.
    """
    arm = ChildProcess(
        'nodes.simulated_arm_node',
        {
            **shown,
            'image_size': policy.resolution[0],
            'publish_clock': True,
        },
        {},
        log=out / 'simulated_arm.log',
        # It cannot end while it builds a scene, and has nothing to lose.
        patience=3.0,
    )
    node = ChildProcess(
        'nodes.policy_node',
        {
            'policy': str(folder.resolve()),
            **driven,
            'use_sim_time': True,
            # The clock stands where this machine draws slowly.
            'clock_patience': _COMMAND_TIMEOUT,
            # Pictures come 0.02 s after their capture; the pose beside them is waited for.
            'streams.settle_time': PERIOD,
            'camera_topics': [
                arm_messages.image_topic(camera, compressed=True) for camera in policy.cameras
            ],
        },
        {
            '~/instruction': arm_messages.INSTRUCTION,
            '~/twist_command': arm_messages.TWIST_COMMAND,
            '~/gripper_command': arm_messages.GRIPPER_COMMAND,
        },
        log=out / 'policy_node.log',
    )
    return arm, node


def _watch(
    watcher: DemonstrationWatcher,
    offer: EncoderOffer | None,
    children: Sequence[ChildProcess],
    config: DemonstrationConfig,
    check_signals: Callable[[], None],
) -> None:
    """Returns when all episodes are over."""
    total = len(config.tasks) * config.episodes + len(config.more_episodes)
    deadline = time.monotonic() + total * _MOST_PER_EPISODE
    with tqdm(total=total, desc='episodes', unit='episode') as bar:
        show = DemonstrationProgress(bar, watcher)
        while True:
            watcher.executor.spin_once(timeout_sec=0.1)
            check_signals()
            for child in children:
                child.check()
            if watcher.refusal:
                raise ValueError(f'The policy node refuses to work: {watcher.refusal}')
            if offer and not offer.asked and offer.ready and watcher.commands:
                offer.ask()
            if offer:
                offer.check()
            reason = stuck(watcher, deadline)
            if reason:
                words = [child.last_words() for child in children]
                done = f'{reason}; {len(watcher.results)} of {total} episodes are done.'
                raise TimeoutError('\n'.join([done, *words]))
            show()
            if watcher.done:
                return


def stuck(watcher: DemonstrationWatcher, deadline: float) -> str:
    """Returns why nothing is to be waited for any more; empty while there is.

    Args:
        watcher: Sees both nodes.
        deadline: Steady time at which all of it has taken too long [s].
    """
    no_picture, no_command = watcher.silence
    if no_picture > _PICTURE_TIMEOUT:
        return f'The simulated arm has shown nothing for {no_picture:.0f} s'
    if no_command > _COMMAND_TIMEOUT:
        return f'The policy node has sent no command for {no_command:.0f} s'
    return 'It took far too long' if time.monotonic() > deadline else ''


def _wait_for_report(watcher: DemonstrationWatcher, check_signals: Callable[[], None]) -> None:
    """The last frames are counted by the policy node's next report."""
    deadline = time.monotonic() + _REPORT_TIMEOUT
    while not watcher.settled and time.monotonic() < deadline:
        watcher.executor.spin_once(timeout_sec=0.1)
        check_signals()


class DemonstrationProgress:
    """Draws the progress of a demonstration; each call draws what is new.

    Args:
        bar: Counts the episodes.
        watcher: Sees them.
    """

    def __init__(self, bar: 'tqdm[Any]', watcher: DemonstrationWatcher) -> None:
        self._bar = bar
        self._watcher = watcher
        self._shown = -1
        # A log that is not a terminal keeps every line.
        self._pause = 0.5 if sys.stderr.isatty() else 15.0
        self._refreshed = time.monotonic()
        bar.write(f'To look on: export ROS_DOMAIN_ID={os.environ["ROS_DOMAIN_ID"]}')

    def __call__(self) -> None:
        """Draws what is new."""
        watcher, bar = self._watcher, self._bar
        for announced in watcher.results[int(bar.n) :]:
            result = announced['result']
            outcome = 'solved' if result['success'] else 'not solved'
            bar.write(f'   {outcome} after {result["steps"]} steps')
            bar.update()
        if watcher.current > self._shown:
            self._shown = watcher.current
            bar.write(f'{self._shown + 1}. {watcher.instruction}')
        if time.monotonic() - self._refreshed > self._pause:
            self._refreshed = time.monotonic()
            latency = Summary.of(watcher.stages.get('total', ()))
            words = f'{watcher.commands} commands, {1e3 * latency.p50:.0f} ms camera to command'
            bar.set_postfix_str(words if latency.count else 'starting')

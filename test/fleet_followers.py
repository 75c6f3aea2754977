# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Followers of one encoder server in one process, each with a ROS context of its own.

Each line of its output is JSON: number of the follower, chunks that it took, what it does, and the
hash of the encoder that it uses.
"""

import json
import resource
import sys
from pathlib import Path

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from ros2_gridsampler.encoders.encoder_checkpoint import ENCODER_WEIGHTS
from ros2_gridsampler.encoders.encoder_store import EncoderStore
from ros2_gridsampler.files import hash_file
from ros2_gridsampler.nodes.encoder_receiver import EncoderReceiver


class Follower:
    """A node in a context of its own, and what it uses."""

    def __init__(self, number):
        self.number, self.used = number, ''
        context = Context()
        options = {'signal_handler_options': SignalHandlerOptions.NO}
        rclpy.init(args=sys.argv[1:], context=context, **options)
        self.node = rclpy.create_node(f'follower_{number}', context=context)
        self.node.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.said = None

    def parameter(self, name, default):
        return self.node.declare_parameter(name, default).value

    def follow(self, store):
        self.receiver = EncoderReceiver(
            self.node,
            '/encoder_server',
            EncoderStore(store),
            refusal=lambda encoder: '',
            use=self.use,
        )

    def use(self, folder):
        self.used = '' if folder is None else hash_file(folder / ENCODER_WEIGHTS)

    def spin(self):
        self.executor.spin_once(timeout_sec=0.005)
        said = [self.number, self.receiver.received, self.receiver.state, self.used]
        if said != self.said:
            print(json.dumps(said), flush=True)  # noqa: T201 - what the test reads
            self.said = said


def main():
    first = Follower(0)
    followers = [first, *map(Follower, range(1, first.parameter('followers', 1)))]
    store = Path(first.parameter('store', ''))
    if limit := first.parameter('file_limit', 0):
        # Now that ROS has its shared memory: what is written from here on finds a full disk.
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    for follower in followers:
        follower.follow(store)
    while True:
        for follower in followers:
            follower.spin()


if __name__ == '__main__':
    main()

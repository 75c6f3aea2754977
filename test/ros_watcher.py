# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes as processes, and what another process sees and hears of them."""

import contextlib
import ctypes
import multiprocessing
import os
import runpy
import signal
import sys
import time

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import String

from ros2_gridsampler.nodes.topics import EVERY, LATCHED, STATE, ros_time
from ros2_gridsampler.seeing.camera_message import encode_jpeg

# A check takes as long as the machine is busy; only what never happens fails.
TIMEOUT = 180.0
DEAF, DEAF_AFTER = 'open_and_lock_file failed', 20.0
PR_SET_PDEATHSIG = 1
ALL = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
_NURSERY = multiprocessing.get_context('forkserver')
# What they import; not themselves, which are to be run.
_NURSERY.set_forkserver_preload(
    ['torch', 'ros2_gridsampler.nodes.policy_loop', 'ros2_gridsampler.nodes.swappable_policy']
)


class NodeProcess:
    """`python -m MODULE` with ROS parameters; its log is a file.

    It is forked from a process that has imported what nodes import, which saves each of them three
    seconds of a core.
    """

    def __init__(self, module, arguments, parameters, log):
        command = [module, '--ros-args', *arguments]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ['-p', f'{name.replace("__", ".")}:={text}']
        self.log = log
        log.touch()
        self.process = _NURSERY.Process(target=_run_node, args=(command, dict(os.environ), log))
        self.process.start()

    @property
    def text(self):
        return self.log.read_text(errors='replace')

    @property
    def running(self):
        return self.process.exitcode is None

    def wait(self, timeout=TIMEOUT):
        """The exit code."""
        self.process.join(timeout)
        assert not self.running, f'still running after {timeout} s:\n{self.text}'
        return self.process.exitcode

    def send(self, number):
        os.kill(self.process.pid, number)

    def end(self, number=signal.SIGINT):
        """The exit code after a signal."""
        self.send(number)
        return self.wait()

    def kill(self):
        if self.running:
            # Just started it leads no group yet.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.join()


def _run_node(command, environment, log):
    """In the new process."""
    os.setsid()
    # Tests that are killed must not leave a node in the domain of later ones.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with log.open('wb') as stream, open(os.devnull, 'rb') as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command
    runpy.run_module(command[0], run_name='__main__', alter_sys=True)


class Watcher:
    """A node in this process, spun only while a test waits for something."""

    def __init__(self):
        self.context = Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node('watcher', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.clients = {}

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def until(self, condition, process, timeout=TIMEOUT):
        """Spin until `condition()`; what it returned."""
        begin = time.monotonic()
        looked = begin + DEAF_AFTER
        while not (result := condition()):
            now = time.monotonic()
            assert now < begin + timeout, f'waited in vain for {timeout} s:\n{process.text}'
            if now > looked:
                # No reason to wait to the end; see the Makefile.
                assert DEAF not in process.text, f'the node is deaf, {DEAF}:\n{process.text}'
                looked = now + DEAF_AFTER
            self.executor.spin_once(timeout_sec=0.02)
        return result

    def spin(self, duration):
        """Spin for some seconds."""
        deadline = time.monotonic() + duration
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)

    def collect(self, kind, topic, qos=ALL):
        """A list that every message of the topic is appended to."""
        messages = []
        self.node.create_subscription(kind, topic, messages.append, qos)
        return messages

    def call(self, kind, service, request, process, timeout=TIMEOUT):
        def answered(done):
            assert done() or process.running, f'has ended:\n{process.text}'
            return done()

        client = self.clients.get(service)
        if client is None:
            client = self.clients[service] = self.node.create_client(kind, service)
            self.until(lambda: answered(client.service_is_ready), process, timeout)
            # The server may not have found this client yet; its answer would be lost.
            self.spin(0.3)
        self.until(lambda: answered(client.service_is_ready), process, timeout)
        future = client.call_async(request)
        self.until(lambda: answered(future.done), process, timeout)
        return future.result()


class SimulatedClock:
    """`/clock`, which goes on with the steady clock until it is set, stopped or started anew."""

    def __init__(self, watcher, start=100.0):
        self.publisher = watcher.node.create_publisher(Clock, '/clock', STATE)
        self.runs = True
        self.set(start)
        self.timer = watcher.node.create_timer(
            0.01, self.publish, clock=RosClock(clock_type=ClockType.STEADY_TIME)
        )

    def set(self, time_now):
        """Jump to that time [s]."""
        self.begin, self.base = time.monotonic(), time_now

    def stop(self):
        self.set(self.seconds())
        self.runs = False

    def go_on(self):
        self.runs = True
        self.set(self.base)

    def seconds(self):
        return self.base + (time.monotonic() - self.begin) * self.runs

    def now(self):
        return ros_time(self.seconds())

    def publish(self):
        self.publisher.publish(Clock(clock=self.now()))


class FakeArm:
    """Cameras, joints and pose of a resting arm, for the tiny policy; each part can be spoiled."""

    def __init__(self, watcher, *, cameras=('front', 'wrist'), size=(96, 72), namespace=''):
        self.node = watcher.node
        self.namespace = namespace
        self.now = lambda: self.node.get_clock().now().to_msg()
        """What the streams are stamped with."""
        self.size = size
        self.joint_names = ['finger', 'other']
        self.joint_positions = [0.04, 0.1]
        self.position = [0.5, 0.0, 0.3]
        self.encoding = 'rgb8'
        self.cut = 0
        self.muted = set()
        """Of 'joints', 'pose' and the cameras: those that say nothing."""
        self.stamped = {}
        """Stream -> what makes its stamp of the true one, both in [s]."""
        self.frame = 'panda_link0'
        self.frames = 0
        self.scenes = {}
        self.infos = {}
        self.info_publishers = {}
        self.pictures = {
            name: self.node.create_publisher(Image, f'{namespace}/{name}/image', STATE)
            for name in cameras
        }
        self.compressed = {}
        self.joints = self.node.create_publisher(JointState, f'{namespace}/joint_states', EVERY)
        self.pose = self.node.create_publisher(
            PoseStamped, f'{namespace}/end_effector_pose', EVERY
        )
        self.sentence = self.node.create_publisher(String, f'{namespace}/instruction', LATCHED)
        self.timer = self.node.create_timer(0.05, self.publish)

    def stamp(self, stream):
        stamp = self.now()
        if stream not in self.stamped:
            return stamp
        return ros_time(self.stamped[stream](stamp.sec + stamp.nanosec * 1e-9))

    def say(self, sentence):
        self.sentence.publish(String(data=sentence))

    def publish(self):
        stamp = self.now()
        joints = JointState(name=self.joint_names, position=self.joint_positions)
        joints.header.stamp = self.stamp('joints')
        if 'joints' not in self.muted:
            self.joints.publish(joints)
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = self.stamp('pose'), self.frame
        pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = self.position
        pose.pose.orientation.w = 1.0
        if 'pose' not in self.muted:
            self.pose.publish(pose)
        width, height = self.size
        rgb = np.full((height, width, 3), 90, np.uint8)
        rgb[10:30, 20:50] = (200, 40, 10)
        # A camera that repeats itself while the arm moves is taken for a broken one.
        self.frames += 1
        rgb[0, 0] = self.frames % 256
        for name, info in self.infos.items():
            if name not in self.info_publishers:
                topic = f'{self.namespace}/{name}/camera_info'
                self.info_publishers[name] = self.node.create_publisher(CameraInfo, topic, STATE)
            info.header.stamp = stamp
            self.info_publishers[name].publish(info)
        for name, publisher in self.pictures.items():
            if name in self.muted:
                continue
            rgb = self.scenes.get(name, rgb)
            picture = Image(height=height, width=width, encoding=self.encoding, step=3 * width)
            picture.header.stamp = self.stamp(name)
            picture.data = rgb.tobytes()[: rgb.size - self.cut]
            publisher.publish(picture)
        for publisher in self.compressed.values():
            picture = CompressedImage(format='jpeg', data=encode_jpeg(rgb))
            picture.header.stamp = stamp
            publisher.publish(picture)

# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A real controller manager with mock hardware -> what its controller wanted, and when."""

import subprocess
import time

RATE = 100
SETTINGS = """
controller_manager:
  ros__parameters: {{update_rate: {rate}}}
jtc:
  ros__parameters:
    type: joint_trajectory_controller/JointTrajectoryController
    joints: [joint]
    command_interfaces: [position]
    state_interfaces: [position]
    state_publish_rate: {rate}.0
    interpolate_from_desired_state: {from_desired}
"""


def record(folder, urdf, *, from_desired, goal, due):
    """Returns seconds since a message and the joint's reference positions, for 0.7 s.

    Args:
        folder: For the parameters.
        urdf: Of one joint, with mock_components/GenericSystem.
        from_desired: The controller's `interpolate_from_desired_state`.
        goal: Of the message's one point [rad].
        due: Its time_from_start [s].
    """
    import rclpy
    from control_msgs.msg import JointTrajectoryControllerState
    from controller_manager_msgs.srv import ConfigureController, LoadController, SwitchController
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import String
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    settings = folder / 'controllers.yaml'
    settings.write_text(SETTINGS.format(rate=RATE, from_desired=str(from_desired).lower()))
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('controller_recorder', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_publisher(String, '/robot_description', latched).publish(String(data=urdf))
    seen = []
    node.create_subscription(
        JointTrajectoryControllerState, '/jtc/controller_state', seen.append, 1000
    )
    output = node.create_publisher(JointTrajectory, '/jtc/joint_trajectory', 1)
    command = ['ros2', 'run', 'controller_manager', 'ros2_control_node', '--ros-args']
    manager = subprocess.Popen([*command, '--params-file', str(settings)])

    def until(condition, patience=30.0):
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, 'the controller manager did not answer'
            executor.spin_once(timeout_sec=0.02)

    def call(kind, name, **fields):
        client = node.create_client(kind, f'/controller_manager/{name}')
        until(client.service_is_ready)
        future = client.call_async(kind.Request(**fields))
        until(future.done)
        assert future.result().ok

    try:
        call(LoadController, 'load_controller', name='jtc')
        call(ConfigureController, 'configure_controller', name='jtc')
        call(SwitchController, 'switch_controller', activate_controllers=['jtc'], strictness=2)
        until(lambda: len(seen) > 5 and output.get_subscription_count() == 1)
        point = JointTrajectoryPoint(positions=[float(goal)])
        point.time_from_start.sec = int(due)
        point.time_from_start.nanosec = round(due % 1 * 1e9)
        sent = node.get_clock().now().nanoseconds * 1e-9
        output.publish(JointTrajectory(joint_names=['joint'], points=[point]))
        seen.clear()
        until(lambda: len(seen) > 0.7 * RATE)
    finally:
        manager.terminate()
        manager.wait(20)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    stamps = [m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 - sent for m in seen]
    return stamps, [m.reference.positions[0] for m in seen]

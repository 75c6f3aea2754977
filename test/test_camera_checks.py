# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A live node does not trust a camera with another lens, or in another place, than trained."""

import dataclasses

import numpy as np
import pytest
import torch
from policies import tiny_policy
from test_mount_drift import view

from ros2_gridsampler.calibrating.camera_info_file import from_intrinsics, save_camera_info
from ros2_gridsampler.calibrating.reference_views import save_reference_view
from ros2_gridsampler.policy.checkpoint import load_checkpoint, save_checkpoint
from ros2_gridsampler.policy.policy import Policy
from ros2_gridsampler.seeing.calibration import ImagePreparation
from ros2_gridsampler.seeing.camera_message import CameraIntrinsics
from ros2_gridsampler.seeing.camera_record import CameraRecord, LensRecord

NODE = 'ros2_gridsampler.nodes.policy_node'
SIZE = (320, 240)
PARAMETERS = {
    'arm': 'panda',
    'camera_topics': '[/front/image, /wrist/image]',
    'gripper_joints': '[finger]',
    'backend': 'eager',
    'autostart': False,
    'cameras__info_timeout': 0.5,
}
BENT = (-0.2, 0.05, 0.0, 0.0, 0.0)


def lens(focal=300.0, distortion=BENT, width=320):
    matrix = np.array([[focal, 0, 160], [0, focal, 120], [0, 0, 1.0]])
    return CameraIntrinsics(width, 240, matrix, 'plumb_bob', np.array(distortion))


def camera_info(camera):
    """As a driver publishes it."""
    from sensor_msgs.msg import CameraInfo

    return CameraInfo(
        width=camera.width,
        height=camera.height,
        distortion_model=camera.distortion_model,
        k=camera.matrix.ravel(),
        d=camera.distortion,
    )


@pytest.fixture
def checkpoint(tmp_path):
    """Trained with a 'front' camera that stood still and a 'wrist' that rides on the arm."""
    policy = Policy(dataclasses.replace(tiny_policy().config, resolution=SIZE)).eval()
    with torch.no_grad():
        policy.action_head.units.mean[2] = 0.1
        policy.action_head.units.scale[:] = 0.01
    front = CameraRecord(
        save_reference_view(tmp_path / 'policy', 'front', view()), '', LensRecord.of(lens())
    )
    records = {'front': front, 'wrist': CameraRecord('', 'it rides on the arm')}
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={}, cameras=records)
    return tmp_path / 'policy'


@pytest.fixture
def arm(watcher):
    from ros_watcher import FakeArm

    arm = FakeArm(watcher, size=SIZE)
    arm.scenes = {'front': view(), 'wrist': view()}
    return arm


@pytest.fixture
def cameras(watcher):
    """Key -> value of the newest diagnostics of the cameras; level, message and state."""
    from diagnostic_msgs.msg import DiagnosticArray

    from ros2_gridsampler.nodes.topics import STATE

    newest = {}

    def store(message):
        main = message.status[0]
        newest.update(level=main.level, message=main.message, state=main.values[0].value)
        for status in message.status:
            if status.name.endswith(': cameras'):
                newest.update({pair.key: pair.value for pair in status.values})

    watcher.node.create_subscription(DiagnosticArray, '/diagnostics', store, STATE)
    return newest


@pytest.fixture
def change(watcher):
    """Asks a node for a lifecycle transition; whether it came about."""
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    def ask(node, name):
        request = ChangeState.Request()
        request.transition.id = getattr(Transition, f'TRANSITION_{name}')
        return watcher.call(ChangeState, '/policy_node/change_state', request, node).success

    return ask


def test_a_camera_that_has_moved_keeps_the_node_from_moving_until_it_is_put_back(
    start_node, checkpoint, watcher, arm, cameras, change
):
    from std_srvs.srv import Trigger

    def check():
        watcher.spin(0.5)
        return watcher.call(Trigger, '/policy_node/check_mounts', Trigger.Request(), node)

    node = start_node(NODE, policy=checkpoint, **PARAMETERS)
    assert 'configure it first' in check().message
    arm.scenes['front'] = view(9, 0)
    assert change(node, 'CONFIGURE')
    assert not change(node, 'ACTIVATE')
    assert "Camera 'front' has moved: its view is shifted by 9.0 px" in node.text
    arm.scenes['front'] = 0 * view()
    watcher.spin(0.5)
    assert not change(node, 'ACTIVATE')
    assert 'covered, in the dark' in node.text
    arm.scenes['front'] = view()
    watcher.spin(0.5)
    assert change(node, 'ACTIVATE')
    still = check()
    assert still.success
    assert 'front: shifted by 0.0 px' in still.message
    assert 'wrist: the checkpoint has no reference view: it rides on the arm' in still.message
    arm.scenes['front'] = view(0, 12)
    moved = check()
    assert not moved.success
    assert 'shifted by 12.0 px' in moved.message
    watcher.until(lambda: 'shifted by 12.0 px' in cameras.get('mount of front', ''), node)
    assert node.end() == 0
    assert 'Traceback' not in node.text


def test_a_camera_that_is_silent_cannot_be_checked_and_is_named(
    start_node, checkpoint, watcher, arm, change
):
    watcher.node.destroy_publisher(arm.pictures.pop('front'))
    node = start_node(NODE, policy=checkpoint, cameras__picture_timeout=0.5, **PARAMETERS)
    assert change(node, 'CONFIGURE')
    assert not change(node, 'ACTIVATE')
    assert "Camera 'front': no picture has come" in node.text
    assert change(node, 'CLEANUP')
    assert node.end() == 0


def test_a_node_that_starts_by_itself_waits_for_the_pictures_that_it_compares(
    start_node, checkpoint, watcher, arm, cameras
):
    from geometry_msgs.msg import TwistStamped

    arm.timer.cancel()
    twists = watcher.collect(TwistStamped, '/policy_node/twist_command')
    parameters = {**PARAMETERS, 'autostart': True}
    node = start_node(NODE, '-r', '~/instruction:=/instruction', policy=checkpoint, **parameters)
    watcher.until(lambda: cameras.get('mount of front') == 'not checked yet', node)
    assert 'Cannot activate' not in node.text
    arm.say('Lift the cup.')
    arm.timer.reset()
    watcher.until(lambda: len(twists) > 3 and twists[-1].twist.linear.z > 0.05, node)
    watcher.until(lambda: 'shifted by 0.0 px' in cameras['mount of front'], node)
    assert node.end() == 0


def test_camera_info_of_another_lens_stops_configure_and_none_is_a_warning(
    start_node, checkpoint, tmp_path, watcher, arm, cameras, change
):
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    save_camera_info(tmp_path / 'old.yaml', from_intrinsics('front', lens(310.0)))
    node = start_node(NODE, policy=checkpoint, **PARAMETERS)
    assert change(node, 'CONFIGURE')
    assert "Camera 'front': its lens is not checked" in node.text
    assert change(node, 'CLEANUP')
    for published, words in (
        (lens(330.0), 'and the one of the training see the same ray up to'),
        (lens(distortion=(0.1, 0, 0)), "says 'plumb_bob' and has 3 coefficients"),
        (lens(width=640), 'is for 640x240 pixels, the checkpoint was trained on 320x240'),
    ):
        arm.infos['front'] = camera_info(published)
        watcher.spin(0.5)
        assert not change(node, 'CONFIGURE')
        assert words in node.text
    arm.infos['front'] = camera_info(lens())
    watcher.spin(0.5)
    assert change(node, 'CONFIGURE')
    agrees = 'agrees with resolution, CameraInfo of the training'
    watcher.until(lambda: cameras['lens of front'] == agrees, node)
    assert change(node, 'CLEANUP')
    files = Parameter('cameras.calibrations', value=[str(tmp_path / 'old.yaml'), ''])
    request = SetParameters.Request(parameters=[files.to_parameter_msg()])
    watcher.call(SetParameters, '/policy_node/set_parameters', request, node)
    assert not change(node, 'CONFIGURE')
    assert 'its calibration file see the same ray' in node.text
    assert node.end() == 0
    assert 'Traceback' not in node.text


def rectified_policy(joint='finger'):
    return Policy(
        dataclasses.replace(
            tiny_policy().config,
            preparation=ImagePreparation(64, 64, rectify=True),
            joints=(joint,),
        )
    ).eval()


def test_a_policy_that_sees_rectified_pictures_is_not_activated_without_camera_info(
    start_node, tmp_path, watcher, arm, change
):
    save_checkpoint(rectified_policy(), tmp_path / 'policy', training={}, results={})
    node = start_node(NODE, policy=tmp_path / 'policy', **PARAMETERS)
    assert change(node, 'CONFIGURE')
    assert not change(node, 'ACTIVATE')
    assert 'nobody publishes CameraInfo on /front/camera_info yet; start the driver' in node.text
    assert 'calibrate' not in node.text
    for name in ('front', 'wrist'):
        arm.infos[name] = camera_info(dataclasses.replace(lens(width=96), height=72))
    good, arm.infos['front'].k = arm.infos['front'].k.copy(), np.zeros(9)
    watcher.spin(1.0)
    assert not change(node, 'ACTIVATE')
    assert '/front/camera_info: CameraInfo has K = 0, so the camera is not calibrated' in node.text
    arm.infos['front'].k = good
    watcher.spin(1.0)
    assert change(node, 'ACTIVATE'), node.text
    assert node.end() == 0


def test_a_node_that_starts_by_itself_waits_for_the_camera_info_that_it_rectifies_by(
    start_node, tmp_path, watcher, arm, cameras
):
    save_checkpoint(rectified_policy(), tmp_path / 'policy', training={}, results={})
    parameters = {**PARAMETERS, 'autostart': True}
    node = start_node(NODE, policy=tmp_path / 'policy', **parameters)
    watcher.until(lambda: 'CameraInfo on' in cameras.get('message', ''), node)
    assert cameras['level'] == b'\x01'
    assert (
        "waiting for CameraInfo on ['/front/camera_info', '/wrist/camera_info']"
        in (cameras['message'])
    )
    for name in ('front', 'wrist'):
        arm.infos[name] = camera_info(dataclasses.replace(lens(width=96), height=72))
    watcher.until(lambda: cameras['state'] == 'active', node)
    assert 'Cannot' not in node.text
    assert node.end() == 0


def test_camera_info_that_comes_late_is_checked_when_it_comes(
    start_node, checkpoint, watcher, arm, cameras, change
):
    from geometry_msgs.msg import TwistStamped

    twists = watcher.collect(TwistStamped, '/policy_node/twist_command')
    parameters = {**PARAMETERS, 'autostart': True}
    node = start_node(NODE, '-r', '~/instruction:=/instruction', policy=checkpoint, **parameters)
    arm.say('Lift the cup.')
    watcher.until(lambda: len(twists) > 3 and twists[-1].twist.linear.z > 0.05, node)
    arm.infos['front'] = camera_info(lens(330.0))
    watcher.until(lambda: cameras.get('state') == 'inactive', node)
    assert 'Deactivating: The CameraInfo of camera' in node.text
    assert 'and the one of the training see the same ray up to' in cameras['message']
    assert cameras['level'] == b'\x02'
    assert twists[-1].twist.linear.z == 0
    assert not change(node, 'ACTIVATE')
    arm.infos['front'] = camera_info(lens())
    watcher.spin(0.5)
    assert change(node, 'ACTIVATE')
    agrees = 'agrees with resolution, CameraInfo of the training'
    watcher.until(lambda: cameras['lens of front'] == agrees, node)
    assert node.end() == 0
    assert 'Traceback' not in node.text


# Seldom, on a busy machine, a message of the recording is lost on the way, and the picture that
# waits for it is never answered; then the session is not the one to compare with.
@pytest.mark.flaky(reruns=2, only_rerun=['1 pictures unanswered'])
def test_rectified_pictures_give_the_same_chunks_live_and_from_the_recording(
    start_node, tmp_path, watcher
):
    from trajectory_msgs.msg import JointTrajectory

    from ros2_gridsampler.acting.command_message import read_joint_trajectory
    from ros2_gridsampler.bags.bag_writer import BagWriter, build
    from ros2_gridsampler.bags.observation_replay import StreamTopics, read_observations
    from ros2_gridsampler.seeing.observation_buffer import ObservationBuffer
    from ros2_gridsampler.seeing.stream_health import StreamBudget
    from ros2_gridsampler.simulation import arm_messages
    from ros2_gridsampler.simulation.arm_state import JOINT_NAMES, ArmState

    size, matrix = (96, 72), np.array([[90.0, 0, 48], [0, 90, 36], [0, 0, 1]])
    frames, pose = 10, np.array([0.5, 0, 0.3, 0, 0, 0, 1.0])
    with BagWriter(tmp_path / 'bag') as writer:
        sentence = build('std_msgs/msg/String', data='lift the cup')
        writer.write('/instruction', sentence, 1.0, latched=True)
        for step in range(frames):
            time = 1 + 0.05 * step
            images = {'front': view(3 * step, 0)[:72, :96], 'wrist': view(0, step)[:72, :96]}
            state = ArmState(images, JOINT_NAMES, np.full(9, 0.02), np.zeros(9), pose, time)
            for topic, message in arm_messages.state_messages(state, time, compressed=False):
                writer.write(topic, message, time)
            for camera in images:
                info = arm_messages.camera_info(camera, matrix, *size, time)
                info.d[:] = BENT
                writer.write(f'/{camera}/camera_info', info, time)
    save_checkpoint(
        rectified_policy('panda_finger_joint1'), tmp_path / 'policy', training={}, results={}
    )
    policy, _ = load_checkpoint(tmp_path / 'policy')
    topics = StreamTopics(
        {name: f'/{name}/image_raw' for name in policy.config.cameras}, pose=arm_messages.POSE
    )
    buffer = ObservationBuffer(policy.config.observation, StreamBudget())
    offline = [
        policy.predict(observation).chunk
        for observation in read_observations(tmp_path / 'bag', topics, buffer)
    ]
    assert len(offline) == frames

    chunks = watcher.collect(JointTrajectory, '/policy_node/action_chunk')
    node = start_node(
        NODE,
        *('-r', '~/instruction:=/instruction'),
        policy=tmp_path / 'policy',
        arm='panda',
        backend='eager',
        camera_topics='[/front/image_raw, /wrist/image_raw]',
        use_sim_time=True,
        reliable_streams=True,
        cameras__info_timeout=30.0,
    )
    watcher.until(lambda: watcher.node.count_publishers('/policy_node/action_chunk'), node)
    # Seen from here is not seen from there yet; the node waits for CameraInfo and answers nothing.
    watcher.spin(2.0)
    player = start_node(
        'ros2_gridsampler.nodes.replay_node',
        bag=tmp_path / 'bag',
        lockstep=True,
        chunk_timeout=10.0,
        patience=60.0,
    )
    watcher.until(lambda: not player.running, player, 200)
    assert player.wait() == 0, player.text
    assert '0 pictures unanswered' in player.text, node.text
    watcher.until(lambda: len(chunks) >= frames, node)
    assert node.end() == 0
    names = policy.config.action_space.names
    for message, expected in zip(chunks, offline, strict=True):
        assert read_joint_trajectory(message, names) == pytest.approx(expected.targets, abs=1e-5)

# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler calibrate arm`, `hand-eye`: URDF and recordings -> limits, delay, camera pose."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from .arguments import BoardOptions, Json, Name, Source
from .outputs import json_output

if TYPE_CHECKING:
    from ..acting.arm_limits import ArmLimits
    from ..calibrating.arm_motion import ArmMotion
    from ..calibrating.calibration_board import Board
    from ..calibrating.hand_eye import HandEye
    from ..calibrating.pose_pairs import PosePairs
    from ..calibrating.urdf import Urdf

# Joints that differ by more have drives of different kinds [s].
_SPREAD = 0.05


@dataclass(frozen=True)
class ArmEvidence:
    """What is compared.

    Attributes:
        urdf: URDF file of the arm (xacro already run).
        bag: A recording in which every joint moves.
        limits: The arm's limits: YAML file or the name of one in calibration/.
        command_topic: JointTrajectory or Float64MultiArray of positions in the bag.
        command_joints: Joints of a Float64MultiArray, in its order.
        states_topic: JointState topic in the bag.
        pose_topic: PoseStamped of `tip` in `base` in the bag, to check signs against the URDF.
        base: Link in whose frame the poses are.
        tip: Link whose poses they are.
    """

    urdf: Path | None = None
    bag: Path | None = None
    limits: str = ''
    command_topic: str = ''
    command_joints: tuple[str, ...] = ()
    states_topic: str = '/joint_states'
    pose_topic: str = ''
    base: str = 'base_link'
    tip: str = 'tool0'

    def __post_init__(self) -> None:
        if self.urdf is None and self.bag is None:
            raise ValueError(
                'Give --urdf, --bag or both: there must be something to check against.'
            )


def arm(
    name: Name,
    evidence: Annotated[ArmEvidence, tyro.conf.arg(name='')],
    joints: tuple[str, ...] = (),
    out: Path | None = None,
    json: Json = None,
) -> None:
    """Check joint order, signs, limits and delay of an arm.

    Drafts calibration/NAME.yaml. Exits with 1 if anything does not agree.

    Args:
        name: Name of the arm.
        evidence: What is compared.
        joints: Joints that go into the file; all that move in the URDF if empty.
        out: Where to write the limits, such as calibration/NAME.yaml.
        json: File for the findings, or - for standard output.
    """
    from ..acting.arm_limits import load_arm
    from ..calibrating.arm_check import draft_limits
    from ..calibrating.urdf import load_urdf
    from ..files import find

    with json_output(json) as write:
        robot = None if evidence.urdf is None else load_urdf(evidence.urdf)
        limits = evidence.limits
        known = load_arm(find('calibration', limits, '.yaml')) if limits else None
        content: dict[str, Any] = {'arm': name}
        findings, motion = _compare(evidence, robot, known, content)
        if out:
            if robot is None:
                raise ValueError('Writing limits needs --urdf; a recording alone shows no limits.')
            drafts = draft_limits(robot, joints or robot.movable, motion, known)
            _write(out, name, drafts, robot, known, content.get('actuation_delay_s'))
            load_arm(out)
            print(
                f'Written: {out}; check every number against the data sheet before the first run.'
            )
        content['findings'] = findings
        write(content)
        if findings:
            raise ValueError('\n'.join([f'{len(findings)} things do not agree:', *findings]))
        print('Everything that could be checked agrees.')
        checks = {
            'limits (--urdf and --limits)': robot and known,
            'order of the joints and delay (--bag and --command-topic)': motion,
            'signs (--bag, --urdf and --pose-topic)': evidence.bag
            and robot
            and evidence.pose_topic,
        }
        if unchecked := [what for what, there in checks.items() if not there]:
            print(f'Not checked: {"; ".join(unchecked)}.')


def _compare(
    evidence: ArmEvidence,
    robot: 'Urdf | None',
    known: 'ArmLimits | None',
    content: dict[str, Any],
) -> tuple[list[str], 'ArmMotion | None']:
    """Returns what does not agree, and the recorded motion; adds measurements to the content."""
    from ..calibrating.arm_check import compare_limits, compare_state
    from ..calibrating.calibration_recording import read_motion, read_states

    bag, findings = evidence.bag, list[str]()
    if robot and known:
        findings += compare_limits(known, robot)
    if bag is None:
        return findings, None
    names, _, states = read_states(bag, evidence.states_topic)
    content['state_order'] = list(names)
    if known:
        findings += compare_state(known, names, states)
    if robot and evidence.pose_topic:
        links = (evidence.base, evidence.tip)
        findings += _signs(robot, bag, evidence.states_topic, evidence.pose_topic, links)
    if not evidence.command_topic:
        return findings, None
    motion = read_motion(
        bag, evidence.command_topic, evidence.states_topic, evidence.command_joints
    )
    return findings + _measure_delay(motion, content), motion


def _measure_delay(motion: 'ArmMotion', content: dict[str, Any]) -> list[str]:
    """Adds each joint's response and the delay of all to the content; returns what is wrong."""
    from ..calibrating.arm_motion import explain_responses, measure_responses, summarise_delay

    responses = measure_responses(motion)
    findings = explain_responses(responses)
    content['joints'] = {each.joint: _response(each) for each in responses}
    for each in responses:
        print(
            f'  {each.joint:<28} follows {each.follows or "nothing":<28} gain {each.gain:5.2f}'
            f'  delay {1e3 * each.delay:4.0f} ms'
        )
    try:
        delay, spread = summarise_delay(responses)
    except ValueError as error:
        return [*findings, str(error)]
    content |= {'actuation_delay_s': delay, 'delay_quartiles_apart_s': spread}
    print(
        f'Actuation delay {1e3 * delay:.0f} ms (median; quartiles {1e3 * spread:.0f} ms '
        f'apart): launch with actuation_delay:={delay:.3f}'
    )
    if spread > _SPREAD:
        print('The joints differ: take the delay of those that move the hand, see above.')
    return findings


def _signs(
    robot: 'Urdf', bag: Path, states_topic: str, pose_topic: str, links: tuple[str, str]
) -> list[str]:
    import numpy as np

    from ..calibrating.arm_check import check_signs
    from ..calibrating.calibration_recording import read_states
    from ..calibrating.transform_tree import GripperTrack

    names, times, states = read_states(bag, states_topic)
    track = GripperTrack(bag, pose_topic, *links)
    # Steps of about 0.1 s: motions well above the noise, and few enough.
    rows = np.unique(np.searchsorted(times, np.arange(times[0], times[-1], 0.1)))
    poses = np.stack([track.at(float(times[row])) for row in rows])
    return check_signs(robot, names, states[rows], poses, *links)


def _response(response: Any) -> dict[str, Any]:
    return {
        'follows': response.follows,
        'gain': response.gain,
        'delay_s': None if response.delay != response.delay else response.delay,
        'correlation': response.correlation,
    }


def _write(
    path: Path,
    name: str,
    drafts: Any,
    robot: 'Urdf',
    known: 'ArmLimits | None',
    delay: float | None,
) -> None:
    """Writes the limits; `null` marks the end effector and gripper that the user has to add."""
    import yaml

    rates = 'the file given' if known else 'recorded commands, widened by half'
    source = f'Positions and velocities: URDF of {robot.name}. Accelerations and jerks: {rates}.'
    if delay is not None:
        source += f' Actuation delay measured: {delay:.3f} s.'
    base = known.base_frame if known else next(iter(robot.joints.values())).parent
    tree = {'name': name, 'base_frame': base, 'source': source, 'joints': dict(drafts)}
    text = yaml.safe_dump(tree, sort_keys=False, width=99)
    text += '# Add these before using a policy that commands the end effector; see panda.yaml.\n'
    text += 'end_effector: null\ngripper: null\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@dataclass(frozen=True)
class PoseOptions:
    """Where the poses of gripper and board are in a bag.

    Attributes:
        camera: The lens of the pictures: a camera_info YAML file, or a CameraInfo topic; by
            default the topic beside the pictures.
        topic: Camera topic of a bag with several.
        pose_topic: PoseStamped of the gripper in the base; empty to use TF.
        base: Frame of the arm's base, for TF.
        gripper: Frame of the gripper, for TF.
        live: Camera topic to record from, with the poses, until there are enough views.
        views: How many views are recorded with --live.
    """

    camera: str = ''
    topic: str = ''
    pose_topic: str = ''
    base: str = 'base_link'
    gripper: str = 'tool0'
    live: str = ''
    views: int = 20

    def read(self, bag: Path, board: 'Board') -> 'PosePairs':
        """Returns the poses of a bag, which is recorded first with --live."""
        from ..calibrating.board_pictures import recorded_intrinsics
        from ..calibrating.calibration_recording import read_pose_pairs
        from ..calibrating.camera_info_file import load_camera_info
        from ..calibrating.transform_tree import GripperTrack

        if self.live:
            from ..nodes.calibration_capture_node import capture

            if not self.pose_topic:
                raise ValueError(
                    '--live needs --pose-topic; where the arm publishes TF only, record a bag '
                    'with `ros2 bag record` of the camera, /tf and /tf_static, and give that.'
                )
            capture(bag, board, self.live, self.views, self.pose_topic)
        lens = (
            load_camera_info(self.camera).intrinsics
            if Path(self.camera).is_file()
            else recorded_intrinsics(bag, self.topic, self.camera)
        )
        track = GripperTrack(bag, self.pose_topic, self.base, self.gripper)
        return read_pose_pairs(bag, board, lens, track, self.topic)


def hand_eye(
    source: Source,
    board: Annotated[BoardOptions, tyro.conf.arg(name='')],
    poses: Annotated[PoseOptions, tyro.conf.arg(name='')],
    setup: Literal['auto', 'eye-in-hand', 'eye-to-hand'] = 'auto',
    out: Path | None = None,
    json: Json = None,
) -> None:
    """Find where a camera sits, on the hand or beside the arm.

    On the hand is called eye-in-hand, beside the arm eye-to-hand.

    Args:
        source: File of pose pairs (MoveIt's pose_samples.json, or a list of {gripper_to_base,
            board_to_camera}), or a bag with board pictures and poses; with --live the bag to
            record first.
        board: The calibration board, where the source is a bag. A board that looks the same
            upside down must not be turned by more than 90 degrees.
        poses: Where the poses are, where the source is a bag.
        setup: Where the camera sits; 'auto' finds out from the poses.
        out: YAML file for the result.
        json: File, or - for standard output, for translation_m, rotation_matrix, spread_mm,
            methods and more.
    """
    from ..calibrating.hand_eye import solve_hand_eye
    from ..calibrating.pose_pairs import load_pose_pairs

    with json_output(json) as write:
        if source.suffix in ('.json', '.yaml', '.yml'):
            pairs = load_pose_pairs(source)
        else:
            pairs = poses.read(source, board.build())
        result = solve_hand_eye(pairs, None if setup == 'auto' else setup)
        print(_hand_eye_text(result, len(pairs)))
        content = _hand_eye_json(result, len(pairs))
        if out:
            import yaml

            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(yaml.safe_dump(content, sort_keys=False))
        write(content)


def _hand_eye_text(result: 'HandEye', count: int) -> str:
    import numpy as np

    x, y, z = result.camera[:3, 3]
    where = 'gripper' if result.setup == 'eye-in-hand' else 'base'
    lines = [
        f'{result.setup}: the camera is at {x:.4f} {y:.4f} {z:.4f} m in the frame of the {where} '
        f'({count} pairs).',
        f'Residual {1e3 * result.residual:.2f} mm, {np.degrees(result.rotation_residual):.2f} deg '
        f'(RMS); leaving one pair out moves it by up to {1e3 * result.spread:.2f} mm; the methods '
        f'are within {1e3 * result.agreement:.2f} mm of it.',
    ]
    for name, pose in result.methods.items():
        lines.append(f'  {name:<11}' + ' '.join(f'{value: .4f}' for value in pose[:3, 3]))
    return '\n'.join([*lines, *(f'Warning: {each}' for each in result.warnings)])


def _hand_eye_json(result: 'HandEye', count: int) -> dict[str, Any]:
    import numpy as np
    from scipy.spatial.transform import Rotation

    def pose(matrix: Any) -> dict[str, Any]:
        return {
            'translation_m': matrix[:3, 3].tolist(),
            'rotation_matrix': matrix[:3, :3].tolist(),
        }

    return {
        **pose(result.camera),
        'quaternion_xyzw': Rotation.from_matrix(result.camera[:3, :3]).as_quat().tolist(),
        'spread_mm': 1e3 * result.spread,
        'methods': {name: pose(matrix) for name, matrix in result.methods.items()},
        'setup': result.setup,
        'camera_in': 'gripper' if result.setup == 'eye-in-hand' else 'base',
        'agreement_mm': 1e3 * result.agreement,
        'residual_mm': 1e3 * result.residual,
        'residual_deg': float(np.degrees(result.rotation_residual)),
        'scale': result.scale,
        'pairs': count,
        'board': pose(result.board),
        'warnings': list(result.warnings),
    }

# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler calibrate arm`: URDF, limits and a recording -> findings, delay, limits file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import Name
from .outputs import write_json

if TYPE_CHECKING:
    from ..acting.arm_limits import ArmLimits
    from ..calibrating.urdf import Urdf

# Joints that differ by more have drives of different kinds [s].
_SPREAD = 0.05


def arm(
    name: Name,
    urdf: Path | None = None,
    bag: Path | None = None,
    limits: str = '',
    command_topic: str = '',
    command_joints: tuple[str, ...] = (),
    states_topic: str = '/joint_states',
    pose_topic: str = '',
    base: str = 'base_link',
    tip: str = 'tool0',
    joints: tuple[str, ...] = (),
    out: Path | None = None,
    json: Path | None = None,
) -> None:
    """Check joint order, signs, limits and delay of an arm; draft calibration/NAME.yaml.

    Exits with 1 if anything does not agree.

    Args:
        name: Of the arm.
        urdf: Its URDF file (xacro already run).
        bag: A recording in which every joint moves.
        limits: The arm's limits: YAML file or the name of one in calibration/.
        command_topic: Of the bag: JointTrajectory or Float64MultiArray of positions.
        command_joints: Joints of a Float64MultiArray, in its order.
        states_topic: Of the bag: JointState.
        pose_topic: Of the bag: PoseStamped of `tip` in `base`, to check signs against the URDF.
        base: Link.
        tip: Link.
        joints: That go into the file; all that move in the URDF if empty.
        out: Where to write the limits, such as calibration/NAME.yaml.
        json: File for the findings.
    """
    from ..acting.arm_limits import load_arm
    from ..calibrating.arm_check import compare_limits, compare_state
    from ..calibrating.arm_motion import explain_responses, measure_responses, summarise_delay
    from ..calibrating.calibration_recording import read_motion, read_states
    from ..calibrating.urdf import load_urdf
    from ..files import find

    if urdf is None and bag is None:
        raise ValueError('Give --urdf, --bag or both: there must be something to check against.')
    robot = None if urdf is None else load_urdf(urdf)
    known = load_arm(find('calibration', limits, '.yaml')) if limits else None
    findings: list[str] = []
    content: dict[str, Any] = {'arm': name}
    if robot and known:
        findings += compare_limits(known, robot)
    motion = None
    if bag:
        names, _, states = read_states(bag, states_topic)
        content['state_order'] = list(names)
        if known:
            findings += compare_state(known, names, states)
        if robot and pose_topic:
            findings += _signs(robot, bag, states_topic, pose_topic, (base, tip))
    if bag and command_topic:
        motion = read_motion(bag, command_topic, states_topic, command_joints)
        responses = measure_responses(motion)
        findings += explain_responses(responses)
        content['joints'] = {each.joint: _response(each) for each in responses}
        for each in responses:
            print(
                f'  {each.joint:<28} follows {each.follows or "nothing":<28} gain {each.gain:5.2f}'
                f'  delay {1e3 * each.delay:4.0f} ms'
            )
        try:
            delay, spread = summarise_delay(responses)
        except ValueError as error:
            findings.append(str(error))
        else:
            content |= {'actuation_delay_s': delay, 'delay_quartiles_apart_s': spread}
            print(
                f'Actuation delay {1e3 * delay:.0f} ms (median; quartiles {1e3 * spread:.0f} ms '
                f'apart): launch with actuation_delay:={delay:.3f}'
            )
            if spread > _SPREAD:
                print('The joints differ: take the delay of those that move the hand, see above.')
    if out:
        if robot is None:
            raise ValueError('Writing limits needs --urdf; a recording alone shows no limits.')
        from ..calibrating.arm_check import draft_limits

        drafts = draft_limits(robot, joints or robot.movable, motion, known)
        _write(out, name, drafts, robot, known, content.get('actuation_delay_s'))
        load_arm(out)
        print(f'Written: {out}; check every number against the data sheet before the first run.')
    content['findings'] = findings
    write_json(json, content)
    if findings:
        raise ValueError('\n'.join([f'{len(findings)} things do not agree:', *findings]))
    print('Everything that could be checked agrees.')
    checks = {
        'limits (--urdf and --limits)': robot and known,
        'order of the joints and delay (--bag and --command-topic)': motion,
        'signs (--bag, --urdf and --pose-topic)': bag and robot and pose_topic,
    }
    if unchecked := [what for what, there in checks.items() if not there]:
        print(f'Not checked: {"; ".join(unchecked)}.')


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
    """An arm's file; end effector and gripper are the user's to add, null says so."""
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

# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler calibrate hand-eye`: poses of arm and board -> where the camera sits."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .arguments import BoardOptions, Source
from .outputs import write_json

if TYPE_CHECKING:
    from ..calibrating.hand_eye import HandEye


def hand_eye(
    source: Source,
    setup: Literal['auto', 'eye-in-hand', 'eye-to-hand'] = 'auto',
    board: Literal['chessboard', 'charuco'] = 'chessboard',
    columns: int = 0,
    rows: int = 0,
    square: float = 0.0,
    marker: float = 0.0,
    dictionary: str = 'DICT_5X5_250',
    camera: str = '',
    topic: str = '',
    pose_topic: str = '',
    base: str = 'base_link',
    gripper: str = 'tool0',
    live: str = '',
    views: int = 20,
    out: Path | None = None,
    json: Path | None = None,
) -> None:
    """Find where a camera sits: on the hand (eye-in-hand) or beside the arm (eye-to-hand).

    Args:
        source: File of pose pairs (MoveIt's pose_samples.json, or a list of {gripper_to_base,
            board_to_camera}), or a bag with board pictures and poses; with --live the bag to
            record first.
        setup: Where the camera sits; 'auto' finds out from the poses.
        board: Of a bag: the kind of board.
        columns: Inner corners of a chessboard, squares of a ChArUco board. Of a chessboard use
            an even and an odd number, such as 9 and 6: others look the same upside down, so the
            camera or the board must not be turned by more than 90 degrees.
        rows: Likewise.
        square: Side of a square [m].
        marker: Side of a ChArUco marker [m].
        dictionary: Of the ChArUco markers.
        camera: Of a bag: camera_info YAML file, or a CameraInfo topic in it; by default the one
            beside the pictures.
        topic: Camera topic of a bag with several.
        pose_topic: PoseStamped of the gripper in the base; empty to use TF.
        base: Frame of the arm's base, for TF.
        gripper: Frame of the gripper, for TF.
        live: Camera topic to record from, with the poses, until there are enough views.
        views: So many are recorded with --live.
        out: YAML file for the result.
        json: File for translation_m, rotation_matrix, spread_mm, methods and more.
    """
    from ..calibrating.board_pictures import recorded_intrinsics
    from ..calibrating.calibration_recording import read_pose_pairs
    from ..calibrating.camera_info_file import load_camera_info
    from ..calibrating.hand_eye import solve_hand_eye
    from ..calibrating.pose_pairs import load_pose_pairs
    from ..calibrating.transform_tree import GripperTrack

    if source.suffix in ('.json', '.yaml', '.yml'):
        pairs = load_pose_pairs(source)
    else:
        target = BoardOptions(columns, rows, square, board, marker, dictionary).build()
        if live:
            from ..nodes.calibration_capture_node import capture

            if not pose_topic:
                raise ValueError(
                    '--live needs --pose-topic; where the arm publishes TF only, record a bag '
                    'with `ros2 bag record` of the camera, /tf and /tf_static, and give that.'
                )
            capture(source, target, live, views, pose_topic)
        lens = (
            load_camera_info(camera).intrinsics
            if Path(camera).is_file()
            else recorded_intrinsics(source, topic, camera)
        )
        track = GripperTrack(source, pose_topic, base, gripper)
        pairs = read_pose_pairs(source, target, lens, track, topic)
    result = solve_hand_eye(pairs, None if setup == 'auto' else setup)
    print(_hand_eye_text(result, len(pairs)))
    content = _hand_eye_json(result, len(pairs))
    if out:
        import yaml

        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(yaml.safe_dump(content, sort_keys=False))
    write_json(json, content)


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

# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Live cameras, checkpoint and calibration files -> go on, or why the arm must not move."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ..calibrating.camera_agreement import CameraDisagrees, check_camera
from ..calibrating.camera_info_file import load_camera_info
from ..calibrating.reference_views import check_mounts
from ..files import find
from ..seeing.camera_message import CameraIntrinsics, UncalibratedCamera, decode_image, intrinsics
from ..seeing.camera_record import CameraRecord
from ..seeing.observation import ObservationConfig
from ..seeing.opencv import MissingOpenCv
from .camera_topics import CameraTopic, CameraTopics
from .node_setup import Refused
from .policy_parameters import CameraCheckConfig
from .problems import Problems


class CameraChecks:
    """Lenses as soon as CameraInfo comes, mounts at activate and on request.

    Args:
        topics: Subscriptions of the cameras.
        config: What the policy reads.
        parameters: What is checked and how strictly.
        records: What the checkpoint knows of its cameras.
        views: Its reference views.
        problems: Gets what could not be checked.
        steady: Steady time [s].

    Raises:
        ValueError: A calibration file is not there or not readable.
    """

    def __init__(
        self,
        topics: CameraTopics,
        *,
        config: ObservationConfig,
        parameters: CameraCheckConfig,
        records: Mapping[str, CameraRecord],
        views: Mapping[str, UInt8[np.ndarray, 'height width 3']],
        problems: Problems,
        steady: Callable[[], float],
    ) -> None:
        self._topics = topics
        self._config = config
        self._parameters = parameters
        self._records = records
        self._views = views if parameters.check_mounts else {}
        self._problems = problems
        self._steady = steady
        self._calibrated = _load(parameters.calibrations, list(config.cameras))
        self._lenses: dict[str, CameraIntrinsics] = {}
        # CameraInfo that was looked at, though there may have been nothing to compare.
        self._looked_at: dict[str, tuple[Any, ...]] = {}
        self._lens_says = {camera: 'not checked yet' for camera in config.cameras}
        self._mount_says = {camera: self._unchecked(camera) for camera in config.cameras}

    def check_lenses(self, *, wait: bool) -> None:
        """Compares CameraInfo with checkpoint and calibration file.

        A camera without CameraInfo is checked as soon as one has come and this, or
        `check_late_lenses`, is called again.

        Args:
            wait: For CameraInfo, as long as the parameters allow; one that has not come then may
                come later. Without waiting, every camera that is rectified must have it.

        Raises:
            CameraDisagrees: Says what came, what was expected, what to do.
        """
        open_cameras = [camera for camera in self._topics.all if camera.name not in self._lenses]
        if wait:
            self._topics.wait_for(
                lambda: all(camera.info is not None for camera in open_cameras),
                self._parameters.info_timeout,
            )
        for camera in open_cameras:
            self._check_lens(camera, may_come_later=wait)

    def check_late_lenses(self) -> None:
        """Checks the CameraInfo that has come since `check_lenses`, or has changed.

        Raises:
            CameraDisagrees: One is not that of the training.
        """
        for camera in self._topics.all:
            late = camera.info is not None and camera.name not in self._lenses
            if late and self._looked_at.get(camera.name) != _numbers(camera.info):
                self._check_lens(camera, may_come_later=False)

    @property
    def awaited(self) -> str:
        """What has to come before the node can be activated; empty where all is there."""
        compared = {camera.name for camera in self._compared()}
        pictures = [
            camera.subscription.topic_name
            for camera in self._topics.all
            if not (self._is_fresh(camera) if camera.name in compared else camera.received)
        ]
        infos = [
            camera.info_subscription.topic_name
            for camera in self._topics.all
            if camera.info is None and self._config.cameras[camera.name].rectify
        ]
        parts = [f'pictures on {pictures}'] * bool(pictures)
        parts += [f'CameraInfo on {infos}, by which they are rectified'] * bool(infos)
        return ' and '.join(parts)

    def check_mounts_now(self) -> None:
        """Compares the newest pictures with the reference views; waits for them.

        Raises:
            Refused: A camera has moved, shows something else, or shows nothing.
        """
        cameras = self._compared()
        self._topics.wait_for(
            lambda: all(map(self._is_fresh, cameras)), self._parameters.picture_timeout
        )
        problems = self._compare(cameras)
        if problems:
            raise Refused(' '.join(problems))

    def answer_request(self, response: Any) -> None:
        """The same with what has come, for whoever asks; in any thread."""
        problems = self._compare(self._compared())
        for text in problems:
            self._problems.report('mount', text)
        said = '; '.join(f'{name}: {text}' for name, text in self._mount_says.items())
        response.success, response.message = not problems, ' '.join(problems) or said

    def report(self) -> dict[str, str]:
        """What was found, by camera."""
        return {
            **{f'lens of {name}': text for name, text in self._lens_says.items()},
            **{f'mount of {name}': text for name, text in self._mount_says.items()},
        }

    def _check_lens(self, camera: CameraTopic, *, may_come_later: bool) -> None:
        name = camera.name
        topic = camera.info_subscription.topic_name
        published, missing = None, ''
        if camera.info is None:
            missing = self._topics.why_no_info(camera)
        else:
            self._looked_at[name] = _numbers(camera.info)
            may_come_later = False
            try:
                published = intrinsics(camera.info)
            except UncalibratedCamera as error:
                missing = f'{topic}: {error}'
            except ValueError as error:
                self._lens_says[name] = 'cannot be read'
                raise CameraDisagrees(f'Camera {name!r}, {topic}: {error}') from error
        calibrated, lens = self._calibrated.get(name), self._records.get(name, CameraRecord()).lens
        try:
            check_camera(
                name,
                published,
                self._config.resolution,
                calibrated,
                None if lens is None else lens.intrinsics,
                self._parameters.max_difference,
            )
        except CameraDisagrees as error:
            self._lens_says[name] = 'disagrees'
            raise CameraDisagrees(f'{error} (cameras.max_difference, {topic})') from error
        except MissingOpenCv as error:
            published, missing = None, str(error)
        if published is None:
            self._lens_says[name] = f'not checked: {missing}'
            if self._config.cameras[name].rectify and not may_come_later:
                raise CameraDisagrees(
                    f'The checkpoint was trained on rectified pictures of camera {name!r}, which '
                    f'need CameraInfo: {missing}'
                )
            text = f'Camera {name!r}: its lens is not checked: {missing}'
            self._problems.report('camera_info', text)
            return
        known = {'calibration file': calibrated, 'CameraInfo of the training': lens}
        agreed = ['resolution', *(what for what, each in known.items() if each is not None)]
        self._lens_says[name] = f'agrees with {", ".join(agreed)}'
        self._lenses[name] = published
        self._topics.ignore_info(camera)

    def _compared(self) -> list[CameraTopic]:
        return [camera for camera in self._topics.all if camera.name in self._views]

    def _is_fresh(self, camera: CameraTopic) -> bool:
        age = self._steady() - camera.heard
        return camera.picture is not None and age <= self._parameters.picture_timeout

    def _compare(self, cameras: list[CameraTopic]) -> list[str]:
        """What is wrong with the mounts, in sentences; in any thread."""
        live, problems = {}, []
        for camera in cameras:
            try:
                if not self._is_fresh(camera):
                    raise ValueError(
                        f'no picture has come for {self._parameters.picture_timeout:.1f} s, so it '
                        'is unknown whether it was moved; start its driver, or set '
                        'cameras.check_mounts to false.'
                    )
                live[camera.name] = decode_image(camera.picture)
            except ValueError as error:
                self._mount_says[camera.name] = 'not checked: no picture'
                problems.append(f'Camera {camera.name!r}: {error}')
        found, wrong = check_mounts(self._views, live, self._parameters.mounts, self._lenses)
        for name in live:
            self._mount_says[name] = str(found[name]) if name in found else 'another scene'
        return problems + wrong

    def _unchecked(self, camera: str) -> str:
        if camera in self._views:
            return 'not checked yet'
        if not self._parameters.check_mounts:
            return 'not checked: cameras.check_mounts is false'
        record = self._records.get(camera, CameraRecord())
        if record.reference_view_sha256:
            return 'not checked: OpenCV is not installed'
        why = record.no_view_because or (
            'take one with `gridsampler calibrate reference`, so that a moved camera is noticed'
        )
        return f'the checkpoint has no reference view: {why}'


def _numbers(info: Any) -> tuple[Any, ...]:
    """Returns what tells a CameraInfo from another one."""
    return info.width, info.height, info.distortion_model, tuple(info.k), tuple(info.d)


def _load(files: tuple[str, ...], cameras: list[str]) -> dict[str, CameraIntrinsics]:
    if files and len(files) != len(cameras):
        raise ValueError(
            f'cameras.calibrations names {len(files)} files for the cameras {cameras}; name one '
            "per camera, '' for one without, or none."
        )
    return {
        camera: load_camera_info(find('calibration', file, '.yaml')).intrinsics
        for camera, file in zip(cameras, files, strict=False)
        if file
    }

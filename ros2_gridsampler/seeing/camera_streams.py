# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of cameras, as they come -> pictures as the policy wants them, and what is wrong."""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from .calibration import prepare_image
from .camera_message import CameraIntrinsics, intrinsics
from .depth_image import read_picture
from .observation import NotObservable, ObservationConfig
from .sample_stream import FrozenConfig, PictureWatch, SampleStream
from .stream_health import Fault, StreamBudget

# Of a camera: half a second at 120 frames a second.
_MOST_PICTURES = 64


class CameraStreams:
    """The cameras of an observation.

    Args:
        config: The streams.
        budget: How old pictures may be, and how long they may repeat themselves.
        any_scale: See `ObservationBuffer`.
    """

    def __init__(self, config: ObservationConfig, budget: StreamBudget, any_scale: bool) -> None:
        self._config = config
        self._any_scale = any_scale
        self.scaled: dict[str, tuple[int, int]] = {}
        """Camera -> width and height [px] of its pictures, where another size was taken."""
        self.samples: dict[str, SampleStream[Any]] = {
            name: SampleStream(
                f'camera {name!r}',
                _MOST_PICTURES * (1 + config.earlier),
                budget.max_age,
                budget.span + config.history,
                lambda m: bytes(m.data),
            )
            for name in config.cameras
        }
        """Camera -> its messages; they are decoded only if an observation needs them."""
        frozen = FrozenConfig(budget.frozen_time, budget.frozen_motion)
        self._watches = {name: PictureWatch(frozen) for name in config.cameras}
        self._intrinsics: dict[str, CameraIntrinsics] = {}

    def add(
        self,
        camera: str,
        message: Any,
        time: float,
        state: tuple[float, Float[np.ndarray, ' numbers']] | None,
    ) -> bool:
        """Stores an Image or CompressedImage.

        Args:
            camera: A name of the config.
            message: Anything with the fields of the message.
            time: Capture time [s].
            state: When and where the arm was last; None where that is not known.

        Returns:
            Whether the stream starts anew, because its stamps went back.
        """
        anew = self.samples[camera].add(time, message)
        self._watches[camera].see(message.data, time, state)
        return anew

    def add_info(self, camera: str, message: Any) -> None:
        """Learns how a camera projects; ignored where its pictures are not rectified.

        The first one counts: what the policy sees must not change on the way.

        Args:
            camera: A name of the config.
            message: Anything with the fields of CameraInfo.

        Raises:
            ValueError: Not a calibrated camera, or another calibration than before.
        """
        if camera not in self._config.rectified:
            return
        found = intrinsics(message)
        if not self._intrinsics.setdefault(camera, found).same_as(found):
            raise ValueError(
                f'The CameraInfo of camera {camera!r} has changed; its pictures are still '
                'rectified by the first one. Configure the node again if the new one is right.'
            )

    @property
    def unknown(self) -> list[str]:
        """Cameras whose CameraInfo is needed and has not come."""
        return [name for name in self._config.rectified if name not in self._intrinsics]

    def check_frozen(self) -> None:
        """Looks for a camera that repeats itself.

        Raises:
            NotObservable: There is one.
        """
        for name, watch in self._watches.items():
            if watch.frozen:
                text = (
                    f'Camera {name!r} repeats one picture while the arm moves; restart its driver.'
                )
                raise NotObservable(text, Fault.FROZEN, self.samples[name].name)

    def picture(self, camera: str, message: Any) -> UInt8[np.ndarray, 'height width 3']:
        """Returns the prepared picture of a message.

        Raises:
            ValueError: It is damaged, or has another size than the policy was trained on.
        """
        depth = self._config.depth.get(camera)
        rgb = read_picture(message, depth)
        size = (rgb.shape[1], rgb.shape[0])
        width, height = self._config.resolution
        if size != (width, height) and self._any_scale and size[0] * height == size[1] * width:
            self.scaled[camera] = size
        else:
            check_size(camera, rgb, (width, height))
        return prepare_image(
            rgb, self._config.cameras[camera], self._intrinsics.get(camera), mixes=depth is None
        )


def check_size(
    camera: str, rgb: UInt8[np.ndarray, 'height width 3'], resolution: tuple[int, int]
) -> None:
    """Refuses a picture that is not `resolution`, width and height [px].

    Raises:
        ValueError: Names the camera and both sizes.
    """
    size = (rgb.shape[1], rgb.shape[0])
    if size != resolution:
        raise ValueError(
            f'Camera {camera!r} publishes {size[0]}x{size[1]} pictures; the checkpoint was '
            f'trained on {resolution[0]}x{resolution[1]}. Set the camera driver to that '
            'resolution.'
        )

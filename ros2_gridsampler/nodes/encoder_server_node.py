# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A folder of encoders -> a latched manifest and the active one's weights, for a fleet."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.qos import QoSProfile
from std_msgs.msg import MultiArrayDimension, String, UInt8MultiArray

from ..bounds import checked, setting
from ..encoders.served_folder import ServedFolder, check_folder_apart
from ..encoders.weight_chunks import chunk_count, fill_chunk, split
from .node_setup import (
    BadParameter,
    RunnableNode,
    declare_parameters,
    read_parameters,
    run,
    set_profile,
)
from .topics import LATCHED

PROFILE = Path(__file__).with_name('encoder_server_profile.xml')


@dataclass(frozen=True)
@checked
class EncoderServerParameters:
    """See the fields' help."""

    folder: str = setting('', 'Folder of encoder folders', read_only=True)
    active: str = setting('', "Encoder that the fleet should use; empty for each policy's own")


class EncoderServerNode(RunnableNode):
    """Serves encoders; `ros2 param set /encoder_server active NAME` moves the fleet.

    Out: `~/manifest` (String, latched, see `server_manifest`), `~/weights` (UInt8MultiArray,
    latched, see `chunk_message`): the chunks of the active encoder.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__('encoder_server', **options)
        declare_parameters(self, EncoderServerParameters)
        parameters = read_parameters(self, EncoderServerParameters)
        self._folder = Path(parameters.folder).expanduser()
        if not parameters.folder or not self._folder.is_dir():
            raise BadParameter(
                f'Parameter folder is {parameters.folder!r}; name a folder of encoder folders.'
            )
        self._manifest = self.create_publisher(String, '~/manifest', LATCHED)
        self._weights: Any = None
        self._checked: dict[str, ServedFolder] = {}
        try:
            self._serve(parameters.active, self._check(parameters.active))
        except (ValueError, OSError) as error:
            raise BadParameter(str(error)) from error
        self.add_on_set_parameters_callback(self._check_change)
        self.add_post_set_parameters_callback(self._take_change)

    def _check_change(self, parameters: list[Any]) -> Any:
        for parameter in parameters:
            if parameter.name == 'active':
                try:
                    # What is served is what was checked; reading it again takes seconds.
                    self._checked = {parameter.value: self._check(parameter.value)}
                except (ValueError, OSError) as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take_change(self, parameters: list[Any]) -> None:
        for parameter in parameters:
            if parameter.name == 'active' and parameter.value in self._checked:
                try:
                    self._serve(parameter.value, self._checked[parameter.value])
                except (ValueError, OSError) as error:
                    self.get_logger().error(f'{parameter.value!r} is not served: {error}')

    def _check(self, active: str) -> ServedFolder:
        return check_folder_apart(self._folder, active)

    def _serve(self, active: str, served: ServedFolder) -> None:
        """Sends the chunks of an encoder, then says that it is there."""
        if self._weights is not None:
            self.destroy_publisher(self._weights)
            self._weights = None
        if served.weights:
            self._weights = self.create_publisher(
                UInt8MultiArray, '~/weights', weights_quality(served.bytes)
            )
            for chunk in split(Path(served.weights), served.sha256):
                message = UInt8MultiArray()
                fill_chunk(message, MultiArrayDimension, chunk)
                self._weights.publish(message)
        self._manifest.publish(String(data=served.manifest))
        self.get_logger().info(
            f'Serving {self._folder}; active: {active or "of each policy its own"}.'
        )


def weights_quality(size: int) -> QoSProfile:
    """Returns a quality of service by which every chunk is kept, and none is lost."""
    return QoSProfile(
        depth=chunk_count(size), reliability=LATCHED.reliability, durability=LATCHED.durability
    )


def prepare_server_process() -> None:
    """Sets heartbeats that suit files, before rclpy begins; a profile of the user stays."""
    set_profile(PROFILE)


def main() -> int:
    """Runs the encoder server."""
    prepare_server_process()
    return run(EncoderServerNode)


if __name__ == '__main__':
    raise SystemExit(main())

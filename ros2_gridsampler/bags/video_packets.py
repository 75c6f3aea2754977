# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Packets of a video codec among recorded messages -> the pictures that they hold.

A packet says what has changed since the one before, so a stream is decoded in its order, and
behind one that is lost or damaged no picture is believed before the next key frame.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..seeing.camera_message import stamp_seconds
from .bag_files import DamagedBag
from .bag_storage import RecordedMessage

FFMPEG = 'ffmpeg_image_transport_msgs/msg/FFMPEGPacket'
COMPRESSED_VIDEO = 'foxglove_msgs/msg/CompressedVideo'
VIDEO_TYPES = (FFMPEG, COMPRESSED_VIDEO)
# What an encoder's name has in it -> the decoder of its codec.
_DECODERS = {
    '264': 'h264',
    'avc': 'h264',
    '265': 'hevc',
    'hevc': 'hevc',
    'vp9': 'vp9',
    'vp8': 'vp8',
    # FFmpeg's own one needs a GPU.
    'av1': 'libdav1d',
    'mjpeg': 'mjpeg',
    'mpeg4': 'mpeg4',
}


def with_pictures(messages: Iterator[RecordedMessage]) -> Iterator[RecordedMessage]:
    """Yields the same messages, with pictures instead of packets.

    A picture has the fields of `sensor_msgs/Image`, the type of its packet and the header that
    came with it. A packet that gives no picture is there too: `decode_image` refuses it with the
    reason.

    Args:
        messages: In the order of a bag.

    Raises:
        DamagedBag: At the end, where `messages` does.
    """
    decoders: dict[str, _Decoder] = {}
    damage: DamagedBag | None = None
    try:
        for recorded in messages:
            if recorded.type not in VIDEO_TYPES:
                yield recorded
                continue
            decoder = decoders.setdefault(recorded.topic, _Decoder())
            yield from decoder.take(recorded)
    except DamagedBag as error:
        damage = error
    for decoder in decoders.values():
        yield from decoder.rest()
    if damage is not None:
        raise damage


class _Decoder:
    """One stream of packets."""

    def __init__(self) -> None:
        self._codec: Any = None
        self._name = ''
        self._waiting: dict[int, RecordedMessage] = {}
        self._count = 0
        self._newest: RecordedMessage | None = None
        self._places = _Places()
        self._spoiled = ''

    def take(self, recorded: RecordedMessage) -> Iterator[RecordedMessage]:
        """The pictures that this packet completes: one as a rule, none where it is only kept."""
        import av

        message = recorded.message
        header = getattr(message, 'header', None) or SimpleNamespace(
            stamp=message.timestamp, frame_id=message.frame_id
        )
        name = str(message.encoding if recorded.type == FFMPEG else message.format)
        kept = replace(recorded, message=SimpleNamespace(header=header, data=message.data))
        try:
            codec = self._open(name)
        except (ValueError, av.error.FFmpegError) as error:
            yield _refused(kept, str(error))
            return
        if self._places.lacks_one(getattr(message, 'pts', None), stamp_seconds(header.stamp)):
            self._spoiled = _LOST
        elif self._places.reordered and self._spoiled == _LOST:
            self._spoiled = ''
        packet = av.Packet(bytes(message.data))
        packet.pts = packet.dts = self._count
        self._waiting[self._count] = self._newest = kept
        self._count += 1
        try:
            frames = codec.decode(packet)
        except av.error.FFmpegError as error:
            del self._waiting[self._count - 1]
            self._spoiled = self._spoiled or _DAMAGED
            yield _refused(kept, f'the {self._name} packet cannot be decoded: {error}')
            return
        yield from self._pictures(frames, recorded.time)

    def rest(self) -> Iterator[RecordedMessage]:
        """What the codec still holds at the end, and the packets that gave no picture."""
        import av

        if self._newest is None:
            return
        try:
            frames = self._codec.decode(None)
        except av.error.FFmpegError:
            frames = []
        yield from self._pictures(frames, self._newest.time)
        for kept in self._waiting.values():
            yield replace(_refused(kept, _NO_PICTURE), time=self._newest.time)

    def _open(self, name: str) -> Any:
        """The codec, which begins anew where a stream changes to another one."""
        if self._codec is None or name != self._name:
            import av

            self._codec = av.CodecContext.create(_decoder(name), 'r')
            # With more threads pictures come several packets late.
            self._codec.thread_count = 1
            self._name = name
        return self._codec

    def _pictures(self, frames: Any, time: float) -> Iterator[RecordedMessage]:
        for frame in frames:
            # Packets before the first key frame give nothing, and nothing will come of them.
            for number in [each for each in self._waiting if each < frame.pts - _MOST_REORDERED]:
                yield replace(_refused(self._waiting.pop(number), _NO_PICTURE), time=time)
            kept = self._waiting.pop(frame.pts, None)
            if kept is None:
                continue
            if frame.is_corrupt:
                self._spoiled = self._spoiled or _DAMAGED
            elif frame.key_frame:
                self._spoiled = ''
            if self._spoiled:
                yield replace(_refused(kept, self._spoiled), time=time)
                continue
            rgb = frame.to_ndarray(format='rgb24')
            yield replace(
                kept,
                time=time,
                serialised=b'',
                message=SimpleNamespace(
                    header=kept.message.header,
                    height=rgb.shape[0],
                    width=rgb.shape[1],
                    encoding='rgb8',
                    is_bigendian=0,
                    step=3 * rgb.shape[1],
                    data=np.ascontiguousarray(rgb).reshape(-1),
                ),
            )


class _Places:
    """Numbers of the packets of a stream, or their stamps, -> whether one is missing."""

    def __init__(self) -> None:
        self.reordered = False
        """Whether packets come in another order than their pictures; then nobody can tell."""
        self._last: float | None = None
        self._steps: deque[float] = deque(maxlen=_STEPS)

    def lacks_one(self, number: int | None, stamp: float) -> bool:
        """Take a packet; whether one before it is lost.

        Args:
            number: Its `pts`; None where its type has none.
            stamp: Of its header, for those [s].
        """
        place = stamp if number is None else float(number)
        last, self._last = self._last, place
        if last is None or place == last:
            return False
        self.reordered |= place < last
        usual = float(np.median(self._steps)) if self._steps else np.inf
        self._steps.append(place - last)
        return not self.reordered and place - last > _GAP * usual


# Of so many steps between packets the median is the usual one; so much more, and one is lost.
_STEPS, _GAP = 31, 1.7
_LOST = 'a packet before it is lost, and no key frame came since'
_DAMAGED = 'a packet before it is damaged, and no key frame came since'
# No codec holds back more pictures than this to put them in order.
_MOST_REORDERED = 16
_NO_PICTURE = 'the packet comes before the first key frame, or its key frame is lost'


def _decoder(name: str) -> str:
    """The decoder for what an encoder is called, such as 'libx264' or 'hevc;yuv420p'."""
    import av

    first, *formats = re.split(r'[;/, ]', name.strip().lower())
    if {'16uc1', '32fc1'} & set(formats):
        raise ValueError('it holds depth images; name the topic of the colour camera')
    found = next((codec for part, codec in _DECODERS.items() if part in first), first)
    if found not in av.codecs_available:
        raise ValueError(
            f'the video codec {name!r} is not known to PyAV; record compressed pictures, or one '
            f'of {sorted(set(_DECODERS.values()))}'
        )
    return found


def _refused(recorded: RecordedMessage, reason: str) -> RecordedMessage:
    message = SimpleNamespace(**vars(recorded.message), refused=f'Camera video: {reason}.')
    return replace(recorded, message=message)

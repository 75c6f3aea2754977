# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Packets of a video codec are pictures like any others, each with the stamp that it came with."""

import fractions

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from ros2_gridsampler.bags.bag_reader import read_messages, read_topics
from ros2_gridsampler.bags.bag_types import _VIDEO_PACKETS
from ros2_gridsampler.bags.camera_health import CameraHealth
from ros2_gridsampler.bags.video_packets import COMPRESSED_VIDEO, FFMPEG
from ros2_gridsampler.seeing.camera_message import camera_info_topic, decode_image, stamp_seconds

av = pytest.importorskip('av', reason='PyAV is not installed; pip install .[evaluate]')
TYPES = get_typestore(Stores.ROS2_JAZZY)
for name, text in _VIDEO_PACKETS.items():
    TYPES.register(get_types_from_msg(text, name))
TOPIC, FRAMES = '/front/image_raw/ffmpeg', 40


def picture(number):
    """Grey, with a bright bar whose place says which picture it is."""
    rgb = np.full((96, 160, 3), 60, np.uint8)
    rgb[:, 4 * (number % 38) : 4 * (number % 38) + 8] = 220
    return rgb


def number_of(rgb):
    return int(np.argmax(rgb[:, :, 1].astype(int).sum(0)) // 4)


def encode(codec='libx264', **options):
    """Packets of `FRAMES` pictures, in the order in which they leave the encoder."""
    context = av.CodecContext.create(codec, 'w')
    context.width, context.height, context.pix_fmt = 160, 96, 'yuv420p'
    context.time_base = fractions.Fraction(1, 20)
    context.gop_size = 10
    context.options = {'preset': 'ultrafast', **options}
    packets = []
    for number in range(FRAMES):
        frame = av.VideoFrame.from_ndarray(picture(number), format='rgb24')
        frame.pts = number
        packets += context.encode(frame)
    return [*packets, *context.encode(None)]


def write(path, packets, encoding='libx264', kind=FFMPEG):
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(TOPIC, kind, typestore=TYPES)
        for place, packet in enumerate(packets):
            stamp = TYPES.types['builtin_interfaces/msg/Time'](sec=10, nanosec=packet.pts * 10**6)
            data = np.frombuffer(bytes(packet), np.uint8)
            if kind == FFMPEG:
                header = TYPES.types['std_msgs/msg/Header'](stamp=stamp, frame_id='front')
                fields = {
                    'header': header, 'width': 160, 'height': 96, 'encoding': encoding,
                    'pts': packet.pts, 'flags': 0, 'is_bigendian': False, 'data': data,
                }  # fmt: skip
            else:
                fields = {'timestamp': stamp, 'frame_id': 'front', 'data': data, 'format': 'h264'}
            message = TYPES.types[kind](**fields)
            nanoseconds = 10 * 10**9 + place * 10**6 + 500
            writer.write(connection, nanoseconds, TYPES.serialize_cdr(message, kind))
    return path


@pytest.mark.parametrize('kind', [FFMPEG, COMPRESSED_VIDEO])
@pytest.mark.parametrize('encoding', ['libx264', 'h264_nvenc', 'h264;yuv420p;bgr8;bgr8'])
def test_every_packet_gives_its_own_picture_with_its_own_stamp(tmp_path, kind, encoding):
    packets = encode(tune='zerolatency')
    bag = write(tmp_path / 'bag', packets, encoding, kind)
    assert read_topics(bag) == {TOPIC: kind}
    messages = list(read_messages(bag))
    assert len(messages) == FRAMES
    for number, recorded in enumerate(messages):
        assert number_of(decode_image(recorded.message)) == number % 38
        assert stamp_seconds(recorded.message.header.stamp) == pytest.approx(10 + 1e-3 * number)


def test_pictures_that_a_codec_holds_back_keep_their_stamps(tmp_path):
    packets = encode(bf='2', **{'x264-params': 'bframes=2:b-adapt=0'})
    order = [packet.pts for packet in packets]
    assert order != sorted(order), 'this encoder sends pictures out of order'
    bag = write(tmp_path / 'bag', packets)
    found = {}
    for recorded in read_messages(bag):
        stamp = stamp_seconds(recorded.message.header.stamp)
        found[round(1e3 * (stamp - 10))] = number_of(decode_image(recorded.message))
    assert len(found) == FRAMES
    assert all(shown == number % 38 for number, shown in found.items())


def test_packets_without_their_key_frame_are_counted_as_broken_and_the_rest_is_read(tmp_path):
    packets = encode(tune='zerolatency')
    bag = write(tmp_path / 'bag', packets[3:])
    health = CameraHealth()
    for recorded in read_messages(bag):
        health.add(recorded.message)
    assert health.pictures == FRAMES - 3
    assert health.broken == 7, 'up to the next key frame, which is the eleventh packet'
    assert 'key frame' in health.reason or 'cannot be decoded' in health.reason


@pytest.mark.parametrize('kind', [FFMPEG, COMPRESSED_VIDEO])
@pytest.mark.parametrize('damage', ['lost', 'key lost', 'cut'])
def test_no_picture_is_believed_behind_a_packet_that_is_lost_or_damaged(tmp_path, kind, damage):
    packets = encode(tune='zerolatency')
    kept = [p for p in packets if p.pts != {'lost': 23, 'key lost': 20}.get(damage)]
    if damage == 'cut':
        cut = av.Packet(bytes(packets[23])[: packets[23].size // 2])
        cut.pts = 23
        kept[23] = cut
    refused, numbers = [], []
    for recorded in read_messages(write(tmp_path / 'bag', kept, kind=kind)):
        number = round(1e3 * (stamp_seconds(recorded.message.header.stamp) - 10))
        try:
            shown = number_of(decode_image(recorded.message))
        except ValueError as error:
            refused.append((number, str(error)))
        else:
            numbers.append(number)
            assert shown == number % 38
    spoiled = {'lost': range(24, 30), 'key lost': range(21, 30), 'cut': range(23, 30)}[damage]
    assert sorted(n for n, _ in refused) == [*spoiled], 'the next key frame is packet 30'
    assert all('key frame' in text or 'cannot be decoded' in text for _, text in refused)
    assert len(numbers) + len(refused) == len(kept)


def test_av1_is_decoded(tmp_path):
    codec = 'libsvtav1'
    if codec not in av.codecs_available or 'libdav1d' not in av.codecs_available:
        pytest.skip(f'this PyAV has no {codec} and libdav1d')
    options = {'preset': '8', 'svtav1-params': 'pred-struct=1:lookahead=0'}
    bag = write(tmp_path / 'bag', encode(codec, **options), codec)
    shown = [decode_image(m.message).astype(int) for m in read_messages(bag)]
    known = [picture(number) for number in range(38)]
    # Its edges are too soft for `number_of`.
    nearest = [int(np.argmin([np.abs(rgb - each).mean() for each in known])) for rgb in shown]
    assert nearest == [number % 38 for number in range(FRAMES)]


def test_a_codec_that_nobody_knows_and_depth_are_refused_with_a_sentence(tmp_path):
    packets = encode(tune='zerolatency')
    for encoding, words in (
        ('acme9;rgba', "video codec 'acme9;rgba' is not known"),
        ('ffv1;gray16le;16UC1;16UC1', 'depth images'),
    ):
        bag = write(tmp_path / encoding[:3], packets[:3], encoding)
        for recorded in read_messages(bag):
            with pytest.raises(ValueError, match=words):
                decode_image(recorded.message)


def test_a_video_has_its_camera_info_beside_it_like_any_pictures():
    for last in ('', '/compressed', '/ffmpeg'):
        assert camera_info_topic(f'/front/image_raw{last}') == '/front/camera_info'

# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A picture comes out of a message as it was taken, or a sentence says why not."""

import array
import subprocess
import sys
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from ros2_gridsampler.seeing import camera_message
from ros2_gridsampler.seeing.camera_message import (
    TRANSPORTS,
    UncalibratedCamera,
    camera_info_topic,
    decode_image,
    encode_jpeg,
    intrinsics,
    stamp_seconds,
)
from ros2_gridsampler.seeing.opencv import MissingOpenCv, has_opencv

STORE = get_typestore(Stores.ROS2_JAZZY)
HEADER = STORE.types['std_msgs/msg/Header'](
    stamp=STORE.types['builtin_interfaces/msg/Time'](sec=3, nanosec=500_000_000), frame_id='camera'
)
COLOURS = {'rgb8': (0, 1, 2), 'bgr8': (2, 1, 0), 'rgba8': (0, 1, 2, 0), 'bgra8': (2, 1, 0, 0)}


def image(encoding, width, height, step, data, is_bigendian=0):
    return STORE.types['sensor_msgs/msg/Image'](
        HEADER, height, width, encoding, is_bigendian, step, np.frombuffer(data, np.uint8)
    )


def compressed(label, data):
    return STORE.types['sensor_msgs/msg/CompressedImage'](
        HEADER, label, np.frombuffer(data, np.uint8)
    )


def scene(height=48, width=64):
    """A smooth picture, so that JPEG changes little; red left, blue below."""
    rows, columns = np.mgrid[:height, :width]
    red, blue = 255 * (1 - columns / width), 255 * rows / height
    return np.stack([red, np.full_like(red, 40), blue], -1).astype(np.uint8)


@st.composite
def pictures(draw):
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def padded(rows, padding):
    """Rows of bytes, with rubbish after each."""
    rubbish = np.full((len(rows), padding), 171, np.uint8)
    return np.hstack([rows, rubbish]).tobytes(), rows.shape[1] + padding


@given(rgb=pictures(), encoding=st.sampled_from(sorted(COLOURS)), padding=st.integers(0, 5))
def test_colours_and_padding_do_not_matter(rgb, encoding, padding):
    height, width = rgb.shape[:2]
    data, step = padded(rgb[..., COLOURS[encoding]].reshape(height, -1), padding)
    decoded = decode_image(image(encoding, width, height, step, data))
    np.testing.assert_array_equal(decoded, rgb)


@given(rgb=pictures(), padding=st.integers(0, 5), big=st.booleans())
def test_grey_of_both_depths_becomes_the_same_rgb(rgb, padding, big):
    grey = rgb[..., 0]
    height, width = grey.shape
    data, step = padded(grey, padding)
    expected = np.repeat(grey[..., None], 3, 2)
    np.testing.assert_array_equal(
        decode_image(image('mono8', width, height, step, data)), expected
    )
    deep = (grey.astype(np.uint16) * 257).astype('>u2' if big else '<u2')
    data, step = padded(deep.view(np.uint8).reshape(height, -1), padding)
    np.testing.assert_array_equal(
        decode_image(image('mono16', width, height, step, data, int(big))), expected
    )


@pytest.mark.parametrize('make', [bytes, lambda data: array.array('B', data)])
def test_rgb_is_read_where_it_lies(make):
    data = make(scene().tobytes())
    message = SimpleNamespace(
        encoding='rgb8', height=48, width=64, step=192, is_bigendian=0, data=data
    )
    decoded = decode_image(message)
    np.testing.assert_array_equal(decoded, scene())
    assert np.shares_memory(decoded, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize(
    ('label', 'extension'),
    [
        ('jpeg', '.jpg'),
        ('rgb8; jpeg compressed bgr8', '.jpg'),
        ('png', '.png'),
        ('bgr8; png compressed bgr8', '.png'),
    ],
)
def test_compressed_pictures_keep_their_colours(label, extension):
    data = cv2.imencode(extension, scene()[..., ::-1])[1].tobytes()
    difference = decode_image(compressed(label, data)).astype(int) - scene()
    assert np.abs(difference).mean() < 3


def test_a_jpeg_stored_without_swapping_keeps_its_colours():
    data = cv2.imencode('.png', scene())[1].tobytes()
    decoded = decode_image(compressed('rgb8; png compressed rgb8', data))
    np.testing.assert_array_equal(decoded, scene())


def test_what_is_encoded_is_decoded():
    data = encode_jpeg(scene(), quality=95)
    difference = decode_image(compressed('jpeg', data)).astype(int) - scene()
    assert np.abs(difference).max() < 12


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
def test_a_file_cut_anywhere_is_refused(extension):
    data = cv2.imencode(extension, scene())[1].tobytes()
    for size in (1, 3, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match='cut short|neither JPEG nor PNG'):
            decode_image(compressed('jpeg', data[:size]))


@given(
    extension=st.sampled_from(['.jpg', '.png']),
    progressive=st.booleans(),
    restarts=st.sampled_from([0, 1, 7]),
    behind=st.one_of(st.binary(max_size=300), st.just(b'\xff\xd8 the rest of an older one')),
)
def test_a_whole_file_with_bytes_behind_its_end_is_whole(extension, progressive, restarts, behind):
    options = {
        '.jpg': [
            cv2.IMWRITE_JPEG_PROGRESSIVE,
            int(progressive),
            cv2.IMWRITE_JPEG_RST_INTERVAL,
            restarts,
        ],
        '.png': [],
    }[extension]
    data = cv2.imencode(extension, scene(), options)[1].tobytes()
    expected = decode_image(compressed('', data))
    np.testing.assert_array_equal(decode_image(compressed('', data + behind)), expected)
    with pytest.raises(ValueError, match='cut short'):
        decode_image(compressed('', data[: -len(data) // 3]))


def test_a_thumbnail_inside_a_jpeg_is_not_its_end():
    data = cv2.imencode('.jpg', scene())[1].tobytes()
    small = cv2.imencode('.jpg', scene(8, 8))[1].tobytes()
    exif = b'\xff\xe1' + (len(small) + 2).to_bytes(2, 'big') + small
    held = data[:2] + exif + data[2:]
    np.testing.assert_array_equal(
        decode_image(compressed('', held + b'xyz')), decode_image(compressed('', data))
    )


@pytest.mark.parametrize(
    ('label', 'extension'),
    [
        ('16UC1; png compressed', '.png'),
        ('16UC1; jpeg compressed ', '.jpg'),
        ('32FC1; compressedDepth png', '.png'),
        ('16UC1; compressedDepth', '.png'),
        ('16SC1; png compressed 16SC1', '.png'),
    ],
)
def test_depth_is_no_picture_though_its_bytes_could_be_one(label, extension):
    data = cv2.imencode(extension, scene())[1].tobytes()
    with pytest.raises(ValueError, match='holds depth or other numbers, not a picture'):
        decode_image(compressed(label, data))


@pytest.mark.parametrize(
    ('encoding', 'as_ros'), [('8UC3', 'bgr8'), ('8UC1', 'mono8'), ('8UC4', 'bgra8')]
)
def test_the_names_of_opencv_are_those_of_ros(encoding, as_ros):
    channels = int(encoding[-1])
    data = np.random.default_rng(0).integers(0, 256, (6, 8 * channels), np.uint8).tobytes()
    found, expected = (
        decode_image(image(name, 8, 6, 8 * channels, data)) for name in (encoding, as_ros)
    )
    np.testing.assert_array_equal(found, expected)


def test_a_picture_of_a_size_that_no_camera_has_is_refused():
    picture = cv2.imencode('.png', np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    header = b'IHDR' + (100_000).to_bytes(4, 'big') * 2 + picture[24:29]
    huge = picture[:12] + header + zlib.crc32(header).to_bytes(4, 'big') + picture[33:]
    with pytest.raises(ValueError, match='damaged'):
        decode_image(SimpleNamespace(format='png', data=huge))
    # Within OpenCV's own limit; ours counts where nothing has loaded OpenCV before.
    code = (
        'import numpy as np\n'
        'from ros2_gridsampler.seeing.opencv import opencv\n'
        'cv2 = opencv()\n'
        "data = cv2.imencode('.png', np.zeros((8200, 8200), np.uint8))[1]\n"
        'try:\n    cv2.imdecode(data, cv2.IMREAD_COLOR)\n'
        "except cv2.error:\n    print('refused')\n"
    )
    said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert said.stdout == 'refused\n'


def test_the_mosaic_of_a_sensor_is_no_grey_picture():
    mosaic = cv2.imencode('.png', np.zeros((8, 8), np.uint8))[1].tobytes()
    label = 'bayer_rggb8; png compressed '
    with pytest.raises(ValueError, match='raw mosaic of the sensor'):
        decode_image(SimpleNamespace(format=label, data=mosaic))


def test_a_damaged_file_is_refused():
    with pytest.raises(ValueError, match='damaged'):
        decode_image(compressed('jpeg', b'\xff\xd8' + bytes(200) + b'\xff\xd9'))


@pytest.mark.parametrize(
    ('message', 'words'),
    [
        (image('rgb8', 4, 4, 12, bytes(47)), '47 bytes, but 4 rows of step 12 are 48'),
        (image('rgb8', 4, 4, 11, bytes(48)), 'step 11, but 4 pixels'),
        (image('rgb8', 0, 0, 0, b''), 'empty'),
        (image('rgb8', 4, 4, 12, b''), 'empty'),
        (image('16UC1', 4, 4, 8, bytes(32)), "'16UC1' is not supported; publish one of"),
        (compressed('jpeg', b''), 'empty'),
        (compressed('16UC1; compressedDepth', bytes(90)), 'depth or other numbers'),
        (compressed('jpeg', bytes(90)), 'neither JPEG nor PNG'),
    ],
)
def test_what_cannot_be_a_picture_is_refused_with_words(message, words):
    with pytest.raises(ValueError, match=words):
        decode_image(message)


def test_the_ros_1_cv_bridge_of_pypi_is_never_imported(tmp_path, monkeypatch):
    (tmp_path / 'cv_bridge').mkdir()
    (tmp_path / 'cv_bridge' / '__init__.py').write_text('raise RuntimeError("imported")')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    with pytest.raises(ValueError, match='or install cv_bridge of your ROS 2'):
        decode_image(image('bayer_rggb16', 4, 4, 8, bytes(32)))


@pytest.fixture
def cv_bridge(tmp_path, monkeypatch):
    """Installs a cv_bridge with some source, as a ROS 2 installation does."""

    def install(source):
        package = tmp_path / 'lib' / 'cv_bridge'
        package.mkdir(parents=True)
        (package / '__init__.py').write_text(source)
        index = tmp_path / 'share/ament_index/resource_index/packages'
        index.mkdir(parents=True)
        (index / 'cv_bridge').touch()
        monkeypatch.syspath_prepend(package.parent)
        monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))

    camera_message._cv_bridge.cache_clear()
    yield install
    camera_message._cv_bridge.cache_clear()
    sys.modules.pop('cv_bridge', None)


def test_a_ros_2_cv_bridge_converts_other_encodings(cv_bridge):
    cv_bridge(
        'import numpy as np\n'
        'class CvBridge:\n'
        '    def imgmsg_to_cv2(self, message, encoding):\n'
        '        if message.encoding != "bayer_rggb16": raise KeyError(message.encoding)\n'
        '        return np.full((message.height, message.width, 3), 7, np.uint8)\n'
    )
    assert (decode_image(image('bayer_rggb16', 4, 3, 8, bytes(24))) == 7).all()
    with pytest.raises(ValueError, match='cv_bridge cannot convert it either'):
        decode_image(image('strange', 4, 3, 4, bytes(12)))


@pytest.mark.parametrize('error', ['AttributeError("_ARRAY_API not found")', 'SystemError()'])
def test_a_cv_bridge_for_another_numpy_costs_a_picture_only(cv_bridge, error):
    cv_bridge(f'raise {error}\n')
    for _ in range(2):
        with pytest.raises(ValueError, match='cv_bridge cannot be imported'):
            decode_image(image('bayer_rggb16', 4, 4, 8, bytes(32)))
    assert (decode_image(image('bayer_rggb8', 4, 4, 4, bytes(16))) == 0).all()


def mosaic(rgb, order):
    """The grey picture of a sensor whose first 2x2 pixels see these colours."""
    channels = np.array(['rgb'.index(colour) for colour in order]).reshape(2, 2)
    height, width = rgb.shape[:2]
    seen = np.tile(channels, (height // 2, width // 2))
    return np.take_along_axis(rgb, seen[..., None], 2)[..., 0]


def yuv(rgb):
    """Y, U and V by ITU-R BT.601, 16 to 235."""
    weights = np.array(
        [[65.481, 128.553, 24.966], [-37.797, -74.203, 112], [112, -93.786, -18.214]]
    )
    made = rgb @ weights.T / 255 + [16, 128, 128]
    return np.moveaxis(np.round(made).astype(np.uint8), -1, 0)


def packed(rgb, order):
    """Two pixels as four bytes in the order of the letters."""
    y, u, v = yuv(rgb)
    luma = iter((y[:, ::2], y[:, 1::2]))
    parts = {'u': u[:, ::2], 'v': v[:, ::2]}
    return np.stack([parts[c] if c in parts else next(luma) for c in order], -1)


def planes(rgb, order):
    """Y, below it the colours of every 2x2 pixels in the order of the letters."""
    y, u, v = yuv(rgb)
    both = np.stack([{'u': u, 'v': v}[c][::2, ::2] for c in order], -1)
    return np.vstack([y, both.reshape(len(y) // 2, -1)])


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize(
    ('encoding', 'make'),
    [
        ('uyvy', lambda rgb: packed(rgb, 'uyvy')),
        ('yuv422', lambda rgb: packed(rgb, 'uyvy')),
        ('yuyv', lambda rgb: packed(rgb, 'yuyv')),
        ('yuv422_yuy2', lambda rgb: packed(rgb, 'yuyv')),
        ('nv12', lambda rgb: planes(rgb, 'uv')),
        ('nv21', lambda rgb: planes(rgb, 'vu')),
        ('bayer_rggb8', lambda rgb: mosaic(rgb, 'rggb')),
        ('bayer_bggr8', lambda rgb: mosaic(rgb, 'bggr')),
        ('bayer_gbrg8', lambda rgb: mosaic(rgb, 'gbrg')),
        ('bayer_grbg8', lambda rgb: mosaic(rgb, 'grbg')),
    ],
)
def test_what_sensors_send_keeps_its_colours(encoding, make, padding):
    rows = make(scene())
    data, step = padded(rows.reshape(len(rows), -1), padding)
    decoded = decode_image(image(encoding, 64, 48, step, data))
    assert decoded.shape == (48, 64, 3)
    # Neighbours differ by 5; red taken for blue would be off by 85 on average.
    assert np.abs(decoded.astype(int) - scene()).max() <= 12


@pytest.mark.parametrize(
    ('encoding', 'width', 'height'),
    [('uyvy', 3, 2), ('yuyv', 1, 1), ('nv12', 4, 3), ('nv21', 3, 2)],
)
def test_sizes_that_an_encoding_does_not_have_are_refused(encoding, width, height):
    with pytest.raises(ValueError, match='cannot be|even number'):
        decode_image(image(encoding, width, height, 8, bytes(24)))


def camera_info(k, d=(0.1, 0.0, 0.0, 0.0, 0.0)):
    return SimpleNamespace(width=64, height=48, k=k, d=list(d), distortion_model='plumb_bob')


def test_intrinsics_are_read_row_by_row():
    camera = intrinsics(camera_info([50.0, 0.0, 32.0, 0.0, 51.0, 24.0, 0.0, 0.0, 1.0]))
    np.testing.assert_array_equal(camera.matrix, [[50, 0, 32], [0, 51, 24], [0, 0, 1]])
    assert (camera.width, camera.height, camera.distortion_model) == (64, 48, 'plumb_bob')
    np.testing.assert_array_equal(camera.distortion, [0.1, 0, 0, 0, 0])


def test_an_uncalibrated_camera_is_told_from_a_broken_one():
    with pytest.raises(UncalibratedCamera, match='not calibrated'):
        intrinsics(camera_info([0.0] * 9))
    with pytest.raises(ValueError, match='positive focal lengths') as caught:
        intrinsics(camera_info([-1.0] * 9))
    assert not isinstance(caught.value, UncalibratedCamera)


def test_a_stamp_is_seconds():
    assert stamp_seconds(HEADER.stamp) == 3.5


def test_live_messages_are_read_like_recorded_ones():
    messages = pytest.importorskip('sensor_msgs.msg')
    message = messages.Image(encoding='bgr8', height=48, width=64, step=192)
    message.data = scene()[..., ::-1].tobytes()
    np.testing.assert_array_equal(decode_image(message), scene())
    info = messages.CameraInfo(width=64, height=48, k=[50.0, 0, 32, 0, 50, 24, 0, 0, 1])
    assert intrinsics(info).matrix[0, 2] == 32


@pytest.mark.parametrize(
    'between', [b'\xff', b'\xff\xff\xff', b'\xff\x01', b'\x00\x01\x02'], ids=bytes.hex
)
def test_bytes_between_the_segments_of_a_jpeg_do_not_make_it_another(between):
    data = encode_jpeg(scene())
    end = 4 + int.from_bytes(data[4:6], 'big')  # of the first segment
    padded = data[:end] + between + data[end:]
    np.testing.assert_array_equal(
        decode_image(compressed('jpeg', padded)), decode_image(compressed('jpeg', data))
    )
    for length in range(3, len(padded) - 1, 97):
        with pytest.raises(ValueError, match='cut short'):
            decode_image(compressed('jpeg', padded[:length]))


@pytest.mark.parametrize('transport', ['', *(f'/{name}' for name in TRANSPORTS)])
def test_the_camera_info_is_beside_the_pictures_however_they_are_carried(transport):
    assert camera_info_topic(f'/front/image_raw{transport}') == '/front/camera_info'


def test_a_packet_of_a_video_that_is_no_picture_says_why():
    with pytest.raises(ValueError, match='^The packet before it was lost.$'):
        decode_image(SimpleNamespace(refused='The packet before it was lost.'))


@pytest.mark.parametrize(
    'wrong', [np.zeros((2, 2)), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), 'u1')]
)
def test_what_is_no_rgb_picture_becomes_no_jpeg(wrong):
    with pytest.raises(ValueError, match=r'made of uint8 \[height, width, 3\], got'):
        encode_jpeg(wrong)


@pytest.mark.parametrize(
    ('distortion', 'words'),
    [
        ((0.1, np.nan, 0, 0, 0), 'distortion that is not finite'),
        ((0.1, 0.2, 0.3), "'plumb_bob' and has 3 coefficients, expected 0 or 4 or 5"),
    ],
)
def test_a_lens_that_nobody_could_rectify_is_refused(distortion, words):
    with pytest.raises(ValueError, match=words):
        intrinsics(camera_info([50.0, 0, 32, 0, 51, 24, 0, 0, 1], distortion))


def test_without_opencv_a_picture_that_needs_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv2', None)
    plain = image('rgb8', 2, 2, 6, bytes(range(12)))
    assert decode_image(plain).ravel().tolist() == list(range(12))
    with pytest.raises(MissingOpenCv, match='pip install .opencv-python-headless'):
        decode_image(image('bgr8', 2, 2, 6, bytes(12)))
    # Asked for once in a process, so not through its memory.
    assert not has_opencv.__wrapped__()
    monkeypatch.undo()
    assert has_opencv.__wrapped__()

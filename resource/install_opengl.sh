#!/bin/sh
# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
# Headless rendering and OpenCV need OpenGL libraries that pip cannot install.
set -eu
packages='libegl1 libgl1 libegl-mesa0 libgl1-mesa-dri libglib2.0-0'
missing=''
for library in libEGL.so.1 libGL.so.1 libEGL_mesa.so.0 libglib-2.0.so.0; do
    ldconfig -p | grep -q "$library" || missing="$missing $library"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing the OpenGL libraries that are missing:$missing"
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages >/dev/null
else
    echo "Libraries for headless rendering are missing ($missing ): sudo apt-get install $packages" >&2
    exit 1
fi

#!/bin/sh
# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
# check_on_aarch64.sh PIP POLICY WORK: `gridsampler check` of a converted policy on an emulated
# aarch64, in the folder WORK: Debian's Python for arm64, and PyPI's wheels as `.[robot]` names them.
set -eu
pip=$1 policy=$(realpath "$2") work=$(realpath -m "$3")
root=$work/root site=$work/site
fail() { echo "$1" >&2; exit 1; }
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64) ||
    fail 'No emulator of aarch64 found: sudo apt-get install qemu-user-static'

# With lists and an archive of its own: the packages and architectures of this machine stay.
arm64() {
    apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 \
        -o APT::Sandbox::User=root -o Dir::State="$work/apt/state" -o Dir::Cache="$work/apt/cache" \
        -o Dir::State::status=/dev/null -o APT::Install-Recommends=false "$@"
}
rm -rf "$work"
mkdir -p "$root" "$work/apt/state/lists/partial" "$work/apt/cache/archives/partial"
arm64 update
arm64 install --yes --download-only python3 libstdc++6 ||
    fail "apt's sources have no Python for arm64; Ubuntu keeps it on another mirror, so use Debian"
for package in "$work"/apt/cache/archives/*.deb; do dpkg -x "$package" "$root"; done
[ -e "$root/lib" ] || ln -s usr/lib "$root/lib"

python=$(basename "$(readlink "$root/usr/bin/python3")")
# Outside of the clone, whose package Python would take before the installed one.
emulate() (
    cd "$work"
    env PYTHONPATH="$site" PYTHONDONTWRITEBYTECODE=1 \
        "$qemu" -L "$root" "$root/usr/bin/$python" "$@"
)
glibc=$(emulate -c 'import os; print(os.confstr("CS_GNU_LIBC_VERSION").rpartition(".")[2])')
platforms=$(seq -f '--platform=manylinux_2_%g_aarch64' 17 "$glibc")
# Chosen and unpacked by this machine's pip, whose markers are those of x86-64: no requirement of
# the extra has one that asks for the machine.
# shellcheck disable=SC2086
"$pip" install --quiet --disable-pip-version-check --target "$site" --only-binary=:all: \
    --python-version "${python#python}" --platform=manylinux2014_aarch64 $platforms '.[robot]'
emulate -c 'import platform; print(platform.machine(), *platform.libc_ver(), platform.python_version())'
emulate -m ros2_gridsampler.command_line check "$policy" --runs 1
echo 'The time is that of the emulation.'

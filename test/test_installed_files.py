# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What the package brings is found by name, what the user has by path."""

import pytest

from ros2_gridsampler.files import find, names


def test_an_arm_is_found_by_its_name():
    assert find('calibration', 'panda', '.yaml').name == 'panda.yaml'


def test_a_path_comes_before_a_name(tmp_path):
    own = tmp_path / 'panda'
    own.write_text('')
    assert find('calibration', str(own), '.yaml') == own


def test_a_folder_of_that_name_does_not_hide_the_arm(tmp_path, monkeypatch):
    (tmp_path / 'panda').mkdir()
    monkeypatch.chdir(tmp_path)
    assert find('calibration', 'panda', '.yaml').is_file()


def test_a_workspace_that_was_sourced_is_searched(tmp_path, monkeypatch):
    folder = tmp_path / 'share/ros2_gridsampler/calibration'
    folder.mkdir(parents=True)
    (folder / 'mine.yaml').write_text('')
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    assert find('calibration', 'mine', '.yaml') == folder / 'mine.yaml'


def test_only_checkpoints_are_named_as_such():
    assert {'g1_bottle', 'libero_spatial'} <= set(names('models'))
    assert not {'README', 'recipes', 'encoders'} & set(names('models'))


@pytest.mark.parametrize('name', ['nothing', ''])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    with pytest.raises(FileNotFoundError, match="'panda'"):
        find('calibration', name, '.yaml')

# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What others named, linked, labelled or recorded in their own way is read right, or refused."""

import errno
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from arm_recordings import ARM, CAMERA, JOINTS, arm_policy, run_command, wanted, write_arm
from bag_layouts import recording
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.bags.bag_files import DamagedBag
from ros2_gridsampler.bags.bag_reader import find_bags, read_messages, read_topics
from ros2_gridsampler.bags.bag_writer import TYPES, BagWriter, build
from ros2_gridsampler.evaluating.action_scale import UnitWatch
from ros2_gridsampler.evaluating.bag_survey import look_at
from ros2_gridsampler.evaluating.topic_choice import load_topic_choice
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.seeing.joint_states import read_part

FRAMES = 40


def text(data):
    return build('std_msgs/msg/String', data=data)


def write(path, count=5):
    with BagWriter(path) as writer:
        for number in range(count):
            writer.write('/said', text(str(number)), 1.0 + number)
    return path


def write_sqlite(path):
    with Writer(path, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection('/said', 'std_msgs/msg/String', typestore=TYPES)
        for number in range(5):
            data = TYPES.serialize_cdr(text(str(number)), 'std_msgs/msg/String')
            writer.write(connection, number + 1, data)
    return path


@pytest.mark.parametrize('name', ['two words ' * 12, "it's: a #1", '100%?', '- x', 'ünï 袋', '.h'])
def test_a_bag_of_any_name_is_whole(tmp_path, name):
    name = name.strip()
    assert len(list(read_messages(write(tmp_path / name)))) == 5
    old = write_sqlite(tmp_path / 'sqlite')
    (tmp_path / 'old').mkdir()
    odd = shutil.move(old, tmp_path / 'old' / name)
    assert len(list(read_messages(odd))) == 5


def test_linked_folders_are_found_and_a_link_that_leads_nowhere_is_named(tmp_path):
    one, two = write(tmp_path / 'far' / 'one'), write(tmp_path / 'all' / 'two')
    (tmp_path / 'all' / 'linked').symlink_to(one.parent)
    (one.parent / 'round').symlink_to(tmp_path / 'all')
    assert find_bags([tmp_path / 'all']) == [tmp_path / 'all/linked/one', two]
    (tmp_path / 'all' / 'gone.mcap').symlink_to(tmp_path / 'annex')
    with pytest.raises(FileNotFoundError, match=r'gone\.mcap is a link to .*annex'):
        find_bags([tmp_path / 'all'])


@pytest.mark.parametrize('profiles', ['not: [yaml', 'garbage', '- {history: 99}', '- 7', '\0'])
def test_what_a_topic_offers_as_qos_keeps_no_message_from_being_read(tmp_path, profiles):
    bag = write_sqlite(tmp_path / 'bag')
    (file,) = bag.glob('*.db3')
    with closing(sqlite3.connect(file)) as database:
        database.execute('UPDATE topics SET offered_qos_profiles=?', (profiles,))
        database.commit()
    assert [m.message.data for m in read_messages(bag)] == list('01234')


def test_a_definition_in_an_unknown_language_costs_no_other_topic(tmp_path):
    bag = write_sqlite(tmp_path / 'bag')
    (file,) = bag.glob('*.db3')
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE message_definitions SET encoding='unknown'")
        database.commit()
    assert [m.message.data for m in read_messages(bag)] == list('01234')


def test_a_ros_1_bag_that_was_converted_to_mcap_is_read(tmp_path):
    from mcap.writer import Writer as McapWriter

    store = get_typestore(Stores.ROS1_NOETIC)
    kind = 'sensor_msgs/msg/JointState'
    writer = McapWriter(str(tmp_path / 'one.mcap'))
    writer.start('ros1')
    definition, _ = store.generate_msgdef(kind)
    schema = writer.register_schema('sensor_msgs/JointState', 'ros1msg', definition.encode())
    channel = writer.register_channel('/joint_states', 'ros1', schema)
    header = store.types['std_msgs/msg/Header'](
        seq=7, stamp=store.types['builtin_interfaces/msg/Time'](sec=3, nanosec=5), frame_id='base'
    )
    for number in range(3):
        message = store.types[kind](
            header=header,
            name=['elbow'],
            position=np.array([0.5 * number]),
            velocity=np.empty(0),
            effort=np.empty(0),
        )
        data = bytes(store.serialize_ros1(message, kind))
        writer.add_message(channel, number + 1, data, number + 1)
    writer.finish()
    found = [m.message for m in read_messages(tmp_path / 'one.mcap')]
    assert [m.position[0] for m in found] == [0, 0.5, 1]
    assert {(m.header.stamp.sec, m.header.frame_id) for m in found} == {(3, 'base')}


def test_messages_of_another_type_on_the_same_topic_are_a_loss_and_no_error(tmp_path):
    messages = recording(10)
    said = [m for m in messages if m.topic == '/said']
    other = [type(m)('/joint_states', m.type, m.time + 1, m.data) for m in said[:3]]
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        known = {}
        for m in [*messages, *other]:
            key = m.topic, m.type
            if key not in known:
                known[key] = writer.add_connection(*key, typestore=TYPES)
            writer.write(known[key], m.time, m.data)
    assert read_topics(tmp_path / 'bag')['/joint_states'] == 'sensor_msgs/msg/JointState'
    names = []
    with pytest.raises(DamagedBag, match='3 of /joint_states as std_msgs/msg/String instead of'):
        for m in read_messages(tmp_path / 'bag', ('/joint_states',)):
            names.append(m.message.name)
    assert len(names) == 10


def test_a_full_disk_leaves_nothing_of_a_bag(tmp_path, monkeypatch):
    with pytest.raises(OSError, match='No space'), BagWriter(tmp_path / 'bag') as writer:
        writer.write('/said', text('x'), 1.0)

        close = writer._writer.close

        def full():
            close()
            raise OSError(errno.ENOSPC, 'No space left on device')

        monkeypatch.setattr(writer._writer, 'close', full)
    assert list(tmp_path.iterdir()) == []


def test_joint_states_of_other_joints_need_no_positions():
    there, values = read_part(['left_wheel', 'right_wheel'], [], ['elbow'])
    assert not there.size
    assert not values.size
    with pytest.raises(ValueError, match='2 names but 0 positions'):
        read_part(['left_wheel', 'elbow'], [], ['elbow'])


def test_a_camera_topic_without_pictures_is_refused_before_training(tmp_path):
    bag = write(tmp_path / 'bag')
    with pytest.raises(ValueError, match='/said should be a camera, but is of type std_msgs'):
        look_at(bag, {'camera front': '/said'}, ['/said'])


@pytest.mark.parametrize(
    'content', ['cameras: {front: [/a, /b]}', 'joint_names: {elbow: 3}', 'gripper_joints: [1]']
)
def test_a_file_of_topics_holds_texts_alone(tmp_path, content):
    (tmp_path / 'topics.yaml').write_text(content)
    with pytest.raises(ValueError, match='must hold texts'):
        load_topic_choice(tmp_path / 'topics.yaml')


@pytest.fixture(scope='module')
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp('policy') / 'policy'
    save_checkpoint(arm_policy(), folder, training={}, results={})
    return folder


def changed(bag, out, change):
    """The same bag; `change` gives the messages that each becomes, with their times."""
    with BagWriter(out) as writer:
        for m in read_messages(bag):
            for message, time in change(m):
                writer.write(m.topic, message, time)
    return out


def report_of(out):
    return json.loads((out / 'report.json').read_text())


def test_a_recording_in_degrees_is_in_doubt(tmp_path, policy):
    bag = write_arm(tmp_path / 'arm', FRAMES)

    def degrees(m):
        if m.topic == '/joint_states':
            m.message.position = np.rad2deg(m.message.position)
        yield m.message, m.time

    odd = changed(bag, tmp_path / 'degrees', degrees)
    assert run_command((bag,), policy, tmp_path / 'good', bag=False) == 0
    assert run_command((odd,), policy, tmp_path / 'out', bag=False) == 1
    report = report_of(tmp_path / 'out')
    assert not report['complete']
    assert 'Recorded states: ' in report['problems'][0]
    assert 'degrees, percent or millimetres' in report['problems'][0]


@pytest.mark.parametrize('factor', [180 / np.pi, 1000, 1e300])
def test_numbers_in_other_units_are_told_from_those_of_the_arm(factor):
    space, limits = arm_policy().config.action_space, load_arm(ARM)
    good, odd = (UnitWatch('Recorded actions', space, limits) for _ in range(2))
    for time in np.linspace(100, 104, 50):
        good.add(wanted(time))
        odd.add(factor * wanted(time))
    assert good.problem == ''
    assert 'Recorded actions: ' in odd.problem
    assert any(name in odd.problem for name in JOINTS)


def test_frames_that_came_twice_count_once(tmp_path, policy):
    bag = write_arm(tmp_path / 'arm', FRAMES)
    twice = changed(
        bag, tmp_path / 'twice', lambda m: [(m.message, m.time), (m.message, m.time + 1e-4)]
    )
    run_command((bag,), policy, tmp_path / 'one', bag=False)
    assert run_command((twice,), policy, tmp_path / 'two', bag=False) == 0
    one, two = report_of(tmp_path / 'one'), report_of(tmp_path / 'two')
    assert two['pictures'] == one['pictures'] == FRAMES
    assert two['mean_absolute_error_overall'] == pytest.approx(one['mean_absolute_error_overall'])
    assert any(f'{FRAMES} of {2 * FRAMES} frames came twice' in text for text in two['problems'])


def test_a_verdict_does_not_rest_on_the_begin_of_a_recording_whose_camera_stopped(
    tmp_path, policy
):
    bag = write_arm(tmp_path / 'arm', 80)
    stopped = changed(
        bag,
        tmp_path / 'stopped',
        lambda m: [(m.message, m.time)] if m.topic != CAMERA or m.time < 101.0 else [],
    )
    assert run_command((stopped,), policy, tmp_path / 'out', bag=False) == 1
    report = report_of(tmp_path / 'out')
    assert 55 <= report['pictures_missing'] <= 60
    assert report['verdict'].startswith('No verdict')


def test_two_cameras_on_one_topic_are_a_doubt(tmp_path, policy):
    def mix(m):
        if m.topic == CAMERA and round((m.time - 100) / 0.05) % 2:
            m.message.header.frame_id = 'back'
        yield m.message, m.time

    odd = changed(write_arm(tmp_path / 'arm', FRAMES), tmp_path / 'odd', mix)
    assert run_command((odd,), policy, tmp_path / 'out', bag=False) == 1
    said = "camera front (/front/image_raw/compressed): its pictures are of ['back', 'front']"
    assert said in report_of(tmp_path / 'out')['problems'][0]


def test_actions_that_cannot_be_read_are_a_doubt(tmp_path, policy):
    bag = write_arm(tmp_path / 'arm', FRAMES)

    def spoil(m):
        if m.topic == '/arm/joint_trajectory' and 100.5 < m.time < 101:
            m.message.points[0].positions = np.full(3, np.nan)
        yield m.message, m.time

    odd = changed(bag, tmp_path / 'odd', spoil)
    assert run_command((odd,), policy, tmp_path / 'out', bag=False) == 1
    assert not report_of(tmp_path / 'out')['complete']


def test_a_plan_of_several_points_is_not_compared_as_if_it_were_one(tmp_path, policy):
    bag = write_arm(tmp_path / 'arm', FRAMES)
    second = type(build('builtin_interfaces/msg/Duration', sec=1, nanosec=0))

    def plan(every, after):
        def change(m):
            if m.topic == '/arm/joint_trajectory':
                point = m.message.points[0]
                later = replace(point, time_from_start=second(sec=0, nanosec=round(after * 1e9)))
                m.message.points.append(later)
                if round((m.time - 100) / 0.05) % every:
                    return
            yield m.message, m.time

        return change

    for name, change, plans in (('plan', plan(10, 0.1), 4), ('chunk', plan(1, 0.05), 0)):
        odd = changed(bag, tmp_path / name, change)
        assert run_command((odd,), policy, tmp_path / f'{name}_out', bag=False) == bool(plans)
        report = report_of(tmp_path / f'{name}_out')
        said = f'{plans} messages on /arm/joint_trajectory are plans'
        assert any(said in text for text in report['problems']) == bool(plans)


def test_results_among_the_recordings_are_no_recordings(tmp_path, policy):
    bags = tmp_path / 'bags'
    for name in ('one', 'two'):
        write_arm(bags / name, 12)
    for _ in range(2):
        run_command((bags,), policy, bags / 'out')
        assert report_of(bags / 'out')['bags'] == ['one', 'two']
    assert (bags / 'out/one/predictions/metadata.yaml').is_file()
    with pytest.raises(ValueError, match='into the recording itself'):
        run_command((bags,), policy, bags)
    assert not (bags / 'one/report.json').exists()

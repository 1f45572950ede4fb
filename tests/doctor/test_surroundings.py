"""What the machine gives: settings, one local file system with room, a clock, wake-ups."""

from __future__ import annotations

import errno
import os
import platform
from typing import TYPE_CHECKING

import pytest

from doctor.wards import NOTE, PROBLEM, QUIET, NoWatch, fix, found, healthy, left_alone, look, world_at
from engine.children import Child
from engine.worlds import Q, World, plain_name
from support import kernels
from support.mounts import MS_BIND, mounted
from workqueue.doctor.examination import doctor
from workqueue.doctor.patient import Machine
from workqueue.engine.root import init
from workqueue.errors import BadSetting, NewerFormat, NotARoot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOUR = 3600.0


# -- format and settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_attempts = ", "no TOML"),
        ("max_atempts = 3", "did you mean 'max_attempts'?"),
        ("[queues.default]\ntimeout = 'soon'", "queues.default: timeout 'soon'"),
        ("queues = 3", "queues must be tables"),
    ],
)
def test_settings_that_cannot_be_read_are_told_and_the_rest_is_examined(world: World, text: str, message: str) -> None:
    with open(f"{world.path}/fsq.toml", "w") as file:
        file.write(text)
    os.rmdir(world.at("held"))
    world.plant("x", state="corrupt")
    report = look(world)
    assert [finding.check for finding in report.findings] == ["layout", "settings"]
    assert message in report.findings[1].message
    assert "nothing can be submitted or run" in report.findings[1].message
    assert report.findings[1].path == f"{world.path}/fsq.toml"
    assert {"corrupt", "running", "keys"} <= set(report.left_out)
    report = fix(world)
    assert [(each.check, each.fixed) for each in report.findings] == [("layout", True), ("settings", False)]
    assert report.status == 1


def test_a_settings_file_that_is_none_is_a_problem(world: World) -> None:
    os.mkdir(f"{world.path}/fsq.toml")
    finding = left_alone(world, "settings", PROBLEM)
    assert "not a regular file" in finding.message


def test_settings_of_a_queue_that_is_not_there_are_noted(world: World) -> None:
    with open(f"{world.path}/fsq.toml", "w") as file:
        file.write("[queues.default]\ntimeout = '1m'\n[queues.defualt]\ntimeout = '1h'\n")
    finding = left_alone(world, "settings", NOTE)
    assert finding.message == "settings for a queue 'defualt', which is not there; did you mean 'default'?"


def test_a_mistake_in_the_environment_is_the_caller_s(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSQ_TIMEOUT", "soon")
    with pytest.raises(BadSetting, match="environment: timeout"):
        look(world)


@pytest.mark.parametrize(
    ("text", "error"), [(None, NotARoot), ("", NotARoot), ("rubbish", NotARoot), ("2 x", NewerFormat)]
)
def test_what_is_no_root_or_a_later_one_is_an_ordinary_error(root: str, text: str | None, error: type) -> None:
    own = world_at(root)
    path = own.root.dot("format")
    os.unlink(path)
    if text is not None:
        with open(path, "w") as file:
            file.write(text)
    for act in (look, fix):
        with pytest.raises(error):
            act(own)


# -- the file system -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs", "cifs"])
def test_a_network_file_system_is_a_problem(world: World, tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:26 / {world.path} rw - {kind} server:/x rw\n")
    finding = left_alone(world, "file system", PROBLEM, machine=Machine(str(mounts), watch=no_watch))  # type: ignore[arg-type]
    assert finding.message.startswith(f"{kind} does not tell of other machines' changes")


def no_watch(*_: object) -> NoWatch:
    """Where inotify is blind nobody asks for a watch."""
    raise AssertionError


def test_something_mounted_inside_the_root_is_a_problem(world: World, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    lines = [
        f"3{n} 22 254:0 /x {path} rw - ext4 /dev/vda rw\n" for n, path in enumerate((world.at("new"), world.path + "x"))
    ]
    mounts.write_text("22 1 254:0 / / rw - ext4 /dev/vda rw\n" + "".join(lines))
    finding = left_alone(world, "file system", PROBLEM, machine=Machine(str(mounts), watch=NoWatch))  # type: ignore[arg-type]
    assert finding.path == world.at("new")


def test_really_mounted_directories_are_found(root: str, tmp_path: Path) -> None:
    """Another file system, and a directory of the same one."""
    own = world_at(root)
    os.rmdir(own.at("done"))
    with mounted("tmpfs", tmp_path / "root/default/done", "tmpfs", options="mode=700"):
        findings = look(own).findings
        assert [(each.check, each.path) for each in findings] == [
            ("layout", own.at("done")), ("file system", own.at("done")),
        ]  # fmt: skip
        assert findings[0].message.startswith("on another file system")
    os.chmod(own.at("done"), 0o700)
    os.rmdir(own.at("held"))
    (tmp_path / "held").mkdir(mode=0o700)
    with mounted(str(tmp_path / "held"), tmp_path / "root/default/held", "", MS_BIND):
        assert found(own, "file system", PROBLEM).path == own.at("held")


def full(**fields: int) -> Machine:
    """A machine whose file system is what `fields` say."""

    def statvfs(path: str) -> os.statvfs_result:
        real = os.statvfs(path)
        names = (
            "f_bsize",
            "f_frsize",
            "f_blocks",
            "f_bfree",
            "f_bavail",
            "f_files",
            "f_ffree",
            "f_favail",
            "f_flag",
            "f_namemax",
        )
        return os.statvfs_result([fields.get(name, getattr(real, name)) for name in names])

    return Machine(statvfs=statvfs, watch=NoWatch)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"f_bavail": 0}, "the file system is full"),
        ({"f_files": 9, "f_favail": 0}, "no inodes left"),
        ({"f_flag": os.ST_RDONLY}, "the file system is read-only"),
    ],
)
def test_a_file_system_without_room_is_a_problem(world: World, fields: dict[str, int], message: str) -> None:
    assert message in left_alone(world, "space", PROBLEM, machine=full(**fields)).message


def test_a_file_system_that_counts_no_inodes_has_enough(world: World) -> None:
    healthy(world, machine=full(f_files=0, f_favail=0))


def test_less_than_min_free_is_a_problem_of_its_queue(world: World) -> None:
    with open(f"{world.path}/fsq.toml", "w") as file:
        file.write("[queues.default]\nmin_free = '1T'\n")
    world = world_at(world.path)
    finding = left_alone(world, "space", PROBLEM, machine=full(f_bavail=3 << 10, f_frsize=1024))
    assert finding.path == f"{world.path}/{Q}"
    assert finding.message == "3.0 MiB free, min_free is 1.0 TiB: submits are refused"
    healthy(world, machine=full(f_bavail=1 << 30, f_frsize=1024))


def test_a_read_only_root_can_be_examined(root: str, tmp_path: Path) -> None:
    own = world_at(root)
    own.put()
    with mounted(root, tmp_path / "frozen", "", MS_BIND) as frozen:
        from support.mounts import MS_RDONLY, MS_REMOUNT, mount

        mount("", frozen, "", MS_REMOUNT | MS_BIND | MS_RDONLY)
        report = look(world_at_path(frozen, own))
        assert [each.check for each in report.findings] == ["space", "slots"]
        assert "read-only" in report.findings[0].message


def world_at_path(path: str, like: World) -> World:
    """The same root by another path."""
    other = World.__new__(World)
    other.path, other.clock = path, like.clock
    return other


# -- clocks ----------------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_is_noted(world: World) -> None:
    world.clock.step(-HOUR)
    finding = left_alone(world, "clock", NOTE)
    assert "in the future: the clock was set back since" in finding.message
    world.clock.step(HOUR)
    healthy(world)


@pytest.mark.parametrize("state", ["new", "later", "held"])
def test_jobs_that_are_dated_ahead_are_noted(world: World, state: str) -> None:
    ahead = world.clock.now_ms() + 7_200_000
    world.plant(plain_name(ahead), b'{"fsq":1}\n', state)
    world.plant(f"1764000000000-{plain_name(ahead, number=1)}", b'{"fsq":1}\n', state)
    world.plant(plain_name(world.clock.now_ms() + 20_000), b'{"fsq":1}\n', state)
    world.plant("report-2026.zzzzzzzzzzzzzzzzzzzzzzzzz", b"1", state)
    finding = left_alone(world, "clock", NOTE)
    assert finding.path == f"{world.path}/{Q}"
    assert finding.message.startswith("2 names are dated up to 2 h ahead")


# -- wake-ups --------------------------------------------------------------------------------------------------

INOTIFY_INIT = {"x86_64": (253, 294), "aarch64": (26,)}
INOTIFY_ADD_WATCH = {"x86_64": 254, "aarch64": 27}


def without(calls: tuple[int, ...], code: int, world: World) -> list[str]:
    """What is found where the kernel refuses these calls."""

    def work(tell: Callable[[str], None]) -> None:
        for call in calls:
            kernels.refuse(call, code)
        for finding in doctor(world.path, clock=world.clock).findings:
            tell(f"{finding.check}, {finding.level}, {finding.message} -> {finding.remedy}")

    with Child(work) as child:
        return child.hear_all()


def test_without_inotify_instances_workers_poll_and_that_is_a_problem(world: World) -> None:
    [told] = without(INOTIFY_INIT[platform.machine()], errno.EMFILE, world)
    assert told.startswith(
        "wake-ups, problem, no wake-ups: inotify instance limit reached; workers look for jobs up to 1 s late"
    )
    assert "sysctl fs.inotify.max_user_instances, now " in told


def test_without_inotify_watches_workers_poll_and_that_is_a_problem(world: World) -> None:
    [told] = without((INOTIFY_ADD_WATCH[platform.machine()],), errno.ENOSPC, world)
    assert "raise sysctl fs.inotify.max_user_watches, now " in told


def test_a_watch_can_be_made_here_and_is_closed_again(world: World) -> None:
    init(world.path, ("load",), slots=8)
    before = os.listdir("/proc/self/fd")
    healthy(world, machine=Machine())
    assert os.listdir("/proc/self/fd") == before
    assert QUIET.watch is not Machine().watch

"""Owners, groups and modes: told as they differ from what init gives, and set right where they are ours."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from doctor.wards import NOTE, PROBLEM, QUIET, cured, fix, healthy, left_alone, world_at
from engine.children import Child
from engine.worlds import NOBODY, Q, World, nobodys_world
from support.disks import UnsyncedFs
from workqueue.doctor import modes
from workqueue.doctor.examination import doctor
from workqueue.engine.root import init
from workqueue.errors import RootError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GROUP = 100

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def own(root: str) -> World:
    return world_at(root)


def mode_of(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize(
    ("place", "mode", "level", "word"),
    [
        (f"{Q}/new", 0o722, PROBLEM, "can be written by others"),
        (".fsq/keys/1b", 0o702, PROBLEM, "can be written by others"),
        (Q, 0o755, NOTE, "can be read by more than the root itself"),
        (".fsq", 0o500, PROBLEM, "closed to those who are to use it"),
        (".", 0o500, PROBLEM, "closed to those who are to use it"),
        (".", 0o702, PROBLEM, "can be written by others"),
    ],
)
def test_a_private_root_is_open_to_its_owner_alone(own: World, place: str, mode: int, level: Any, word: str) -> None:
    path = os.path.normpath(f"{own.path}/{place}")
    os.chmod(path, mode)
    finding = cured(own, "modes", level)
    assert finding.path == path
    assert finding.message.startswith(word)
    assert mode_of(path) == 0o700


def test_a_directory_that_init_was_told_to_use_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.mkdir()
    path.chmod(0o755)
    init(str(path), fs=UnsyncedFs())
    healthy(world_at(str(path)))


@only_root
def test_what_belongs_to_somebody_else_is_told_and_nothing_is_given_away(own: World) -> None:
    for place in (own.at("new"), own.at("later"), own.root.dot("keys", "00")):
        os.chown(place, NOBODY, -1)
    finding = left_alone(own, "modes", PROBLEM)
    assert "default/later, default/new" in finding.message
    assert finding.remedy == f"as root: chown -R root {own.path}"


# -- a group's root --------------------------------------------------------------------------------------------


@pytest.fixture
def shared(tmp_path: Path) -> World:
    return shared_at(tmp_path, submit_only=False)


def shared_at(directory: Path, *, submit_only: bool) -> World:
    path = str(directory / "shared")
    init(path, group=GROUP, slots=8, submit_only=submit_only, fs=UnsyncedFs())
    return world_at(path)


@only_root
@pytest.mark.parametrize("submit_only", [False, True])
def test_a_group_s_root_as_init_makes_it_is_healthy(tmp_path: Path, *, submit_only: bool) -> None:
    shared = shared_at(tmp_path, submit_only=submit_only)
    shared.put_many([b"1", b"2"])
    shared.put(key="k")
    healthy(shared)


@only_root
@pytest.mark.parametrize(
    ("place", "mode"),
    [(f"{Q}/new", 0o700), (Q, 0o770), (f"{Q}/tmp", 0o2750), (".fsq", 0o700), (".fsq/cancel", 0o770)],
)
def test_what_is_closed_to_the_group_is_opened_again(shared: World, place: str, mode: int) -> None:
    """0770 would be enough to write, but without setgid a member's job would not be the group's to read."""
    path = f"{shared.path}/{place}"
    before = mode_of(path)
    os.chmod(path, mode)
    assert cured(shared, "modes", PROBLEM).path == path
    assert mode_of(path) == before


@only_root
def test_another_group_s_directory_is_given_to_the_root_s(shared: World) -> None:
    path, before = shared.at("later"), mode_of(shared.at("later"))
    os.chown(path, -1, GROUP + 1)
    os.chmod(path, before)
    cured(shared, "modes", PROBLEM)
    assert (os.stat(path).st_gid, mode_of(path)) == (GROUP, before)


@only_root
@pytest.mark.parametrize("part", ["keys/42", "jobs"])
def test_what_is_the_owner_s_alone_is_closed_to_the_group(shared: World, part: str) -> None:
    os.chmod(shared.root.dot(part), 0o770)
    cured(shared, "modes", PROBLEM)
    assert mode_of(shared.root.dot(part)) & 0o077 == 0


def test_a_link_that_came_in_between_is_not_followed(own: World, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o711)
    os.symlink(victim, tmp_path / "link")
    with pytest.raises(OSError, match="link"):
        modes._set(UnsyncedFs(), modes.Wrong(str(tmp_path / "link"), 0o2770, os.getegid()))
    assert mode_of(str(victim)) == 0o711


# -- who looks -------------------------------------------------------------------------------------------------


def as_user(number: int, action: Callable[[], object]) -> str:
    """Run `action` as an ordinary user; returns what came of it."""

    def work(tell: Callable[[str], None]) -> None:
        os.setgroups([])
        os.setresgid(number, number, number)
        os.setresuid(number, number, number)
        try:
            tell(str(action()))
        except RootError as error:
            tell(f"RootError: {error}")

    with Child(work) as child:
        return "\n".join(child.hear_all())


@only_root
def test_an_ordinary_user_repairs_what_was_closed_even_to_him(reachable: Path) -> None:
    world = nobodys_world(reachable)
    for place in (world.at("new"), world.root.dot("jobs")):
        os.chmod(place, 0)

    def act() -> list[tuple[str, bool]]:
        report = doctor(world.path, fix=True, clock=world.clock, machine=QUIET, fs=UnsyncedFs())
        return [(finding.check, finding.fixed) for finding in report.findings]

    assert as_user(NOBODY, act) == str([("modes", True)])
    healthy(world)


@only_root
def test_whoever_may_not_look_is_not_told_that_all_is_well(reachable: Path) -> None:
    world = nobodys_world(reachable)
    for place in (world.path, world.root.dot()):
        os.chmod(place, 0o755)

    def act() -> tuple[int, str, str]:
        report = doctor(world.path, clock=world.clock, machine=QUIET)
        [finding] = [each for each in report.findings if "closed to you" in each.message]
        return report.status, finding.message, finding.remedy

    told = as_user(NOBODY - 1, act)
    assert "(1, 'closed to you, so not all was examined: .fsq/cancel, .fsq/commit, .fsq/jobs and " in told
    assert "run fsq doctor as nobody, to whom the root belongs" in told


@only_root
def test_only_the_owner_may_repair(reachable: Path) -> None:
    world = nobodys_world(reachable)
    healthy(world)
    with pytest.raises(RootError, match="belongs to nobody, who has to repair it: sudo -u nobody fsq doctor --fix"):
        fix(world)
    assert stat.S_IMODE(os.stat(world.path).st_mode) == 0o700

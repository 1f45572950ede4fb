"""What becomes of the files in a folder: a job each, exactly once; what is no file of ours stays, and is told."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from engine.worlds import NOBODY
from pipeline.drop import Drop, Waiting
from support.processes import Running
from workqueue.errors import QueueFull, RootError, UnknownQueue, WrongState
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from pathlib import Path


# -- moved ---------------------------------------------------------------------------------------------------------


def test_a_file_becomes_the_payload_and_is_gone_from_the_folder(drop: Drop) -> None:
    drop.deliver("july data.csv", "1,2\n")
    inode = os.stat(f"{drop.folder}/july data.csv").st_ino
    summary = drop.once(priority=3)
    assert (summary.ingested, summary.bytes, summary.waiting, summary.recovered) == (1, 4, 0, 0)
    assert drop.ls() == []
    claim = drop.world.take()
    assert (claim.name.priority, claim.name.label, claim.name.whole) == (3, "july_data.csv", True)
    assert os.stat(claim.path).st_ino == inode, "it was renamed, not copied"
    assert (claim.options.headers or {})["file"] == "july data.csv"
    assert (claim.options.headers or {})["folder"] == drop.folder


def test_its_options_are_those_of_the_rules(drop: Drop) -> None:
    from workqueue.pipeline.watch.rules import job_options

    drop.deliver("a")
    drop.once(options=job_options(max_attempts=2, timeout="5m", keep="1h"))
    options = drop.world.take().options
    assert (options.max_attempts, options.timeout, options.keep) == (2, 300, 3600)


def test_each_arrival_of_a_name_is_a_job_of_its_own(drop: Drop) -> None:
    for _ in range(3):
        drop.deliver("a.csv", "the same")
        assert drop.once().ingested == 1
    assert drop.drain() == [b"the same"] * 3


def test_an_empty_file_and_names_of_any_bytes_are_jobs(drop: Drop) -> None:
    drop.deliver("empty", b"")
    os.rename(drop.deliver("x"), os.fsencode(drop.folder) + b"/\xff\n\x1b[31m")
    os.rename(drop.deliver("y"), f"{drop.folder}/{'n' * 255}")
    assert drop.once().ingested == 3
    assert len(drop.drain()) == 3


def test_sub_directories_are_gone_into_only_where_that_is_asked_for(drop: Drop) -> None:
    drop.deliver("x/y/a.csv")
    drop.deliver(".hidden/b.csv")
    drop.deliver("x/c.tmp")
    assert drop.once().ingested == 0
    assert drop.events("skipped") == [], "a directory is nothing odd"
    assert drop.once(recursive=True).ingested == 1
    assert (drop.world.take().options.headers or {})["file"] == "x/y/a.csv"
    assert drop.ls() == [".hidden/b.csv", "x/c.tmp"]


def test_include_and_exclude(drop: Drop) -> None:
    for name in ("a.csv", "b.csv", "a.xml", "a.csv.part"):
        drop.deliver(name)
    assert drop.once(include=("*.csv",), exclude=("b*",)).ingested == 1
    assert drop.ls() == ["a.csv.part", "a.xml", "b.csv"]


def test_more_than_a_batch(drop: Drop) -> None:
    for n in range(600):
        drop.deliver(f"{n}", str(n))
    assert drop.once().ingested == 600
    assert len(set(drop.drain())) == 600


def test_a_done_file_goes_with_its_file_and_is_no_job(drop: Drop) -> None:
    for name in ("a.csv", "a.csv.ok", "b.csv", "c.csv.ok"):
        drop.deliver(name)
    summary = drop.once(ready="done-file={}.ok")
    assert (summary.ingested, summary.waiting) == (1, 1)
    assert drop.ls() == ["b.csv", "c.csv.ok"]


# -- things that are no files of ours ------------------------------------------------------------------------------


def plant_odd_things(drop: Drop) -> None:
    os.symlink("/etc/passwd", f"{drop.folder}/link")
    os.symlink("nowhere", f"{drop.folder}/dangling")
    os.mkfifo(f"{drop.folder}/fifo")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"{drop.folder}/socket")


def test_links_fifos_and_sockets_stay_and_are_told_once(drop: Drop) -> None:
    plant_odd_things(drop)
    drop.deliver("good")
    with drop.watch() as watcher:
        for _ in range(5):
            watcher.turn()
            drop.clock.advance(1000)
        assert watcher.end().skipped == 4
    told = {fields["path"]: fields["reason"] for fields in drop.events("skipped")}
    assert len(drop.events("skipped")) == 4
    assert told["fifo"] == "is a fifo; left where it is"
    assert "symbolic link" in told["link"]
    assert drop.drain() == [b"content"]
    assert len(os.listdir(drop.folder)) == 4


def test_a_link_is_not_followed_into_another_directory(drop: Drop, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret").write_text("secret")
    os.symlink(tmp_path / "other", f"{drop.folder}/sub")
    assert drop.once(recursive=True).ingested == 0
    assert (tmp_path / "other" / "secret").exists()


def as_nobody(drop: Drop, action: Any) -> str:
    """Run something as a user without rights, for whom the root was made."""
    for path in (drop.world.path, drop.folder):
        for parent, _, names in os.walk(path):
            for name in ("", *names):
                os.chown(os.path.join(parent, name), NOBODY, -1)
    for directory in (drop.where, *list(drop.where.parents)[:2]):
        directory.chmod(directory.stat().st_mode | 0o011)

    def run() -> None:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        action()

    running = Running(run, drop.where / "out")
    assert running.wait() == 0, running.err
    return running.out


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")


@needs_root
def test_a_file_that_cannot_be_read_is_told_again_tried_again_and_taken_when_it_can_be(drop: Drop) -> None:
    drop.deliver("secret")
    drop.deliver("good")

    def action() -> None:
        os.chmod(f"{drop.folder}/secret", 0)
        with drop.watch() as watcher:
            watcher.turn()
            watcher.turn()
            assert [fields["path"] for fields in drop.events("ingested")] == ["good"]
            assert drop.events("unreadable") == [{"path": "secret", "reason": "cannot be taken: Permission denied"}]
            for _ in range(8):
                drop.clock.advance(30)
                watcher.turn()
            assert len(drop.events("unreadable")) == 1, "not at every look"
            for _ in range(20):
                drop.clock.advance(30)
                watcher.turn()
            assert len(drop.events("unreadable")) == 2, "but after a while again"
            assert watcher.end().unreadable == 1
            os.chmod(f"{drop.folder}/secret", 0o600)
            drop.clock.advance(30)
            watcher.turn()
            watcher.turn()
            assert watcher.end().unreadable == 0
        assert [fields["path"] for fields in drop.events("ingested")] == ["good", "secret"]

    as_nobody(drop, action)


@needs_root
@pytest.mark.parametrize("way", [{}, {"leave": True}, {"dedupe": "sha256"}, {"ready": "stable=1s"}])
def test_a_file_that_cannot_be_read_by_any_way_is_told_and_stays(drop: Drop, way: dict[str, Any]) -> None:
    drop.deliver("secret")

    def action() -> None:
        os.chmod(f"{drop.folder}/secret", 0)
        drop.stop = Waiting(drop.clock)
        assert drop.once(**way).unreadable == 1
        assert len(drop.events("unreadable")) == 1
        assert drop.ls() == ["secret"]

    as_nobody(drop, action)


@needs_root
def test_a_directory_that_cannot_be_listed_is_told(drop: Drop) -> None:
    drop.deliver("x/a")

    def action() -> None:
        os.chmod(f"{drop.folder}/x", 0)
        assert drop.once(recursive=True).unreadable == 1
        os.chmod(f"{drop.folder}/x", 0o700)

    as_nobody(drop, action)


def test_a_thousand_complaints_are_twenty_lines_and_a_count(drop: Drop) -> None:
    for n in range(1000):
        os.symlink("x", f"{drop.folder}/{n}")
    assert drop.once().skipped == 1000
    assert len(drop.events("skipped")) == 20
    assert drop.events("more") == [{"count": 980}]


def test_what_another_watch_left_half_taken_is_told(drop: Drop) -> None:
    drop.deliver(".fsq-01JD8Z7Q4M9X3V2T6B1C0N5KEY")
    drop.once()
    assert "fsq watch" in drop.events("skipped")[0]["reason"]


# -- left ----------------------------------------------------------------------------------------------------------


def test_a_file_that_stays_is_a_job_that_names_it_once_for_each_version(drop: Drop) -> None:
    path = drop.deliver("x/a.csv", "1")
    for _ in range(3):
        drop.once(leave=True, recursive=True)
    payload = json.loads(drop.drain()[0])
    assert payload == {
        "path": path, "file": "x/a.csv", "folder": drop.folder, "size": 1, "mtime": os.stat(path).st_mtime_ns / 1e9,
    }  # fmt: skip
    drop.deliver("x/a.csv", "22")
    assert drop.once(leave=True, recursive=True).ingested == 1
    assert drop.once(leave=True, recursive=True).ingested == 0
    assert drop.paths() == ["x/a.csv"]


def test_a_name_that_no_json_can_hold_is_refused_where_the_payload_must_name_it(drop: Drop) -> None:
    os.rename(drop.deliver("x"), os.fsencode(drop.folder) + b"/\xff")
    assert drop.once(leave=True).unreadable == 1
    assert "UTF-8" in drop.events("unreadable")[0]["reason"]
    assert len(os.listdir(drop.folder)) == 1


# -- the same ------------------------------------------------------------------------------------------------------

SAME = {
    # by            same again, another size, another content, another name
    "name": (True, True, True, False),
    "name+size": (True, False, True, False),
    "sha256": (True, False, False, True),
}


@pytest.mark.parametrize("leave", [False, True], ids=["moved", "left"])
@pytest.mark.parametrize("by", SAME)
def test_what_makes_a_file_the_same(drop: Drop, by: str, leave: bool) -> None:
    found = []
    for first, name, data in (("a", "a", "11"), ("b", "b", "333"), ("c", "c", "55"), ("d", "e", "77")):
        old = {"a": "11", "b": "22", "c": "44", "d": "77"}[first]
        drop.deliver(first, old)
        assert drop.once(dedupe=by, leave=leave).ingested == 1
        os.utime(drop.deliver(name, data), ns=(7, 7))
        summary = drop.once(dedupe=by, leave=leave)
        found.append(summary.duplicates == 1)
        assert summary.duplicates + summary.ingested == 1
        again = drop.once(dedupe=by, leave=leave)
        assert (again.duplicates, again.ingested) == (0, 0), "it is told once, also by a new process"
    assert tuple(found) == SAME[by]


def test_a_duplicate_stays_in_the_folder_and_is_told_with_the_job_that_it_is_the_same_as(drop: Drop) -> None:
    drop.deliver("a", "1")
    drop.once(dedupe="sha256")
    [first] = drop.events("ingested")
    drop.deliver("b", "1")
    assert drop.once(dedupe="sha256").duplicates == 1
    assert drop.events("duplicate") == [{"path": "b", "id": first["id"]}]
    assert drop.ls() == ["b"]


def test_with_an_archive_a_duplicate_goes_there(drop: Drop) -> None:
    drop.deliver("a", "1")
    drop.once(dedupe="name", archive=True)
    drop.deliver("a", "2")
    assert drop.once(dedupe="name", archive=True).duplicates == 1
    assert drop.ls() == []
    assert len(drop.ls(drop.kept)) == 2
    assert drop.drain() == [b"1"]


def test_of_several_that_are_the_same_at_once_one_is_taken(drop: Drop) -> None:
    for n in range(5):
        drop.deliver(f"{n}", "same")
    summary = drop.once(dedupe="sha256")
    assert (summary.ingested, summary.duplicates) == (1, 4)
    assert drop.drain() == [b"same"]


def test_what_is_older_and_gone_is_forgotten_but_not_what_is_still_there(drop: Drop) -> None:
    def once() -> tuple[int, int]:
        summary = drop.once(leave=True, dedupe="sha256", forget="30d")
        return summary.ingested, len(drop.drain())

    drop.deliver("stays", "1")
    drop.deliver("goes", "2")
    assert once() == (2, 2)
    os.unlink(f"{drop.folder}/goes")
    drop.clock.advance(40 * 86400)
    assert once() == (0, 0)
    drop.deliver("goes", "2")
    drop.deliver("other", "1")
    assert once() == (1, 1), "the one is new again, the other is still the same as what stays"


# -- the archive ---------------------------------------------------------------------------------------------------


def test_the_archive_keeps_the_file_and_never_replaces_another(drop: Drop) -> None:
    for data in ("first", "second"):
        drop.deliver("a.csv", data)
        drop.once(archive=True)
    ids = [fields["id"] for fields in drop.events("ingested")]
    assert drop.ls(drop.kept) == sorted(["a.csv", f"a.{ids[1]}.csv"])
    with open(f"{drop.kept}/a.csv") as file:
        assert file.read() == "first"
    assert drop.drain() == [b"first", b"second"]
    assert len(drop.ls(drop.kept)) == 2, "the jobs' ends take nothing from it"


def test_the_longest_name_has_room_for_an_id_in_the_archive(drop: Drop) -> None:
    for _ in range(2):
        drop.deliver("n" * 251 + ".csv")
        assert drop.once(archive=True).ingested == 1
    assert len(drop.ls(drop.kept)) == 2


def test_an_archive_below_the_folder_is_not_watched(drop: Drop) -> None:
    drop.deliver("x/a")
    for _ in range(2):
        drop.once(archive=f"{drop.folder}/kept/{{path}}", recursive=True)
    assert drop.ls() == ["kept/x/a"]
    assert len(drop.drain()) == 1


# -- what stands in the way ----------------------------------------------------------------------------------------


def limit(drop: Drop, jobs: int) -> None:
    with open(f"{drop.world.path}/fsq.toml", "w") as file:
        file.write(f"max_jobs = {jobs}\n")


def test_a_full_queue_takes_what_fits_is_told_once_and_gone_on_with(drop: Drop) -> None:
    limit(drop, 5)
    for n in range(12):
        drop.deliver(f"{n}", str(n))
    done: list[bytes] = []
    with drop.watch() as watcher:
        for _ in range(10):
            drop.clock.advance(watcher.turn())
        assert len(drop.world.ls("new")) == 5
        assert len(drop.events("full")) == 1
        for _ in range(2):
            done += drop.drain()
            for _ in range(10):
                drop.clock.advance(min(60, watcher.turn()))
        done += drop.drain()
        assert watcher.end().ingested == 12
    assert len(set(done)) == len(done) == 12
    assert drop.ls() == []


def test_once_says_that_the_queue_is_full_and_leaves_the_rest(drop: Drop) -> None:
    limit(drop, 2)
    for n in range(3):
        drop.deliver(f"{n}")
    with pytest.raises(QueueFull):
        drop.once()
    assert len(drop.ls()) + len(drop.world.ls("new")) == 3
    assert drop.stage() == []


def test_a_folder_that_goes_away_is_told_waited_for_and_gone_on_with(drop: Drop) -> None:
    with drop.watch() as watcher:
        watcher.turn()
        os.rename(drop.folder, f"{drop.where}/elsewhere")
        for _ in range(5):
            drop.clock.advance(60)
            watcher.turn()
        assert len(drop.events("gone")) == 1
        os.mkdir(drop.folder)
        drop.deliver("a")
        drop.clock.advance(60)
        watcher.turn()
        assert len(drop.events("going on")) == 1
        assert len(drop.events("ingested")) == 1


def test_a_root_that_is_not_what_it_was_ends_the_watch(drop: Drop) -> None:
    with drop.watch() as watcher:
        watcher.turn()
        drop.deliver("a")
        os.rename(f"{drop.world.path}/.fsq/format", f"{drop.where}/format")
        drop.clock.advance(60)
        with pytest.raises(RootError):
            watcher.turn()
        os.rename(f"{drop.where}/format", f"{drop.world.path}/.fsq/format")
    assert drop.ls() == ["a"]


def test_a_second_watch_of_the_folder_for_the_queue_is_refused_and_one_for_another_queue_is_not(drop: Drop) -> None:
    drop.world.engine.make_queue("other")
    with drop.watch():
        with pytest.raises(WrongState, match="another fsq watch"):
            drop.once()
        drop.deliver("a")
        assert drop.once(queue="other").ingested == 1
    assert drop.once().ingested == 0


def test_an_unknown_queue_is_refused_before_anything_is_touched(drop: Drop) -> None:
    drop.deliver("a")
    with pytest.raises(UnknownQueue):
        drop.once(queue="nowhere")
    assert drop.ls() == ["a"]


def test_a_damaged_ledger_is_a_clear_error_and_its_loss_costs_no_file(drop: Drop) -> None:
    drop.once()
    [place] = os.listdir(f"{drop.world.path}/.fsq/watch")
    ledger = f"{drop.world.path}/.fsq/watch/{place}/ledger"
    with open(ledger, "r+b") as file:
        file.write(b"no database at all")
    drop.deliver("a")
    with pytest.raises(RootError, match="damaged"):
        drop.once()
    os.unlink(ledger)
    staged = "5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0=b.csv"
    os.rename(drop.deliver("b", "staged"), f"{drop.world.path}/.fsq/watch/{place}/stage/{staged}")
    assert drop.once().ingested == 2
    assert drop.drain() == [b"content", b"staged"]


def test_jobs_of_a_watch_are_in_the_state_that_new_jobs_are(drop: Drop) -> None:
    drop.deliver("a")
    drop.once()
    assert list(drop.world.jobs().values()) == [State.NEW]

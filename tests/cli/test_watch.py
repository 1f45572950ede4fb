"""fsq watch: ids on stdout, talk on stderr, the exit statuses, and its end by a signal."""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from support.processes import python, until
from workqueue import Producer, cli
from workqueue.testing import drain

if TYPE_CHECKING:
    from pathlib import Path

    from support.fsq import Fsq, Working


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def deliver(folder: Path, name: str, text: str = "content") -> None:
    (folder.parent / "hidden").write_text(text)
    os.rename(folder.parent / "hidden", folder / name)


def test_once_prints_an_id_and_a_name_for_each_and_says_what_it_came_to(fsq: Fsq, folder: Path) -> None:
    deliver(folder, "a b.csv")
    status, out, err = fsq("-r", fsq.root, "watch", str(folder), "--once", "--ready", "rename")
    assert status == 0
    job_id, name = out.rstrip("\n").split("\t")
    assert name == "a b.csv"
    assert Producer(fsq.root).ref(job_id).state() == "new"
    assert f"watching {folder} for queue default" in err
    assert "1 ingested (7 B), 0 duplicates, 0 unreadable, 0 skipped, 0 waiting" in err


def test_json_lines_tell_everything(fsq: Fsq, folder: Path) -> None:
    deliver(folder, "a")
    deliver(folder, "b")
    os.mkfifo(folder / "fifo")
    os.rename(folder / "b", os.fsencode(folder) + b"/\xff")
    result = fsq("-r", fsq.root, "watch", str(folder), "--once", "--ready", "rename", "--json", "--dedupe", "sha256")
    assert (result.status, result.err) == (0, "")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [line["event"] for line in lines] == ["watching", "skipped", "ingested", "duplicate", "summary"]
    assert lines[-1]["ingested"] == lines[-1]["duplicates"] == 1
    assert {line["path"] for line in lines[2:4]} == {"a", "\\udcff"}


def test_names_cannot_steer_the_terminal(fsq: Fsq, folder: Path) -> None:
    deliver(folder, "\x1b[31mred\n")
    os.mkfifo(folder / "\x1b[2J")
    result = fsq("-r", fsq.root, "watch", str(folder), "--once", "--ready", "rename")
    assert "\x1b" not in result.out + result.err
    assert len(result.out.splitlines()) == 1


def test_once_exits_3_where_a_file_could_not_be_taken(fsq: Fsq, folder: Path) -> None:
    deliver(folder, "a")
    os.rename(folder / "a", os.fsencode(folder) + b"/\xff")
    deliver(folder, "good")
    result = fsq("-r", fsq.root, "watch", str(folder), "--once", "--ready", "rename", "--leave")
    assert result.status == 3
    assert "1 ingested" in result.err
    assert "warning" in result.err


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("missing",), 2, "no such directory"),
        (("spool",), 2, "lies in the queue root"),
        (("in", "-q", "nowhere"), 2, "no queue 'nowhere'"),
        (("in", "--ready", "soon"), 2, "--ready 'soon'"),
        (("in", "--archive", "in/{name}.old"), 2, "come back"),
        (("in", "--archive", "kept/{nmae}"), 2, "{nmae} means nothing"),
        (("in", "--dedupe", "md5"), 2, "--dedupe 'md5'"),
        (("in", "--leave", "--archive", "kept"), 2, "--archive"),
        (("in", "--priority", "10"), 2, "priority"),
        (("in", "--max-attempts", "0"), 2, "max_attempts"),
        (("in", "--root", "nothing"), 1, "not a queue root"),
        ((), 2, "DIR"),
    ],
)
def test_a_mistake_is_one_clear_line(fsq: Fsq, folder: Path, words: tuple[str, ...], status: int, says: str) -> None:
    os.rename(fsq.root, folder.parent / "spool")
    deliver(folder, "a")
    found = fsq("watch", *words, "--once", env={"FSQ_ROOT": str(folder.parent / "spool")})
    os.rename(folder.parent / "spool", fsq.root)
    assert found.status == status, found
    assert says in found.err
    assert "Traceback" not in found.err
    assert os.listdir(folder) == ["a"]


def test_a_full_queue_is_75_with_once(fsq: Fsq, folder: Path) -> None:
    (folder.parent / "root" / "fsq.toml").write_text("max_jobs = 1\n")
    deliver(folder, "a")
    deliver(folder, "b")
    result = fsq("-r", fsq.root, "watch", str(folder), "--once", "--ready", "rename")
    assert result.status == 75
    assert len(os.listdir(folder)) == 1


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)], ids=["TERM", "HUP", "INT"]
)
def test_a_signal_ends_it_at_once_in_order(fsq: Fsq, folder: Path, number: signal.Signals, status: int) -> None:
    running = fsq.start("-r", fsq.root, "watch", str(folder), "--ready", "rename", "--json")
    until(lambda: "watching" in running.out, "it watches")
    for name in ("a", "b"):
        deliver(folder, name)
        until(partial(told, running, name), "it takes it")
    running.signal(number)
    assert running.wait(5) == status
    assert json.loads(running.out.splitlines()[-1])["ingested"] == 2
    assert drain(fsq.root, str)["done"] == 2


def told(running: Working, name: str) -> bool:
    return f'"path":"{name}"' in running.out


def test_once_that_is_stopped_before_its_end_says_so(fsq: Fsq, folder: Path) -> None:
    deliver(folder, "a")
    running = fsq.start("-r", fsq.root, "watch", str(folder), "--ready", "stable=1h", "--once", "--json")
    until(lambda: "watching" in running.out, "it waits")
    until(lambda: state_is_sleeping(running.pid), "it waits")
    running.signal(signal.SIGTERM)
    assert running.wait(5) == 75
    assert json.loads(running.out.splitlines()[-1])["waiting"] == 1


def state_is_sleeping(pid: int) -> bool:
    with open(f"/proc/{pid}/wchan") as file, open(f"/proc/{pid}/stat") as stat:
        return "poll" in file.read() or stat.read().rpartition(")")[2].split()[0] == "S"


def test_a_second_watch_is_refused(fsq: Fsq, folder: Path) -> None:
    running = fsq.start("-r", fsq.root, "watch", str(folder), "--json")
    until(lambda: "watching" in running.out, "it watches")
    result = fsq("-r", fsq.root, "watch", str(folder), "--once")
    assert result.status == 6
    assert "another fsq watch" in result.err
    assert running.stop() == 0


def test_a_reader_that_goes_away_costs_no_file(fsq: Fsq, folder: Path) -> None:
    for n in range(1000):
        deliver(folder, f"{n}")
    reader, writer = os.pipe()
    os.close(reader)

    def run() -> None:
        os.dup2(writer, 1)
        fsq_watch(fsq.root, str(folder))

    running = fsq.fork(run)
    running.wait()
    os.close(writer)
    assert "Traceback" not in running.err
    assert fsq("-r", fsq.root, "watch", str(folder), "--once", "--ready", "rename").status == 0
    assert drain(fsq.root, str)["done"] == 1000


def fsq_watch(root: str, folder: str) -> None:
    sys.argv = ["fsq", "-r", root, "watch", folder, "--once", "--ready", "rename"]
    cli.main()


def test_the_command_starts_without_what_only_the_watch_needs(fsq: Fsq) -> None:
    code = "import sys; from workqueue.cli.app import command; command(); print(sorted(sys.modules))"
    loaded = fsq.fork(python("-c", code))
    assert loaded.wait() == 0, loaded.err
    assert "workqueue.cli.watch" in loaded.out
    for heavy in ("sqlite3", "watchdog", "workqueue.pipeline.watch"):
        assert f"'{heavy}'" not in loaded.out

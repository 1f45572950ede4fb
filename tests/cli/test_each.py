"""fsq submit --each: a job a file, in order, and a word about all that is none."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from bad_inputs.users import ORDINARY, ROOT
from workqueue import Producer, cli
from workqueue.testing import drain

if TYPE_CHECKING:
    from support.fsq import Fsq, Result


@pytest.fixture
def files(fsq: Fsq) -> str:
    """A directory of three files."""
    (fsq.where / "in").mkdir()
    for name in ("b.csv", "a.csv", "c.csv"):
        fsq.write(f"in/{name}", name)
    return str(fsq.where / "in")


def jobs(fsq: Fsq) -> list[tuple[Any, str]]:
    seen: list[tuple[Any, str]] = []
    drain(fsq.root, lambda job: seen.append((job.payload, job.label)))
    return seen


def each(fsq: Fsq, *words: str, **how: Any) -> Result:
    return fsq("-r", fsq.root, "submit", *words, **how)


def test_each_file_is_a_job_with_its_path_and_its_name(fsq: Fsq, files: str) -> None:
    result = each(fsq, "--each", "in/*.csv")
    assert (result.status, result.err) == (0, "3 files: 3 submitted\n")
    assert len(result.out.split()) == 3
    assert len(fsq.names("new")) == 1, "one batch, all or nothing"
    assert jobs(fsq) == [({"path": f"{files}/{name}"}, name) for name in ("a.csv", "b.csv", "c.csv")]


def test_json_tells_the_file_of_each_job(fsq: Fsq, files: str) -> None:
    lines = [json.loads(line) for line in each(fsq, "--each", "in/*", "--json").out.splitlines()]
    assert [(line["path"], line["queue"], line["created"]) for line in lines] == [
        (f"{files}/{name}", "default", True) for name in ("a.csv", "b.csv", "c.csv")
    ]


def test_a_payload_of_one_s_own(fsq: Fsq, files: str) -> None:
    assert each(fsq, '{"load": ["{stem}", {"from": "{path}"}]}', "--each", "in/a*", "--label", "x").status == 0
    assert each(fsq, "--raw", "{name}", "--each", "in/b*").status == 0
    assert jobs(fsq) == [({"load": ["a", {"from": f"{files}/a.csv"}]}, "x"), ("b.csv", "b.csv")]


@pytest.mark.parametrize(("mode", "left"), [("copy", 3), ("link", 3), ("move", 0)])
def test_the_files_themselves_are_the_payloads_with_a_mode(fsq: Fsq, files: str, mode: str, left: int) -> None:
    assert each(fsq, "--each", "in/*", "--mode", mode).status == 0
    assert len(os.listdir(files)) == left
    assert jobs(fsq) == [(name.encode(), name) for name in ("a.csv", "b.csv", "c.csv")]


def test_with_a_key_a_second_call_submits_what_is_new(fsq: Fsq, files: str) -> None:
    first = each(fsq, "--each", "in/*", "--key", "{path}", "--key-for", "1d").out
    fsq.write("in/d.csv", "d")
    second = each(fsq, "--each", "in/*", "--key", "{path}", "--key-for", "1d")
    assert second.out.startswith(first)
    assert second.err == "4 files: 1 submitted, 3 there already\n"
    drain(fsq.root, lambda _: None)
    assert each(fsq, "--each", "in/*", "--key", "{path}").err == "4 files: 0 submitted, 4 there already\n"
    assert each(fsq, "--each", "in/*", "--key", "{path}", "--again").err == "4 files: 4 submitted\n"


def test_the_options_of_submit_hold_for_each(fsq: Fsq, files: str) -> None:
    assert each(fsq, "--each", "in/*", "--delay", "1h", "-p", "2", "--header", "a=b").status == 0
    [batch] = fsq.names("later")
    [*names] = os.listdir(f"{fsq.root}/default/later/{batch}")
    assert {name[0] for name in names} == {"2"}


def test_what_is_no_file_is_told_and_the_rest_is_submitted(fsq: Fsq, files: str) -> None:
    os.symlink("nowhere", f"{files}/bad.csv")
    os.mkdir(f"{files}/sub.csv")
    result = each(fsq, "--each", "in/*.csv")
    assert result.status == 1
    assert result.err == (
        f"fsq: left out: {files}/bad.csv: No such file or directory\n1 directories are left out\n3 files: 3 submitted\n"
    )


def test_a_name_that_json_cannot_hold_is_told_and_can_be_copied(fsq: Fsq, files: str) -> None:
    odd = os.fsencode(files) + b"/\xff.csv"
    with open(odd, "wb") as file:
        file.write(b"odd")
    result = each(fsq, "--each", "in/*.csv")
    assert (result.status, len(result.out.split())) == (1, 3)
    assert "JSON cannot hold a name that is no UTF-8; rename it, or use --mode copy" in result.err
    assert each(fsq, "--each", "in/*.csv", "--mode", "copy").status == 0


def test_no_file_is_an_error_unless_it_is_as_it_should_be(fsq: Fsq, files: str) -> None:
    result = each(fsq, "--each", "in/*", "--each", "in/*.cvs")
    assert result == (
        1,
        "",
        "fsq: no file matches 'in/*.cvs'; nothing was submitted (--allow-empty if that is as it should be)\n",
    )
    assert fsq.ls() == {}
    assert each(fsq, "--each", "in/*.cvs", "--allow-empty") == (0, "", "0 files: 0 submitted\n")
    assert each(fsq, "--each", "in/*", "--each", "in/*.cvs", "--allow-empty").err == "3 files: 3 submitted\n"


def test_who_was_interrupted_goes_on_behind_the_last(fsq: Fsq, files: str) -> None:
    fsq.write("root/fsq.toml", "max_jobs = 2\n")
    full = each(fsq, "--each", "in/*", "--mode", "copy")
    assert full.status == 75
    assert full.err.endswith(f"; 2 of 3 files are submitted; go on with --after {files}/b.csv\n")
    fsq.write("root/fsq.toml", "")
    assert each(fsq, "--each", "in/*", "--mode", "copy", "--after", "in/b.csv").err == "1 files: 1 submitted\n"
    assert [label for _, label in jobs(fsq)] == ["a.csv", "b.csv", "c.csv"]


@pytest.mark.parametrize("words", [["--mode", "move"], ["--key", "{path}"]])
def test_who_was_interrupted_and_has_keys_or_moves_goes_on_with_the_same_command(
    fsq: Fsq, files: str, words: list[str]
) -> None:
    fsq.write("root/fsq.toml", "max_jobs = 2\n")
    full = each(fsq, "--each", "in/*", *words)
    assert full.err.endswith("; 2 of 3 files are submitted; the same command goes on\n")
    fsq.write("root/fsq.toml", "")
    assert each(fsq, "--each", "in/*", *words).status == 0
    assert [label for _, label in jobs(fsq)] == ["a.csv", "b.csv", "c.csv"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in/b.csv", "--each", "in/a.csv"], "in/b.csv: --each takes one pattern; quote it: --each 'in/*.csv'"),
        (["--each", "in/*", "--file", "in/a.csv"], "--each takes its jobs from files: it does not go with file"),
        (["--each", "in/*", "--json-lines"], "it does not go with json-lines"),
        (["--each", "in/*", "--wait"], "it does not go with wait"),
        (["1", "--after", "x"], "without --each there is none of its options: it does not go with after"),
        (["1", "--allow-empty"], "it does not go with allow-empty"),
        (["1", "--each", "in/*", "--mode", "copy"], "a payload or --mode"),
        (["--each", "in/*", "--mode", "steal"], "mode 'steal': move, link or copy"),
        (["--each", "in/*", "--mode", "link", "--key", "{path}"], "a job by link takes no key"),
        (["--each", "in/*", "--key-for", "1d"], "--key-for and --again go with --key"),
        (["--each", "in/*", "--again"], "--key-for and --again go with --key"),
        (["1", "--again"], "again: goes with key"),
        (["--lines", "--again"], "it does not go with again"),
        (["--each", "in/*", "--key", "k"], "key 'k': the same for"),
        (["--each", "in/*", "--key", "{pth}"], "key: {pth} means nothing here; did you mean {path}?"),
        (['{"n": 1}', "--each", "in/*"], "payload: the same for every file; put {path} or the like into it"),
        (['"{day}"', "--each", "in/*"], "payload: {day} means nothing here"),
        (["{", "--each", "in/*"], "payload: no JSON"),
    ],
)
def test_mistakes_submit_nothing(fsq: Fsq, files: str, words: list[str], message: str) -> None:
    result = each(fsq, *words)
    assert (result.status, result.out) == (2, "")
    assert message in result.err.splitlines()[-1]
    assert fsq.ls() == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can become another")
@pytest.mark.parametrize("pattern", ["in/*/*.csv", "in/**", "in/sub/a.csv", "in/sub/a*"])
def test_a_directory_that_cannot_be_read_is_an_error_and_not_empty(fsq: Fsq, files: str, pattern: str) -> None:
    ROOT.own(files)
    os.mkdir(f"{files}/sub", 0o700)
    fsq.write("in/sub/a.csv", "a")
    for directory in (fsq.where, *fsq.where.parents[:2]):
        os.chmod(directory, 0o755)
    ORDINARY.own_all(fsq.root)

    def as_nobody() -> None:
        ORDINARY.become()
        sys.argv = ["fsq", "-r", fsq.root, "submit", "--each", pattern]
        cli.main()

    running = fsq.fork(as_nobody)
    assert running.wait() == 1
    assert "cannot look for files: Permission denied" in running.err
    assert fsq.ls() == {}


def test_thousands_of_files_go_in_batches(fsq: Fsq) -> None:
    os.mkdir(fsq.where / "many")
    for number in range(2500):
        (fsq.where / "many" / f"{number:05}.csv").touch()
    result = each(fsq, "--each", "many/*.csv", "--volatile")
    assert (result.status, result.err) == (0, "2500 files: 2500 submitted\n")
    assert len(fsq.names("new")) == 3
    labels = [label for _, label in jobs(fsq)]
    assert labels == sorted(labels)
    assert Producer(fsq.root).ref(result.out.split()[0]).state() is None

"""The producers in docs/producers: each is run, its job is run, and the payload is the one that was given."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from workqueue import Job, Producer
from workqueue.engine.root import Root
from workqueue.jobs import names
from workqueue.testing import drain

PRODUCERS = Path(__file__).parent.parent / "docs" / "producers"
JSON = b'{"n": 1, "text": "\xc3\xa4"}\n'
BYTES = bytes(range(256)) * 300


class Queue(NamedTuple):
    root: str
    name: str

    @property
    def path(self) -> str:
        return f"{self.root}/{self.name}"

    def listed(self, space: str) -> list[str]:
        return os.listdir(f"{self.path}/{space}")

    def drained(self) -> list[bytes]:
        """The payloads of all jobs, each really run."""
        bodies: list[bytes] = []

        def keep(job: Job) -> None:
            job.payload  # noqa: B018 - a payload that cannot be decoded would put the job into corrupt/
            bodies.append(job.body)

        assert drain(self.root, keep, queues=[self.name])["done"] == len(bodies)
        assert [space for space in ("tmp", "new", "cur", "failed", "corrupt") if self.listed(space)] == []
        return bodies


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return Producer(tmp_path_factory.mktemp("producers") / "spool", create=True).root


@pytest.fixture
def queue(root: str, request: pytest.FixtureRequest) -> Queue:
    """A queue of the test's own."""
    name = re.sub(r"[^a-z0-9_]+", "-", request.node.name.lower())[:64]
    Root(root).make_queue(name)
    return Queue(root, name)


def run(command: list[str], payload: bytes = b"", *, fails: bool = False) -> str:
    """Run a producer to its end; returns what it printed."""
    done = subprocess.run(command, input=payload, capture_output=True, timeout=10)
    assert (done.returncode != 0) == fails, done.stderr
    assert bool(done.stderr) == fails, "one that fails says why"
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: submit.c is not tried")
    target = str(tmp_path_factory.mktemp("c") / "submit")
    run([compiler, "-Wall", "-Wextra", "-Werror", "-o", target, str(PRODUCERS / "submit.c")])
    return target


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> str:
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go on PATH: submit.go is not tried")
    target = str(tmp_path_factory.mktemp("go") / "submit")
    run([go, "build", "-o", target, str(PRODUCERS / "submit.go")])
    return target


SH = str(PRODUCERS / "submit.sh")
MAILDIR = str(PRODUCERS / "submit_maildir.py")


@pytest.mark.parametrize("payload", [JSON, BYTES, b""], ids=["json", "bytes", "empty"])
def test_the_shell_script_submits_its_standard_input(queue: Queue, payload: bytes) -> None:
    name = run([SH, queue.path], payload)
    assert queue.listed("new") == [name]
    assert names.parse(name) is None, "a bare job"
    assert queue.drained() == [payload]


def test_the_shell_script_submits_a_file(queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "a file.csv").write_bytes(BYTES)
    run([SH, queue.path, str(tmp_path / "a file.csv")])
    assert queue.drained() == [BYTES]
    assert (tmp_path / "a file.csv").exists()


def test_the_shell_script_runs_in_a_plain_posix_shell(queue: Queue) -> None:
    run(["sh", SH, queue.path], JSON)
    assert queue.drained() == [JSON]


def test_the_shell_script_leaves_nothing_where_it_fails(queue: Queue, tmp_path: Path) -> None:
    run([SH, queue.path, str(tmp_path / "missing")], fails=True)
    assert queue.drained() == []


def test_the_shell_script_fails_where_there_is_no_queue(tmp_path: Path) -> None:
    assert run([SH, str(tmp_path)], JSON, fails=True) == ""
    assert os.listdir(tmp_path) == []


def test_the_c_program_submits_a_job_with_an_id(queue: Queue, c_program: str) -> None:
    job_id = run([c_program, queue.path], JSON)
    [name] = queue.listed("new")
    parsed = names.parse(name)
    assert parsed is not None
    assert (parsed.id, parsed.ready()) == (job_id, name)
    assert stat.S_IMODE(os.stat(f"{queue.path}/new/{name}").st_mode) == 0o600
    assert queue.drained() == [JSON]


def test_the_c_program_makes_an_id_of_now(root: str, queue: Queue, c_program: str) -> None:
    first = Producer(root).submit(0, queue=queue.name)
    second = run([c_program, queue.path], b"1")
    third = Producer(root).submit(2, queue=queue.name)
    assert first.id[:10] <= second[:10] <= third.id[:10]
    assert sorted(queue.drained()) == [b"0", b"1", b"2"]


def test_the_c_program_submits_more_than_its_buffer(queue: Queue, c_program: str) -> None:
    payload = b'"' + b"x" * 200_000 + b'"'
    run([c_program, queue.path], payload)
    assert queue.drained() == [payload]


def test_the_c_program_fails_where_there_is_no_queue(tmp_path: Path, c_program: str) -> None:
    assert run([c_program, str(tmp_path)], JSON, fails=True) == ""


def test_the_go_program_submits_a_job_with_an_id_and_a_checksum(queue: Queue, go_program: str) -> None:
    job_id = run([go_program, queue.path], JSON)
    [name] = queue.listed("new")
    parsed = names.parse(name)
    assert parsed is not None
    assert (parsed.id, parsed.ready()) == (job_id, name)
    assert queue.drained() == [JSON]


@pytest.mark.parametrize("payload", [JSON, BYTES], ids=["json", "bytes"])
def test_maildir_is_a_producer(queue: Queue, payload: bytes) -> None:
    name = run([sys.executable, MAILDIR, queue.path], payload)
    assert queue.listed("new") == [name]
    assert queue.drained() == [payload]


def test_two_producers_at_once_never_take_the_same_name(queue: Queue) -> None:
    running = [subprocess.Popen([SH, queue.path], stdin=subprocess.PIPE) for _ in range(8)]
    for number, process in enumerate(running):
        process.communicate(str(number).encode(), timeout=10)
        assert process.returncode == 0
    assert sorted(queue.drained()) == [str(number).encode() for number in range(8)]

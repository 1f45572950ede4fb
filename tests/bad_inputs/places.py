"""A root of one user's, strangers' files beside it, good jobs around what a test plants, and the rules that always hold.

The rules, to which `Place.run` holds every bad input: no hang, no death by a signal, no raw traceback; the good jobs
before and behind it are done, once each; nothing outside the queue is read, changed or deleted; what is moved aside is
told in one line, and nothing else is said of it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bad_inputs.canary import Canary
from support.disks import UnsyncedFs
from support.fsq import Fsq, Result
from support.processes import end_descendants
from workqueue import cli
from workqueue.clock import CLOCK
from workqueue.engine.root import init
from workqueue.jobs.content import TEXT, Options, encode
from workqueue.jobs.ids import Ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bad_inputs.users import User
    from support.fsq import Working
    from workqueue import Job

HANDLER = """\
import json, os, zlib

def load(job):
    payload, body = job.payload, job.body
    write({
        "id": job.id, "attempt": job.attempt, "label": ascii(job.label), "type": type(payload).__name__,
        "payload": ascii(payload)[:300], "body": body[:300].decode("latin-1"), "crc": zlib.crc32(body),
        "max_attempts": job.max_attempts, "headers": job.headers, "uid": os.geteuid(),
    })

def write(line):
    fd = os.open(os.environ["HOME"] + "/ran", os.O_WRONLY | os.O_APPEND)
    os.write(fd, (json.dumps(line) + "\\n").encode())
    os.close(fd)
"""
NEEDED = (
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "resource",
    "subprocess",
    "watchdog.observers.inotify_c",
)
"""Imported here: an ordinary user may be unable to read the interpreter's own directory."""
SLOTS = 4
IDS = Ids(CLOCK)

for _name in NEEDED:
    importlib.import_module(_name)


@dataclass
class Outcome:
    """What a worker made of it all."""

    status: int
    err: str
    runs: list[dict[str, Any]]
    events: list[dict[str, Any]] = field(default_factory=list)

    def told(self, event: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [line for line in self.events if line["event"] == event]

    def reason(self, name: str) -> str:
        """Why something was moved aside, by its name in corrupt/: told once."""
        [line] = [line for line in self.told("corrupted") if line["name"] == name]
        return str(line["reason"])

    def ran(self, body: bytes) -> list[dict[str, Any]]:
        """The runs that got this payload."""
        return [run for run in self.runs if run["body"] == body.decode("latin-1")]


class Place(Fsq):
    """fsq on a root of a user's, started by that user."""

    def __init__(self, where: Path, user: User) -> None:
        super().__init__(str(where / "root"), where)
        self.user = user
        self.canary = Canary(where / "outside")
        init(self.root, slots=SLOTS, fs=UnsyncedFs())
        self.write("etl.py", HANDLER)
        self.write("ran", "")
        user.own_all(str(where))

    def fork(
        self,
        action: Callable[[], object],
        *,
        first: Callable[[], object] = lambda: None,
        env: Mapping[str, str] | None = None,
        **how: Any,
    ) -> Working:
        """Run anything in a process of the user's; `first`, before it becomes that, what only root can do."""

        def as_user() -> object:
            first()
            self.user.become()
            return action()

        return super().fork(as_user, env=env, **how)

    def fsq(self, *words: str, **how: Any) -> Result:
        """Run ``fsq WORDS`` on the root to its end."""
        return self(*words, env={"FSQ_ROOT": self.root}, **how)

    def each(self, commands: list[list[str]]) -> list[Result]:
        """Run many commands on the root, one after the other in one process of the user's."""
        running = self.fork(lambda: run_each(commands), env={"FSQ_ROOT": self.root})
        with ended_on_error():
            assert running.wait() == 0, running.err
        assert running.err == ""
        return [Result(*found) for found in json.loads(running.out)]

    def submit_good(self, payload: str, priority: int) -> None:
        """Submit a job of the user's that nothing is wrong with; by hand, as format.md says: a command takes its time."""
        path = self.write(f"good {payload}", "")
        with open(path, "wb") as file:
            file.write(encode(Options(type=TEXT), payload.encode()))
        self.user.own(path)
        os.rename(path, self.at("new", f"{priority}-{IDS.next()}-0"))

    # -- what lies where ---------------------------------------------------------------------------------------

    def at(self, state: str, name: str | bytes) -> str:
        """The path of a name in a state's directory."""
        return f"{self.root}/default/{state}/{os.fsdecode(name)}"

    def plant(self, name: str | bytes, data: bytes = b"", state: str = "new") -> int:
        """Put a file of the user's into a state's directory as a stranger would; returns its inode."""
        path = self.at(state, name)
        with open(path, "xb") as file:
            file.write(data)
        self.user.own(path)
        return os.lstat(path).st_ino

    def found(self) -> dict[int, str]:
        """Everything in the queue, by its inode, as STATE/NAME."""
        top, found = f"{self.root}/default", {}
        for parent, directories, files in os.walk(top):
            for name in (*directories, *files):
                path = os.path.join(parent, name)
                found[os.lstat(path).st_ino] = os.path.relpath(path, top)
        return found

    def find(self, inode: int) -> str | None:
        """Where something lies now; None if it is gone."""
        return self.found().get(inode)

    # -- a run, and the rules ----------------------------------------------------------------------------------

    def run(self, *words: str, deaths: int = 0) -> Outcome:
        """Let a worker work all of it off, with one more good job behind; fails where a general rule is broken."""
        self.submit_good("after", 9)
        outcome = self.drained(*words)
        self.check(outcome, deaths)
        return outcome

    def drained(self, *words: str) -> Outcome:
        """Start ``fsq worker --drain``, and wait for its end."""
        given = ("-H", "etl:load", "-n", "2", "--backoff", "1ms", "--max-attempts", "2", *words)
        running = self.start("-r", self.root, "worker", "--drain", "--log", "json", "-v", *given)
        with ended_on_error():
            status = running.wait()
        return self.outcome(running, status)

    def drained_by(self, handler: Callable[[Job], object]) -> Working:
        """Let one worker with a handler of the test's work all off, well."""
        running = self.work(handler, drain=True)
        with ended_on_error():
            assert running.wait() == 0, running.err
        return running

    def outcome(self, running: Working, status: int) -> Outcome:
        """What a worker has done and said so far."""
        with open(self.where / "ran") as file:
            runs = [json.loads(line) for line in file]
        return Outcome(status, running.err, runs, running.events())

    def check(self, outcome: Outcome, deaths: int) -> None:
        """Hold a run to the general rules."""
        assert outcome.status in {0, 3}, outcome.err
        assert all(line.startswith("{") for line in outcome.err.splitlines()), outcome.err
        assert "Traceback" not in outcome.err
        for good in (b"before", b"after"):
            assert len(outcome.ran(good)) == 1, good
        assert {run["uid"] for run in outcome.runs} == {self.user.uid}
        assert Counter(line["name"] for line in outcome.told("corrupted")) == Counter(self.names("corrupt"))
        assert [line["message"] for line in outcome.told("trouble")] == []
        assert len(outcome.told("worker died")) == deaths, outcome.err
        assert self.names("cur") == self.names("tmp") == []
        assert os.listdir(f"{self.root}/.fsq/stage") == []
        self.canary.check()


def run_each(commands: list[list[str]]) -> None:
    """Run the command line again and again, and tell what each came to."""
    found, out = [], sys.stdout
    for words in commands:
        sys.argv = ["fsq", *words]
        sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
        try:
            cli.main()
        except SystemExit as end:
            found.append((end.code or 0, sys.stdout.getvalue(), sys.stderr.getvalue()))
    json.dump(found, out)
    out.flush()


@contextlib.contextmanager
def ended_on_error() -> Iterator[None]:
    """Leave no process behind a fixture that fails."""
    try:
        yield
    except BaseException:
        end_descendants()
        raise


@contextlib.contextmanager
def a_place(user: User) -> Iterator[Place]:
    """A place, and its end. Not in pytest's own directory, which every pytest that starts closes to other users."""
    above = os.environ.get("PYTEST_DEBUG_TEMPROOT") or tempfile.gettempdir()
    with tempfile.TemporaryDirectory(prefix="fsq-", dir=above) as where:
        os.chmod(where, 0o711)
        place = Place(Path(where), user)
        with place.canary.guarded():
            place.submit_good("before", 0)
            yield place


def complaint(result: Result, status: int) -> str:
    """The one line that a command refused with, without a traceback."""
    assert result.status == status, result.err
    assert result.out == ""
    [line] = result.err.splitlines()
    assert line.startswith("fsq: ")
    assert line.isprintable()
    return line[5:]

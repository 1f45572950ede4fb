"""fsq as its users start it: the command, and the Worker class, each in a process of its own."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pty
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from support.diary import Diary
from support.processes import Running, is_alive, python, until
from workqueue import cli
from workqueue.cli.app import HOT, command
from workqueue.run.events import log_to_stderr
from workqueue.run.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from workqueue import Job


class Result(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str


class Working(Running):
    """A supervisor that tells its events as JSON lines."""

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """What it told so far."""
        lines = self.err.split("\n")[:-1]
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if event in {None, line["event"]}]

    def hears(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait for the `count`-th event of a name."""
        until(lambda: len(self.events(event)) >= count or self.has_ended(), f"{event!r} is told")
        assert len(self.events(event)) >= count, f"{event!r} was not told {count} times:\n{self.err}"
        return self.events(event)[count - 1]

    @property
    def summary(self) -> dict[str, Any]:
        """What its run came to, once it has ended."""
        found: dict[str, Any] = json.loads(self.out.strip().split("\n")[-1])
        return found


class Fsq:
    """Starts fsq on one root, in one directory."""

    def __init__(self, root: str, where: Path) -> None:
        self.root = root
        self.where = where
        self.diary = Diary(where / "diary")
        self._output = where / "output"
        # Bytecode is told from newer code by the second of its writing, and by its size: too coarse for tests.
        bytecode = {"PYTHONDONTWRITEBYTECODE": "1"}
        self._env = {"HOME": str(where), "FSQ_ROOT": "", "XDG_STATE_HOME": "", "COLUMNS": "100", **bytecode}

    def __call__(self, *words: str, env: Mapping[str, str] | None = None, **how: Any) -> Result:
        """Run ``fsq WORDS`` to its end, in a fork: what an interpreter costs at its start is saved."""
        running = self.start(*words, env=env, **how)
        return Result(running.wait(), running.out, running.err)

    def start(self, *words: str, env: Mapping[str, str] | None = None, **how: Any) -> Working:
        """Start ``fsq WORDS`` in a fork."""

        def run() -> None:
            sys.argv = ["fsq", *words]
            cli.main()

        return self.fork(run, env=env, **how)

    def on_terminal(self, *words: str, env: Mapping[str, str] | None = None) -> Result:
        """Run ``fsq WORDS`` on a terminal of 100 columns; all that it shows is in `out`."""
        master, slave = pty.openpty()
        try:
            running = self.start(*words, env=env, terminal=slave)
            os.close(slave)
            shown = b""
            with contextlib.suppress(OSError):  # EIO is a terminal's end of file
                while chunk := os.read(master, 65536):
                    shown += chunk
            return Result(running.wait(), shown.decode(), "")
        finally:
            os.close(master)

    def execute(self, *words: str, env: Mapping[str, str] | None = None, **how: Any) -> Working:
        """Start ``python -m workqueue WORDS``, as it is."""
        return self.fork(python("-m", "workqueue", *words), env=env, **how)

    def fork(self, action: Callable[[], object], *, env: Mapping[str, str] | None = None, **how: Any) -> Working:
        """Run anything in a process of its own."""

        def run() -> object:
            forget_examples()
            return action()

        return Working(run, self._output, env={**self._env, **(env or {})}, **{"cwd": str(self.where), **how})

    def work(
        self,
        handler: Callable[[Job], Any] | str | None = None,
        *,
        drain: bool = False,
        first: Callable[[], object] = lambda: None,
        **options: Any,
    ) -> Working:
        """Start a supervisor, with one worker unless told otherwise; its process calls `first` first."""
        options.setdefault("processes", 1)

        def supervise() -> int:
            first()
            log_to_stderr(as_json=True, verbose=True)
            summary = Worker(self.root, handler=handler, **options).run(drain=drain)
            print(json.dumps(asdict(summary)))
            return 1 if summary.error else 0

        return self.fork(supervise)

    def drain(self, handler: Callable[[Job], Any] | None = None, **options: Any) -> Working:
        """Run all that is ready to its end; fails if the supervisor did."""
        running = self.work(handler, drain=True, **options)
        assert running.wait() == 0, running.err
        return running

    def write(self, name: str, text: str) -> str:
        """Write a file beside the root; returns its path."""
        path = self.where / name
        path.write_text(text)
        return str(path)

    def names(self, state: str, queue: str = "default") -> list[str]:
        """What lies in a state's directory."""
        return sorted(os.listdir(f"{self.root}/{queue}/{state}"))

    def ls(self, queue: str = "default") -> dict[str, int]:
        """How many jobs lie in each state that has any."""
        counts = {state: len(self.names(state, queue)) for state in ("new", "later", "cur", "held", "done", "failed")}
        return {state: count for state, count in counts.items() if count}

    def errors(self, job_id: str) -> list[dict[str, Any]]:
        """The recorded errors of a job."""
        try:
            with open(f"{self.root}/.fsq/jobs/{job_id}/errors.jsonl") as file:
                return [json.loads(line) for line in file]
        except FileNotFoundError:
            return []

    def running_pid(self, count: int = 1) -> int:
        """The process that wrote the `count`-th start into the diary."""
        until(lambda: self.diary.count("start") >= count, f"start number {count}")
        return self.diary.lines("start")[count - 1].pid


@pytest.fixture
def fsq(root: str, tmp_path: Path) -> Fsq:
    """fsq on the test's root."""
    return Fsq(root, tmp_path)


IMPORTED_LATE = (
    "rich.console", "rich.table", "typer.rich_utils", "watchdog.observers.inotify_c", "workqueue.cli.each",
    "workqueue.doctor.examination", "workqueue.pipeline.report", "workqueue.pipeline.watch.watcher",
)  # fmt: skip


def warm_up() -> None:
    """Import what the command imports when it needs it, and put it together: here once, and not in every fork."""
    for name in IMPORTED_LATE:
        importlib.import_module(name)
    for verb in (None, *HOT):
        command(verb)  # asked for as `cli.run` asks for it, else it is put together once more
    shown = io.StringIO()
    for words in (["init", "--slots", "none"], ["watch", "--help"]):
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            command(None)(words)


warm_up()
__all__ = ["Fsq", "Result", "Running", "Working", "fsq", "is_alive", "until"]


def forget_examples() -> None:
    """Make the examples' modules unknown again in a forked child: a handler's module may be called what one of them is."""
    sys.path[:] = [path for path in sys.path if "examples" not in path.split(os.sep)]
    for name, module in list(sys.modules.items()):
        if "examples" in (getattr(module, "__file__", None) or "").split(os.sep):
            del sys.modules[name]

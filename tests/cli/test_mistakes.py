"""Every mistake of a user's is one line on stderr that says what to do; no traceback, and nothing is changed."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from typing import TYPE_CHECKING

import pytest

from support.processes import python
from workqueue import Producer, cli
from workqueue.cli.app import command, hot_verb

if TYPE_CHECKING:
    from support.fsq import Fsq, Result

HANDLERS = """\
import os

class Loader:
    def run(self, job): pass

loader = Loader()
TABLE = {"a": 1}
def load(job): pass
def two(a, b): pass
def none(): pass
def _private(job): pass
"""


def complaint(result: Result, status: int) -> str:
    """The one line that a command complained with."""
    assert result.status == status, result.err
    assert result.out == ""
    [line] = result.err.splitlines()
    assert line.startswith("fsq: ")
    return line[5:]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["submit", "{n:1}"], "payload: no JSON: "),
        (["submit", "hello"], "--raw takes text as it is"),
        (["submit", ""], "payload: no JSON: "),
        (["submit"], "no payload: give JSON such as"),
        (["submit", "@missing"], "@missing: No such file or directory"),
        (["submit", "@."], "@.: Is a directory"),
        (["submit", "1", "--file", "some"], "a payload or --file, one of them"),
        (["submit", "--file", "missing"], "missing: no such file"),
        (["submit", "--file", "."], "not a regular file"),
        (["submit", "--file", "some", "--mode", "steal"], "mode 'steal': move, link or copy"),
        (["submit", "--file", "some", "--mode", "link", "--key", "k"], "a job by link takes no key"),
        (["submit", "1", "--delay", "soon"], "delay 'soon': use seconds, a timedelta, or text such as"),
        (["submit", "1", "--delay", "-1s"], "delay '-1s'"),
        (["submit", "1", "--delay", "1h", "--at", "2100-01-01T00:00+00:00"], "delay and at: give one of them"),
        (["submit", "1", "--at", "tomorrow"], "at 'tomorrow': use ISO 8601"),
        (["submit", "1", "--at", "2100-01-01T00:00"], "has no time zone"),
        (["submit", "1", "-p", "10"], "priority 10: a whole number from 0 (runs first) to 9"),
        (["submit", "1", "--key", ""], "key '': must be text, and not empty"),
        (["submit", "1", "--key-for", "1d"], "key_for: goes with key"),
        (["submit", "1", "--max-attempts", "0"], "max_attempts 0: a whole number from 1 to"),
        (["submit", "1", "--timeout", "x"], "timeout 'x'"),
        (["submit", "1", "--header", "novalue"], "--header 'novalue': use NAME=TEXT"),
        (["submit", "1", "-q", "defualt"], "no queue 'defualt' in ROOT; did you mean 'default'? (fsq init -q defualt"),
        (["submit", "1", "-q", "../x"], "queue '../x': 1 to 64 characters"),
        (["submit", "--lines", "--key", "k"], "--lines takes its jobs from stdin: it does not go with key"),
        (["submit", "--lines", "1"], "it does not go with payload"),
        (["submit", "--json-lines", "--wait"], "it does not go with wait"),
        (["ls", "running"], "state 'running': there is new, later, cur, held, done, failed, corrupt"),
        (["ls", "-q", "lod"], "no queue 'lod' in ROOT; there is default"),
        (["show", "abc"], "job id 'abc': 26 characters, or the last 4 or more of them"),
        (["show", "../../etc/passwd"], "job id '../../etc/passwd'"),
        (["wait", "*****"], "job id '*****'"),
        (["worker"], "one of the two: a handler (--handler module:function) or a program (--exec"),
        (
            ["worker", "-H", "etl:load", "--exec", "cat"],
            "one of the two: a handler (--handler module:function) or a program (--exec",
        ),
        (["worker", "-H", "load"], "--handler 'load': use module:function"),
        (["worker", "-H", "etl:"], "--handler 'etl:': use module:function"),
        (["worker", "-H", "etl:laod"], "etl has no 'laod'; did you mean 'load'?"),
        (["worker", "-H", "etl:zzz"], "etl has no 'zzz'; it has Loader, load, two, none"),
        (["worker", "-H", "etl:loader.rnu"], "'rnu'"),
        (["worker", "-H", "elt:load"], "no module named 'elt'; did you mean 'etl'?"),
        (["worker", "-H", "far.away:load"], "no module named 'far'; looked in"),
        (["worker", "-H", "./nowhere.py:load"], "nowhere.py: no such file"),
        (["worker", "-H", "etl:TABLE"], "TABLE is dict, nothing that can be called"),
        (["worker", "-H", "etl:two"], "must take one argument, the job"),
        (["worker", "-H", "etl:none"], "must take one argument, the job"),
        (["worker", "-H", "broken:load"], "cannot import broken: SyntaxError"),
        (["worker", "-H", "./broken.py:load"], "broken.py, line 2)"),
        (["worker", "-H", "raises:load"], "cannot import raises: ZeroDivisionError: division by zero"),
        (["worker", "-H", "needs:load"], "cannot import needs: ModuleNotFoundError: No module named 'pandaz'"),
        (["worker", "--exec", "no-such-program"], "no program 'no-such-program' on PATH"),
        (["worker", "--exec", "'"], "No closing quotation"),
        (["worker", "-H", "etl:load", "--backoff", "6h..15s"], "the longest wait is shorter than the first"),
        (["worker", "-H", "etl:load", "--timeout", "ages"], "timeout 'ages'"),
        (["worker", "-H", "etl:load", "--grace", "ages"], "grace 'ages'"),
        (["worker", "-H", "etl:load", "--max-rss", "lots"], "max_rss 'lots': use bytes, or text such as"),
        (["worker", "-H", "etl:load", "--log", "xml"], "--log 'xml': text or json"),
        (["worker", "-H", "etl:load", "-q", "No Good"], "queue 'No Good': 1 to 64 characters"),
        (["init", "--submit-only", "new"], "--submit-only goes with --group"),
        (["init", "new", "--group", "no-such-group"], "--group 'no-such-group': there is no such group"),
        (["init", "new", "-q", ".."], "queue '..': 1 to 64 characters"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)
def test_a_mistake_on_the_command_line(fsq: Fsq, words: list[str], message: str) -> None:
    """Exit 2, in one line."""
    fsq.write("some", "words")
    fsq.write("etl.py", HANDLERS)
    fsq.write("broken.py", "def load(job):\n    retrun 1\n")
    fsq.write("raises.py", "def load(job): pass\n1/0\n")
    fsq.write("needs.py", "import pandaz\n")
    result = fsq(*words, env={"FSQ_ROOT": fsq.root})
    assert message.replace("ROOT", fsq.root) in complaint(result, 2)
    assert fsq.ls() == {}
    assert not (fsq.where / "new").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["frobnicate"],
        ["submit", "--bogus"],
        ["submit", "1", "-p", "high"],
        ["worker", "-n", "0"],
        ["worker", "--max-jobs", "0"],
        ["show"],
        ["init", "--slots", "0"],
        ["ls", "new", "more"],
    ],
)
def test_a_command_line_that_cannot_be_read(fsq: Fsq, words: list[str]) -> None:
    """Exit 2 with the usage and a hint, and no traceback."""
    result = fsq(*words, env={"FSQ_ROOT": fsq.root})
    assert (result.status, result.out) == (2, "")
    assert "Usage:" in result.err
    assert "Traceback" not in result.err


def test_no_arguments_show_the_help(fsq: Fsq) -> None:
    """Exit 2: nothing was asked for."""
    result = fsq()
    assert result.status == 2
    assert "Usage:" in result.out + result.err
    assert all(verb in result.out + result.err for verb in ("init", "submit", "worker", "stats", "ls", "show", "wait"))


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["submit", "-h"], ["worker", "--help"], ["rm", "-h"]])
def test_help_goes_to_stdout(fsq: Fsq, words: list[str]) -> None:
    """Exit 0, every verb."""
    result = fsq(*words)
    assert result.status == 0
    assert "Usage:" in result.out
    assert result.err == ""


def test_the_version(fsq: Fsq) -> None:
    """One line, of the module run by its name too."""
    from workqueue import __version__

    assert fsq("--version") == (0, f"fsq {__version__}\n", "")
    running = fsq.execute("--version")
    assert (running.wait(), running.out) == (0, f"fsq {__version__}\n")


# -- roots ---------------------------------------------------------------------------------------------------------


def test_no_root(fsq: Fsq) -> None:
    """Said with the remedy; nothing is made there."""
    path = str(fsq.where / "nothing")
    for words in (["submit", "1"], ["stats"], ["worker", "--exec", "cat"], ["show", "01JD8Z7Q4M9X3V2T6B1C0N5KEY"]):
        line = complaint(fsq(*words, "-r", path), 1)
        assert line == f"{path}: not a queue root (not mounted?); make one: fsq init {path}"
    assert not os.path.exists(path)


def test_the_root_is_a_file(fsq: Fsq) -> None:
    path = fsq.write("file", "mine")
    assert "not a queue root" in complaint(fsq("stats", "-r", path), 1)
    assert "cannot make the root" in complaint(fsq("init", path), 1)
    assert (fsq.where / "file").read_text() == "mine"


def test_a_root_of_a_newer_format(fsq: Fsq) -> None:
    """Refused whole: what is there is not for this version to judge."""
    fsq.write("root/.fsq/format", "2 abc\n")
    for words in (["submit", "1"], ["worker", "--exec", "cat", "--drain"], ["init", fsq.root]):
        assert "written in format 2, this fsq knows 1" in complaint(fsq(*words, env={"FSQ_ROOT": fsq.root}), 1)


def test_a_damaged_format_file(fsq: Fsq) -> None:
    fsq.write("root/.fsq/format", "")
    assert "damaged" in complaint(fsq("stats", "-r", fsq.root), 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_attempts = ", "no TOML"),
        ("max_atempts = 3", "no setting is called 'max_atempts'; did you mean 'max_attempts'?"),
        ("max_attempts = 0", "max_attempts 0: a whole number from 1 to"),
        ("timeout = 'never'", "timeout 'never'"),
        ("[queues.default]\nbackof = '1s'", "queues.default: no setting is called 'backof'; did you mean 'backoff'?"),
        ("queues = 3", "queues must be tables"),
        ("\udcff", "no TOML"),
    ],
)
def test_a_broken_settings_file(fsq: Fsq, text: str, message: str) -> None:
    """Unknown keys too: a typing error must not be a setting that does nothing."""
    with open(f"{fsq.root}/fsq.toml", "wb") as file:
        file.write(os.fsencode(text))
    for words in (["submit", "1"], ["worker", "--exec", "cat", "--drain"]):
        line = complaint(fsq(*words, env={"FSQ_ROOT": fsq.root}), 2)
        assert message in line
        assert "fsq.toml" in line


def test_settings_in_the_environment_are_checked_too(fsq: Fsq) -> None:
    env = {"FSQ_ROOT": fsq.root, "FSQ_MAX_ATTEMPTS": "many"}
    assert complaint(fsq("submit", "1", env=env), 2).startswith("environment: max_attempts 'many'")


def test_the_root_named_after_the_verb_goes_first(fsq: Fsq) -> None:
    """Then the one before it, then FSQ_ROOT."""
    env = {"FSQ_ROOT": "/nowhere/env"}
    assert "/nowhere/after" in complaint(fsq("-r", "/nowhere/before", "stats", "-r", "/nowhere/after", env=env), 1)
    assert "/nowhere/before" in complaint(fsq("-r", "/nowhere/before", "stats", env=env), 1)
    assert "/nowhere/env" in complaint(fsq("stats", env=env), 1)
    assert fsq("stats", "--root", fsq.root, env=env).status == 0


# -- surroundings --------------------------------------------------------------------------------------------------


def test_arguments_that_are_no_utf_8(fsq: Fsq) -> None:
    """Refused or shown; the message itself can be printed anywhere."""
    odd = os.fsdecode(b"\xff\xfe")
    assert "queue" in complaint(fsq("submit", "1", "-q", odd, "-r", fsq.root), 2)
    assert "no JSON" in complaint(fsq("submit", odd, "-r", fsq.root), 2)
    assert "not a queue root" in complaint(fsq("stats", "-r", odd), 1)
    assert fsq("submit", "--raw", odd, "-r", fsq.root).status == 0
    assert "show" not in fsq("show", odd, "-r", fsq.root).out
    running = fsq.execute("submit", "1", "-q", odd, "-r", fsq.root, env={"LC_ALL": "C", "PYTHONUTF8": "0"})
    assert running.wait() == 2
    assert "Traceback" not in running.err


def test_control_characters_in_a_message_stay_in_it(fsq: Fsq) -> None:
    """One line, whatever the argument has."""
    line = complaint(fsq("submit", "1", "-q", "two\nlines\x1b[31m", "-r", fsq.root), 2)
    assert "\x1b" not in line


def test_a_closed_standard_output(fsq: Fsq) -> None:
    """The job is submitted; there is no traceback."""

    def closed() -> None:
        os.close(1)
        python("-m", "workqueue", "-r", fsq.root, "submit", "1")()

    running = fsq.fork(closed)
    assert running.wait() == 0
    assert running.err == ""
    assert len(fsq.names("new")) == 1


@pytest.mark.parametrize("jobs", [1, 3000])
def test_a_full_standard_output(fsq: Fsq, jobs: int) -> None:
    """``fsq ls >/dev/full`` is an error in a line, whether it is seen at once or at the end."""
    Producer(fsq.root).submit_many(range(jobs), durable=False)

    def full() -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
        sys.argv = ["fsq", "-r", fsq.root, "ls"]
        cli.main()

    running = fsq.fork(full)
    assert running.wait() == 1
    assert running.err == "fsq: [Errno 28] No space left on device\n"


def test_a_root_that_others_own(fsq: Fsq) -> None:
    """Not readable, not writable: who and what is said, and nothing is tried again."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    for directory in (fsq.where, *fsq.where.parents[:2]):  # pytest's own; what they lie in is open to all
        os.chmod(directory, 0o755)

    def as_nobody() -> int:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        sys.argv = ["fsq", "-r", fsq.root, "submit", "1"]
        cli.main()

    running = fsq.fork(as_nobody)
    assert running.wait() == 1
    [line] = running.err.splitlines()
    assert "Permission denied" in line
    assert "check the owner and mode of the directory, and who you are" in line


def test_a_read_only_root(fsq: Fsq) -> None:
    """Looks work; changes say what the kernel says, and the remedy."""
    Producer(fsq.root).submit(0)
    root = os.fsencode(fsq.root)

    def read_only(*words: str) -> int:
        libc = ctypes.CDLL(None, use_errno=True)
        new_mounts, private_recursive, bind, remount_read_only = (
            0x00020000,
            1 << 18 | 1 << 14,
            1 << 12,
            1 << 12 | 1 << 5 | 1,
        )
        if (
            libc.unshare(new_mounts)
            or libc.mount(b"none", b"/", None, private_recursive, None)
            or libc.mount(root, root, None, bind, None)
            or libc.mount(root, root, None, remount_read_only, None)
        ):
            return 77
        sys.argv = ["fsq", "-r", fsq.root, *words]
        return cli.main()

    running = fsq.fork(lambda: read_only("stats"))
    if running.wait() == 77:
        pytest.skip("nothing can be mounted here")
    assert running.out.startswith("default\t1\t")
    for words in (["submit", "1"], ["worker", "--exec", "cat", "--drain"], ["cancel", "--all", "new"]):
        running = fsq.fork(functools.partial(read_only, *words))
        assert running.wait() == 1, running.err
        assert "Traceback" not in running.err
        assert "Read-only file system" in running.err.splitlines()[-1]
        assert "remount the file system read-write" in running.err.splitlines()[-1]
    assert len(fsq.names("new")) == 1


@pytest.mark.parametrize(
    ("words", "modules"),
    [
        (["--version"], set()),
        (["submit", "1", "-r", "ROOT"], {"submit"}),
        (["-r", "ROOT", "submit", "1"], {"submit"}),
        (["--root=ROOT", "submit", "1"], {"make", "submit", "worker", "look", "change", "inputs", "doctor"}),
        (["-r", "submit", "stats"], {"make", "submit", "worker", "look", "change", "inputs", "doctor"}),
    ],
)
def test_a_hot_verb_does_not_load_the_others(fsq: Fsq, words: list[str], modules: set[str]) -> None:
    """What is called in loops starts as fast as it can, whatever other verbs there are."""
    script = (
        "import sys\nfrom workqueue import cli\n"
        "try: cli.main()\nexcept SystemExit: print(*(name for name in sys.modules if name.startswith('workqueue.cli.')))\n"
    )
    running = fsq.fork(python("-c", script, *(word.replace("ROOT", fsq.root) for word in words)))
    assert running.wait() == 0
    loaded = {name.rpartition(".")[2] for name in running.out.splitlines()[-1].split()}
    assert loaded & {"make", "submit", "worker", "look", "change", "inputs", "doctor"} == modules


@pytest.mark.parametrize("words", [["ls"], ["submit", "1"], ["--version"]])
def test_a_command_in_a_fork_is_not_put_together_anew(fsq: Fsq, words: list[str]) -> None:
    """That takes longer than most of these tests."""

    def run() -> int:
        command(hot_verb(words))
        return command.cache_info().misses - misses

    misses = command.cache_info().misses
    assert fsq.fork(run).wait() == 0

"""fsq submit: what becomes a job, and what each option sets."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import until
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root, init
from workqueue.jobs.content import decode_payload
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from support.fsq import Fsq
    from workqueue.engine.protocol import Claim


def only_job(fsq: Fsq, state: State = State.NEW, queue: str = "default") -> Claim:
    """The one job of a state, read."""
    engine = DirectoryEngine(Root(fsq.root))
    [found] = engine.scan(queue, state)
    claim = engine.load(found)
    engine.body(claim)
    return claim


def payload(claim: Claim) -> Any:
    """Its payload's value."""
    assert claim.head is not None
    return decode_payload(claim.head, claim.options.type, whole=claim.name.whole)


def test_json_is_the_payload_and_the_id_is_printed(fsq: Fsq) -> None:
    """The id alone on stdout, nothing on stderr."""
    result = fsq("-r", fsq.root, "submit", '{"n": [1, null, "ü"]}')
    claim = only_job(fsq)
    assert result == (0, f"{claim.id}\n", "")
    assert payload(claim) == {"n": [1, None, "ü"]}


def test_the_installed_command_is_the_same(fsq: Fsq) -> None:
    """``python -m workqueue`` in an interpreter of its own."""
    running = fsq.execute("submit", "1", "-r", fsq.root)
    assert running.wait() == 0
    assert running.out.strip() == only_job(fsq).id


@pytest.mark.parametrize(
    ("words", "stdin", "value"),
    [
        (["-"], b'{"n":2}\n', {"n": 2}),
        (["@given"], b"", {"n": 3}),
        (["--raw", "text {"], b"", "text {"),
        (["--raw", "-"], b"text\n", "text\n"),
        (["--raw", "-"], b"\xff\0", b"\xff\0"),
        (["--raw", "@given"], b"", '{"n": 3}'),
        (["null"], b"", None),
        (["-1.5"], b"", -1.5),
        (["--file", "given"], b"", {"n": 3}),
        (["-f", "given", "--mode", "copy"], b"", {"n": 3}),
    ],
)
def test_where_the_payload_comes_from(fsq: Fsq, words: list[str], stdin: bytes, value: object) -> None:
    """JSON or raw; from the argument, stdin, or a file."""
    fsq.write("given", '{"n": 3}')
    result = fsq("-r", fsq.root, "submit", *(["--", *words] if words[0].startswith("-1") else words), stdin=stdin)
    assert result.status == 0, result.err
    assert payload(only_job(fsq)) == value


@pytest.mark.parametrize(("mode", "stays", "links"), [("copy", True, 1), ("move", False, 1), ("link", True, 2)])
def test_how_a_file_comes_into_the_queue(fsq: Fsq, mode: str, stays: bool, links: int) -> None:
    """Copied, moved or linked; its name becomes the label."""
    path = fsq.write("big.csv", "a,b\n")
    assert fsq("-r", fsq.root, "submit", "--file", path, "--mode", mode).status == 0
    claim = only_job(fsq)
    assert os.path.exists(path) is stays
    assert os.stat(claim.path).st_nlink == links
    assert (claim.name.label, claim.name.whole) == ("big.csv", True)


def test_every_option_is_kept(fsq: Fsq) -> None:
    """Each where it belongs: in the name or in line 1."""
    init(fsq.root, ("load",))
    before = time.time() * 1000
    words = "-q load --delay 1h -p 2 --key k --key-for 1d --max-attempts 7 --timeout 2m --expires 1d --keep 1h"
    result = fsq(
        "-r", fsq.root, "submit", "1", *words.split(), "--header", "a=b=c", "--header", "d=", "--label", "july"
    )
    assert result.status == 0, result.err
    claim = only_job(fsq, State.LATER, "load")
    options = claim.options
    assert (claim.name.priority, claim.name.label) == (2, "july")
    assert abs((claim.name.due or 0) - before - 3_600_000) < 10_000
    assert (options.key, options.key_for, options.max_attempts, options.timeout, options.keep) == (
        "k", 86400.0, 7, 120.0, 3600.0,
    )  # fmt: skip
    assert abs((options.expires or 0) - before - 86_400_000) < 10_000
    assert options.headers == {"a": "b=c", "d": ""}


def test_at_is_a_time_with_a_zone(fsq: Fsq) -> None:
    """Milliseconds since the epoch, in the name."""
    assert fsq("-r", fsq.root, "submit", "1", "--at", "2100-07-01T04:00+02:00").status == 0
    assert only_job(fsq, State.LATER).name.due == 4_118_090_400_000


def test_options_come_from_the_environment_too(fsq: Fsq) -> None:
    """FSQ_ROOT, and FSQ_VERB_OPTION for any option; the command line goes first."""
    env = {"FSQ_ROOT": fsq.root, "FSQ_SUBMIT_PRIORITY": "3", "FSQ_SUBMIT_LABEL": "env"}
    assert fsq("submit", "1", "--label", "line", env=env).status == 0
    name = only_job(fsq).name
    assert (name.priority, name.label) == (3, "line")


def test_a_taken_key_submits_nothing_and_says_so(fsq: Fsq) -> None:
    """Exit 0 with the id of the job that has it; --json tells created."""
    first = fsq("-r", fsq.root, "submit", "1", "--key", "k")
    second = fsq("-r", fsq.root, "submit", "2", "--key", "k")
    assert second == (0, first.out, "the key is taken by that job; nothing was submitted\n")
    third = fsq("-r", fsq.root, "submit", "3", "--key", "k", "--json")
    assert json.loads(third.out) == {"id": first.out.strip(), "queue": "default", "created": False}
    assert len(fsq.names("new")) == 1


def test_lines_are_jobs(fsq: Fsq) -> None:
    """Each line of stdin as text; one that is no UTF-8 as bytes; an id a line."""
    result = fsq("-r", fsq.root, "submit", "--lines", stdin=b"one\r\n\n{\xff\nlast")
    engine = DirectoryEngine(Root(fsq.root))
    claims = [engine.load(found) for found in engine.scan("default", State.NEW)]
    assert [payload(claim) for claim in claims] == ["one", "", b"{\xff", "last"]
    assert result.out.split() == [claim.id for claim in claims]


def test_ten_thousand_lines(fsq: Fsq) -> None:
    """In batches; all there, in order, in a second or two."""
    stdin = b"".join(b'{"n":%d}\n' % n for n in range(10_000))
    result = fsq("-r", fsq.root, "submit", "--json-lines", "--volatile", "--json", stdin=stdin)
    assert result.status == 0, result.err
    ids = [json.loads(line)["id"] for line in result.out.splitlines()]
    assert len(set(ids)) == 10_000
    assert ids == sorted(ids)
    assert DirectoryEngine(Root(fsq.root)).counts("default")[State.NEW] == 10_000


def test_a_bad_line_refuses_its_batch(fsq: Fsq) -> None:
    """Nothing of it is there; the message names the line."""
    result = fsq("-r", fsq.root, "submit", "--json-lines", stdin=b'{"n":1}\n{"n":\n')
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("fsq: line 2 of stdin: no JSON:")
    assert result.err.endswith("; 0 lines are submitted; go on from line 1\n")
    assert fsq.names("new") == fsq.names("tmp") == []


def test_the_ids_of_the_batches_before_a_bad_line_are_printed(fsq: Fsq) -> None:
    """So that whoever mends it knows where to go on."""
    stdin = b"1\n" * 1200 + b"oops\n"
    result = fsq("-r", fsq.root, "submit", "--json-lines", "--volatile", stdin=stdin)
    assert result.status == 2
    assert result.err.endswith("; 1000 lines are submitted; go on from line 1001\n")
    found = DirectoryEngine(Root(fsq.root)).scan("default", State.NEW)
    assert result.out.split() == [job.name.id for job in found]


def test_wait_tells_how_it_ended(fsq: Fsq) -> None:
    """Exit 0 for done, 1 for failed; the id comes at once."""

    def handle(job: Any) -> None:
        if job.payload == "bad":
            raise ValueError

    with fsq.work(handle):
        assert fsq("-r", fsq.root, "submit", '"good"', "--wait").status == 0
        assert fsq("-r", fsq.root, "submit", '"bad"', "--wait", "--max-attempts", "1").status == 1
        assert fsq("-r", fsq.root, "submit", '"good"', "--wait", "--keep", "0").status == 0


def test_ctrl_c_while_waiting_leaves_the_job(fsq: Fsq) -> None:
    """Exit 130, quietly: who waits is not the job."""
    running = fsq.start("-r", fsq.root, "submit", "1", "--wait")
    until(lambda: running.out, "the id is printed")
    running.signal(signal.SIGINT)
    assert running.wait() == 130
    assert running.err == ""
    assert only_job(fsq).id == running.out.strip()


def test_a_full_queue_exits_75(fsq: Fsq) -> None:
    """The limit of the settings; nothing is submitted."""
    fsq.write("root/fsq.toml", "max_jobs = 1\n")
    assert fsq("-r", fsq.root, "submit", "1").status == 0
    result = fsq("-r", fsq.root, "submit", "2")
    assert result == (75, "", "fsq: queue 'default' is full: 1 jobs wait, max_jobs is 1; try later\n")
    assert len(fsq.names("new")) == 1

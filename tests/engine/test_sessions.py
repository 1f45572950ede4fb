"""Sessions: what a dead worker left is ended, and nobody else is."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from engine.children import Child, rest, rest_for_ever, until
from support.clocks import FakeClock
from workqueue.clock import CLOCK
from workqueue.engine import sessions
from workqueue.engine.sessions import Identity, identity, members, process

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Remains:
    """A dead worker's identity, and the program that it left running in its session."""

    owner: Identity
    program: int

    def is_alive(self) -> bool:
        found = process(self.program)
        return found is not None and found.state not in "ZX"


def leave_a_program(tell: Callable[[str], None]) -> None:
    """Be a worker that starts a program, tells of both, and waits to be killed."""
    os.setsid()
    program = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    tell(msgspec.json.encode(identity(CLOCK.now_ms())).decode())
    tell(str(program.pid))
    rest_for_ever()


def remains(child: Child) -> Remains:
    owner = msgspec.json.decode(child.hear(), type=Identity)
    left = Remains(owner, int(child.hear()))
    child.kill()
    assert left.is_alive()
    return left


def test_what_a_dead_worker_left_running_is_killed() -> None:
    with Child(leave_a_program) as worker:
        left = remains(worker)
        assert sessions.end_left_over(left.owner, CLOCK) == (True, "")
        assert not left.is_alive()


def test_nobody_is_killed_whose_boot_start_or_namespace_is_not_the_owners() -> None:
    with Child(leave_a_program) as worker:
        left = remains(worker)
        try:
            for strange in (
                msgspec.structs.replace(left.owner, boot="another boot"),
                msgspec.structs.replace(left.owner, namespace="pid:[1]"),
                msgspec.structs.replace(left.owner, start=left.owner.start + 10**9),
            ):
                sessions.end_left_over(strange, FakeClock())
                assert left.is_alive()
        finally:
            os.kill(left.program, 9)


def test_a_pid_that_was_given_to_somebody_else_protects_it() -> None:
    with Child(rest) as innocent:
        innocent.hear()
        found = process(innocent.pid)
        assert found is not None
        dead = msgspec.structs.replace(identity(0), pid=innocent.pid, start=found.start - 1)
        assert sessions.end_left_over(dead, FakeClock()).certain
        after = process(innocent.pid)
        assert after is not None
        assert after._replace(state="") == found._replace(state="")
        assert after.state not in "ZX"


def test_another_containers_session_is_told_of_and_left_alone() -> None:
    ended = sessions.end_left_over(msgspec.structs.replace(identity(0), namespace="pid:[1]"), FakeClock())
    assert not ended.certain
    assert "another container" in ended.told


def test_a_slot_without_a_text_or_of_an_earlier_boot_needs_nobodys_end() -> None:
    assert sessions.end_left_over(None, FakeClock()).certain
    assert sessions.end_left_over(msgspec.structs.replace(identity(0), boot="x"), FakeClock()) == (True, "")


def test_the_session_of_an_own_zombie_is_ended_before_it_is_reaped() -> None:
    with Child(leave_a_program) as worker:
        worker.hear()
        program = int(worker.hear())
        os.kill(worker.pid, 9)
        until(lambda: (found := process(worker.pid)) and found.state == "Z", "the worker is a zombie")
        assert [found.pid for found in members(worker.pid)] == [program]
        assert sessions.end(worker.pid, CLOCK)
        found = process(program)
        assert found is None or found.state in "ZX"


def test_a_session_whose_leader_runs_is_ended_with_it() -> None:
    with Child(leave_a_program) as worker:
        worker.hear()
        program = int(worker.hear())
        assert sessions.end(worker.pid, CLOCK)
        assert worker.wait() == -9
        found = process(program)
        assert found is None or found.state in "ZX"


def test_a_process_whose_name_looks_like_a_line_of_stat_is_read_right() -> None:
    def disguise(tell: Callable[[str], None]) -> None:
        with open("/proc/self/comm", "w") as file:
            file.write("x) Z 1 1 (1")
        tell("disguised")
        rest_for_ever()

    with Child(disguise) as child:
        child.hear()
        found = process(child.pid)
        assert found is not None
        assert (found.pid, found.session) == (child.pid, os.getsid(0))
        assert found.state in "SRD"


def test_a_process_that_does_not_exist_is_none() -> None:
    assert process(2**22 + 1) is None


def test_this_process_is_identified_by_pid_start_boot_and_namespace() -> None:
    me = identity(7)
    found = process(os.getpid())
    assert found is not None
    assert (me.pid, me.start, me.since) == (os.getpid(), found.start, 7)
    assert me.boot == sessions.boot_id()
    assert me.namespace.startswith("pid:[")

"""The accident of the night: kill -9 of a worker in the middle of a job.

Guarantee: only a child of the program's own `fsq worker` is touched, and what is stopped goes on or is killed.
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator

from spool import Spool, label
from supervisor import Supervisor

PAUSE = 0.2


def kill_worker(supervisor: Supervisor, spool: Spool) -> str:
    """Kill a random worker and say what it was doing; if it was doing nothing, spare it and return ""."""
    workers = supervisor.workers()
    if not workers:
        return ""
    worker = random.choice(workers)
    with stopped(worker):
        claims = staying_claims(spool)
        if len(claims) != 1:
            return ""
        os.kill(worker, signal.SIGKILL)
    [(stage, name)] = claims
    return f"kill -9 {worker}: a worker, in the middle of {stage} {label(name)}"


@contextlib.contextmanager
def stopped(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


def staying_claims(spool: Spool) -> set[tuple[str, str]]:
    """Return the claims that outlast a pause: with one worker stopped, its own; the others' jobs go on."""
    claims = spool.running()
    end = time.monotonic() + PAUSE
    while claims and time.monotonic() < end:
        time.sleep(PAUSE / 10)
        claims &= spool.running()
    return claims

"""The accident of the night: kill -9 of a worker in the middle of a job.

Guarantee: only a child of the program's own `fsq run` is touched, and what is stopped goes on or is killed.
"""

import contextlib
import os
import random
import signal
from collections.abc import Iterator

from spool import Spool, label
from supervisor import Supervisor


def kill_worker(supervisor: Supervisor, spool: Spool) -> str:
    """Kill a random worker and say what it was doing; if it was doing nothing, spare it and return ""."""
    workers = supervisor.workers()
    if not workers:
        return ""
    worker = random.choice(workers)
    with stopped(worker):
        claim = spool.claim_of(worker)
        if claim is None:
            return ""
        os.kill(worker, signal.SIGKILL)
    stage, name = claim
    return f"kill -9 {worker}: a worker, in the middle of {stage} {label(name)}"


@contextlib.contextmanager
def stopped(process: int) -> Iterator[None]:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)

"""Those who act on what they find, by the words of docs/states.md: each with an engine of its own, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from engine.state_hands import LONG, PAYLOAD
from engine.worlds import SLOT, Q, new_job
from workqueue.engine import housekeeping, recovery
from workqueue.engine.dealer import Dealer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.housekeeping import DoneKeeper
from workqueue.engine.protocol import Claim, Placed

Agent = Callable[[DirectoryEngine], Placed | None]
DAYS = 2 * 86400.0
"""Longer than tmp_age."""


def sweep(engine: DirectoryEngine) -> None:
    """What a supervisor does every second."""
    list(recovery.sweep(engine.root, [Q], set()))
    housekeeping.carry_out_cancels(engine.root)


def promote(engine: DirectoryEngine) -> None:
    """What a supervisor does with delayed jobs."""
    Dealer(engine.root, [Q]).refresh(now=True)


def run(engine: DirectoryEngine) -> None:
    """A supervisor deals, and a worker of it claims and finishes, until nothing is left."""
    dealer = Dealer(engine.root, [Q])
    dealer.refresh(now=True)
    while (dealt := dealer.deal(1)) is not None:
        queue, hints = dealt
        taken = engine.take(queue, hints[0], SLOT + 1)
        if isinstance(taken, Claim):
            assert engine.body(taken) == PAYLOAD
            engine.finish(taken, b"[1]")
        dealer.settle(queue, hints)


def keyed(engine: DirectoryEngine) -> Placed:
    """Somebody submits a job of his own under the key."""
    return engine.put(new_job(b"another", key="k"))


def clean_tmp(engine: DirectoryEngine) -> None:
    """What a supervisor does with tmp/."""
    housekeeping.clean_tmp(engine.root, Q)


def prune(engine: DirectoryEngine) -> None:
    """What a supervisor does with outcomes that were kept."""
    DoneKeeper(engine.root, Q).prune()


def later(seconds: float, act: Agent) -> Agent:
    """What somebody does when time has passed."""

    def after(engine: DirectoryEngine) -> Placed | None:
        engine.root.clock.sleep(seconds)
        return act(engine)

    return after


AT_ONCE: dict[str, Agent] = {"time": promote, "tmp_age": clean_tmp, "keep": prune}
"""What those who wait for a time do if they do not wait."""
AGENTS: dict[str, Agent] = {
    "sweep": sweep,
    "time": later(LONG + 1, promote),
    "run": run,
    "keyed": keyed,
    "tmp_age": later(DAYS, clean_tmp),
    "keep": later(LONG + 1, prune),
}

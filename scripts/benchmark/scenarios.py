"""The scenarios, in the order of a job's life."""

from __future__ import annotations

from functools import partial

from benchmark import bare, bare_runs, latency, queue, starts
from benchmark.scenario import Scenario

THOUSAND, MILLION = 1000, 1_000_000


def scenarios(place: str) -> list[Scenario]:
    """Those that a kind of file system is asked for; some goals are lower where the CPU is the limit."""
    in_memory = place == "tmpfs"
    return [
        *submits(in_memory=in_memory),
        *drains(in_memory=in_memory),
        *latencies(),
        *arrays(),
        *others(),
        *backlogs(),
    ]


def submits(*, in_memory: bool) -> list[Scenario]:
    loop = "write, rename"
    synced = "write, sync, rename, sync"
    many = "write-out, 8 threads sync"
    one_durable = partial(queue.submits, durable=True)
    two_volatile = (partial(queue.submits_of, 2), partial(bare.submits_of, 2))
    four = (partial(queue.submits_of, 4, durable=True), partial(bare.submits_of, 4, durable=True))
    return [
        Scenario("submit, volatile", 5000, queue.submits, bare.submits, loop, target=0.65 if in_memory else 0.75),
        Scenario("submit, volatile, 2 processes", 8000, *two_volatile, loop),
        Scenario("submit", 300, one_durable, bare.durable_submits, synced, target=None if in_memory else 0.9),
        Scenario("submit, 4 processes", 600, *four, synced),
        Scenario(
            "submit, 16 threads",
            300,
            partial(queue.submits_of_threads, 16),
            partial(queue.submits_of_threads, 1),
            "fsq with 1 thread",
            target=None if in_memory else 3.0,
        ),
        Scenario("submit with a key", 300, queue.keyed_submits, bare.keyed_submits, "…, link, sync, rename, sync"),
        Scenario("submit_many", 5000, queue.batches, bare.batches_by_threads, many, target=None if in_memory else 0.8),
        Scenario("submit_many of 1,000", 1000, queue.batches, one_durable, "submit", target=None if in_memory else 7.0),
        Scenario(
            "submit_many, volatile",
            10_000,
            partial(queue.batches, durable=False),
            bare.batches_volatile,
            "write, rename",
        ),
    ]


def drains(*, in_memory: bool) -> list[Scenario]:
    loop = "rename, open, read, unlink"

    def drain(ours: int, processes: int, target: float | None) -> Scenario:
        sides = (partial(queue.drains, ours), partial(bare_runs.drains, processes))
        plural = "s" if ours > 1 else ""
        return Scenario(f"drain, {ours} worker{plural}", 10_000, *sides, f"{loop}; {processes}", target=target)

    two_of_ours = partial(queue.drains, 2)
    return [
        drain(1, 1, 0.55 if in_memory else 0.6),
        drain(2, 2, None if in_memory else 0.6),
        Scenario("drain, 4 workers", 10_000, partial(queue.drains, 4), two_of_ours, "fsq with 2 workers", target=1.0),
        Scenario(
            "drain, 2 supervisors", 10_000, partial(queue.drains, 1, supervisors=2), two_of_ours, "one, with 2 workers"
        ),
    ]


def arrays() -> list[Scenario]:
    def submit(size: int, *, durable: bool) -> Scenario:
        sides = (partial(queue.arrays, size, durable=durable), partial(bare.arrays, size, durable=durable))
        name = f"submit_array, {size:,} each{'' if durable else ', volatile'}"
        return Scenario(name, 200_000, *sides, "the same bytes, encoded alike", least=250_000 if durable else 500_000)

    def drain(size: int) -> Scenario:
        sides = (partial(queue.array_drains, size), partial(bare_runs.array_drains, size))
        goal = 150_000 if size == THOUSAND else None
        return Scenario(f"array elements, {size:,} each", 200_000, *sides, "read, split, decode, call", least=goal)

    return [
        *(submit(size, durable=durable) for size in (100, 1000) for durable in (False, True)),
        *(drain(size) for size in (100, 1000)),
    ]


def latencies() -> list[Scenario]:
    def wakeup(name: str, *, durable: bool = True, busy: bool = False) -> Scenario:
        ours = partial(latency.wakeups, 4, durable=durable, busy=busy)
        bare_side = partial(latency.bare_wakeups, durable=durable)
        return Scenario(name, 200, ours, bare_side, "inotify, rename, open", "ms", most=0.5)

    after_an_hour = partial(latency.wakeups, 4, durable=False, idle_for=3600)
    at_once = partial(latency.bare_wakeups, durable=False)
    hour = Scenario(
        "after an hour of idleness", 10, after_an_hour, at_once, "inotify, rename, open", "ms", most=0.5, alone=True
    )
    idle = Scenario(
        "idle: 20 s with 8 workers", 20, latency.idle, latency.asleep, "of CPU; a sleep", "ms", most=100, slow=True
    )
    return [
        wakeup("submit to start"),
        wakeup("submit to start, others claim", busy=True),
        wakeup("submit to start, volatile", durable=False),
        hour,
        idle,
    ]


def others() -> list[Scenario]:
    def handover(children: int) -> Scenario:
        sides = (partial(queue.handovers, children), partial(bare_runs.handovers, children))
        plural = "ren" if children > 1 else ""
        return Scenario(f"hand over {children} child{plural}", 100, *sides, "the same writes, syncs, renames")

    return [
        handover(1),
        handover(10),
        Scenario("retry", 2000, queue.retries, bare_runs.retries, "the same renames and records"),
        Scenario(
            "recover a dead worker's claims", 10_000, queue.recoveries, bare_runs.recoveries, "renames", target=0.6
        ),
        Scenario(
            "recover, with all it does", 10_000, queue.recoveries, bare_runs.told_recoveries, "look, note, rename"
        ),
        Scenario("fsq --version", 10, starts.version, starts.bare_typer, "a bare typer program", "ms", target=1 / 1.3),
        Scenario("mv -n FILE new/", 50, starts.moves, starts.nothing, "true", "ms"),
        Scenario("fsq submit --lines", 20_000, starts.lines, queue.batches, "submit_many"),
        Scenario("fsq submit", 10, starts.submit, starts.bare_typer, "a bare typer program", "ms", target=1 / 1.3),
    ]


def backlogs() -> list[Scenario]:
    def grown(waiting: int, *, batched: bool) -> Scenario:
        ours, small = (partial(queue.backlog, size, batched=batched) for size in (waiting, THOUSAND))
        text = f"backlog of {waiting:,}{', in batches' if batched else ''}"
        target = 1 / 1.1 if batched else 1 / 1.25
        return Scenario(text, 800, ours, small, "backlog of 1,000", target=target, slow=waiting >= MILLION // 10)

    emptied, new = partial(queue.drains_emptied, MILLION // 10), partial(queue.drains, 1)
    return [
        *(grown(size, batched=batched) for size in (10_000, 100_000, MILLION) for batched in (False, True)),
        Scenario("emptied of 100,000 jobs", 4000, emptied, new, "a new queue", target=0.95, slow=True),
    ]

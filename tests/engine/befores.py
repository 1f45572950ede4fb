"""One acknowledged job in each situation from which a verb can take it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from workqueue.engine import operate, settle
from workqueue.engine.protocol import NewJob
from workqueue.jobs.checkpoint import Checkpoint

if TYPE_CHECKING:
    from engine.worlds import World
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim


def the_claim(engine: DirectoryEngine, job_id: str) -> Claim:
    found = engine.find(job_id)
    assert found is not None
    return engine.load(found)


def ready(world: World) -> str:
    return world.put(b"acknowledged")


def keyed(world: World) -> str:
    return world.put(b"acknowledged", key="k")


def running(world: World, **options: Any) -> str:
    job_id = world.put(b"acknowledged", **options)
    world.take(f"5-{job_id}-0")
    return job_id


def again(world: World) -> str:
    """A job in its second attempt."""
    job_id = running(world)
    world.engine.add_error(the_claim(world.engine, job_id), {"message": "x"})
    world.engine.defer(the_claim(world.engine, job_id), 0)
    world.engine.retry(world.find(job_id))
    world.take(f"5-{job_id}-1")
    return job_id


def mark(number: int) -> Checkpoint:
    """The `number`-th checkpoint of a job; its cursor says so."""
    return Checkpoint(number, 1, 0, msgspec.Raw(b"%d" % number))


def saved(world: World, **options: Any) -> str:
    """A job whose run has saved a checkpoint, and whose worker is dead."""
    job_id = running(world, **options)
    world.engine.save(the_claim(world.engine, job_id), mark(1), durable=True)
    return job_id


def saved_and_failed(world: World) -> str:
    job_id = saved(world)
    world.engine.fail(the_claim(world.engine, job_id))
    return job_id


def failed(world: World, **options: Any) -> str:
    job_id = running(world, **options)
    world.engine.add_error(the_claim(world.engine, job_id), {"message": "x"})
    world.engine.fail(the_claim(world.engine, job_id))
    return job_id


def failed_long_ago(world: World) -> str:
    job_id = failed(world, key="k")
    world.clock.advance(3600)
    return job_id


def quarantined(world: World) -> str:
    job_id = running(world, key="k")
    world.engine.corrupt(the_claim(world.engine, job_id), "why")
    return job_id


def kept(world: World) -> str:
    """A job in done/ whose time is over."""
    job_id = running(world, keep=60)
    world.engine.finish(the_claim(world.engine, job_id), b"[1]")
    world.clock.advance(3600)
    return job_id


def delayed(world: World) -> str:
    return world.put(b"acknowledged", due=world.clock.now_ms())


def in_batch(world: World) -> str:
    return world.put_many([b"acknowledged"])[0]


def delayed_batch(world: World) -> str:
    return world.put_many([b"acknowledged"], due=world.clock.now_ms())[0]


def held(world: World) -> str:
    job_id = ready(world)
    operate.hold(world.root, world.find(job_id))
    return job_id


def marked(world: World) -> str:
    job_id = running(world, key="k")
    world.engine.cancel(world.find(job_id))
    return job_id


def marked_and_ready(world: World) -> str:
    """A job whose worker gave it back before it heard of the cancel."""
    job_id = marked(world)
    settle.release(world.root, the_claim(world.engine, job_id))
    return job_id


def with_stage(world: World) -> str:
    """A job whose run has a directory under stage/, and whose worker is dead."""
    job_id = running(world)
    world.engine.payload_path(the_claim(world.engine, job_id))
    return job_id


def stage_a_child(engine: DirectoryEngine, claim: Claim) -> None:
    """What a run does whose handler submits a job, up to its end."""
    engine.stage_job(claim, NewJob("default", b"child", "bytes"))
    try:
        engine.seal(claim, None)
    except BaseException:
        if claim.staged is not None:
            claim.staged.close()
        raise


def sealed(world: World, **options: Any) -> str:
    """A job whose worker died when all that its run hands over was durable, before the commit."""
    job_id = running(world, **options)
    stage_a_child(world.engine, the_claim(world.engine, job_id))
    return job_id


def committed(world: World) -> str:
    """A job whose worker died between the commit and all that follows it."""
    job_id = sealed(world, key="k")
    claim = the_claim(world.engine, job_id)
    world.root.fs.rename(claim.path, world.at("done", claim.name.claimed()))
    world.root.fs.sync_dir(world.at("done"))
    world.root.fs.sync_dir(world.at("cur"))
    return job_id


def moved_into_cur(world: World) -> str:
    """A job that somebody moved into cur/ by hand."""
    job_id = ready(world)
    os.rename(world.at("new", f"5-{job_id}-0"), world.at("cur", f"5-{job_id}-0"))
    return job_id

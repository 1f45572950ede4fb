"""Batches: what dead producers and workers have left of them is found, and settled as a worker would."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from doctor.wards import NOTE, PROBLEM, cured, found, healthy
from engine.batched import draft, fresh, submit
from engine.worlds import new_job
from workqueue.engine import members, outcome

if TYPE_CHECKING:
    from engine.worlds import World


@pytest.fixture
def batch(world: World) -> str:
    fresh(world)
    return submit(world.engine, new_job(b"one"), new_job(b"two"))


def test_a_batch_that_goes_on_or_is_over_is_healthy(world: World, batch: str) -> None:
    healthy(world)
    for text in world.ls("new"):
        world.engine.finish(world.take(text))
    healthy(world)


def test_a_member_that_is_nowhere_is_seen_out(world: World, batch: str) -> None:
    os.unlink(world.at("new", world.ls("new")[0]))
    assert batch in cured(world, "batches", PROBLEM).message
    found_out = outcome.of(world.root, batch)
    assert found_out is not None
    assert (found_out.open, found_out.gone) == (1, 1)


def test_what_a_dead_producer_has_committed_is_published(world: World) -> None:
    fresh(world)
    dead = draft(world.engine)
    dead.add(new_job(b"one"))
    dead._write()
    os.rename(members.place(world.root, f".{dead.id}"), members.place(world.root, dead.id))
    healthy(world)
    dead.close()
    cured(world, "batches", PROBLEM)
    assert len(world.ls("new")) == 1


def test_what_a_producer_began_is_left_to_it_until_it_is_dead(world: World) -> None:
    fresh(world)
    living = draft(world.engine)
    living.add(new_job(b"one"))
    world.clock.advance(3600)
    healthy(world)
    living.close()
    cured(world, "batches", NOTE)
    assert world.ls("new") == world.dot("batches") == []


def test_a_callback_whose_queue_was_removed_is_told_and_comes_when_it_is_back(world: World, batch: str) -> None:
    os.rename(world.at("", queue="on-done"), world.path + ".aside")
    for text in world.ls("new"):
        world.engine.finish(world.take(text))
    assert batch in found(world, "batches", PROBLEM).message
    os.rename(world.path + ".aside", world.at("", queue="on-done"))
    cured(world, "batches", PROBLEM)
    assert len(world.ls("new", "on-done")) == 1

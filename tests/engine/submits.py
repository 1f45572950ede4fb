"""Every way to submit: what the tests cut off, fail and kill at each disk operation."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from engine.worlds import World
from workqueue.engine.directory import DirectoryEngine

Submit = Callable[[World, DirectoryEngine, str], list[str]]
"""Submits `content`, or the file at a path that has it; returns the ids: of 3 jobs where "many" is in its name."""


def put(**how: Any) -> Submit:
    return lambda world, engine, _: [world.put(b"content", engine, **how)]


def put_file(mode: str, **options: Any) -> Submit:
    return lambda world, engine, path: [world.put(b"", engine, file=path, mode=mode, **options)]


def put_many(**how: Any) -> Submit:
    return lambda world, engine, _: world.put_many([b"content"] * 3, engine, **how)


def later(submit: Callable[..., Submit], **how: Any) -> Submit:
    return lambda world, engine, path: submit(due=world.clock.now_ms(), **how)(world, engine, path)


def over_a_dead_job(world: World, engine: DirectoryEngine, path: str) -> list[str]:
    """Under a key whose job somebody removed by hand."""
    os.unlink(world.at("new", f"5-{world.put(key='k')}-0"))
    return put(key="k")(world, engine, path)


def in_a_groups_root(submit: Submit) -> Submit:
    """What a group's root asks for: modes that do not depend on the umask."""

    def run(world: World, engine: DirectoryEngine, path: str) -> list[str]:
        engine.root.is_shared, engine.root.file_mode = True, 0o640
        return submit(world, engine, path)

    return run


def by_a_stranger(world: World, engine: DirectoryEngine, path: str) -> list[str]:
    """One who may put files into new/, and not look."""
    engine.root.submit_only = True
    return put()(world, engine, path)


SUBMITS: dict[str, Submit] = {
    "durable": put(),
    "volatile": put(durable=False),
    "delayed": later(put),
    "keyed": put(key="k"),
    "keyed, delayed": later(put, key="k"),
    "keyed, over a dead job": over_a_dead_job,
    "in a group's root": in_a_groups_root(put()),
    "by one who may only submit": by_a_stranger,
    "many": put_many(),
    "many, volatile": put_many(durable=False),
    "many, delayed": later(put_many),
    "many, in a group's root": in_a_groups_root(put_many()),
    "move": put_file("move"),
    "move with options": put_file("move", max_attempts=3),
    "move with key": put_file("move", key="k"),
    "link": put_file("link"),
    "link with options": put_file("link", max_attempts=3),
    "copy": put_file("copy"),
    "copy with key": put_file("copy", key="k"),
}

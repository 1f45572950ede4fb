"""Watch folders: what a watch that died has begun to take is told, and what one that lives takes is not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from doctor.wards import DAY, PROBLEM, healthy, left_alone, world_at
from pipeline.drop import Drop

if TYPE_CHECKING:
    from pathlib import Path

NAME = "5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0=a.csv"


def begin(drop: Drop) -> str:
    """Leave a file in the stage, with the options of its job; returns its path."""
    [place] = os.listdir(drop.world.root.dot("watch"))
    path = drop.world.root.dot("watch", place, "stage", NAME)
    os.rename(drop.deliver("a.csv"), path)
    os.mkdir(drop.world.root.dot("jobs", "01JD8Z7Q4M9X3V2T6B1C0N5KEY"))
    with open(drop.world.root.dot("jobs", "01JD8Z7Q4M9X3V2T6B1C0N5KEY", "options"), "wb") as file:
        file.write(b'{"fsq":1}')
    return path


def test_a_root_with_a_watched_folder_is_healthy(root: str, tmp_path: Path) -> None:
    drop = Drop(root, tmp_path)
    drop.once()
    healthy(world_at(root))


def test_a_file_that_a_dead_watch_has_taken_is_told_and_left_to_the_next_watch(root: str, tmp_path: Path) -> None:
    drop = Drop(root, tmp_path)
    drop.once()
    begin(drop)
    drop.world.clock.advance(30 * DAY)
    finding = left_alone(drop.world, "watch", PROBLEM)
    assert drop.folder in finding.message
    assert "default" in finding.message
    assert drop.once().ingested == 1
    drop.world.drain()
    healthy(drop.world)


def test_what_a_living_watch_takes_is_nothing_to_tell(root: str, tmp_path: Path) -> None:
    drop = Drop(root, tmp_path)
    with drop.watch():
        begin(drop)
        healthy(drop.world)

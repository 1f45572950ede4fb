"""docs/doctor.md tells of each check, and nothing that is not."""

from __future__ import annotations

import re
from pathlib import Path

from doctor.wards import found, world_at
from workqueue.cli.doctor import described
from workqueue.doctor.checks import CHECKS
from workqueue.doctor.findings import Level

PAGE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()


def test_every_check_is_documented_in_its_order_or_beside_its_like() -> None:
    rows = re.findall(r"(?m)^\| (`.+?) \|", PAGE)
    assert [name for row in rows for name in re.findall(r"`([^`]+)`", row)] == [check.name for check in CHECKS]


def test_the_number_of_checks_in_the_example_is_right() -> None:
    assert f"\n{len(CHECKS)} checks, 2 problems, 1 note" in PAGE


def test_the_members_of_the_json_lines_are_documented(root: str) -> None:
    world = world_at(root)
    world.plant("torn", state="corrupt")
    members = described(found(world, "corrupt", Level.PROBLEM))
    told = PAGE.partition("With `--json`")[2].partition("and nothing\nelse")[0]
    assert re.findall(r"`(\w+)`", told) == list(members)

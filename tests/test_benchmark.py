"""`scripts/bench`: that each scenario does what it says, on a small scale; times are for quiet machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from benchmark import payloads, queue
from benchmark.growth import Curve, Growth, Point, Step, grow
from benchmark.picture import page
from benchmark.places import kind_of
from benchmark.processes import together
from benchmark.scenario import IncompleteError, Measured, Result, Scenario, measure
from benchmark.scenarios import scenarios
from benchmark.table import row

from support.mounts import SmallDisk, disk

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["disk"]

SCRIPTS = Path(__file__).parent.parent / "scripts"
QUICK = [one for one in scenarios("tmpfs") if not one.slow and one.unit == "/s" and "backlog" not in one.name]
SMALL = 40


def bench(*given: str) -> subprocess.CompletedProcess[str]:
    """The command, with the checkout's scripts."""
    command = [sys.executable, "-m", "benchmark", *given]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(SCRIPTS)})


def side(*seconds: float) -> Callable[[str, int], Measured]:
    """A side that takes these times, one after the other."""
    times = iter(seconds)
    return lambda _directory, _count: Measured(next(times))


@pytest.mark.parametrize("scenario", QUICK, ids=lambda scenario: scenario.name)
def test_each_side_of_a_scenario_comes_to_its_end(scenario: Scenario, tmp_path: Path) -> None:
    result = measure(scenario, "here", str(tmp_path), repeats=0, scale=SMALL / scenario.count)
    assert result.scenario.count == SMALL
    assert result.ratio > 0
    assert not list(tmp_path.iterdir()), "a measurement leaves nothing behind"


def test_the_ratio_is_the_median_of_the_pairs_and_the_first_pair_warms_up(tmp_path: Path) -> None:
    scenario = Scenario("s", 10, side(99, 2, 4, 10), side(99, 1, 1, 1), target=0.3)
    result = measure(scenario, "here", str(tmp_path), repeats=3, scale=1)
    assert (result.ratio, result.spread) == (0.25, (0.1, 0.5))
    assert result.figure(result.ours) == 2.5
    assert result.is_short
    assert "0.25   (0.10..0.50)     0.30!" in row(result)


def test_a_goal_can_be_a_time(tmp_path: Path) -> None:
    result = measure(Scenario("s", 1, side(1, 0.0004), side(1, 1), unit="ms", most=0.5), "here", str(tmp_path), 1, 1)
    assert (result.goal, result.is_short) == ("0.5 ms", False)


def test_a_workload_that_is_not_whole_is_told(tmp_path: Path) -> None:
    producer = queue.producer_in(str(tmp_path))
    producer.submit(1)
    with pytest.raises(IncompleteError, match="1 of 2 jobs"):
        queue.whole(Measured(1.0), str(tmp_path), 2)


def test_processes_that_fail_make_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(IncompleteError, match="status"):
        together(2, lambda _who: os.unlink(f"{tmp_path}/missing"))


def test_the_command_prints_and_writes_its_results_and_fails_without_any(tmp_path: Path) -> None:
    given = ["--dir", str(tmp_path), "--scale", "0.01", "--repeats", "1"]
    done = bench(*given, "--only", "submit, volatile", "--json", f"{tmp_path}/json", "--html", f"{tmp_path}/html")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in Path(tmp_path, "json").read_text().splitlines()]
    assert [one["scenario"] for one in found] == ["submit, volatile", "submit, volatile, 2 processes"]
    assert found[0]["place"] == kind_of(str(tmp_path))
    assert "submit, volatile" in Path(tmp_path, "html").read_text()
    assert bench(*given, "--only", "no such scenario").returncode == 1


def test_growth_has_a_curve_for_each_series_and_a_picture_for_each_curve(tmp_path: Path) -> None:
    given = ["--growth", "--dir", str(tmp_path), "--scale", "0.01", "--repeats", "1"]
    done = bench(*given, "--json", f"{tmp_path}/json", "--html", f"{tmp_path}/html")
    assert done.returncode == 0, done.stdout + done.stderr
    series: dict[str, list[int]] = {}
    for one in map(json.loads, Path(tmp_path, "json").read_text().splitlines()):
        series.setdefault(one["series"], []).append(one["x"])
        assert one["ours"] > 0
        assert one["bare"] is None if one["series"] == "queues, nothing to do" else one["bare"] > 0
    assert series == {
        "backlog": [100, 1000],
        "backlog in batches": [100, 1000],
        "workers": [1, 2],
        "payload by value: submit": [200, 4096, 65_536],
        "payload by value: run": [200, 4096, 65_536],
        "payload by file: submit": [200, 4096, 65_536, 1 << 20],
        "payload by file: run": [200, 4096, 65_536, 1 << 20],
        "queues": [1, 10],
        "queues, nothing to do": [1, 10],
    }
    text = Path(tmp_path, "html").read_text()
    assert [text.count(f"aria-label='{name} (") for name in series] == [1] * len(series)
    assert text.count("<circle class='ours'") == sum(map(len, series.values()))
    assert "payload by file: run (µs a job)" in done.stdout


def test_a_curve_is_the_medians_of_rounds_over_all_its_steps(tmp_path: Path) -> None:
    order: list[str] = []

    def timed(name: str, *seconds: float) -> Callable[[str, int], Measured]:
        times = iter(seconds)

        def one(_directory: str, count: int) -> Measured:
            order.append(f"{name}{count}")
            return Measured(next(times), {"end": 1.0})

        return one

    steps = (Step(1, 10, timed("a", 99, 1, 5, 2), timed("b", 1, 1, 4)), Step(64, 4, timed("c", 8), rounds=1))
    first, second = grow(Growth("g", "payload", steps, ("", "end")), "here", str(tmp_path), 3, 1, everything=False)
    assert order == ["a10", "b10", "a10", "c4", "a10", "b10", "b10", "a10"], "the first warms up; sides take turns"
    assert first.points == (Point(1, 2e5, 1e5), Point(64, 2e6, None))
    assert (first.name, second.name, second.points[1].ours) == ("g", "g: end", 2.5e5)
    assert [first.label(x) for x in (200, 4096, 3 << 30)] == ["200 B", "4 KiB", "3 GiB"]


def test_a_small_scale_ends_the_axis_earlier_and_slow_steps_are_asked_for() -> None:
    steps = tuple(Step(x, 1, side(1), slow=x > 1000) for x in (1, 10, 100, 1000, 10_000))
    growth = Growth("g", "jobs waiting", steps)
    assert [step.x for step in growth.reached(1, everything=False)] == [1, 10, 100, 1000]
    assert [step.x for step in growth.reached(1, everything=True)] == [1, 10, 100, 1000, 10_000]
    assert [step.x for step in growth.reached(0.1, everything=False)] == [1, 10, 100]
    assert [step.x for step in growth.reached(0.0001, everything=False)] == [1, 10]


def test_payloads_that_are_not_whole_or_not_all_there_are_told(tmp_path: Path) -> None:
    producer = queue.producer_in(str(tmp_path))
    producer.submit(b"12345")
    with pytest.raises(IncompleteError, match="its 4 bytes"):
        payloads.runs(producer.root, str(tmp_path), 1, 4)
    with pytest.raises(IncompleteError, match="0 of 2 jobs"):
        payloads.runs(producer.root, str(tmp_path), 2, None)


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    result = measure(Scenario("<s>", 1, side(1, 2), side(1, 1)), "here", str(tmp_path), 1, 1)
    curve = Curve("<c>", "here", "jobs waiting", "µs a job", (Point(1, 5.0, None), Point(10, 500.0, None)))
    text = page([result], "a machine", [curve])
    assert text.count("&lt;c&gt;") == 2
    assert "<c>" not in text
    assert isinstance(result, Result)
    assert "&lt;s&gt;" in text
    assert "http" not in text
    assert "<script" not in text


@pytest.mark.parametrize("given", [("--dir", "/nowhere"), ("--image-dir", "/nowhere"), ("--json", "/nowhere/out")])
def test_a_place_that_is_not_there_is_told_before_anything_is_measured(given: tuple[str, str]) -> None:
    done = bench(*given)
    assert done.returncode == 2
    assert "/nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_is_full_makes_no_measurement(disk: SmallDisk) -> None:
    disk.fill("space", but=1 << 18)
    done = bench("--dir", disk.path, "--only", "submit, volatile", "--repeats", "1")
    assert done.returncode == 1
    assert "INCOMPLETE" in done.stdout
    assert "No space left on device" in done.stdout
    assert "Traceback" not in done.stderr

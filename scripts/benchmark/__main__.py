"""Measure, print a line for each scenario as it is done, and write what was asked for."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmark import places
from benchmark.growth import Curve, grow
from benchmark.growths import growths
from benchmark.picture import page
from benchmark.scenario import IncompleteError, Result, measure
from benchmark.scenarios import scenarios
from benchmark.table import HEAD, row, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from benchmark.scenario import Scenario


def main() -> int:
    """Exit status 1 where a workload was not done whole: then its time means nothing."""
    given = arguments()
    found: list[Result | Curve] = []
    incomplete = 0
    print(f"{about()}\n", flush=True)
    for entering in places_of(given):
        with entering as (kind, directory):
            print(kind if given.growth else f"{kind}\n{HEAD}", flush=True)
            for name, measured in work(given, kind, directory):
                try:
                    for one in measured():
                        found.append(one)
                        print(table(one) if isinstance(one, Curve) else row(one), flush=True)
                except (IncompleteError, OSError) as error:
                    incomplete += 1
                    print(f"{name:34}INCOMPLETE: {error}", flush=True)
            print(flush=True)
    write(given, found)
    return 1 if incomplete or not found else 0


def work(
    given: argparse.Namespace, kind: str, directory: str
) -> Iterator[tuple[str, Callable[[], Sequence[Result | Curve]]]]:
    """What was asked for, by name, each to be measured when it is called."""
    if given.growth:
        for growth in growths():
            if wanted(growth.name, given.only):
                repeats = 3 if given.repeats is None else given.repeats
                whole = {"everything": given.all}
                yield growth.name, partial(grow, growth, kind, directory, repeats, given.scale, **whole)
        return
    for scenario in scenarios(kind):
        if wanted(scenario.name, given.only) and (given.only or is_usual(scenario, given)):
            repeats = 5 if given.repeats is None else given.repeats
            yield scenario.name, partial(pairs, scenario, kind, directory, repeats, given.scale)


def pairs(scenario: Scenario, kind: str, directory: str, repeats: int, scale: float) -> list[Result]:
    return [measure(scenario, kind, directory, repeats, scale)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--dir", action="append", help="measure in this directory, instead of tmpfs and ext4")
    parser.add_argument("--image-dir", help="where the ext4 image is made (default: the directory for temporary files)")
    parser.add_argument("--only", action="append", metavar="WORDS", help="what has these words in its name")
    parser.add_argument("--all", action="store_true", help="the slow ones, too: backlogs of 100,000 and a million")
    parser.add_argument("--growth", action="store_true", help="instead, the cost of a job as work grows")
    parser.add_argument("--repeats", type=int, help="pairs of measurements (default 5; 3 with --growth)")
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual number of operations")
    parser.add_argument("--json", metavar="FILE", help="write the results, an object a line")
    parser.add_argument(
        "--html", metavar="FILE", help="write a page with a bar for each ratio, or a picture for each curve"
    )
    given = parser.parse_args()
    for directory in [*(given.dir or ()), *filter(None, [given.image_dir])]:
        if not os.access(directory, os.W_OK | os.X_OK) or not os.path.isdir(directory):
            parser.error(
                f"{directory}: no directory that can be written to; name one on the file system to be measured"
            )
    for path in filter(None, (given.json, given.html)):
        if not os.path.isdir(os.path.dirname(path) or "."):
            parser.error(f"{path}: its directory is not there; make it first")
    return given


def places_of(given: argparse.Namespace) -> list[AbstractContextManager[tuple[str, str]]]:
    if given.dir:
        return [places.given(directory) for directory in given.dir]
    missing = places.why_no_ext4()
    if missing:
        print(f"ext4 is not measured: {missing}; --dir chooses a directory\n", file=sys.stderr)
    return [places.tmpfs(), *([] if missing else [places.ext4(given.image_dir)])]


def wanted(name: str, only: list[str] | None) -> bool:
    return not only or any(words in name for words in only)


def is_usual(scenario: Scenario, given: argparse.Namespace) -> bool:
    return not scenario.alone and (given.all or not scenario.slow)


def about() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"Python {platform.python_version()}, Linux {platform.release()}, {cores} cores"


def write(given: argparse.Namespace, found: Sequence[Result | Curve]) -> None:
    curves = [one for one in found if isinstance(one, Curve)]
    results = [one for one in found if isinstance(one, Result)]
    if given.json:
        objects = [
            *(result.as_dict() for result in results),
            *(point for curve in curves for point in curve.as_dicts()),
        ]
        with open(given.json, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(one) + "\n" for one in objects)
    if given.html:
        with open(given.html, "w", encoding="utf-8") as file:
            file.write(page(results, about(), curves))


if __name__ == "__main__":
    sys.exit(main())

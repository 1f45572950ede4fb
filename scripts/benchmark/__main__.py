"""Measure, print a line for each scenario as it is done, and write what was asked for."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from typing import TYPE_CHECKING

from benchmark import places
from benchmark.picture import page
from benchmark.scenario import IncompleteError, Result, Scenario, measure
from benchmark.scenarios import scenarios
from benchmark.table import HEAD, row

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def main() -> int:
    """Exit status 1 where a workload was not done whole: then its time means nothing."""
    given = arguments()
    results: list[Result] = []
    incomplete = 0
    print(f"{about()}\n", flush=True)
    for entering in places_of(given):
        with entering as (kind, directory):
            print(f"{kind}\n{HEAD}", flush=True)
            for scenario in scenarios(kind):
                if not wanted(scenario, given):
                    continue
                try:
                    results.append(measure(scenario, kind, directory, given.repeats, given.scale))
                    print(row(results[-1]), flush=True)
                except IncompleteError as error:
                    incomplete += 1
                    print(f"{scenario.name:34}INCOMPLETE: {error}", flush=True)
            print(flush=True)
    write(given, results)
    return 1 if incomplete or not results else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--dir", action="append", help="measure in this directory, instead of tmpfs and ext4")
    parser.add_argument("--image-dir", help="where the ext4 image is made (default: the directory for temporary files)")
    parser.add_argument("--only", action="append", metavar="WORDS", help="scenarios with these words in their names")
    parser.add_argument("--all", action="store_true", help="the slow ones, too: backlogs of 100,000 and a million")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of measurements (default 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual number of operations")
    parser.add_argument("--json", metavar="FILE", help="write the results, an object a line")
    parser.add_argument("--html", metavar="FILE", help="write a page with a bar for each ratio")
    return parser.parse_args()


def places_of(given: argparse.Namespace) -> list[AbstractContextManager[tuple[str, str]]]:
    if given.dir:
        return [places.given(directory) for directory in given.dir]
    missing = places.why_no_ext4()
    if missing:
        print(f"ext4 is not measured: {missing}; --dir chooses a directory\n", file=sys.stderr)
    return [places.tmpfs(), *([] if missing else [places.ext4(given.image_dir)])]


def wanted(scenario: Scenario, given: argparse.Namespace) -> bool:
    if given.only:
        return any(words in scenario.name for words in given.only)
    return not scenario.alone and (given.all or not scenario.slow)


def about() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"Python {platform.python_version()}, Linux {platform.release()}, {cores} cores"


def write(given: argparse.Namespace, results: list[Result]) -> None:
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(result.as_dict()) + "\n" for result in results)
    if given.html:
        with open(given.html, "w", encoding="utf-8") as file:
            file.write(page(results, about()))


if __name__ == "__main__":
    sys.exit(main())

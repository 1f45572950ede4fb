"""The examples run, as a whole, from a fresh checkout: what their README says of them comes true.

The flights are those of tests/data/flights, 118 of 336,776; `scripts/demo` and `scripts/flights-storm` run the year.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

TOP = Path(__file__).parent.parent
DATA = TOP / "tests" / "data" / "flights"
PATIENCE, GRACE = 45.0, 10.0
NOTHING: Mapping[str, str] = {}


def ran(program: str, *words: str, where: Path, environment: Mapping[str, str] = NOTHING) -> str:
    """Run a program of the checkout to its end, in a session of its own; returns what it wrote."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FSQ_")}
    process = subprocess.Popen(
        [sys.executable, str(TOP / program), *words],
        cwd=where,
        env={**clean, "HOME": str(where), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)  # the program ends what it has started
            output, _ = process.communicate(timeout=GRACE)
    assert process.returncode == 0, output
    return output


def shown_in(example: str) -> str:
    """What the example's README says that one sees."""
    page = (TOP / "examples" / example / "README.md").read_text()
    return page.partition("```text\n")[2].partition("```")[0]


@pytest.fixture
def flights(tmp_path: Path) -> dict[str, str]:
    """The environment of a run on few flights: a day has 15, so one bad row is many."""
    directory = tmp_path / "data"
    directory.mkdir()
    for path in DATA.glob("*.csv"):
        shutil.copy(path, directory)
    with zipfile.ZipFile(directory / "flights.csv.zip", "w") as archive:
        archive.write(DATA / "flights.csv", "flights.csv")
    return {"FLIGHTS_DATA": str(directory), "FSQ_REJECT_LIMIT": "50%"}


def test_the_flights_pipeline_gives_what_a_plain_computation_gives(tmp_path: Path, flights: dict[str, str]) -> None:
    said = ran("examples/flights/demo.py", "--output", "out", where=tmp_path, environment=flights)
    assert "check  ok: every flight once, and the same 18 rows rejected" in said
    assert re.search(r"^all +116 +13 +10\.9 +5\.0$", said, re.MULTILINE)
    assert re.search(r"^queue  25 jobs done, 0 failed", said, re.MULTILINE), said
    page = (tmp_path / "out" / "flights.html").read_text()
    assert "116 flights, 13 of them cancelled" in page
    assert "United Air Lines Inc." in page
    assert not [name for name in os.listdir(tmp_path / "out") if name.endswith(".fsq")]


def test_the_flights_come_through_a_storm_of_kills_once_each(tmp_path: Path, flights: dict[str, str]) -> None:
    storm = ("--rounds", "1", "--every", "0.4", "--supervisor", "6", "--workers", "2", "--dir", str(tmp_path))
    said = ran("scripts/flights_storm.py", *storm, where=tmp_path, environment=flights)
    assert re.match(r"round 1: 8 days in .*; every row once, all files byte-identical\n$", said)
    assert "kill -9 of 0 workers and 0 supervisors" not in said


def test_a_row_that_is_lost_or_doubled_or_changed_is_seen(tmp_path: Path, flights: dict[str, str]) -> None:
    said = ran("tests/support/tampering.py", where=tmp_path, environment=flights)
    names = "carriers.parquet", "days.parquet", "flights.html", "flights.parquet", "routes.parquet", "weather.parquet"
    everything = ", ".join(f"{name} differs" for name in names)
    assert said.splitlines() == [
        "as it is: no difference",
        f"lost: {everything}",
        f"doubled: {everything}",
        "changed: flights.parquet differs",
    ]


def test_a_day_is_in_the_warehouse_once_however_often_it_is_loaded(tmp_path: Path, flights: dict[str, str]) -> None:
    said = ran("tests/support/loading.py", where=tmp_path, environment=flights)
    assert said == "loaded 16 16\nloaded 16 16\nrefused 16 16\n"


def test_what_partners_deliver_becomes_what_the_drop_folder_says(tmp_path: Path) -> None:
    said = ran("examples/drop_folder/morning.py", where=tmp_path)
    assert "EXPECTED" not in said
    assert shown_in("drop_folder") in said
    assert re.search(r"^weaver\.csv .* loaded: 1 row, loaded: 2 rows$", said, re.MULTILINE)


def test_a_program_in_the_middle_of_a_pipeline_is_retried_or_fails_by_its_exit_status(tmp_path: Path) -> None:
    said = ran("examples/shell_stage/hours.py", where=tmp_path)
    assert "(07) attempt 1/5 failed: exit status 75: the name server is busy (on purpose)" in said
    assert said.endswith(shown_in("shell_stage"))

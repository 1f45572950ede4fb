"""How long the command takes to start, beside a typer program of one command that does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmark.queue import producer_in, waiting, whole_batches
from benchmark.scenario import IncompleteError, Measured

BARE = """
import typer
app = typer.Typer()
@app.command()
def submit(payload: str = typer.Argument(""), queue: str = typer.Option("default", "--queue", "-q")) -> None: pass
app()
"""


def run(count: int, *command: str, home: str) -> Measured:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    for _ in range(count):
        done = subprocess.run(command, capture_output=True, check=False, cwd=home, env=env)
        if done.returncode:
            raise IncompleteError(f"{' '.join(command[:3])}: exit status {done.returncode}: {done.stderr[-300:]!r}")
    return Measured((time.perf_counter() - start) / count)


def bare_typer(home: str, count: int) -> Measured:
    path = f"{home}/bare.py"
    with open(path, "w", encoding="ascii") as file:
        file.write(BARE)
    run(1, sys.executable, path, "1", home=home)
    return run(count, sys.executable, path, "1", home=home)


def fsq() -> list[str]:
    """The command as it is installed beside this interpreter."""
    path = os.path.join(os.path.dirname(sys.executable), "fsq")
    return [path] if os.path.exists(path) else [sys.executable, "-m", "workqueue"]


def command(*words: str, home: str, count: int) -> Measured:
    producer = producer_in(home)
    line = [*fsq(), *(word.replace("ROOT", producer.root) for word in words)]
    run(1, *line, home=home)
    took = run(count, *line, home=home)
    if "submit" in words and len(waiting(home)) != count + 1:
        raise IncompleteError("not every submit made a job")
    return took


def lines(home: str, count: int) -> Measured:
    """Lines of a pipe, each a job; with the start of the command."""
    producer = producer_in(home)
    path = f"{home}/lines"
    with open(path, "w", encoding="ascii") as file:
        file.writelines("x" * 178 + "\n" for _ in range(count))
    with open(path, "rb") as file:
        start = time.perf_counter()
        subprocess.run(
            [*fsq(), "-r", producer.root, "submit", "--lines"], stdin=file, stdout=subprocess.DEVNULL, check=True
        )
        took = time.perf_counter() - start
    return whole_batches(Measured(took), home, count)


def moves(home: str, count: int) -> Measured:
    """The shell's fast producer: a whole file is moved into new/, by a program of its own each time."""
    producer = producer_in(home)
    producer.submit(1)
    took = 0.0
    for number in range(count):
        path = f"{home}/{number}.json"
        with open(path, "wb") as file:
            file.write(b'{"n": 1}')
        took += run(1, "mv", "-n", path, f"{producer.root}/default/new/", home=home).seconds
    if len(waiting(home)) != count + 1:
        raise IncompleteError("not every move made a job")
    return Measured(took / count)


def nothing(home: str, count: int) -> Measured:
    """The start of a program that does nothing."""
    return run(count, "true", home=home)


def version(home: str, count: int) -> Measured:
    return command("--version", home=home, count=count)


def submit(home: str, count: int) -> Measured:
    return command("-r", "ROOT", "submit", '{"n": 1}', home=home, count=count)

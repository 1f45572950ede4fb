"""--handler: every form that it can have, and what is said where it names nothing."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

import pytest

from workqueue.errors import HandlerNotFound
from workqueue.run.handler import Handler, load_handler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CODE = """\
import beside
from functools import partial

class Loader:
    def run(self, job): return "method"
    async def wait(self, job): return "coroutine"
    def __call__(self, job): return "object"
    @classmethod
    def made(cls, job): return "class method"
    @staticmethod
    def plain(job): return "static method"

class Caller:
    def __init__(self, job): self.job = job

class Waiter:
    async def __call__(self, job): return "async object"

loader = Loader()
waiter = Waiter()
bound = partial(max, 1)
def load(job, mode="fast", *more, **rest): return beside.WORD
async def load_async(job): return "async"
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a module and a package; what is imported is forgotten afterwards."""
    (tmp_path / "etl_here.py").write_text(CODE)
    (tmp_path / "beside.py").write_text("WORD = 'function'\n")
    (tmp_path / "pkg_here" / "deep").mkdir(parents=True)
    (tmp_path / "pkg_here" / "__init__.py").touch()
    (tmp_path / "pkg_here" / "deep" / "__init__.py").touch()
    (tmp_path / "pkg_here" / "deep" / "jobs.py").write_text("def load(job): return 'deep'\n")
    (tmp_path / "pkg_here" / "alone.py").write_text("import neighbour\ndef load(job): return neighbour.WORD\n")
    (tmp_path / "pkg_here" / "neighbour.py").write_text("WORD = 'neighbour'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("spec", "result", "is_async"),
    [
        ("etl_here:load", "function", False),
        ("./etl_here.py:load", "function", False),
        ("etl_here.py:load", "function", False),
        ("etl_here:load_async", None, True),
        ("etl_here:loader.run", "method", False),
        ("etl_here:loader.wait", None, True),
        ("etl_here:loader", "object", False),
        ("etl_here:waiter", None, True),
        ("etl_here:Loader.made", "class method", False),
        ("etl_here:Loader.plain", "static method", False),
        ("pkg_here.deep.jobs:load", "deep", False),
        ("pkg_here/alone.py:load", "neighbour", False),
        ("builtins:repr", "'job'", False),
    ],
)
@pytest.mark.usefixtures("place")
def test_a_handler_is_found(spec: str, result: object, is_async: bool) -> None:
    """Modules, packages, files; functions, methods, objects that can be called."""
    handler = load_handler(spec)
    assert handler.is_async is is_async
    if not is_async:
        assert handler.call("job") == result


def test_a_file_is_found_from_anywhere(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its absolute path; what lies beside it can be imported by it."""
    monkeypatch.chdir("/")
    assert load_handler(f"{place}/etl_here.py:load").call("job") == "function"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "use module:function"),
        (":load", "use module:function"),
        ("etl_here", "use module:function"),
        ("etl_here:lod", "etl_here has no 'lod'; did you mean 'load'?"),
        ("etl_here:Loader.plian", "has no 'plian'; did you mean 'plain'?"),
        ("etl_here:loader.zzz", "has no 'zzz'"),
        ("etl_here:beside", "beside is module, nothing that can be called"),
        ("etl_here:load.x.y", "has no 'x'"),
        ("etl_hre:load", "no module named 'etl_hre'; did you mean 'etl_here'?"),
        ("pkg_here.dep:load", "no module named 'pkg_here.dep'"),
        ("./etl_hre.py:load", "no such file"),
        ("pkg_here/deep:load", "no such file"),
        ("math:pi", "pi is float, nothing that can be called"),
        ("math:atan2", "must take one argument, the job"),
    ],
)
@pytest.mark.usefixtures("place")
def test_what_names_nothing_is_told_with_what_there_is(spec: str, message: str) -> None:
    """Before any job pays for it."""
    with pytest.raises(HandlerNotFound) as caught:
        load_handler(spec)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def load(job:\n", "SyntaxError: '(' was never closed"),
        ("\n\n1/0\n", "ZeroDivisionError: division by zero"),
        ("import no_such_thing\n", "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("from beside import NOTHING\n", "ImportError: cannot import name 'NOTHING'"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
    ],
)
@pytest.mark.parametrize("spec", ["odd_here:load", "./odd_here.py:load"])
def test_a_module_that_fails_is_told_with_its_line(place: Path, code: str, message: str, spec: str) -> None:
    """The user's own file and line; one line of text."""
    (place / "odd_here.py").write_text(code)
    with pytest.raises(HandlerNotFound, match="cannot import") as caught:
        load_handler(spec)
    assert message in str(caught.value)
    if "Syntax" in message or "Zero" in message:
        assert "odd_here.py, line " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_awaited() -> None:
    """Coroutine functions, however they are wrapped; nothing else."""

    async def wait(job: Any) -> None: ...

    def plain(job: Any) -> None: ...

    class Caller:
        async def __call__(self, job: Any) -> None: ...

    assert Handler.of(wait).is_async
    assert Handler.of(Caller()).is_async
    assert Handler.of(functools.partial(wait)).is_async
    assert not Handler.of(plain).is_async
    assert not Handler.of(functools.partial(plain)).is_async
    assert not Handler.of(print).is_async

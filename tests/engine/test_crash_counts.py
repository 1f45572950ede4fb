"""The number of crash points is known: a disk operation that is new is looked at before it is believed."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import workqueue
from engine import disks
from engine.disks import CountingFs, space_of
from engine.operations import SCENARIO_OPERATIONS, SUBMIT_OPERATIONS
from engine.scenarios import SCENARIOS
from engine.submits import SUBMITS
from support import faults

if TYPE_CHECKING:
    from engine.worlds import World


class ListingFs(CountingFs):
    """Lists the operations from the moment it is armed."""

    def __init__(self) -> None:
        super().__init__(0)
        self.story: list[str] = []

    def at(self, count: int, verb: str, args: tuple[Any, ...]) -> None:
        self.story.append(" ".join((verb, *(space_of(arg) for arg in args if isinstance(arg, str)))))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_verb_does_as_many_operations_as_were_looked_at(world: World, name: str) -> None:
    job_id = SCENARIOS[name].bring(world)
    fs = ListingFs()
    engine = world.open(fs)
    fs.armed = True
    SCENARIOS[name].act(engine, world, job_id)
    assert len(fs.story) == SCENARIO_OPERATIONS[name], fs.story


@pytest.mark.parametrize("kind", SUBMITS)
def test_a_submit_does_as_many_operations_as_were_looked_at(world: World, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    fs = ListingFs()
    engine = world.open(fs)
    fs.armed = True
    SUBMITS[kind](world, engine, str(path))
    assert len(fs.story) == SUBMIT_OPERATIONS[kind], fs.story


def test_nothing_is_counted_that_is_not_tried() -> None:
    assert SCENARIO_OPERATIONS.keys() == SCENARIOS.keys()
    assert SUBMIT_OPERATIONS.keys() == SUBMITS.keys()


def test_every_method_of_the_disk_is_a_crash_point_or_a_look() -> None:
    """test_fs.py sees to it that those of `faults` are all there are."""
    assert set(faults.CHANGES) == disks.CHANGES
    assert set(faults.LOOKS) == disks.LOOKS


CHANGING = {
    "chmod", "chown", "copy_file_range", "fchmod", "fchown", "fdatasync", "fsync", "ftruncate", "lchown", "link",
    "makedirs", "mkdir", "mkfifo", "mknod", "open", "posix_fallocate", "pwrite", "pwritev", "remove", "removedirs",
    "removexattr", "rename", "renames", "replace", "rmdir", "sendfile", "setxattr", "symlink", "sync", "truncate",
    "unlink", "utime", "write", "writev",
}  # fmt: skip
"""What os has to change a disk."""
DOORS = {"shutil", "tempfile", "fcntl", "workqueue.store.kernel"}


def test_only_the_disk_module_changes_the_disk() -> None:
    """Else there would be operations that no test can stop at."""
    package = Path(workqueue.__file__).parent
    found = []
    for path in [*(package / "engine").glob("*.py"), *(package / "store").glob("*.py"), package / "producer.py"]:
        if path.name not in {"fs.py", "kernel.py"}:
            found += [f"{path.name}: {what}" for what in changes_in(ast.parse(path.read_text()))]
    assert found == ["newfile.py: open"], "FileStore.create opens by the disk module's own opener; nobody else may"


def changes_in(tree: ast.AST) -> list[str]:
    """The calls in a module that can change the disk, and the imports of modules that do."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr=name)) if name in CHANGING:
                found.append(f"os.{name}")
            case ast.Call(func=ast.Name(id="open"), args=[_, mode, *_]) if ast.unparse(mode) not in {"'rb'", "'r'"}:
                found.append("open")
            case ast.Import(names=names) if {alias.name for alias in names} & DOORS:
                found.append(ast.unparse(node))
            case ast.ImportFrom(module=str(module)) if module in DOORS:
                found.append(ast.unparse(node))
    return found

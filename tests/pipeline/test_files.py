"""Files by pattern: as a shell would find them, each once, and what is no file is told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from workqueue.pipeline.files import Found, matching

if TYPE_CHECKING:
    from pathlib import Path

FILES = [
    "in/a.csv",
    "in/b.csv",
    "in/.hidden.csv",
    "in/b.txt",
    "in/sub/a.csv",
    "in/sub/deep/c.csv",
    "in/.git/d.csv",
    "in/w[1].csv",
    "top.csv",
]


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return os.path.realpath(tmp_path)


def found(where: str, *patterns: str, links: bool = True) -> list[str]:
    return [os.path.relpath(file.path, where) for file in matching(patterns, links=links).files]


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("in/*.csv", ["in/a.csv", "in/b.csv", "in/w[1].csv"]),
        ("./in//?.csv", ["in/a.csv", "in/b.csv"]),
        ("in/[ab].*", ["in/a.csv", "in/b.csv", "in/b.txt"]),
        ("in/.*.csv", ["in/.hidden.csv"]),
        ("*/*/*.csv", ["in/sub/a.csv"]),
        ("**/*.csv", ["in/a.csv", "in/b.csv", "in/sub/a.csv", "in/sub/deep/c.csv", "in/w[1].csv", "top.csv"]),
        ("in/**/a.csv", ["in/a.csv", "in/sub/a.csv"]),
        ("in/sub/**", ["in/sub/a.csv", "in/sub/deep/c.csv"]),
        ("in/**/deep/**/*.csv", ["in/sub/deep/c.csv"]),
        ("**/**/c.csv", ["in/sub/deep/c.csv"]),
        ("in/a.csv", ["in/a.csv"]),
        ("in/w[1].csv", ["in/w[1].csv"]),
        ("in/sub/../a.csv", ["in/a.csv"]),
        ("in/A.csv", []),
        ("in/a.csv/*", []),
        ("nowhere/*", []),
    ],
)
def test_a_pattern_means_what_a_shell_makes_of_it(where: str, pattern: str, files: list[str]) -> None:
    assert found(where, pattern) == files


def test_the_home_directory_is_known(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", where)
    assert found(where, "~/top.csv") == ["top.csv"]


def test_files_are_sorted_and_each_comes_once_whatever_the_patterns(where: str) -> None:
    assert found(where, "in/b.*", "in/*.csv", f"{where}/in/a.csv") == [
        "in/a.csv",
        "in/b.csv",
        "in/b.txt",
        "in/w[1].csv",
    ]


def test_a_loop_of_links_is_not_walked(where: str) -> None:
    for name in ("one", "two"):
        os.symlink("..", f"{where}/in/sub/{name}")
    assert found(where, "in/**/*.csv") == ["in/a.csv", "in/b.csv", "in/sub/a.csv", "in/sub/deep/c.csv", "in/w[1].csv"]


def test_a_link_counts_as_its_file_where_only_the_path_is_told(where: str) -> None:
    os.symlink("a.csv", f"{where}/in/link.csv")
    assert found(where, "in/l*.csv") == ["in/link.csv"]
    assert matching(["in/l*.csv"], links=False).odd == [f"{where}/in/link.csv: a symbolic link"]


def test_what_is_no_file_is_told(where: str) -> None:
    os.symlink("nowhere", f"{where}/in/sub/dangling")
    os.mkfifo(f"{where}/in/sub/fifo")
    matches = matching(["in/sub/*"])
    assert [file.name for file in matches.files] == ["a.csv"]
    assert matches.directories == 1
    assert matches.odd == [
        f"{where}/in/sub/dangling: No such file or directory",
        f"{where}/in/sub/fifo: not a regular file",
    ]


def test_each_pattern_must_have_a_file_of_its_own(where: str) -> None:
    assert matching(["in/*.csv", "in/*.cvs", "in/su?"]).unmatched == ["in/*.cvs", "in/su?"]
    assert matching(["in/a.csv", "in/*.csv"]).unmatched == []


def test_what_a_template_can_say_of_a_file() -> None:
    assert Found("/in/a.tar.gz", 7, 1_000_000_001_500_000_000).words() == {
        "path": "/in/a.tar.gz",
        "name": "a.tar.gz",
        "stem": "a.tar",
        "directory": "/in",
        "size": "7",
        "mtime": "2001-09-09T01:46:41.500000000Z",
    }

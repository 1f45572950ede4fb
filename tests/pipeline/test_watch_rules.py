"""The rules of a watch folder are checked before anything is done, and say what is wrong with them."""

from __future__ import annotations

import os
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from workqueue.errors import BadInput, BadSetting
from workqueue.pipeline.watch.rules import Rules, job_options, parsed_ready, rules

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "in").mkdir()
    return str(tmp_path / "in")


def made(folder: str, **given: Any) -> Rules:
    return rules(os.path.join(os.path.dirname(folder), "root"), folder, **given)


@pytest.mark.parametrize(
    ("text", "kind", "wait", "marker"),
    [
        ("rename", "rename", 0, ""),
        ("close", "close", 0, ""),
        ("stable", "stable", 5, ""),
        ("stable=2m", "stable", 120, ""),
        ("age=1h30m", "age", 5400, ""),
        ("done-file={}.ok", "done-file", 0, "{}.ok"),
        ("done-file='{stem}.done'", "done-file", 0, "{stem}.done"),
    ],
)
def test_a_rule_of_completeness_is_read(text: str, kind: str, wait: float, marker: str) -> None:
    assert parsed_ready(text) == (kind, wait, marker)


@pytest.mark.parametrize(
    "text",
    ["", "never", "rename=5s", "close=1", "stable=", "stable=x", "age", "age=", "done-file", "done-file=ok",
     "done-file={}", "done-file={}{}", "done-file=x/{}", "done-file={name}.ok", "done-file={stem}"],
)  # fmt: skip
def test_any_other_is_refused_with_examples(text: str) -> None:
    with pytest.raises(BadSetting, match=r"--ready"):
        parsed_ready(text)


def test_the_name_of_a_done_file() -> None:
    assert parsed_ready("done-file={}.ok").marker_of("a.csv") == "a.csv.ok"
    assert parsed_ready("done-file={stem}.ok").marker_of("a.csv") == "a.ok"
    assert parsed_ready("done-file=ok-{}").is_marker("ok-a")
    assert not parsed_ready("done-file={}.ok").is_marker("a.csv")
    assert not parsed_ready("done-file={}.ok").is_marker(".ok")


@pytest.mark.parametrize("name", [".a", "a~", "a.part", "a.tmp", "a.filepart", ".a.csv.Xy12", "sub/.a", ".fsq-1"])
def test_hidden_and_temporary_names_are_left_out(folder: str, name: str) -> None:
    assert not made(folder).is_wanted(name)
    assert made(folder, all_names=True).is_wanted(name) == (not name.startswith(".fsq-"))


def test_patterns_are_of_the_name_and_with_a_slash_of_the_path(folder: str) -> None:
    of_names = made(folder, include=("*.csv", "*.xml"), exclude=("b*",))
    assert [name for name in ("a.csv", "x/a.xml", "b.csv", "a.txt", "A.CSV") if of_names.is_wanted(name)] == [
        "a.csv",
        "x/a.xml",
    ]
    of_paths = made(folder, include=("x/*",))
    assert of_paths.is_wanted("x/a")
    assert not of_paths.is_wanted("y/a")


def test_the_archive_is_a_template_and_a_directory_alone_keeps_the_path(folder: str, tmp_path: Path) -> None:
    day = date(2013, 7, 4)
    whole = made(folder, archive=f"{tmp_path}/kept/{{date:%Y/%m}}/{{queue}}-{{id}}-{{name}}")
    assert whole.archived("x/a.csv", "ID", day) == f"{tmp_path}/kept/2013/07/default-ID-a.csv"
    assert made(folder, archive=f"{tmp_path}/kept").archived("x/a.csv", "ID", day) == f"{tmp_path}/kept/x/a.csv"
    assert made(folder, archive=f"{tmp_path}/kept/").archived("a", "ID", day) == f"{tmp_path}/kept/a"
    assert (
        made(folder, archive=f"{folder}/kept/{{date}}/{{name}}").archived("a", "I", day)
        == f"{folder}/kept/2013-07-04/a"
    )


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"archive": "kept/{nam}"}, "nam"),
        ({"archive": "kept/{name.__class__}"}, "__class__"),
        ({"archive": "kept/{name!r:>9}"}, "name:>9"),
        ({"archive": "kept/{name"}, "--archive"),
        ({"archive": "{folder}/{name}.done"}, "come back"),
        ({"archive": "{folder}"}, "come back"),
        ({"archive": "{folder}/{date}/{name}", "recursive": True}, "come back"),
        ({"archive": "{root}/kept"}, "queue root"),
        ({"archive": "kept", "leave": True}, "--leave"),
        ({"leave": True, "dedupe": "none"}, "--leave"),
        ({"dedupe": "size"}, "--dedupe"),
        ({"rescan": "0"}, "--rescan"),
        ({"rescan": "soon"}, "--rescan"),
        ({"forget": "x"}, "--forget"),
        ({"ready": "now"}, "--ready"),
    ],
)
def test_what_means_nothing_or_would_take_files_twice_is_refused(folder: str, given: dict[str, Any], what: str) -> None:
    root = os.path.join(os.path.dirname(folder), "root")
    if "archive" in given:
        given = {**given, "archive": given["archive"].replace("{folder}", folder).replace("{root}", root)}
    with pytest.raises(BadSetting, match=what.replace("(", r"\(")):
        made(folder, **given)


def test_an_archive_below_the_folder_is_fine_where_it_is_a_place_of_its_own(folder: str) -> None:
    assert made(folder, archive=f"{folder}/kept/{{name}}", recursive=True).archive_base == f"{folder}/kept"
    assert made(folder, archive=f"{folder}/{{date}}/{{name}}").archive_base == folder


def test_the_folder_must_be_there_and_neither_in_the_root_nor_around_it(folder: str, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "root")
    for bad in ("root", "link", "missing"):
        with pytest.raises(BadSetting):
            rules(str(tmp_path / "root"), tmp_path / bad)
    (tmp_path / "file").touch()
    with pytest.raises(BadSetting, match="not a directory"):
        rules(str(tmp_path / "root"), tmp_path / "file")
    with pytest.raises(BadSetting, match="lies in it"):
        rules(str(tmp_path / "root"), tmp_path, recursive=True)
    assert rules(str(tmp_path / "root"), tmp_path).folder == str(tmp_path)


def test_defaults_depend_on_whether_files_stay(folder: str) -> None:
    assert made(folder).dedupe == "none"
    assert made(folder, leave=True).dedupe == "name+size+mtime"
    assert job_options(max_attempts=2, timeout="5m", keep="1h").timeout == 300
    with pytest.raises(BadInput):
        job_options(max_attempts=0)

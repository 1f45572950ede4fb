"""The page: well formed, complete in itself, and only text of whatever jobs say; written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from pipeline.journals import T, job_id, write
from support.faults import FaultyFs, paths_below
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root
from workqueue.errors import BadSetting, StoreError
from workqueue.pipeline.page import page_of, write_page
from workqueue.pipeline.report import Selection, make_report

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "</table><script>alert(1)</script><img src=//evil.example/x onerror=x>&\x1b[31m"
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Reader(HTMLParser):
    """Opens a page: every tag is closed where it must be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(root: str) -> str:
    entries: list[dict[str, Any]] = [
        {"t": T + n * 60_000, "event": event, "queue": queue, "id": job_id(T), "attempt": 1, "took": 0.25 * n,
         "label": EVIL, "cause": EVIL, "counts": {EVIL: 3, "read": 1_000}, "rejects": 1}
        for queue in ("default", "load")
        for n, event in enumerate(["finished", "retried", "failed", "finished", "cancelled", "corrupted"])
    ]  # fmt: skip
    entries.append({"t": T, "event": "recovered", "queue": "load", "id": job_id(T), "error": EVIL, "cause": "death"})
    entries.append({"t": T, "event": "dropped", "count": 3})
    write(root, entries)
    return page_of(make_report(DirectoryEngine(Root(root)), Selection()).as_dict())


def test_the_page_is_well_formed(page: str) -> None:
    reader = Reader(page)
    assert [tag for tag, _ in reader.tags].count("h2") == 3
    assert "4 lines are missing" not in reader.text
    assert "3 lines are missing" in reader.text


def test_the_page_needs_nothing_from_anywhere(page: str) -> None:
    """No script, no picture, no style sheet, no font; and a policy that forbids them to whatever got in."""
    assert "://" not in page
    assert "@import" not in page
    assert "url(" not in page
    reader = Reader(page)
    for tag, attributes in reader.tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "a", "image", "use"}
        assert not {"src", "href", "xlink:href", "srcset", "data"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert any("default-src 'none'" in (attributes.get("content") or "") for _, attributes in reader.tags)


def test_what_jobs_say_is_text(page: str) -> None:
    reader = Reader(page)
    assert "<script>alert(1)</script>" in reader.text
    assert "\x1b" not in reader.text


def test_the_charts_are_whole_and_in_colours_that_the_page_names(page: str) -> None:
    charts = page.split("<svg")[1:]
    assert len(charts) == 4, "over time and causes, for each of two queues"
    for text in charts:
        chart = ET.fromstring("<svg" + text.partition("</svg>")[0] + "</svg>")
        assert len([element for element in chart.iter() if element.tag == "rect"]) > 2
        assert "var(--" in "".join(chart.itertext())
    for name in ("--done", "--failed", "--text", "--line"):
        assert page.count(f"{name}:") == 3, "light, dark, paper"


def test_a_bar_says_its_value_when_it_is_pointed_at(page: str) -> None:
    assert "<title>1</title>" in page


def test_drawing_leaves_the_import_system_as_it_was(page: str) -> None:
    assert all(hasattr(finder, "find_spec") for finder in sys.meta_path)


def test_a_page_of_nothing_says_so(root: str) -> None:
    reader = Reader(page_of(make_report(DirectoryEngine(Root(root)), Selection()).as_dict()))
    assert "Nothing happened" in reader.text


def test_the_page_is_written_as_any_file_of_its_owner(tmp_path: Path) -> None:
    os.umask(before := os.umask(0o022))
    write_page(FaultyFs(), str(tmp_path / "r.html"), "<p>ü\udcff")
    assert (tmp_path / "r.html").read_bytes() == "<p>ü\\udcff".encode()
    assert stat.S_IMODE(os.stat(tmp_path / "r.html").st_mode) == 0o666 & ~before
    assert os.listdir(tmp_path) == ["r.html"]


@pytest.mark.parametrize("verb", ["create", "write", "sync", "close", "rename"])
def test_a_page_that_the_disk_refuses_leaves_the_old_one(tmp_path: Path, verb: str) -> None:
    (tmp_path / "r.html").write_text("old")
    fs = FaultyFs()
    fs.fail_at(1, errno.ENOSPC, verb=verb)
    with pytest.raises(StoreError, match="cannot write the report: No space left"):
        write_page(fs, str(tmp_path / "r.html"), "new")
    assert (tmp_path / "r.html").read_text() == "old"
    assert paths_below(str(tmp_path)) == ["r.html"]


@pytest.mark.parametrize("what", ["a directory", "a fifo", "no directory to be in"])
def test_what_is_no_place_for_a_page_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "place"
    match what:
        case "a directory":
            path.mkdir()
        case "a fifo":
            os.mkfifo(path)
        case _:
            path = path / "r.html"
    said = r"cannot write the report: (Is a directory|not a regular|there is no directory)"
    with pytest.raises((StoreError, BadSetting), match=said):
        write_page(FaultyFs(), str(path), "new")


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "of-today.html").write_text("old")
    os.symlink("of-today.html", tmp_path / "latest.html")
    write_page(FaultyFs(), str(tmp_path / "latest.html"), "new")
    assert (tmp_path / "of-today.html").read_text() == "new"
    assert (tmp_path / "latest.html").is_symlink()

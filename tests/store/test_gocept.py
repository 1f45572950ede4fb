"""The documentation of gocept.filestore 1.0 runs against FileStore, word for word."""

from __future__ import annotations

import doctest
import hashlib
import os

import workqueue

HERE = os.path.dirname(__file__)
SHA256 = "31d686846b8894a91cb332a228ad9ac53835cbd8ab3135e6f883d21d3f7b3f25"
REPLACED = {
    ">>> from gocept.filestore import FileStore": ">>> from workqueue import FileStore",
    "<gocept.filestore.filestore.FileStore object at 0x...>": "<workqueue.store.filestore.FileStore object at 0x...>",
}


def documentation() -> str:
    with open(os.path.join(HERE, "gocept.filestore.txt"), "rb") as file:
        data = file.read()
    assert hashlib.sha256(data).hexdigest() == SHA256
    return data.decode("ascii")


def test_gocepts_documentation_runs_word_for_word_but_for_two_lines() -> None:
    original = documentation().splitlines()
    lines = [REPLACED.get(line, line) for line in original]
    differing = [old for old, new in zip(original, lines, strict=True) if old != new]
    assert differing == list(REPLACED)

    test = doctest.DocTestParser().get_doctest("\n".join(lines) + "\n", {}, "gocept.filestore.txt", None, 0)
    report: list[str] = []
    ran = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)

    assert not report, "".join(report)
    assert (ran.failed, ran.attempted) == (0, len(test.examples))
    assert ran.attempted > 30
    os.rmdir(test.globs["temp_dir"]) if "temp_dir" in test.globs else None


def test_the_class_of_the_documentation_is_the_public_one() -> None:
    assert workqueue.FileStore.__module__ == "workqueue.store.filestore"

"""Tables on a terminal, plain tab-separated columns in a pipe, JSON lines where asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from workqueue.run.printable import encodable, visible

if TYPE_CHECKING:
    from collections.abc import Sequence


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings; in a pipe without headings, so that `cut` and `while read` take them as they are."""
    texts = [[shown(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        for row in texts:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, kind in zip(columns, rows[0] if rows else columns, strict=True):
        table.add_column(column, justify="right" if isinstance(kind, int) else "left", no_wrap=True)
    for row in texts:
        table.add_row(*map(Text, row))
    Console().print(table)


def shown(value: object) -> str:
    """A value as a word that cannot steer the terminal; nothing is a dash."""
    return "-" if value is None or value == "" else encodable(visible(str(value)))


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON line."""
    sys.stdout.write(msgspec.json.encode(clean(value)).decode() + "\n")


def clean(value: Any) -> Any:
    """The value with every text made encodable: names on disk may be any bytes."""
    match value:
        case str():
            return encodable(value)
        case dict():
            return {clean(key): clean(item) for key, item in value.items()}
        case list() | tuple():
            return [clean(item) for item in value]
        case _:
            return value

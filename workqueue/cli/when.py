"""Times as people name them: ``1h`` ago, ``today``, ``2026-07-01``, ``2026-07-01T04:00``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from workqueue.errors import BadSetting
from workqueue.jobs.durations import seconds

if TYPE_CHECKING:
    from workqueue.clock import Clock

SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="WHEN", help="From then on: 1h (ago), today, yesterday, 2026-07-01, 2026-07-01T04:00."
    ),
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Until then: as --since.")]


def moment_of(text: str | None, option: str, clock: Clock) -> int | None:
    """Milliseconds since the epoch; a time without a zone is this machine's."""
    if text is None:
        return None
    word = text.strip()
    midnight = datetime.fromtimestamp(clock.now()).astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        match word:
            case "today":
                when = midnight
            case "yesterday":
                when = (midnight.replace(tzinfo=None) - timedelta(days=1)).astimezone()
            case _ if word[:4].isdigit() and word[4:5] in {"-", ""}:
                when = datetime.fromisoformat(word).astimezone()
            case _:
                return max(0, clock.now_ms() - int(seconds(word) * 1000))
        return max(0, int(when.timestamp() * 1000))
    except (ValueError, OverflowError):
        raise BadSetting(f"{option} {text!r}: 1h, 3d (ago), today, yesterday, 2026-07-01 or 2026-07-01T04:00") from None

"""Durations and times as people write them: ``"90s"``, ``"10m"``, ``"1h30m"``, a timedelta, or seconds."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

from workqueue.errors import BadSetting

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])", re.ASCII)
SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
LONGEST = 100 * 366 * 86400.0
"""Seconds: what reaches further is a mistake, and would not fit the 13 digits of a due time for ever."""
LAST_MOMENT = 10**13 - 1
"""Milliseconds: 13 digits, in the year 2286."""
LARGEST = 1 << 62
"""Bytes."""


def seconds(value: object, what: str = "duration") -> float:
    """Read a duration as seconds; negative, endless and unreadable ones are refused."""
    match value:
        case timedelta():
            result = value.total_seconds()
        case bool():
            result = -1.0
        case int() | float():
            result = float(value) if value <= LONGEST else math.inf
        case str():
            result = _from_text(value)
        case _:
            result = -1.0
    if not math.isfinite(result) or not 0 <= result <= LONGEST:
        raise BadSetting(f'{what} {value!r}: use seconds, a timedelta, or text such as "90s", "10m", "1h30m"')
    return result


def _from_text(text: str) -> float:
    text = text.strip()
    try:
        return float(text)
    except ValueError:
        parts = PART.findall(text)
        whole = "".join(number + unit for number, unit in parts)
        return sum(float(number) * UNITS[unit] for number, unit in parts) if parts and whole == text else -1.0


def moment(value: object, what: str = "time") -> int:
    """Read an aware datetime, or its ISO text, as milliseconds since the epoch."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise BadSetting(f"{what} {value!r}: use ISO 8601, such as 2026-07-01T04:00+02:00") from None
    if not isinstance(value, datetime):
        raise BadSetting(f"{what} {value!r}: must be a datetime")
    if value.tzinfo is None:
        raise BadSetting(f"{what} {value.isoformat()}: has no time zone; say which one, such as …+00:00")
    result = math.ceil(value.timestamp() * 1000)
    if result > LAST_MOMENT:
        raise BadSetting(f"{what} {value.isoformat()}: too far away; the last that can be is in the year 2286")
    return max(result, 0)


def size(value: object, what: str = "size") -> int:
    """Read a number of bytes, such as ``"64M"``."""
    result = -1.0
    if isinstance(value, int) and not isinstance(value, bool):
        result = value
    elif isinstance(value, str) and (match := SIZE.fullmatch(value.strip())):
        result = float(match[1]) * SIZES[match[2].upper()]
    if not 0 <= result <= LARGEST:
        raise BadSetting(f'{what} {value!r}: use bytes, or text such as "64M" or "2G"')
    return int(result)


def spoken(value: float) -> str:
    """A duration for people: two units at most."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:  # noqa: PLR2004
        return f"{value:.3g} s"
    whole, parts = round(value), []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def shown_size(value: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:  # noqa: PLR2004
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"

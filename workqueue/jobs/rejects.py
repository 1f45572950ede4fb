"""How many records a run may reject: a number, or a share of those that it read."""

from __future__ import annotations

from typing import NamedTuple

from workqueue.errors import BadSetting, Reject

MOST = 10**9


class RejectLimit(NamedTuple):
    """``100``: so many records may be rejected. ``1%``: of those that the handler has counted as read."""

    value: float
    is_share: bool

    def __str__(self) -> str:
        return f"{self.value:g}%" if self.is_share else f"{self.value:g}"

    def check(self, rejected: int, read: float | None) -> None:
        """Raise TooManyRejects if a run that has ended has rejected more."""
        if not self.is_share:
            self.check_number(rejected)
        elif rejected and read is None:
            raise BadSetting(
                f"reject_limit {self}: of how many? the handler must say how many records it has read:"
                " job.count(read=1) for each"
            )
        elif read is not None and rejected * 100 > self.value * read:
            raise TooManyRejects(f"{rejected} of {read:g} records rejected; reject_limit is {self}")

    def check_number(self, rejected: int) -> None:
        """Raise TooManyRejects as soon as there are more than the number."""
        if not self.is_share and rejected > self.value:
            raise TooManyRejects(f"{rejected} records rejected; reject_limit is {self}")


class TooManyRejects(Reject):
    """The run has rejected more records than its `reject_limit` allows: the job has failed, and keeps them."""


def reject_limit(value: object, what: str) -> RejectLimit:
    """Read a limit: a whole number from 0 on, or a percentage."""
    text = str(value).strip()
    number = text.removesuffix("%").strip()
    is_share = text.endswith("%")
    digits = number.replace(".", "", 1) if is_share else number
    if not isinstance(value, bool) and digits.isascii() and digits.isdigit() and len(digits) < len(str(MOST)):
        found = float(number)
        if not is_share or found <= 100:  # noqa: PLR2004
            return RejectLimit(found, is_share)
    raise BadSetting(f"{what} {value!r}: a number of records, such as 100, or a share of those read, such as 1%")

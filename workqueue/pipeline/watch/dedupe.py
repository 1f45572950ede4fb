"""Which files have been dealt with, and which are duplicates of an earlier one."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

from workqueue.pipeline.watch.intake import Wanted
from workqueue.pipeline.watch.ledger import DUPLICATE, identity_key, version_key
from workqueue.pipeline.watch.rules import SHA256
from workqueue.pipeline.watch.scan import Odd, sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from workqueue.pipeline.watch.ledger import Ledger
    from workqueue.pipeline.watch.rules import Rules
    from workqueue.pipeline.watch.scan import Folder, Found
    from workqueue.store.fs import Fs

FEW = 1000
"""Files that are asked about together."""


class Duplicate(NamedTuple):
    """A file that is the same as an earlier one, by the rule; and that one's job."""

    found: Found
    id: str


class Dedupe:
    """Asks the ledger."""

    def __init__(self, rules: Rules, folder: Folder, ledger: Ledger, fs: Fs) -> None:
        self._rules = rules
        self._folder = folder
        self._ledger = ledger
        self._fs = fs
        self._stay: list[Duplicate] = []
        self.refused: list[Odd] = []

    def unknown(self, files: Sequence[Found]) -> Iterator[Found]:
        """Those that have not been dealt with, as they are now."""
        if not self._rules.remembers:
            yield from files
            return
        for start in range(0, len(files), FEW):
            some = {version_key(found): found for found in files[start : start + FEW]}
            known = self._ledger.seen(list(some))
            yield from (found for each, found in some.items() if each not in known)

    def sort(self, batch: Iterable[Found]) -> tuple[list[Wanted], list[Duplicate], list[Found]]:
        """Those to be taken; those that stay as duplicates; and those to ask for again.

        Of several that are the same in one batch the first is taken; the others are asked for again when it has been.
        """
        wanted: list[Wanted] = []
        stay: list[Duplicate] = []
        again: list[Found] = []
        identities = {found: each for found in batch if (each := self._identity(found)) is not None}
        known = self._ledger.seen([each for each in identities.values() if each])
        first: dict[bytes, Found] = {}
        for found, identity in identities.items():
            if identity and first.setdefault(identity, found) is not found:
                again.append(found)
            elif identity not in known:
                keys = {version_key(found), identity} if self._rules.leave else {identity}
                wanted.append(Wanted(found, tuple(each for each in sorted(keys) if each)))
            elif self._rules.archive:
                wanted.append(Wanted(found, (), DUPLICATE))
            else:
                stay.append(Duplicate(found, known[identity]))
        self._stay += stay
        return wanted, stay, again

    def told(self) -> None:
        """Remember the duplicates that stay: after they were told, so that no death keeps one from being told."""
        self._ledger.remember([(version_key(duplicate.found), duplicate.id) for duplicate in self._stay])
        self._stay.clear()

    def _identity(self, found: Found) -> bytes | None:
        """What makes it the same as another; b"" where nothing does, None where it cannot be told now."""
        if self._rules.dedupe != SHA256:
            return identity_key(self._rules.dedupe, found) or b""
        try:
            digest = self._digest(found)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.refused.append(Odd(found.path, f"cannot be read: {error.strerror}", failed=True))
            return None
        return identity_key(SHA256, found, digest) if digest else None

    def _digest(self, found: Found) -> str:
        """The content's hash; none of a file that changed meanwhile."""
        content = hashlib.sha256()
        fd = self._fs.open(self._folder.full(found.path))
        try:
            for chunk in self._fs.chunks(fd):
                content.update(chunk)
            return content.hexdigest() if sign(os.fstat(fd)) == found.sign else ""
        finally:
            os.close(fd)

"""What a pipeline's run came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root
from workqueue.pipeline.report import Selection, make_report

if TYPE_CHECKING:
    from workqueue.pipeline.plans import Plan
    from workqueue.pipeline.runs import Run
    from workqueue.run.summary import Summary


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run of a pipeline that has ended."""

    run: Run
    plan: Plan
    summary: Summary
    root: str

    def report(self) -> dict[str, Any]:
        """What happened in its stages from its start to its end, by the journal; the form is that of `fsq report`."""
        return make_report(DirectoryEngine(Root(self.root)), Selection.of(self.run)).as_dict()

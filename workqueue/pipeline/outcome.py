"""What a pipeline's run came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root
from workqueue.errors import NothingFound
from workqueue.pipeline.report import Selection, make_report
from workqueue.pipeline.runs import find_run

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
        root = Root(self.root)
        try:
            run = find_run(root, self.run.id)  # which may have begun in a former process
        except NothingFound:
            run = self.run  # no journal is kept
        return make_report(DirectoryEngine(root), Selection.of(run)).as_dict()

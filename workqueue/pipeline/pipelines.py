"""Pipeline: stages that hand over to each other exactly once, declared as plain functions.

>>> flights = Pipeline("flights")
>>> @flights.stage(to="load", workers=2, timeout="5m")
... def extract(payload):
...     for row in payload["rows"]:
...         yield {"row": row}
>>> @flights.stage(limit=1)
... def load(payload):
...     return payload["row"]

``fsq run etl:flights --drain`` runs it; ``fsq worker -q load --handler etl:flights`` one stage of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from workqueue.engine.root import QUEUE_NAME, checked_queue
from workqueue.errors import BadInput, BadPipeline
from workqueue.pipeline import graph
from workqueue.pipeline.plans import Plan
from workqueue.pipeline.stage_calls import handler_of
from workqueue.pipeline.stage_program import FORMS, StageProgram
from workqueue.pipeline.stages import Stage, called_from, checked, next_stages, parameters
from workqueue.run.staged import StagePlan

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from typing import Unpack

    from workqueue.pipeline.outcome import Outcome
    from workqueue.pipeline.stage_program import Lines
    from workqueue.pipeline.stages import Wishes
    from workqueue.run.job import Job

F = TypeVar("F", bound="Callable[..., Any]")


class Pipeline:
    """Stages, each with a queue of its name. The first one declared gets its jobs from outside: `fsq submit`, `watch`.

    Nothing is checked before it is to run, or `check` is called: so the functions can be imported and tested anyhow.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._stages: dict[str, Stage] = {}
        self._problems: list[str] = []
        if not QUEUE_NAME.fullmatch(name):
            self._problems.append(f"pipeline {name!r}: its name must be such as a queue may have{called_from()}")

    def __repr__(self) -> str:
        return f"<Pipeline {self.name}: {', '.join(self._stages) or 'no stages'}>"

    # -- declaring ---------------------------------------------------------------------------------------------

    @overload
    def stage(self, function: F, /) -> F: ...
    @overload
    def stage(
        self, *, name: str | None = None, to: str | Iterable[str] = (), **wishes: Unpack[Wishes]
    ) -> Callable[[F], F]: ...
    def stage(  # type: ignore[misc] # mypy 1.x does not see that both unpack the same wishes
        self,
        function: F | None = None,
        /,
        *,
        name: str | None = None,
        to: str | Iterable[str] = (),
        **wishes: Unpack[Wishes],
    ) -> F | Callable[[F], F]:
        """Make a stage of a function, which stays as it is.

        It takes the payload, or ``(payload, job)``. What it yields are the payloads of the jobs of the next stages,
        `to`; a function that only returns something makes one payload of it. `workers` are kept for it while it has
        work, and never more than `limit` run at a time. The settings `max_attempts`, `backoff`, `timeout`,
        `keep_done` and `reject_limit` hold for its queue, unless an option, the environment or the queue's table in
        fsq.toml says otherwise. `source`: jobs are submitted to it from outside, too.
        """
        where = called_from()

        def declare(found: F) -> F:
            called = name if name is not None else getattr(found, "__name__", repr(found))
            self._try(f"stage {called!r}", lambda: parameters(found), where, "; use (payload) or (payload, job)")
            self._add(called, where, to, wishes, function=found)
            return found

        return declare if function is None else declare(function)

    def program(
        self,
        name: str,
        command: str,
        *,
        to: str | Iterable[str] = (),
        lines: Lines | None = None,
        **wishes: Unpack[Wishes],
    ) -> None:
        """Make a stage of a program, as ``fsq worker --exec`` runs it: payload on stdin, ``{path}``, exit status.

        With `to`, each line of its standard output is a payload for the next stages: "json" (the default) or "text".
        """
        where = called_from()
        following = next_stages(to)
        form: Lines | None = lines or ("json" if following else None)
        if (form is not None and form not in FORMS) or (form and not following):
            needs = "" if form in FORMS else ": json or text"
            self._problems.append(f"stage {name!r}: lines={lines!r}{needs or ' goes with to=, the next stages'}{where}")
        made = self._try(f"stage {name!r}", lambda: StageProgram(name, command, form), where)
        self._add(name, where, following, wishes, program=made)

    def _add(self, name: str, where: str, to: str | Iterable[str], wishes: Mapping[str, object], **what: Any) -> None:
        called = f"stage {name!r}"
        self._try(called, lambda: checked_queue(name), where, "; give it another by name=…")
        if name in self._stages:
            self._problems.append(f"{called}: declared twice; here{where}, and before{self._stages[name].where}")
            return
        wanted = self._try(called, lambda: checked(called, wishes), where)
        if wanted is not None:
            self._stages[name] = Stage(name, to=next_stages(to), where=where, **wanted, **what)

    def _try(self, what: str, check: Callable[[], Any], where: str, advice: str = "") -> Any:
        """What a check returns; what it refuses is kept until the pipeline is to run."""
        try:
            return check()
        except (BadInput, TypeError, ValueError) as error:
            text = str(error)
            said = text if text.startswith(what) else f"{what}: {text}"
            self._problems.append(f"{said}{advice}{where}")
        return None

    # -- before it runs ----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise BadPipeline, which says all that is wrong with it."""
        found = self._problems or ([] if self._stages else [f"pipeline {self.name!r} has no stages: declare one"])
        found = found or graph.problems(self._stages)
        if found:
            raise BadPipeline(*found)

    def plan(self) -> Plan:
        """What a supervisor has to know of it; raises BadPipeline."""
        return Plan(self.name, self.stage_plans())

    # -- running -----------------------------------------------------------------------------------------------

    def run(
        self, root: str | os.PathLike[str] | None = None, *, drain: bool = False, processes: int | None = None
    ) -> Outcome:
        """Run all stages until SIGTERM or SIGINT; with `drain`, until nothing is ready, running or to be retried.

        Forks, and handles signals: call it from the main thread of a process that has no other threads.
        """
        from workqueue.pipeline.running import RunWishes, run_plan
        from workqueue.run.handler import Handler

        handler = Handler.of(self)
        return run_plan(self.plan(), lambda: handler, root, RunWishes(drain=drain, processes=processes))

    def __call__(self, job: Job) -> Any:
        """Run the stage of the job's queue: a pipeline is a handler of its stages' queues."""
        return self.stage_handlers()[job.queue](job)

    def stage_handlers(self) -> Mapping[str, Callable[[Job], Any]]:
        """The handler of each stage; raises BadPipeline."""
        self.check()
        names = frozenset(self._stages)
        return {stage.name: handler_of(stage, names) for stage in self._stages.values()}

    def stage_plans(self) -> tuple[StagePlan, ...]:
        """What each stage says of its workers and its jobs, in the order of the flow; raises BadPipeline."""
        self.check()
        stages = [self._stages[name] for name in graph.in_order(self._stages)]
        return tuple(StagePlan(stage.name, stage.workers, stage.limit, dict(stage.settings)) for stage in stages)

"""What operators do in a storm: cancel, hold, let go and retry whatever they meet, and write down what they were told."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

from support.storm.log import now
from support.storm.producers import number_by_hand
from workqueue.engine import operate
from workqueue.engine.protocol import Located
from workqueue.engine.root import Root
from workqueue.errors import WrongState
from workqueue.jobs import names
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.storm.scene import Scene

PAUSE = 0.03
WISHES = (
    ("cancel", State.NEW, 2),
    ("cancel", State.LATER, 2),
    ("cancel", State.HELD, 1),
    ("cancel", State.CUR, 4),
    ("hold", State.NEW, 3),
    ("hold", State.LATER, 2),
    ("unhold", State.HELD, 8),
    ("retry", State.FAILED, 3),
    ("retry", State.LATER, 3),
)
"""What is done, to a job of which state, and how often."""


class Operating:
    """One operator's process."""

    def __init__(self, scene: Scene, incarnation: int = 0) -> None:
        self._scene = scene
        self._root = Root(scene.root)
        self._chance = random.Random(f"{scene.plan.seed} operator {incarnation}")

    def run(self) -> None:
        """Meddle until the storm is over, then let go what is held."""
        while not self._scene.is_over():
            verb, state, _ = self._chance.choices(WISHES, [weight for *_, weight in WISHES])[0]
            found = self.some(state)
            if found is not None:
                self.do(verb, found)
            time.sleep(self._chance.expovariate(1 / PAUSE))
        while (found := self.some(State.HELD)) is not None:
            self.do("unhold", found)

    def some(self, state: State) -> Located | None:
        """Any job of a state."""
        queues = self._root.queues()
        self._chance.shuffle(queues)
        for queue in queues:
            directory = self._root.space(queue, state)
            text = self._pick(sorted(os.listdir(directory)))
            if names.is_batch(names.without_due(text)) and state in {State.NEW, State.LATER}:
                text = f"{text}/{self._pick(self._listed(f'{directory}/{text}'))}"
            name = names.parse(text.rpartition("/")[2])
            if name is not None:
                return Located(queue, state, name, f"{directory}/{text}")
        return None

    def _listed(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def _pick(self, found: list[str]) -> str:
        return self._chance.choice(found) if found else ""

    def do(self, verb: str, found: Located) -> None:
        """Do it, with a line before and a line after."""
        self._tell(verb, found)
        try:
            outcome = VERBS[verb](self._root, found)
        except WrongState:
            outcome = "missed"  # a job that has its key meanwhile
        self._tell(outcome, found)

    def _tell(self, word: str, found: Located) -> None:
        name, number = found.name, number_by_hand(found.name.label)
        self._scene.log.tell(now(word, job=name.id, attempt=name.attempt, number=number, about=found.state.value))


def cancel(root: Root, found: Located) -> str:
    """Whether the job is gone, or its run has been ordered to end."""
    state = operate.cancel(root, found)
    return "missed" if state is None else "ordered" if state is State.CUR else "cancelled"


def hold(root: Root, found: Located) -> str:
    return "held" if operate.hold(root, found) else "missed"


def unhold(root: Root, found: Located) -> str:
    return "unheld" if operate.unhold(root, found) else "missed"


def retry(root: Root, found: Located) -> str:
    return "retrying" if operate.retry(root, found) else "missed"


VERBS: dict[str, Callable[[Root, Located], str]] = {"cancel": cancel, "hold": hold, "unhold": unhold, "retry": retry}

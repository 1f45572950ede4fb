"""Every test here starts processes; none may be left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bad_inputs.places import Place, a_place
from bad_inputs.users import USERS, User
from support.fsq import fsq
from support.processes import no_process_left

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["fsq", "no_process_left"]


@pytest.fixture(params=USERS, ids=lambda user: user.name, scope="module")
def user(request: pytest.FixtureRequest) -> User:
    """Who runs fsq: root and an ordinary user, one after the other."""
    found: User = request.param
    return found


@pytest.fixture
def place(user: User) -> Iterator[Place]:
    """A root of the user's, a stranger's files beside it, a good job in it."""
    with a_place(user) as place:
        yield place

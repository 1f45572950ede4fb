"""The power is cut for real, as far as a file system can tell: copies of its image, taken while the queue is at work.

This is the short form; ``scripts/power-cuts`` is the long one.
"""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

from support import images
from support.power_cut import Cutter


@pytest.mark.stress
@pytest.mark.exhaustive
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", images.SIZES)
def test_what_was_acknowledged_outlives_a_power_cut_on_a_real_file_system(kind: str) -> None:
    reason = images.why_not(kind)
    if reason is not None:
        pytest.skip(reason)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = tempfile.mkdtemp(dir=memory)
    try:
        found = Cutter(kind, directory).run(3)
    finally:
        shutil.rmtree(directory)
    assert not found.problems, "\n".join([found.line(), *found.problems])
    assert found.unended > 30, "nothing to be lost"
    assert found.handed_over > 10, "nothing was handed over"

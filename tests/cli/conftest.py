"""Every test here starts processes; none may be left."""

from support.fsq import fsq
from support.processes import no_process_left

__all__ = ["fsq", "no_process_left"]

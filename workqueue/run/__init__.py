"""Running jobs: a supervisor of one thread, the worker processes it forks, and what passes between them."""

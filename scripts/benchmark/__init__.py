"""The benchmark: every scenario beside a bare loop of the same system calls, interleaved, in one run."""

"""Files in directories: the only layer that changes the disk. It knows nothing of jobs."""

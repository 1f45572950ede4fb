"""``python -m workqueue``: the fsq command."""

from workqueue.cli import main

main()

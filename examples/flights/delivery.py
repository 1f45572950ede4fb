"""The evening before: the partners' daily files come, and become one batch of jobs."""

import os

import dataset
from places import Places

from workqueue import Producer


def deliver(places: Places) -> int:
    """Write each day's file into the drop directory, then submit all of them, or none; return how many they are."""
    with dataset.flights_of_2013() as lines:
        paths = list(dataset.write_daily_files(lines, places.drop))
    producer = Producer(places.root, create=True)
    with producer.batch(on_done="publish", label="2013") as batch:
        for path in paths:
            day = os.path.basename(path).removesuffix(".csv")
            batch.submit(file=path, mode="link", queue="extract", label=day)
    return len(paths)

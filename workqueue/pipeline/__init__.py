"""Batch ETL: what turns inputs into jobs.

>>> from workqueue.pipeline import open_piece, split
>>> producer.submit_many(split("big.csv", lines=10_000, header=True), queue="load")     # doctest: +SKIP
>>> def load(job):                                                                      # doctest: +SKIP
...     with open_piece(job.payload, encoding="utf-8") as file:
...         for row in csv.DictReader(file): ...
"""

from workqueue.pipeline.partitions import Partition, partitions
from workqueue.pipeline.pieces import Pieces, split
from workqueue.pipeline.pipelines import Pipeline
from workqueue.pipeline.reading import open_piece
from workqueue.pipeline.rejects import Rejected, is_rejects, read_rejects
from workqueue.pipeline.stages import To

__all__ = [
    "Partition",
    "Pieces",
    "Pipeline",
    "Rejected",
    "To",
    "is_rejects",
    "open_piece",
    "partitions",
    "read_rejects",
    "split",
]

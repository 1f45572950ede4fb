"""A storm: producers, operators, supervisors and workers by the dozen, killed and stopped at random; and a checker that
trusts none of them.

    plan      how hard it storms, and what the jobs do
    log       what happened, written down outside the queue
    scene     where; workers, producers, operators: who is stormed at
    blows     what is done to them
    storm     the course of it all
    checker   the verdict, by the log and the directories alone: judge (one job's life), deaths, order, leftovers

The storm's choices (which blow, whom, how long; what is submitted and how) follow from the seed; what comes of them
does not, because the kernel has its own mind.
"""

from support.storm.plan import Plan
from support.storm.report import Report
from support.storm.storm import Storm

__all__ = ["Plan", "Report", "Storm"]

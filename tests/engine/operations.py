"""How many disk operations each verb and each submit does, so that a new one cannot slip by unseen.

Each is a point at which the tests stop, fail and kill. When a number here is wrong, read the operations that
test_crash_counts shows, look at what a crash before and after every new one leaves behind, and only then change the
number.
"""

from __future__ import annotations

SCENARIO_OPERATIONS = {
    "claim": 1,
    "claim out of a batch": 3,
    "stage": 4,
    "finish": 1,
    "finish with history": 3,
    "finish with key": 3,
    "finish with key_for": 12,
    "finish with keep": 9,
    "finish with staged files": 7,
    "defer": 1,
    "defer with staged files after an error": 9,
    "snooze": 1,
    "fail": 3,
    "release": 1,
    "put back": 1,
    "corrupt": 3,
    "drop": 3,
    "end a run over its limit": 3,
    "recover": 5,
    "recover what a run staged": 7,
    "recover what was moved into cur by hand": 1,
    "recover the last attempt": 7,
    "recover a cancelled job": 6,
    "take a slot over": 7,
    "retry": 3,
    "retry with key": 6,
    "retry from later": 3,
    "retry from corrupt": 6,
    "cancel": 4,
    "cancel out of a batch": 2,
    "cancel a running job": 3,
    "carry out a cancel": 5,
    "hold": 3,
    "hold out of a batch": 3,
    "unhold": 3,
    "promote": 1,
    "promote a batch": 1,
    "prune": 4,
    "prune by age": 5,
    "prune what was kept": 4,
}

SUBMIT_OPERATIONS = {
    "durable": 6,
    "volatile": 4,
    "delayed": 6,
    "keyed": 9,
    "keyed, delayed": 9,
    "keyed, over a dead job": 11,
    "in a group's root": 7,
    "by one who may only submit": 6,
    "many": 19,
    "many, volatile": 11,
    "many, delayed": 19,
    "many, in a group's root": 23,
    "move": 3,
    "move with options": 12,
    "move with key": 15,
    "link": 3,
    "link with options": 12,
    "copy": 7,
    "copy with key": 19,
}

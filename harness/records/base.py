"""What every stored fact has in common."""

import hashlib
import json

import msgspec


class Record(msgspec.Struct, frozen=True):
    """A frozen fact, stored as JSON in base units (seconds, bytes, FLOPs, per second).

    A record holds what was seen or decided; what can be computed from it is a property and is
    never stored, so the two cannot disagree. Unknown fields are ignored when read, wrong types
    are refused.
    """


def digest(facts: object) -> str:
    """16 hex digits that stand for plain facts (dicts, lists, text, numbers), in whatever order a dict holds them.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

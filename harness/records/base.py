"""The base class of stored facts, and the hashes in them."""

import hashlib
import json

import msgspec


class Record(msgspec.Struct, frozen=True):
    """A frozen fact, stored as JSON in base units (seconds, bytes, FLOPs, per second).

    A record holds what was measured or decided. What can be computed from it is a property and
    never stored, so the two cannot disagree. Reading ignores unknown fields and rejects wrong types.
    """


def digest(facts: object) -> str:
    """16 hex digits that stand for plain facts (dicts, lists, text, numbers), in whatever order a dict holds them.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


_SALT = "plumbline host 1"


def salted_hash(text: str) -> str:
    """16 hex digits that stand for a text and do not reveal it: the name of a machine in a record."""
    return hashlib.sha256(f"{_SALT}\n{text}".encode()).hexdigest()[:16]

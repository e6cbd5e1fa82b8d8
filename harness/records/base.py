"""What every stored fact has in common."""

import msgspec


class Record(msgspec.Struct, frozen=True):
    """A frozen fact, stored as JSON in base units (seconds, bytes, FLOPs, per second).

    A record holds what was seen or decided; what can be computed from it is a property and is
    never stored, so the two cannot disagree. Unknown fields are ignored when read, wrong types
    are refused.
    """

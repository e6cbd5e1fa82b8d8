"""What could not be had, and why."""

from typing import TypeVar

_Value = TypeVar("_Value")


class Gaps:
    """Reasons by dotted field path; a part of the record gets its own view with `under`.

    >>> gaps = Gaps()
    >>> gaps.under("processor").known("microcode", None, "not told by this kernel")
    >>> gaps.reasons
    {'processor.microcode': 'not told by this kernel'}
    """

    def __init__(self, prefix: str = "", reasons: dict[str, str] | None = None) -> None:
        self._prefix = prefix
        self.reasons = {} if reasons is None else reasons

    def under(self, part: str) -> "Gaps":
        """The same reasons, with every path from here on below `part`."""
        return Gaps(f"{self._prefix}{part}.", self.reasons)

    def known(self, field: str, value: _Value | None, reason: str) -> _Value | None:
        """`value`, and the reason noted where it is None."""
        if value is None:
            self.note(field, reason)
        return value

    def note(self, field: str, reason: str) -> None:
        """Notes why `field` could not be had."""
        self.reasons[f"{self._prefix}{field}"] = reason

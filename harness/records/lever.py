"""What one decision buys: the same work done in two ways, measured side by side."""

from harness.records.base import Record


class Lever(Record, frozen=True):
    """Two cases of a run that differ in one thing.

    `speedup` is the time of the base over that of the changed one, with its 95 % interval where there is one; `expected` what was predicted of it, by `way`.
    `memory` is the peak of the changed one over that of the base, `expected_memory` what was said of it.
    """

    lever: str
    base: str
    changed: str
    speedup: float
    low: float | None = None
    high: float | None = None
    expected: float | None = None
    way: str = ""
    memory: float | None = None
    expected_memory: float | None = None

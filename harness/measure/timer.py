"""The timer: a call and a device in, raw samples out. Prints nothing, decides nothing.

A sample is k calls in a row between two marks on the device's own timeline; k comes from the
cost of a mark, so that the clock takes at most a thousandth of what it measures. Device work is
synchronised once a batch of samples and never inside a sample: a synchronisation per call has
been seen to read a 4 µs kernel as 51 µs.

On an accelerator the queue is held while a batch is put into it, so that the device never waits
for the host between two marks: with such gaps inside, a small kernel was seen to take 2.7 times as
long (triton, issue 10149). Whether the hold was long enough is asked of each sample.
"""

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from harness import stats
from harness.measure.disturbance import Counters, disturbance_between
from harness.records import Samples

# A point on a timeline: seconds on a CPU, an event on a GPU. Only its device can read it.
Mark = Any

# A mark may cost at most this fraction of a sample.
TIMER_FRACTION = 1e-3
# Warm-up ends early when the last quarter of its time ran as fast as the quarter before it.
STEADY = 0.02
# Before a block: the threads wake up, the caches fill, the clock rises.
REWARM_SECONDS = 2e-3
# A hold lasts this much longer than putting the calls into the queue was seen to take, and no longer than
# the limit: calls that take longer to launch (a train step) are not held, and told of as `host_bound`.
DELAY_MARGIN = 1.5
LONGEST_DELAY_SECONDS = 5e-3
# Empty samples that tell the cost of a mark.
TRIALS = 10
# A CUDA stream was seen to take about a thousand launches before the host must wait; a call may be several.
MOST_CALLS_QUEUED = 256


class Clock(Protocol):
    """What the timer needs of a device: a timeline, and what went on meanwhile."""

    batch: int
    """Samples between two synchronisations: 1 where calls run at once, more on an accelerator."""
    asynchronous: bool
    """Whether calls return before they are done."""

    def mark(self) -> Mark:
        """A point on the device's timeline."""

    def seconds_between(self, start: Mark, end: Mark) -> float:
        """The time between two marks; both must have been reached (see `synchronize`)."""

    def synchronize(self) -> None:
        """Waits until all work given to the device is done."""

    def host_seconds(self) -> float:
        """A monotonic clock of the host."""

    def counters(self) -> Counters | None:
        """What the process has used and suffered so far; None where it means nothing."""

    def delay_queue(self, seconds: float) -> None:
        """Keeps what is queued from here on waiting for about so long, where calls are queued."""

    def reached(self, mark: Mark) -> bool:
        """Whether the device has come to a mark; asks without waiting."""


@dataclass(frozen=True)
class CallTime:
    """How fast a call runs, in seconds: on the device, and what the host needs to launch it."""

    seconds: float
    launch_seconds: float
    warmup_seconds: float


@dataclass(frozen=True)
class QuickTiming:
    """A short look in one process, for the best it can do: how long, in seconds, and how many samples."""

    warmup_seconds: float
    seconds: float
    least_samples: int
    most_samples: int = 200
    min_sample_seconds: float = 20e-6


class Timer:
    """Times calls on one device."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Held, so that what the host takes to make a mark is not read as what a mark costs.
        empty = self._batch(_nothing, 1, TRIALS, LONGEST_DELAY_SECONDS if clock.asynchronous else 0.0)
        self.timer_cost_seconds = min(empty.seconds)
        self._mark_seconds = self._time_marks() if clock.asynchronous else 0.0

    def quick_samples(self, call: Callable[[], object], look: QuickTiming) -> Samples:
        """Warms up and samples until the time is over: for peaks, where only the fastest sample counts."""
        with garbage_collection_off():
            pace = self.warm_up(call, look.warmup_seconds)
            calls = self.calls_per_sample(pace, look.min_sample_seconds, look.seconds / look.least_samples)
            affordable = int(look.seconds / (calls * pace.seconds))
            count = min(max(affordable, look.least_samples), look.most_samples)
            return self._samples(call, calls, count, pace.launch_seconds)

    def block(
        self, call: Callable[[], object], calls: int, samples: int, launch_seconds: float = 0.0
    ) -> Samples:
        """So many samples in a row of so many calls each."""
        with garbage_collection_off():
            return self._samples(call, calls, samples, launch_seconds)

    def warm_up(
        self, call: Callable[[], object], most_seconds: float, least_seconds: float = 0.0
    ) -> CallTime:
        """Runs the call until its time is steady or the limit is reached, at least once."""
        rounds: list[float] = []
        calls = 1
        launch = math.inf
        started = self._clock.host_seconds()
        while True:
            begun = self._clock.host_seconds()
            for _ in range(calls):
                call()
            launched = self._clock.host_seconds()
            self._clock.synchronize()
            ended = self._clock.host_seconds()
            rounds.append(max(ended - begun, 1e-9) / calls)
            launch = min(launch, (launched - begun) / calls)
            elapsed = ended - started
            settled = elapsed >= max(least_seconds, most_seconds / 4) and _steady(rounds)
            if elapsed >= max(least_seconds, most_seconds) or settled:
                quarter = rounds[-max(1, len(rounds) // 4) :]
                return CallTime(min(quarter), launch if self._clock.asynchronous else 0.0, elapsed)
            # Rounds of about a sixteenth of the limit, so that quarters can be compared.
            calls = max(1, min(2 * calls, round(most_seconds / 16 / rounds[-1])))

    def calls_per_sample(self, pace: CallTime, least_seconds: float, most_seconds: float = math.inf) -> int:
        """How many calls make a sample that is long enough for the clock, and short enough to be held.

        A sample ends within `most_seconds`.
        """
        target = max(self.timer_cost_seconds / TIMER_FRACTION, least_seconds)
        calls = max(1, math.ceil(min(target, most_seconds) / pace.seconds))
        if not pace.launch_seconds:
            return calls
        held = LONGEST_DELAY_SECONDS / DELAY_MARGIN - 2 * self._mark_seconds
        return max(1, min(calls, int(held / pace.launch_seconds), MOST_CALLS_QUEUED))

    def _time_marks(self) -> float:
        """What the host takes to put a mark into the queue."""
        began = self._clock.host_seconds()
        for _ in range(TRIALS):
            self._clock.mark()
        seconds = (self._clock.host_seconds() - began) / TRIALS
        self._clock.synchronize()
        return seconds

    def rewarm(self, call: Callable[[], object]) -> None:
        """A few calls before a block, at least one: others ran since the last."""
        until = self._clock.host_seconds() + REWARM_SECONDS
        while True:
            call()
            self._clock.synchronize()
            if self._clock.host_seconds() >= until:
                return

    def _samples(
        self, call: Callable[[], object], calls: int, samples: int, launch_seconds: float
    ) -> Samples:
        size, hold = self._plan(calls, launch_seconds)
        sizes = [min(size, samples - done) for done in range(0, samples, size)]
        batches = [self._batch(call, calls, count, hold) for count in sizes]
        counters = [(b.before, b.after) for b in batches if b.before is not None and b.after is not None]
        return Samples(
            calls_per_sample=calls,
            seconds=tuple(seconds / calls for batch in batches for seconds in batch.seconds),
            blocks=(samples,),
            disturbance=disturbance_between(counters) if len(counters) == samples else None,
            host_bound=tuple(late for batch in batches for late in batch.host_bound)
            if self._clock.asynchronous
            else None,
        )

    def _plan(self, calls: int, launch_seconds: float) -> tuple[int, float]:
        """Samples in a batch, and how long the queue is held while they are put into it."""
        if not self._clock.asynchronous:
            return self._clock.batch, 0.0
        held = DELAY_MARGIN * (launch_seconds * calls + 2 * self._mark_seconds) if launch_seconds else 0.0
        if held > LONGEST_DELAY_SECONDS:
            return self._clock.batch, 0.0
        fits = int(LONGEST_DELAY_SECONDS / held) if held else self._clock.batch
        batch = max(1, min(self._clock.batch, fits, MOST_CALLS_QUEUED // calls))
        return batch, held * batch

    def _batch(self, call: Callable[[], object], calls: int, samples: int, hold: float = 0.0) -> "_Batch":
        clock, repeat = self._clock, range(calls)
        marks = []
        late = []
        before = clock.counters()
        if hold:
            clock.delay_queue(hold)
        for _ in range(samples):
            start = clock.mark()
            for _ in repeat:
                call()
            end = clock.mark()
            marks.append((start, end))
            # If the device is past the start already, it may have waited for the host before the end.
            late.append(clock.asynchronous and clock.reached(start))
        clock.synchronize()
        after = clock.counters()
        seconds = [max(clock.seconds_between(start, end), SHORTEST_SECONDS) for start, end in marks]
        return _Batch(seconds, late, before, after)


class _Batch(NamedTuple):
    """Samples between two synchronisations; seconds of all the calls of each."""

    seconds: list[float]
    host_bound: list[bool]
    before: Counters | None
    after: Counters | None


# Two readings of a clock may be equal; no sample takes no time at all.
SHORTEST_SECONDS = 1e-12


def _nothing() -> None:
    pass


def _steady(rounds: list[float]) -> bool:
    quarter = len(rounds) // 4
    if quarter < 1:
        return False
    last, before = stats.median(rounds[-quarter:]), stats.median(rounds[-2 * quarter : -quarter])
    return abs(last / before - 1.0) < STEADY


@contextmanager
def garbage_collection_off() -> Iterator[None]:
    """No collection meanwhile."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

"""The timer: takes raw samples of a call on a device. It prints and decides nothing.

A sample is k calls in a row between two marks on the device's own timeline; k comes from the
cost of a mark, so that the clock takes at most a thousandth of what it measures. Device work is
synchronised once a batch of samples and never inside a sample: a synchronisation per call has
been seen to turn a 4 µs kernel into 51 µs.

On an accelerator the queue is delayed while a batch is put into it, so that the device never waits
for the host between two marks. With such gaps, a small kernel took 2.7 times as
long (triton, issue 10149). Each sample records whether the delay was long enough.
"""

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from harness import stats
from harness.measure.sensors import Counters, disturbance_between
from harness.records import Samples

# A point on a timeline: seconds on a CPU, an event on a GPU. Only its device can read it.
Mark = Any

# A mark may cost at most this fraction of a sample.
TIMER_FRACTION = 1e-3
# Warm-up ends early when the last quarter of its time ran as fast as the quarter before it.
STEADY = 0.02
# Before a block: the threads wake up, the caches fill, the clock rises.
REWARM_SECONDS = 2e-3
# A delay lasts this multiple of the time to queue the calls, up to the limit. Calls that take longer to
# launch (a train step) are not delayed, and are marked as `host_bound`.
DELAY_MARGIN = 1.5
LONGEST_DELAY_SECONDS = 5e-3
# Empty samples that measure the cost of a mark.
TRIALS = 10
# A CUDA stream takes about a thousand launches before the host must wait; a call may be several.
MOST_CALLS_QUEUED = 256


class Clock(Protocol):
    """The timer's view of a device: a timeline, and counters of the process."""

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
        """The counters of the process; None where they mean nothing."""

    def delay_queue(self, seconds: float) -> None:
        """Makes work that is queued from now on wait for about `seconds`, where there is a queue."""

    def reached(self, mark: Mark) -> bool:
        """Whether the device has reached a mark; does not wait."""


@dataclass(frozen=True)
class CallTime:
    """The time of a call in seconds: on the device, and for the host to launch it."""

    seconds: float
    launch_seconds: float
    warmup_seconds: float


@dataclass(frozen=True)
class QuickTiming:
    """Limits of a short measurement in one process, in seconds and samples."""

    warmup_seconds: float
    seconds: float
    least_samples: int
    most_samples: int = 200
    min_sample_seconds: float = 20e-6


class Timer:
    """Times calls on one device."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Delayed, so that the host's time to make a mark does not count as the cost of a mark.
        empty = self._batch(_nothing, 1, TRIALS, LONGEST_DELAY_SECONDS if clock.asynchronous else 0.0)
        self.timer_cost_seconds = min(empty.seconds)
        self._mark_seconds = self._time_marks() if clock.asynchronous else 0.0

    def quick_samples(self, call: Callable[[], object], limits: QuickTiming) -> Samples:
        """Warms up, then samples for a limited time: for peaks, where the fastest sample counts."""
        with garbage_collection_off():
            call_time = self.warm_up(call, limits.warmup_seconds)
            calls = self.calls_per_sample(
                call_time, limits.min_sample_seconds, limits.seconds / limits.least_samples
            )
            affordable = int(limits.seconds / (calls * call_time.seconds))
            count = min(max(affordable, limits.least_samples), limits.most_samples)
            return self._samples(call, calls, count, call_time.launch_seconds)

    def block(
        self, call: Callable[[], object], calls: int, samples: int, launch_seconds: float = 0.0
    ) -> Samples:
        """A number of consecutive samples, each of `calls` calls."""
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

    def calls_per_sample(
        self, call_time: CallTime, least_seconds: float, most_seconds: float = math.inf
    ) -> int:
        """The number of calls in a sample that is long enough for the clock, and short enough for a delay.

        A sample ends within `most_seconds`.
        """
        target = max(self.timer_cost_seconds / TIMER_FRACTION, least_seconds)
        calls = max(1, math.ceil(min(target, most_seconds) / call_time.seconds))
        if not call_time.launch_seconds:
            return calls
        held = LONGEST_DELAY_SECONDS / DELAY_MARGIN - 2 * self._mark_seconds
        return max(1, min(calls, int(held / call_time.launch_seconds), MOST_CALLS_QUEUED))

    def _time_marks(self) -> float:
        """The host's time to put a mark into the queue."""
        began = self._clock.host_seconds()
        for _ in range(TRIALS):
            self._clock.mark()
        seconds = (self._clock.host_seconds() - began) / TRIALS
        self._clock.synchronize()
        return seconds

    def rewarm(self, call: Callable[[], object]) -> None:
        """Makes a few calls before a block, at least one, as other cases ran in between."""
        until = self._clock.host_seconds() + REWARM_SECONDS
        while True:
            call()
            self._clock.synchronize()
            if self._clock.host_seconds() >= until:
                return

    def _samples(
        self, call: Callable[[], object], calls: int, samples: int, launch_seconds: float
    ) -> Samples:
        size, delay = self._plan(calls, launch_seconds)
        sizes = [min(size, samples - done) for done in range(0, samples, size)]
        batches = [self._batch(call, calls, count, delay) for count in sizes]
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
        """Samples in a batch, and the seconds that the queue is delayed for them."""
        if not self._clock.asynchronous:
            return self._clock.batch, 0.0
        held = DELAY_MARGIN * (launch_seconds * calls + 2 * self._mark_seconds) if launch_seconds else 0.0
        if held > LONGEST_DELAY_SECONDS:
            return self._clock.batch, 0.0
        fits = int(LONGEST_DELAY_SECONDS / held) if held else self._clock.batch
        batch = max(1, min(self._clock.batch, fits, MOST_CALLS_QUEUED // calls))
        return batch, held * batch

    def _batch(self, call: Callable[[], object], calls: int, samples: int, delay: float = 0.0) -> "_Batch":
        clock, repeat = self._clock, range(calls)
        marks = []
        late = []
        before = clock.counters()
        if delay:
            clock.delay_queue(delay)
        for _ in range(samples):
            start = clock.mark()
            for _ in repeat:
                call()
            end = clock.mark()
            marks.append((start, end))
            # If the device has passed the start already, it may have waited for the host before the end.
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
    """Turns the garbage collector off, and back on if it was on."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

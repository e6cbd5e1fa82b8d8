"""The stopwatch: a call and a device in, raw samples out. Prints nothing, decides nothing.

A sample is k calls in a row between two marks on the device's own timeline; k comes from the
cost of a mark, so that the clock takes at most a thousandth of what it measures. Device work is
synchronised once a block of samples and never inside a sample: a synchronisation per call has
been seen to read a 4 µs kernel as 51 µs.
"""

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from harness import stats
from harness.measure.disturbance import Counters, disturbance_between
from harness.records import Disturbance, Measurement, Sampling, StopReason
from harness.records.measurement import clean

# A point on a timeline: seconds on a CPU, an event on a GPU. Only its device can read it.
Mark = Any

# A mark may cost at most this share of a sample.
TIMER_SHARE = 1e-3
# Warm-up ends early when the last quarter of its time ran as fast as the quarter before it.
STEADY = 0.02
# Looked at after this many samples and then at each doubling, not after each sample: a rule that
# looks all the time stops at the first lucky moment.
FIRST_LOOK = 8


class Clock(Protocol):
    """What the stopwatch needs of a device: a timeline, and what went on meanwhile."""

    view: str
    block: int
    """Samples between two synchronisations: 1 where calls run at once, more on an accelerator."""

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


class Stopwatch:
    """Times calls on one device."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.timer_cost_seconds = min(self._sample(_nothing, 1, 10))

    def measure(self, call: Callable[[], object], sampling: Sampling) -> Measurement:
        """Warms up, picks the calls per sample, and samples until it is precise or out of time."""
        with _garbage_collection_off():
            estimate, warmup_calls = self.warm_up(call, sampling.warmup_seconds)
            calls = self._calls_per_sample(estimate, sampling)
            affordable = max(1, int(sampling.max_seconds / (calls * estimate)))
            samples: list[float] = []
            counters: list[tuple[Counters, Counters]] = []
            started = self._clock.host_seconds()
            look = max(FIRST_LOOK, sampling.min_samples)
            while True:
                block = min(self._clock.block, look - len(samples), affordable)
                before = self._clock.counters()
                samples += self._sample(call, calls, block)
                after = self._clock.counters()
                if before is not None and after is not None:
                    counters.append((before, after))
                elapsed = self._clock.host_seconds() - started
                out_of_time = elapsed >= sampling.max_seconds and len(samples) >= sampling.min_samples
                if len(samples) >= look or out_of_time:
                    disturbance = disturbance_between(counters) if counters else None
                    reason = _stop(samples, disturbance, calls, sampling, elapsed)
                    if reason is not None:
                        break
                    look = min(2 * look, sampling.max_samples)
        return Measurement(
            view=self._clock.view,
            seconds=tuple(samples),
            calls_per_sample=calls,
            timer_cost_seconds=self.timer_cost_seconds,
            warmup_calls=warmup_calls,
            stop_reason=reason,
            disturbance=disturbance,
        )

    def warm_up(self, call: Callable[[], object], limit_seconds: float) -> tuple[float, int]:
        """Runs the call until its time is steady or the limit is reached, at least once.

        Returns the time of a call at the end, in seconds, and how many calls it took.
        """
        rounds: list[float] = []
        total = 0
        calls = 1
        started = self._clock.host_seconds()
        while True:
            begun = self._clock.host_seconds()
            for _ in range(calls):
                call()
            self._clock.synchronize()
            ended = self._clock.host_seconds()
            rounds.append(max(ended - begun, 1e-9) / calls)
            total += calls
            elapsed = ended - started
            if elapsed >= limit_seconds or (elapsed >= limit_seconds / 4 and _steady(rounds)):
                return rounds[-1], total
            # Rounds of about a sixteenth of the limit, so that quarters can be compared.
            calls = max(1, min(2 * calls, round(limit_seconds / 16 / rounds[-1])))

    def _calls_per_sample(self, estimate: float, sampling: Sampling) -> int:
        target = max(self.timer_cost_seconds / TIMER_SHARE, sampling.min_sample_seconds)
        affordable = sampling.max_seconds / sampling.min_samples
        return max(1, math.ceil(min(target, affordable) / estimate))

    def _sample(self, call: Callable[[], object], calls: int, samples: int) -> list[float]:
        clock, repeat = self._clock, range(calls)
        marks = []
        for _ in range(samples):
            start = clock.mark()
            for _ in repeat:
                call()
            marks.append((start, clock.mark()))
        clock.synchronize()
        return [clock.seconds_between(start, end) / calls for start, end in marks]


def _nothing() -> None:
    pass


def _steady(rounds: list[float]) -> bool:
    quarter = len(rounds) // 4
    if quarter < 1:
        return False
    last, before = stats.median(rounds[-quarter:]), stats.median(rounds[-2 * quarter : -quarter])
    return abs(last / before - 1.0) < STEADY


def _stop(
    samples: list[float], disturbance: Disturbance | None, calls: int, sampling: Sampling, elapsed: float
) -> StopReason | None:
    trusted = clean(samples, disturbance, calls)
    if len(trusted) >= max(FIRST_LOOK, sampling.min_samples) and elapsed >= sampling.min_seconds:
        low, high = stats.median_interval(trusted)
        if (high - low) / 2 <= sampling.target_half_width * stats.median(trusted):
            return StopReason.CONVERGED
    if elapsed >= sampling.max_seconds and len(samples) >= sampling.min_samples:
        return StopReason.TIME_CAP
    return StopReason.SAMPLE_CAP if len(samples) >= sampling.max_samples else None


@contextmanager
def _garbage_collection_off() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

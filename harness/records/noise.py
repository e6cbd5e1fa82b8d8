"""How far measurements on a host can be trusted, as a self-test found: its noise profile."""

import itertools
import math
import random
from functools import cached_property

from harness import stats
from harness.records.base import Record
from harness.records.measurement import Flag

# A comparison is of so many fresh pairs of processes; its estimate is beyond the gate or it is not.
PAIRS, GATE, INJECTED = 5, 0.03, 0.05
# What may gate: false alarms at most, true slowdowns found at least.
MOST_FALSE_ALARMS, LEAST_POWER = 0.01, 0.95
# Fewer repeats than this tell nothing of how much repeats differ.
LEAST_FOR_DRIFT = 3
# More comparisons than this are not tried: a random part of them is.
MOST_COMPARISONS = 2000


class Repeat(Record, frozen=True):
    """One independent measurement of the same thing: its median time and its stated 95 % interval, in seconds."""

    median: float
    low: float
    high: float
    flags: tuple[Flag, ...] = ()


class KindNoise(Record, frozen=True, dict=True):
    """One kind of work, measured by many fresh pairs of processes A and B, their blocks interleaved.

    `same` are the logarithms of B over A where both do the same, `slower` where each call of B was made
    longer by `injected` (a fraction of its time). One entry a pair. `repeats`: the work measured as a bench does.
    """

    name: str
    workload: str
    threads: int
    call_seconds: float
    injected: float
    same: tuple[float, ...]
    slower: tuple[float, ...]
    repeats: tuple[Repeat, ...]

    @property
    def title(self) -> str:
        """What it is called in a sentence."""
        return f"{self.name} on {self.threads} {'thread' if self.threads == 1 else 'threads'}"

    @cached_property
    def false_alarms(self) -> float:
        """How often `PAIRS` pairs of the same thing read more than `GATE` slower.

        Over the subsets of the pairs; which side of a pair is called B makes no difference, so both count.
        """
        alarms = [
            stats.hodges_lehmann([sign * self.same[i] for i, sign in zip(chosen, signs, strict=True)])
            > math.log1p(GATE)
            for chosen in self._comparisons
            for signs in itertools.product((1, -1), repeat=len(chosen))
        ]
        return sum(alarms) / len(alarms)

    @cached_property
    def power(self) -> float:
        """How often `PAIRS` pairs read the injected slowdown as more than `GATE`."""
        found = [
            stats.hodges_lehmann([self.slower[i] for i in chosen]) > math.log1p(GATE)
            for chosen in self._comparisons
        ]
        return sum(found) / len(found)

    @property
    def sigma(self) -> float:
        """Standard deviation of one pair's reading, as a share."""
        return stats.deviation(self.same)

    def detectable(self, pairs: int = PAIRS) -> float:
        """The least change that so many pairs find in 80 of 100 cases, at 5 false alarms in 100 (two-sided)."""
        return math.expm1(stats.detectable(self.sigma, pairs))

    @property
    def drift(self) -> float:
        """What the repeats differ by: standard deviation of the logarithm of their median times."""
        return stats.deviation([math.log(repeat.median) for repeat in self.repeats])

    @property
    def coverage_alone(self) -> float | None:
        """How often the interval of one repeat, which knows nothing of this profile, holds another's median time."""
        hits = [one.low <= other.median <= one.high for one, other in itertools.permutations(self.repeats, 2)]
        return sum(hits) / len(hits) if hits else None

    @property
    def coverage(self) -> float | None:
        """The same for intervals as a bench states them once this profile is there.

        Each is widened by the drift between the other repeats, without the one it is tried on.
        """
        hits = []
        for (i, one), (j, other) in itertools.permutations(enumerate(self.repeats), 2):
            rest = [math.log(r.median) for k, r in enumerate(self.repeats) if k not in {i, j}]
            if len(rest) < LEAST_FOR_DRIFT:
                return None
            off = abs(math.log(other.median / one.median))
            hits.append(off <= self._widened(one, stats.deviation(rest), len(rest)))
        return sum(hits) / len(hits) if hits else None

    @property
    def flagged(self) -> float:
        """The fraction of repeats that a flag speaks against."""
        return sum(bool(repeat.flags) for repeat in self.repeats) / max(1, len(self.repeats))

    @property
    def half_width(self) -> float:
        """Half the width of such an interval, relative: the median of the repeats."""
        count = len(self.repeats)
        return math.expm1(stats.median([self._widened(repeat, self.drift, count) for repeat in self.repeats]))

    def _widened(self, repeat: Repeat, drift: float, count: int) -> float:
        """Half of an interval, on the logarithm, with a drift between `count` repeats that `one` does not know of."""
        return math.hypot(math.log(repeat.high / repeat.low) / 2, stats.spread_of_repeats(drift, count))

    @property
    def may_gate(self) -> bool:
        """Whether a gate on this kind of work, here, neither cries wolf nor sleeps."""
        return self.false_alarms <= MOST_FALSE_ALARMS and self.power >= LEAST_POWER

    @property
    def _comparisons(self) -> list[tuple[int, ...]]:
        """The subsets of pairs that make a comparison."""
        count, size = len(self.same), min(PAIRS, len(self.same))
        if math.comb(count, size) <= MOST_COMPARISONS:
            return list(itertools.combinations(range(count), size))
        chance = random.Random(0)  # noqa: S311 - which subsets, not a secret
        return [tuple(chance.sample(range(count), size)) for _ in range(MOST_COMPARISONS)]


class TimerReading(Record, frozen=True):
    """A spin of known length, and what the timer read, in seconds."""

    known: float
    read: float

    @property
    def error(self) -> float:
        """Read over known, minus one."""
        return self.read / self.known - 1.0


class NoiseProfile(Record, frozen=True):
    """What a self-test found on one host, with one device."""

    schema_version: int
    host: str
    device: str
    threads: int
    machine: str
    torch: str
    taken_at: str
    seconds: float
    kinds: tuple[KindNoise, ...]
    timer: tuple[TimerReading, ...]
    mark_seconds: float
    sample_seconds: float
    other_cpus: float | None = None

    def drift(self, threads: int, *, from_memory: bool, fine: bool) -> float | None:
        """What runs of some work differ by on this host, as far as work like it was measured; else None.

        Like it: bound by main memory or not; on one thread or on several; `fine`, in steps so short that threads
        meet all the time, as in a small train step, or in long ones.
        """
        alike = self._alike(threads)
        names = {"compute", "train step"} if fine else {"compute"}
        known = [
            kind.drift
            for kind in (self.kinds if from_memory else alike)
            if kind.name in ({"memory"} if from_memory else names) and len(kind.repeats) >= LEAST_FOR_DRIFT
        ]
        return max(known, default=None)

    def floor(self, pairs: int, threads: int) -> float:
        """What so many pairs of one and the same thing read apart on this host at most, in 95 of 100 cases, as a share.

        Of compute and train steps on one thread or on several, whichever is meant; work bound by memory has no place in a gate.
        """
        found = [kind for kind in self._alike(threads) if kind.name != "memory" and len(kind.same) > 1]
        return max(
            (
                math.expm1(stats.students_t(0.975, len(kind.same) - 1) * kind.sigma / math.sqrt(pairs))
                for kind in found
            ),
            default=0.0,
        )

    def _alike(self, threads: int) -> list[KindNoise]:
        """The kinds on one thread, or those on several."""
        return [kind for kind in self.kinds if (kind.threads > 1) == (threads > 1)]

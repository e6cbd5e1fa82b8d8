"""The noise profile of a host: how far its measurements can be trusted, measured by a self-test."""

import itertools
import math
import random
from functools import cached_property

from harness import stats
from harness.records.base import Record
from harness.records.measurement import Flag

# The self-test evaluates comparisons of this many fresh pairs, a gate at this change, and this injected slowdown.
PAIRS, GATE, INJECTED = 5, 0.03, 0.05
# Limits for gating: the most false alarms, and the least power to detect the injected slowdown.
MOST_FALSE_ALARMS, LEAST_POWER = 0.01, 0.95
# The drift between repeats needs at least this many of them.
LEAST_FOR_DRIFT = 3
# Of more comparisons than this, a random subset is evaluated.
MOST_COMPARISONS = 2000


class Repeat(Record, frozen=True):
    """One independent measurement of the same work: its median time and its 95% interval, in seconds."""

    median: float
    low: float
    high: float
    flags: tuple[Flag, ...] = ()


class KindNoise(Record, frozen=True, dict=True):
    """One kind of work, measured by many fresh pairs of processes A and B, interleaved.

    `same` holds the logarithm of B over A where both do the same, `slower` where each call of B takes longer by `injected`, a fraction of
    its time; one entry a pair. `repeats`: the same work measured as `bench` does.
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
        """The kind and its threads, for a sentence."""
        return f"{self.name} on {self.threads} {'thread' if self.threads == 1 else 'threads'}"

    @cached_property
    def false_alarms(self) -> float:
        """The fraction of comparisons of `PAIRS` identical pairs that read more than `GATE` slower.

        Over subsets of the pairs. Which side of a pair is called B makes no difference, so both count.
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
        """The fraction of comparisons of `PAIRS` pairs that read the injected slowdown as more than `GATE`."""
        detected = [
            stats.hodges_lehmann([self.slower[i] for i in chosen]) > math.log1p(GATE)
            for chosen in self._comparisons
        ]
        return sum(detected) / len(detected)

    @property
    def sigma(self) -> float:
        """Standard deviation of the reading of one pair, a fraction."""
        return stats.deviation(self.same)

    def detectable(self, pairs: int = PAIRS) -> float:
        """The minimum detectable change: detected in 80 of 100 cases, at 5 false alarms in 100 (two-sided)."""
        return math.expm1(stats.detectable(self.sigma, pairs))

    @property
    def drift(self) -> float:
        """How much repeats differ: the standard deviation of the logarithm of their median times."""
        return stats.deviation([math.log(repeat.median) for repeat in self.repeats])

    @property
    def coverage_without_profile(self) -> float | None:
        """How often the interval of a repeat, without this profile, contains the median time of another."""
        hits = [a.low <= b.median <= a.high for a, b in itertools.permutations(self.repeats, 2)]
        return sum(hits) / len(hits) if hits else None

    @property
    def coverage(self) -> float | None:
        """The same for the intervals that `bench` reports with this profile.

        Each is widened by the drift between the other repeats, without the repeat it is evaluated on.
        """
        hits = []
        for (i, a), (j, b) in itertools.permutations(enumerate(self.repeats), 2):
            rest = [math.log(r.median) for k, r in enumerate(self.repeats) if k not in {i, j}]
            if len(rest) < LEAST_FOR_DRIFT:
                return None
            distance = abs(math.log(b.median / a.median))
            hits.append(distance <= self._widened(a, stats.deviation(rest), len(rest)))
        return sum(hits) / len(hits) if hits else None

    @property
    def flagged(self) -> float:
        """The fraction of repeats with a flag."""
        return sum(bool(repeat.flags) for repeat in self.repeats) / max(1, len(self.repeats))

    @property
    def half_width(self) -> float:
        """Half the relative width of such an interval: the median over the repeats."""
        count = len(self.repeats)
        return math.expm1(stats.median([self._widened(repeat, self.drift, count) for repeat in self.repeats]))

    def _widened(self, repeat: Repeat, drift: float, count: int) -> float:
        """Half the width of an interval, on the logarithm, widened by the drift between `count` repeats."""
        return math.hypot(math.log(repeat.high / repeat.low) / 2, stats.spread_of_repeats(drift, count))

    @property
    def may_gate(self) -> bool:
        """Whether a gate on this kind of work has few false alarms and enough power on this host."""
        return self.false_alarms <= MOST_FALSE_ALARMS and self.power >= LEAST_POWER

    @property
    def _comparisons(self) -> list[tuple[int, ...]]:
        """The subsets of `PAIRS` pairs that are evaluated as comparisons."""
        count, size = len(self.same), min(PAIRS, len(self.same))
        if math.comb(count, size) <= MOST_COMPARISONS:
            return list(itertools.combinations(range(count), size))
        chance = random.Random(0)  # noqa: S311 - selects subsets, protects nothing
        return [tuple(chance.sample(range(count), size)) for _ in range(MOST_COMPARISONS)]


class TimerReading(Record, frozen=True):
    """A spin of known length, and the time that the timer read, in seconds."""

    known: float
    read: float

    @property
    def error(self) -> float:
        """Read over known, minus one."""
        return self.read / self.known - 1.0


class NoiseProfile(Record, frozen=True):
    """The result of a self-test on one host and device."""

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
        """How much runs of such work differ on this host; None where no similar work was measured.

        Similar: bound by main memory or not; on one thread or on several; `fine`, in steps so short that threads synchronise all the
        time, as in a small train step, or in long ones.
        """
        alike = self._alike(threads)
        names = {"compute", "train step"} if fine else {"compute"}
        known = [
            kind.drift
            for kind in (self.kinds if from_memory else alike)
            if kind.name in ({"memory"} if from_memory else names) and len(kind.repeats) >= LEAST_FOR_DRIFT
        ]
        return max(known, default=None)

    def noise_of_pairs(self, pairs: int, threads: int) -> float:
        """The largest change, a fraction, that this many identical pairs read on this host in 95 of 100 cases.

        Of compute and train steps, on one thread or on several; work bound by memory is never gated.
        """
        kinds = [kind for kind in self._alike(threads) if kind.name != "memory" and len(kind.same) > 1]
        return max(
            (
                math.expm1(stats.students_t(0.975, len(kind.same) - 1) * kind.sigma / math.sqrt(pairs))
                for kind in kinds
            ),
            default=0.0,
        )

    def _alike(self, threads: int) -> list[KindNoise]:
        """The kinds on one thread, or those on several."""
        return [kind for kind in self.kinds if (kind.threads > 1) == (threads > 1)]

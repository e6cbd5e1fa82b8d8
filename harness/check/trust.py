"""Whether this harness can be trusted on this machine: the claims of a self-test."""

from collections.abc import Iterator

from harness import units
from harness.records import Answer, Verdict
from harness.records.noise import GATE, LEAST_POWER, MOST_FALSE_ALARMS, KindNoise, NoiseProfile, TimerReading

# A stated 95 % interval should hold 95 of 100 repeats; a machine whose speed changes for minutes at a time
# costs some of them, and below four of five the intervals say nothing.
COVERS_WELL, COVERS_BADLY = 0.90, 0.80
# The timer against a spin of known length: its share, and what waking up from the spin takes at most.
TIMER_FRACTION, TIMER_SECONDS = 0.01, 0.5e-6
# On an accelerator a kernel's start and the resolution of events take more.
TIMER_SECONDS_ON_ACCELERATOR = 2e-6


def check_trust(profile: NoiseProfile) -> Iterator[Verdict]:
    """A verdict for each timer reading, and two for each kind of work."""
    slack = TIMER_SECONDS if profile.device == "cpu" else TIMER_SECONDS_ON_ACCELERATOR
    for reading in profile.timer:
        yield _timer(reading, slack)
    for kind in profile.kinds:
        yield _gate(kind)
        if kind.coverage is not None:
            yield _coverage(kind, kind.coverage)


def _timer(reading: TimerReading, slack: float) -> Verdict:
    off = abs(reading.read - reading.known)
    allowed = TIMER_FRACTION * reading.known + slack
    told = (
        f"read as {units.seconds(reading.read)} ({units.signed_percent(reading.error)}); "
        f"{units.seconds(allowed)} are allowed"
    )
    answer = Answer.HOLDS if off <= allowed else Answer.FAILS
    return Verdict("timer", f"a spin of {units.seconds(reading.known)}", answer, told)


def _gate(kind: KindNoise) -> Verdict:
    """A kind that cannot gate is no fault of anybody: it informs."""
    told = (
        f"a gate of {units.percent(GATE)} raises {units.percent(kind.false_alarms)} false alarms "
        f"({units.percent(MOST_FALSE_ALARMS)} are allowed) and finds {units.percent(kind.power)} of "
        f"{units.percent(kind.injected)} slowdowns ({units.percent(LEAST_POWER)} are wanted)"
    )
    return Verdict("gate", kind.title, Answer.HOLDS if kind.may_gate else Answer.INCONCLUSIVE, told)


def _coverage(kind: KindNoise, coverage: float) -> Verdict:
    told = (
        f"stated 95 % intervals, typically ± {units.percent(kind.half_width)}, hold {units.percent(coverage)} of the "
        f"other repeats; {units.percent(kind.flagged)} of the repeats were flagged"
    )
    if coverage >= COVERS_WELL:
        answer = Answer.HOLDS
    else:
        answer = Answer.INCONCLUSIVE if coverage >= COVERS_BADLY else Answer.FAILS
    return Verdict("coverage", kind.title, answer, told)

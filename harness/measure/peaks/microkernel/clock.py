"""The clock the core really runs at, which a virtual machine's nominal clock is not.

A chain of instructions that each need the result of the one before takes latency x length cycles,
whatever else the core can do. Two chains with different latencies check each other.
"""

from dataclasses import dataclass

from harness.measure.peaks.microkernel import catalogue as x86_64
from harness.measure.peaks.microkernel import executable
from harness.measure.peaks.microkernel.executable import timed

# Latency of a 64-bit multiplication of registers: Intel since Nehalem, AMD since Zen; of an addition:
# all (Agner Fog, Instruction tables; uops.info). The addition is of registers as Golden Cove and
# later do additions of small constants at rename, in no time.
ADD_CYCLES = 1
IMUL_CYCLES = 3
# Room for the clock to move between two readings; a wrong latency would be off by a quarter or more.
AGREEMENT = 0.03
# Half a millisecond for each reading at 4 GHz: timing one costs less than 0.1% of that.
READING_CYCLES = 2_000_000
READINGS = 10


@dataclass(frozen=True)
class Clock:
    """Cycles per second by two chains, in hertz: the best of several readings each.

    Good to about 0.2%. `hertz` is None where the two disagree by more than 3%, and `reason` explains it.
    It is the clock of light scalar work: under wide vectors or tiles many cores run slower.
    """

    add_hertz: float
    imul_hertz: float
    hertz: float | None
    reason: str | None = None


def clock_hz() -> Clock | None:
    """This core's clock now, in about 10 ms; None where `unavailable_reason()` has one.

    Timed by the thread's CPU time, so that waiting for a core does not count.
    """
    if executable.unavailable_reason() is not None:
        return None
    readings = [
        (_hertz(x86_64.ADD_CHAIN, ADD_CYCLES), _hertz(x86_64.IMUL_CHAIN, IMUL_CYCLES))
        for _ in range(READINGS)
    ]
    return agreed(max(add for add, _ in readings), max(imul for _, imul in readings))


def agreed(add_hertz: float, imul_hertz: float) -> Clock:
    """The clock two readings agree on: the higher, as a disturbance only lowers them."""
    low, high = sorted((add_hertz, imul_hertz))
    if high - low <= AGREEMENT * high:
        return Clock(add_hertz, imul_hertz, high)
    reason = (
        f"the chains disagree: {add_hertz * 1e-9:.2f} GHz by add, {imul_hertz * 1e-9:.2f} GHz by imul;"
        f" the clock moves, or this core's latencies are not {ADD_CYCLES} and {IMUL_CYCLES} cycles"
    )
    return Clock(add_hertz, imul_hertz, None, reason)


def _hertz(code: bytes, cycles_per_instruction: int) -> float:
    """One reading."""
    chain = executable.chain(code)
    cycles_per_iteration = x86_64.CHAIN_LENGTH * cycles_per_instruction
    iterations = READING_CYCLES // cycles_per_iteration
    seconds = timed(lambda: chain(iterations, 1, 3)).cpu_seconds
    return iterations * cycles_per_iteration / seconds

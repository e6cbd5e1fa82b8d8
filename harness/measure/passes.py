"""What is measured of a call in passes of their own, beside its time: its energy, and the time of its phases."""

import math

from harness import stats
from harness.measure.device import Device
from harness.measure.views import MeasuredView
from harness.workload import Call, phases_of

ENERGY_SECONDS = 0.5
# The phases of a step are timed over so long, and so many steps.
PHASES_SECONDS, LEAST_PHASES, MOST_PHASES = 0.1, 3, 100


def joules_per_call(device: Device, view: MeasuredView) -> float | None:
    """Joules of a call, over calls in a row that take half a second; None where nothing counts them.

    The counters tick in tens of milliseconds, too coarse for a block.
    """
    before = device.joules()
    if before is None:
        return None
    calls = max(1, math.ceil(ENERGY_SECONDS / view.pace.seconds))
    for _ in range(calls):
        view.call()
    device.synchronize()
    after = device.joules()
    return None if after is None else (after - before) / (calls * view.inside)


def phase_seconds(device: Device, call: Call, view: MeasuredView) -> dict[str, float]:
    """The median time of each phase of a call that has several; the device is waited for after each."""
    phases = phases_of(call)
    if len(phases) == 1:
        return {}
    seconds: dict[str, list[float]] = {name: [] for name in phases}
    calls = math.ceil(PHASES_SECONDS / view.pace.seconds)
    for _ in range(min(max(calls, LEAST_PHASES), MOST_PHASES)):
        for name, phase in phases.items():
            began = device.host_seconds()
            phase()
            device.synchronize()
            seconds[name].append(device.host_seconds() - began)
    return {name: stats.median(several) for name, several in seconds.items()}

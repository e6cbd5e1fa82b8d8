"""Sensors: from fakes whose readings are known; what is absent stays absent."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from harness.measure import sensors
from harness.measure.devices.cpu import Rapl
from harness.measure.environment.kernel import Throttling
from harness.measure.sensors import (
    Counters,
    HostWatch,
    NvidiaCard,
    ProcessCounters,
    card_of,
    disturbance_between,
    summary,
)
from harness.records import Disturbance, Reading, Samples, Sensors, Span


class Nvml:
    """A card of known clocks; one sensor it does not have."""

    NVMLError = type("NVMLError", (Exception,), {})
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid != "GPU-1":
            raise self.NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetClockInfo(self, _: str, clock: int) -> int:  # noqa: N802
        return {1: 1755, 2: 2619}[clock]

    def nvmlDeviceGetPowerUsage(self, _: str) -> int:  # noqa: N802
        return 312_500

    def nvmlDeviceGetTemperature(self, *_: object) -> int:  # noqa: N802
        raise self.NVMLError("Not Supported")

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, _: str) -> int:  # noqa: N802
        return 0x4 | 0x20


def test_a_cards_readings_are_in_base_units_and_what_is_absent_is_none() -> None:
    reading = NvidiaCard("GPU-1", Nvml()).read(at=1.5)

    assert reading == Reading(
        at=1.5,
        clock_hertz=1.755e9,
        memory_clock_hertz=2.619e9,
        power_watts=312.5,
        temperature_celsius=None,
        throttle_reasons=("sw_power_cap", "sw_thermal_slowdown"),
    )


def test_there_is_no_card_where_there_is_none() -> None:
    assert card_of(None) is None
    assert card_of("GPU-of-tomorrow") is None


def test_readings_are_summed_up() -> None:
    readings = [
        Reading(0.0, clock_hertz=1e9, power_watts=None, throttle_reasons=()),
        Reading(0.1, clock_hertz=3e9, power_watts=None, throttle_reasons=("hw_slowdown",)),
        Reading(0.2, clock_hertz=2e9, power_watts=None, throttle_reasons=None),
    ]
    observed = summary(Sensors(seconds=2.0, cpus=4, other_cpus=0.5), readings)

    assert observed.clock_hertz == Span(1e9, 2e9, 3e9)
    assert observed.power_watts is None
    assert observed.throttle_reasons == ("hw_slowdown",)
    assert (observed.seconds, observed.cpus, observed.other_cpus, observed.readings) == (2.0, 4, 0.5, 3)
    assert summary(Sensors(), []).throttle_reasons is None


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The kernel's counters, as the test says."""
    observed: dict[str, Any] = {
        "now": 0.0,
        "cpu": {"user": 0.0, "system": 0.0, "idle": 0.0, "iowait": 0.0, "steal": 0.0, "guest": 0.0},
        "ours": 0.0,
        "throttled": 0.0,
    }
    monkeypatch.setattr("harness.measure.sensors.time.monotonic", lambda: observed["now"])
    monkeypatch.setattr(
        "harness.measure.sensors.psutil.cpu_times",
        lambda: SimpleNamespace(_asdict=lambda: dict(observed["cpu"])),
    )
    monkeypatch.setattr("harness.measure.sensors.psutil.cpu_count", lambda: 4)
    monkeypatch.setattr(sensors, "_own_seconds", lambda: observed["ours"])
    monkeypatch.setattr(sensors, "cgroup_throttling", lambda: Throttling(1, 1, observed["throttled"]))
    return observed


def test_others_are_what_is_busy_and_not_ours(counters: dict[str, Any]) -> None:
    """Four CPUs for 10 s: 12 s busy, of which 9 ours; 2 s stolen; the guest's time counts in user time."""
    watch = HostWatch(())
    counters.update(now=10.0, ours=9.0, throttled=0.25)
    counters["cpu"] |= {"user": 10.0, "system": 2.0, "idle": 25.0, "iowait": 1.0, "steal": 2.0, "guest": 5.0}

    observed = watch.seen()

    assert observed.other_cpus == pytest.approx(0.3)
    assert observed.steal_fraction == pytest.approx(0.05)
    assert observed.quota_throttled_seconds == pytest.approx(0.25)
    assert observed.cpus == 4


def test_too_short_a_look_tells_nothing(counters: dict[str, Any]) -> None:
    watch = HostWatch(())
    counters.update(now=0.2)
    counters["cpu"]["user"] = 0.1

    assert watch.seen().other_cpus is None


@pytest.mark.worker
def test_a_process_that_is_ours_is_not_others() -> None:
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        while psutil.Process(child.pid).cpu_times().user < 0.2:
            pass
        assert sensors._cpu_seconds(child.pid) >= 0.2
    finally:
        child.kill()
        child.wait()
    assert sensors._cpu_seconds(child.pid) == 0.0  # it is gone


def test_package_energy_adds_up_over_a_wrap_and_is_absent_where_it_cannot_be_read(tmp_path: Path) -> None:
    assert Rapl(tmp_path).joules() is None
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("10000000")
    core = tmp_path / "sys/class/powercap/intel-rapl:0:0"
    core.mkdir()
    (core / "name").write_text("core\n")
    (core / "energy_uj").write_text("77")
    (zone / "energy_uj").write_text("9000000")
    package = Rapl(tmp_path)

    assert package.joules() == pytest.approx(9.0)
    (zone / "energy_uj").write_text("1000000")
    assert package.joules() == pytest.approx(11.0)


def thread(tasks: Path, name: str, delay_nanoseconds: int) -> None:
    (tasks / name).mkdir(parents=True, exist_ok=True)
    (tasks / name / "schedstat").write_text(f"123456 {delay_nanoseconds} 7\n")


def test_the_delay_of_a_sample_is_that_of_the_thread_that_waited_longest(tmp_path: Path) -> None:
    thread(tmp_path, "1", 1_000)
    thread(tmp_path, "2", 2_000)
    thread(tmp_path, "3", 9_000_000)
    counters = ProcessCounters(tmp_path)
    before = counters.read()

    thread(tmp_path, "1", 4_000)
    thread(tmp_path, "2", 7_000)
    thread(tmp_path, "4", 8_000_000)  # began meanwhile: what it waited before is unknown
    (tmp_path / "3" / "schedstat").unlink()
    (tmp_path / "3").rmdir()
    after = counters.read()

    assert disturbance_between([(before, after)]).run_delay_seconds == pytest.approx((5e-6,))
    counters.close()


def test_a_system_that_does_not_tell_gives_none(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()

    assert ProcessCounters(tmp_path).read().run_delay_seconds is None


def test_differences_are_columns_in_the_order_of_the_samples() -> None:
    readings = [Counters(t, int(t), int(10 * t), {"1": t / 4, "2": t / 8}) for t in (0.0, 1.0, 3.0)]
    pairs = list(pairwise(readings))

    assert disturbance_between(pairs) == Disturbance((1.0, 2.0), (1, 2), (10, 20), (0.25, 0.5))


def test_one_unknown_delay_makes_the_column_unknown() -> None:
    pairs = [(Counters(0, 0, 0, {"1": 0.0}), Counters(1, 0, 0, None))]

    assert disturbance_between(pairs).run_delay_seconds is None


def test_a_sample_is_clean_up_to_half_a_percent_and_two_microseconds_of_waiting() -> None:
    seconds = (1e-3, 1e-3, 1e-3)
    waited = Disturbance((0, 0, 0), (0, 0, 0), (0, 0, 0), (0.0, 11.9e-6, 12.1e-6))

    # Two calls a sample: 2 ms, so 10 us and 2 us are allowed.
    assert Samples(2, seconds, (3,), waited).clean == (True, True, False)
    assert Samples(2, seconds, (3,)).clean == (True, True, True)


def test_without_delays_a_sample_is_clean_if_nobody_took_its_core() -> None:
    switched = Disturbance((0, 0, 0), (0, 2, 0), (0, 0, 0), None)

    assert Samples(1, (1e-3, 1e-3, 1e-3), (3,), switched).clean == (True, False, True)


def test_this_process_has_counters() -> None:
    counters = ProcessCounters()
    before = counters.read()
    sum(range(100_000))
    after = counters.read()

    assert after.cpu_seconds > before.cpu_seconds
    assert (after.run_delay_seconds or {}).keys() >= (before.run_delay_seconds or {}).keys()
    counters.close()

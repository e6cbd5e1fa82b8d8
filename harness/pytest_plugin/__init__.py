"""The pytest plugin: options, the `bench` fixture, and hooks for other plugins.

The harness owns the timer. pytest-benchmark receives the samples afterwards, through a timer that replays them: its table, JSON,
comparison and options work as usual.
"""

from __future__ import annotations

import argparse
import re
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import store
from harness.errors import PlumblineError
from harness.measure.openmp import bound_spinning
from harness.pytest_plugin.session import BenchSession, interleaved, measures, workload_of
from harness.records import Failed, Header, Measurement, RawSamples, Result, Skipped
from harness.workload import PROFILES, Bench, Sweep, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_benchmark.fixture import BenchmarkFixture


class Hooks:
    """Hooks that another plugin can implement, as the live display does."""

    def pytest_plumbline_started(self, header: Header, done: int) -> None:
        """A run starts, or resumes with `done` recorded cases."""

    def pytest_plumbline_note(self, text: str) -> None:
        """The run does something else than measure a case."""

    def pytest_plumbline_result(self, result: Result) -> None:
        """A case is measured and stored."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declares the hooks."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a run; `plumbline bench` has the same ones without the prefix."""
    group = parser.getgroup("plumbline", "measuring with Plumbline")
    group.addoption(
        "--plumbline-profile", choices=PROFILES, default="quick", help="number of sizes, and time for each"
    )
    group.addoption("--plumbline-device", default="auto", help="auto, cpu, cuda or cuda:N")
    group.addoption("--plumbline-threads", type=int, help="threads (default: usable physical cores)")
    group.addoption("--plumbline-limit", type=_positive, help="seconds after which a case fails")
    group.addoption(
        "--plumbline-results", type=Path, default=store.DEFAULT_RESULTS, help="folder of the runs"
    )
    group.addoption("--plumbline-model", action="append", default=[], help="your own model: module:function")
    group.addoption("--plumbline-label", default="", help="name of this machine in reports")
    group.addoption("--plumbline-resume", help="continue this run: a path, an id, or latest")
    group.addoption(
        "--plumbline-compare",
        metavar="RUN",
        help="fail cases that are slower than in this run: a path, an id, or latest",
    )
    group.addoption(
        "--plumbline-threshold",
        type=fraction,
        help="the smallest change that matters, as 2.5%% or 0.025 (default: 2%%)",
    )


# More than a day: no useful limit is longer.
LONGEST_LIMIT_SECONDS = 1e5


def _positive(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= LONGEST_LIMIT_SECONDS:
        raise ValueError(text)
    return seconds


def fraction(text: str) -> float:
    """A fraction below 1, as `2.5%` or `0.025`; the type of an option.

    Raises:
        argparse.ArgumentTypeError: the text is not a fraction below 1.

    >>> fraction("2.5%"), fraction("0.025")
    (0.025, 0.025)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else 1.0
    if value >= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r}: not a fraction below 1; write 2.5% or 0.025")
    return value


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before pytest-benchmark reads its options, and before any suite loads torch."""
    bound_spinning()
    session = BenchSession(config)
    if config.getoption("plumbline_compare") is not None and not hasattr(config, "workerinput"):
        from harness.pytest_plugin.compare import RunComparison  # noqa: PLC0415 - most sessions compare nothing

        config.pluginmanager.register(RunComparison(config, session), "plumbline-compare")
    config.pluginmanager.register(session, "plumbline-session")
    # A case that failed has no samples for pytest-benchmark; its reason is reported by its test.
    config.addinivalue_line("filterwarnings", "ignore:Benchmark fixture was not used")


class ReplayTimer:
    """A clock of recorded durations; pytest-benchmark reads it twice a round."""

    __name__ = "plumbline replay"

    def __init__(self) -> None:
        self._readings: Iterator[float] = iter(())

    def load(self, durations: Sequence[float]) -> None:
        """Sets the rounds to replay; the difference of two readings is exactly the duration."""
        self._readings = (reading for duration in durations for reading in (0.0, duration))

    def __call__(self) -> float:
        """The next reading."""
        return next(self._readings)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Gives each measuring test the replay timer, merged with the options of its own markers."""
    if measures(item):
        options: dict[str, Any] = {}
        for marker in reversed(list(item.iter_markers("benchmark"))):
            options |= marker.kwargs
        item.add_marker(pytest.mark.benchmark(**{**options, "timer": ReplayTimer()}), append=False)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects workloads that are not in the profile, or not planned in the resumed run."""
    planned = _planned(config)
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        (kept if _wanted(item, config.getoption("plumbline_profile"), planned) else dropped).append(item)
    if dropped:
        items[:] = kept
        config.hook.pytest_deselected(items=dropped)
    items[:] = interleaved(items)


def _wanted(item: pytest.Item, profile: str, planned: set[str] | None) -> bool:
    workload = workload_of(item)
    if workload is None or not measures(item):
        return True
    if planned is not None:
        return str(workload) in planned
    sweep = getattr(getattr(item, "module", None), "WORKLOADS", None)
    return not isinstance(sweep, Sweep) or sweep.includes(workload, profile)


def _planned(config: pytest.Config) -> set[str] | None:
    resumed = config.getoption("plumbline_resume")
    if not resumed:
        return None
    try:
        return set(store.read(store.find(resumed, config.getoption("plumbline_results"))).header.planned)
    except PlumblineError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.fixture
def bench(request: pytest.FixtureRequest, benchmark: BenchmarkFixture) -> Bench:
    """Measures a workload, records it, and passes its samples to pytest-benchmark."""
    session: Any = request.config.pluginmanager.get_plugin("plumbline-session")

    def run(workload: Workload) -> None:
        if hasattr(request.config, "workerinput") and not request.config.getoption("benchmark_disable"):
            pytest.fail("measuring needs the whole machine: run without -n", pytrace=False)
        if benchmark.disabled:
            _call_once(workload, benchmark, session)
            return
        result = session.measure(workload, request.node)
        match result.outcome:
            case Skipped(reason=reason):
                pytest.skip(reason)
            case Failed(reason=reason):
                pytest.fail(reason, pytrace=False)
            case Measurement() as measurement:
                _replay(result, measurement, session.samples(workload), benchmark, request)

    return run


def _replay(
    result: Result,
    measurement: Measurement,
    raw: Sequence[RawSamples],
    benchmark: BenchmarkFixture,
    request: pytest.FixtureRequest,
) -> None:
    """Passes the samples of the first view to pytest-benchmark, in the order of measurement."""
    processes = [part.samples.by_block for part in raw if part.view == measurement.view.name]
    rounds = zip_longest(*processes)
    seconds = [second for blocks in rounds for block in blocks if block is not None for second in block]
    kind = "raw" if seconds else "the median of each process"
    if not seconds:  # the file of samples is missing
        seconds = [process.median for process in measurement.view.processes]
    calls = measurement.view.calls_per_sample
    timer = request.node.get_closest_marker("benchmark").kwargs["timer"]
    timer.load([second * calls for second in seconds])
    benchmark.group = benchmark.group or result.case.family
    # pytest-benchmark pairs benchmarks by this name: a suite that moves keeps its history.
    benchmark.fullname = result.case.id
    benchmark.params = {"dtype": result.case.dtype, **result.case.sizes}
    benchmark.extra_info |= {
        "case": result.case.id,
        "suite": result.case.suite,
        "node": request.node.nodeid,
        "source": result.case.source,
        "threads": measurement.threads,
        "view": measurement.view.name,
        "processes": len(measurement.view.processes),
        "samples": kind,
        "flops": result.case.cost.flops if result.case.cost else None,
        "bytes_moved": result.case.cost.bytes_moved if result.case.cost else None,
        "median_seconds": measurement.median,
        "interval_seconds": measurement.interval,
        "roofline_seconds": result.prediction.seconds if result.prediction else None,
        "peak_memory_bytes": measurement.peak_memory_bytes,
        "flags": list(measurement.flags),
    }
    benchmark.pedantic(lambda: None, rounds=len(seconds), iterations=calls)  # type: ignore[no-untyped-call]


def _call_once(workload: Workload, benchmark: BenchmarkFixture, session: BenchSession) -> None:
    """Calls the workload once, for `--benchmark-disable`."""
    from harness.measure.devices.base import impossible, named, opened  # noqa: PLC0415

    option = session.config.getoption
    device = opened(*named(option("plumbline_device"), option("plumbline_threads")))
    try:
        with workload.context():
            benchmark.pedantic(workload.prepare(device.torch_device))  # type: ignore[no-untyped-call]
    except Exception as error:
        reason = impossible(error)
        if reason is None:
            raise
        pytest.skip(reason)

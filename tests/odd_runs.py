"""Made-up runs whose reports are hard to write: empty ones, broken ones, huge ones, and one full of hostile text."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from harness.check.judge import judge
from harness.records import (
    Accuracy,
    BandwidthPeak,
    Case,
    CaseAccuracy,
    ComputePeak,
    Cost,
    Estimate,
    Failed,
    Fit,
    FitPoint,
    Footprint,
    Measurement,
    MemoryLevel,
    Optimization,
    Parameter,
    Part,
    PeakLevel,
    Peaks,
    PhaseWork,
    Prediction,
    Reading,
    Result,
    Run,
    Sensors,
    SensorSeries,
    Series,
    Settings,
    Skipped,
    StopReason,
    Stratum,
    Trace,
    Validation,
    View,
)
from harness.report.sources import Source, of_folder
from tests import made_up

REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference"


@cache
def reference(name: str) -> Source:
    """A kept run: `epyc` has everything, `xeon` is of schema 1 and has neither steps nor intervals."""
    return of_folder(REFERENCE / f"{name}-2-cores-cpu")


def in_header(run: Run, **changes: Any) -> Run:
    return replace(run, header=replace(run.header, **changes))


def asked(run: Run, **settings: Any) -> Run:
    return in_header(run, settings=replace(run.header.settings, **settings))


def step(name: str, scale: int = 1, **changes: Any) -> Result:
    """A training step that was traced and timed by phase; it takes 0.1 s for each unit of scale."""
    phases = tuple(
        PhaseWork(phase, scale * flops, 0, 0, 0, 0, 0, 10, scale * peak)
        for phase, flops, peak in (
            ("forward", 630_000_000, 700),
            ("backward", 1_270_000_000, 1000),
            ("optimizer", 0, 600),
        )
    )
    footprint = Footprint(
        parameters=400 * scale, gradients=100 * scale, activations=300 * scale, temporaries=200 * scale
    )
    known: dict[str, Any] = {
        "id": name,
        "suite": "train_step",
        "family": "train",
        "dtype": "float32",
        "sizes": {"batch": scale},
        "cost": Cost(
            flops=scale * 1_900_000_000,
            bytes_read=6000 * scale,
            bytes_written=4000 * scale,
            memory_bytes=1000 * scale,
        ),
        "items": {"samples": 8 * scale},
        "trace": Trace(
            parameters=100,
            phases=phases,
            strata=(Stratum("float32", 1024, scale * 1_900_000_000, 0, 10_000 * scale, 30),),
            footprint=footprint,
            held=footprint,
            peak_phase="backward",
            saved_bytes=300 * scale,
        ),
    }
    outcome = replace(
        made_up.measurement(0.1 * scale, memory=1000 * scale),
        phase_peak_bytes={"forward": 700 * scale, "backward": 1000 * scale, "optimizer": 600 * scale},
        phase_seconds={"forward": 0.03 * scale, "backward": 0.06 * scale, "optimizer": 0.01 * scale},
    )
    return Result(Case(**(known | changes)), outcome, Prediction(0.01 * scale, None, 190e9))


def series(case: str, count: int, begin: int = 0) -> SensorSeries:
    """Readings of a GPU, one a tenth of a second; the card throttles itself in every 500th."""
    return SensorSeries(
        case,
        tuple(
            Reading(
                at=0.1 * (number + 1),
                clock_hertz=1.9e9 - 1e5 * ((7919 * (begin + number)) % 4001),
                power_watts=300.0 + 0.01 * ((104_729 * (begin + number)) % 9973),
                temperature_celsius=60.0 + ((begin + number) % 17),
                throttle_reasons=("sw_power_cap",) if (begin + number) % 500 == 250 else ("gpu_idle",),
            )
            for number in range(count)
        ),
    )


def words(text: str = "made") -> Source:
    """A run with something in every section of a report, and a text wherever a user, a library or a machine may put one."""
    steps = tuple(step(f"{text}-step{n}", n, suite=f"{text} steps", dtype="float32") for n in (1, 2, 3))
    views = _with_views(made_up.measured_product(96), text)
    results = (
        *(_renamed(made_up.measured_product(n), f"{text}-case{n}", text) for n in made_up.SIZES),
        *(recast(made_up.measured_product(n), suite="matmul", series=None) for n in (48, 80)),
        _renamed(views, f"{text}-views", text),
        *steps,
        _renamed(step("untraced"), f"{text}-untraced", text, trace=None, untraced=text),
        replace(
            made_up.SKIPPED, case=replace(made_up.SKIPPED.case, id=f"{text}-skipped"), outcome=Skipped(text)
        ),
        replace(made_up.FAILED, case=replace(made_up.FAILED.case, id=f"{text}-failed"), outcome=Failed(text)),
    )
    settings = Settings((text, "matmul"), text, "quick", "cpu", 2, made_up.SAMPLING, text)
    planned = (*(result.case.id for result in results), f"{text}-missing")
    environment = _environment(text)
    run = Run(
        made_up.header(planned, settings=settings, environment=environment, peaks=(_peaks(text),)),
        results,
        (f"cases.jsonl: {text}",),
    )
    run = judge(run)
    cases = [step.case.id for step in steps]
    said = tuple(
        Estimate(case, 0.1, 0.08, 0.13, (Part(text, 0.07), Part("framework", 0.03)), (text,), (text,))
        for case in cases
    )
    judged = tuple(
        CaseAccuracy(case, 0.1 * n, 0.09 * n, n < 3, 0.01, 0.05, 0.08)
        for n, case in enumerate(cases, start=1)
    )
    ways = (
        Accuracy("cost model", 3, 0.1, -0.1, 0.2, cases[0]),
        Accuracy(text, 3, 0.9, -0.9, -0.95, cases[1]),
    )
    optimizations = (
        Optimization(f"{text} instead of nothing", cases[0], cases[1], 1.5, 1.4, 1.6, 1.3, text, 0.9, 0.8),
        Optimization(f"{text} instead of nothing", cases[1], cases[2], 0.8),
    )
    run = in_header(
        run,
        fits=(*run.header.fits, _fit(text)),
        estimates=said,
        validations=(Validation(f"{text} steps", judged, ways, 0.67),),
        optimizations=optimizations,
    )
    return Source(run, (series(f"{text}-case64", 30), series(f"{text}-case128", 30, 30)))


def recast(result: Result, **changes: Any) -> Result:
    """A result whose case is changed."""
    return replace(result, case=replace(result.case, **changes))


def _renamed(result: Result, name: str, text: str, **changes: Any) -> Result:
    swept = result.case.series
    named = Series(f"{text}-series", text, swept.size, swept.exponent) if swept else None
    return recast(result, id=name, suite=text, family=text, series=named, **changes)


def _with_views(result: Result, text: str) -> Result:
    assert result.measurement is not None
    cold = replace(result.measurement.view, name="gpu_cold", cold=False, rotations=3)
    sensors = Sensors(30.0, 2, 0.5, 1.0, 0.01, 0.1, throttle_reasons=(text,))
    changed = replace(result.measurement, others=(cold,), missing_views={text: text}, sensors=sensors)
    return replace(result, outcome=changed)


def _environment(text: str) -> Any:
    made = made_up.environment(model_name=text)
    software = replace(
        made.software,
        environment_variables={"OMP_NUM_THREADS": text, f"OMP_{text}": "1"},
        packages={text: text},
        torch=replace(made.software.torch, version=text),
    )
    code = replace(made.code, command=("plumbline", "bench", text), branch=text)
    return replace(made, software=software, code=code, unavailable={f"processor.{text}": text})


def _peaks(text: str) -> Peaks:
    return Peaks(
        compute=(
            *made_up.PEAKS.compute,
            ComputePeak(text, 2, PeakLevel.DATASHEET, text, 500e9),
            ComputePeak(text, 2, PeakLevel.TORCH, text, 100e9, 0.02),
        ),
        bandwidth=(*made_up.PEAKS.bandwidth, BandwidthPeak(text, 2, PeakLevel.TORCH, text, 10e9)),
        levels=(*made_up.PEAKS.levels, MemoryLevel(text, None)),
        clock_hertz=3e9,
        unmeasured={text: text},
    )


def _fit(text: str) -> Fit:
    unknown = Parameter("exponent", "", None, None, None, text)
    points = tuple(
        FitPoint(n, 2.0 * n, 1e-6 * n, 1.01e-6 * n, n == 4, 0.9e-6 * n, 1.1e-6 * n) for n in (1, 2, 4, 8)
    )
    return Fit(f"{text}-fit", text, text, (unknown,), points, 1.0, unknown)


def whole(results: tuple[Result, ...] | None = None, **changes: Any) -> Source:
    """A judged run of some results, with changes in its header before it is judged."""
    return Source(judge(in_header(made_up.run(results), **changes)))


def many(count: int) -> Source:
    """A run of so many cases, in four suites."""
    results = tuple(
        recast(
            made_up.measured_product(64 + n),
            id=f"suite{n % 4}-float32-forward-contiguous-batch{n}-inputs256-outputs256-size28-kernel3",
            suite=f"suite{n % 4}",
            family=f"suite{n % 4}",
            sizes={},
            series=None,
        )
        for n in range(count)
    )
    return whole(results)


def slower(run: Run, factor: float, number: int) -> Run:
    """The same cases in so many times the time, in another run."""

    def changed(result: Result) -> Result:
        if result.measurement is None:
            return result
        view = result.measurement.view
        times = [
            replace(
                process,
                median=factor * process.median,
                fastest=factor * process.fastest,
                block_medians=tuple(factor * block for block in process.block_medians),
            )
            for process in view.processes
        ]
        return replace(
            result, outcome=replace(result.measurement, view=replace(view, processes=tuple(times)))
        )

    round_spread = replace(run, results=tuple(changed(result) for result in run.results))
    return in_header(round_spread, id=f"20260102T030405Z-bbbbbbbb-{number:06x}")


def without_intervals(run: Run, number: int) -> Run:
    """The same run measured by one process a case."""

    def changed(result: Result) -> Result:
        assert isinstance(result.outcome, Measurement)
        view = View("cpu", 1, result.outcome.view.processes[:1], StopReason.CONVERGED)
        return replace(result, outcome=replace(result.outcome, view=view))

    alone = replace(run, results=tuple(changed(result) for result in run.results))
    return in_header(alone, id=f"20260102T030405Z-cccccccc-{number:06x}")


@dataclass(frozen=True)
class Odd:
    """Runs of a report, and words that its page must say."""

    sources: tuple[Source, ...]
    says: tuple[str, ...]


@cache
def odd() -> dict[str, Odd]:
    """Reports that are easily written wrongly, by name."""
    base = whole()
    cut = made_up.run(finished=False)
    cut = replace(cut, results=cut.results[:2], damage=("cases.jsonl: line 3 is unreadable",))
    many_failed = tuple(recast(made_up.FAILED, id=f"failed-float16-n{n}") for n in range(30))
    no_bytes = made_up.measured_product(64)
    no_bytes = recast(no_bytes, cost=Cost(flops=10**6, bytes_read=0, bytes_written=0, memory_bytes=0))
    same = [Source(slower(base.run, 1.0 + 0.1 * n, n)) for n in range(1, 20)]
    other = whole((recast(made_up.measured_product(64), id="another-case"),))
    apart = Source(in_header(other.run, id="20260102T030405Z-dddddddd-000001"))
    labelled = [
        Source(asked(slower(base.run, factor, n), label=f"machine {n}"))
        for n, factor in enumerate((1.0, 1.5, 0.5), start=100)
    ]
    return {
        "no results": Odd((whole(()),), ("0 cases: 0 measured, 0 skipped, 0 failed",)),
        "one case": Odd((whole((made_up.measured_product(64),)),), ("1 cases: 1 measured",)),
        "only skips": Odd((whole((made_up.SKIPPED,)),), ("1 skipped", "TF32 needs an NVIDIA GPU")),
        "only failures": Odd((whole(many_failed),), ("30 failed", "RuntimeError: it broke")),
        "incomplete": Odd(
            (Source(judge(cut)),),
            ("INCOMPLETE: 2 of 6 cases", f"plumbline bench --resume {cut.header.id}", "line 3 is unreadable"),
        ),
        "no peaks": Odd((whole(peaks=()),), ("6 cases: 6 measured",)),
        "no bytes": Odd((whole((no_bytes,)),), ("1 cases: 1 measured",)),
        "only sensors": Odd((Source(whole((made_up.FAILED,)).run, (series("a", 5),)),), ("1 failed",)),
        "untraced phases": Odd(
            (whole((step("untraced", trace=None, untraced="made up"),)),), ("no prediction: made up",)
        ),
        "everything": Odd((words(),), ("made-case64", "made instead of nothing")),
        "many": Odd((many(2000),), ("2000 cases: 2000 measured",)),
        "schema 1": Odd((reference("xeon"),), (reference("xeon").run.header.id,)),
        "two runs": Odd(
            (base, Source(slower(base.run, 2.0, 1))), ("2 runs compared", "2.00 x", "6", "slower")
        ),
        "three runs": Odd(tuple(labelled), ("machine 100", "machine 101", "machine 102")),
        "twenty runs": Odd((base, *same), ("20 runs compared",)),
        "nothing in common": Odd(
            (base, apart), ("has no measured case in common with", "another-case", "not part of that run")
        ),
        "no intervals": Odd(
            (base, Source(without_intervals(base.run, 1))),
            ("1.00 x ?", "? a run has no interval"),
        ),
        "nothing at all": Odd(
            (whole(()), Source(in_header(whole(()).run, id="20260102T030405Z-eeeeeeee-000001"))),
            ("2 runs compared", "has no measured case in common with"),
        ),
        "two machines": Odd(
            (reference("epyc"), reference("xeon")), ("is another machine than", "2 runs compared")
        ),
    }

"""Charts of several runs: speed-up over the base by suite and by case, and peaks."""

from collections.abc import Sequence

import altair as alt

from harness import units
from harness.records import Comparison, Run
from harness.report.charts.style import INK, PALETTE, Chart, chart, data, log_axis, rows_axis, tooltips
from harness.report.comparison import names

# More single cases than this are not legible, and take megabytes.
_MOST_TICKS = 3000
# With more runs than this, one row stands for all suites of a run.
_MANY_RUNS = 5


def _speedup(ratio: float) -> float:
    """The speed-up of a candidate, for a picture in which right is faster."""
    return 1.0 / ratio


def speedups(runs: Sequence[Run], comparisons: Sequence[Comparison]) -> Chart | None:
    """For each suite and run the geometric mean with its interval, and every case as a faint tick behind it."""
    called = names(runs)[1:]
    many = len(called) > _MANY_RUNS
    suites = [
        (name, suite)
        for name, comparison in zip(called, comparisons, strict=True)
        for suite in (filter(None, [comparison.overall]) if many else comparison.suites)
    ]
    means: list[dict[str, object]] = []
    values = [1.0]
    for name, suite in sorted(suites, key=lambda named: named[1].name):
        speedup, low, high = (
            None if ratio is None else _speedup(ratio) for ratio in (suite.ratio, suite.high, suite.low)
        )
        values += [value for value in (speedup, low, high) if value is not None]
        means.append(
            {
                "suite": suite.name,
                "run": name,
                "row": _row(suite.name, name, called),
                "speedup": speedup,
                "low": low,
                "high": high,
                "shown": f"{speedup:.2f} x",
                "within": f"{low:.2f} - {high:.2f}" if low and high else "",
                "cases": str(suite.cases),
            }
        )
    if not means:
        return None
    ticks: list[dict[str, object]] = [
        {
            "row": _row("all" if many else case.suite, name, called),
            "speedup": _speedup(case.ratio),
            "case": case.case,
            "shown": f"{_speedup(case.ratio):.2f} x",
            "run": name,
        }
        for name, comparison in zip(called, comparisons, strict=True)
        for case in comparison.cases
        if case.ratio
    ]
    if len(ticks) > _MOST_TICKS:
        ticks = []
    order = [str(mean["row"]) for mean in means]
    values += [float(str(tick["speedup"])) for tick in ticks]
    x = log_axis("speedup", "speed-up over the base", " x", values, form="~r")
    behind = (
        alt.Chart(data(ticks))
        .mark_tick(opacity=0.35, size=12, color=PALETTE[7], aria=False)
        .encode(
            y=rows_axis("row", order),
            x=alt.X(**x),
            tooltip=tooltips(case="case", run="run", shown="speed-up"),
        )
    )
    base = alt.Chart(data(means)).encode(y=rows_axis("row", order))
    rules = base.mark_rule(strokeWidth=2, color=PALETTE[0], aria=False).encode(
        x=alt.X(**{**x, "shorthand": "low"}), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=60, color=PALETTE[0], opacity=1, aria=False).encode(
        x=alt.X(**x),
        tooltip=tooltips(suite="suite", run="run", shown="speed-up", within="95% CI", cases="cases"),
    )
    unity = (
        alt.Chart(data([{"speedup": 1.0}])).mark_rule(color=INK, opacity=0.5, aria=False).encode(x=alt.X(**x))
    )
    return chart(
        "Speed-up by suite",
        f"Points are geometric means over the cases of a suite with their 95% interval{', the ticks behind them single cases' if ticks else ''}; "
        "right of 1 a run is faster than the base.",
        alt.layer(behind, unity, rules, points),
        height=max(20 * len(order), 60),
    )


def _row(suite: str, name: str, called: Sequence[str]) -> str:
    if len(called) == 1:
        return suite
    return name if suite == "all" else f"{suite}, {name}"


def peaks(runs: Sequence[Run]) -> tuple[Chart, ...]:
    """A chart for each dtype and for the last memory level: the best rate reached on each run's own threads."""
    called = names(runs)
    rates: dict[str, list[dict[str, object]]] = {}
    for name, run in zip(called, runs, strict=True):
        threads = run.header.settings.threads
        for dtype in dict.fromkeys(peak.dtype for peak in run.peaks.compute):
            best = run.peaks.compute_peak(dtype, threads)
            if best is not None:
                row = {"rate": best.flops_per_second, "label": units.work_rate(best.flops_per_second)}
                rates.setdefault(dtype, []).append({"run": name, "by": best.method, **row})
        last = run.peaks.levels[-1].name if run.peaks.levels else ""
        memory = run.peaks.bandwidth_peak(last, threads)
        if memory is not None:
            row = {"rate": memory.bytes_per_second, "label": units.bandwidth(memory.bytes_per_second)}
            rates.setdefault(f"{last} bandwidth", []).append({"run": name, "by": memory.method, **row})
    return tuple(_bars(title, rows) for title, rows in rates.items())


def _bars(title: str, rows: Sequence[dict[str, object]]) -> Chart:
    order = [str(row["run"]) for row in rows]
    top = max(float(str(row["rate"])) for row in rows)
    base = alt.Chart(data(rows)).encode(y=rows_axis("run", order))
    bars = base.mark_bar(height=14, aria=False).encode(
        x=alt.X("rate:Q", axis=None, scale=alt.Scale(domain=[0, 1.4 * top])),
        tooltip=tooltips(run="run", label="rate", by="by"),
    )
    texts = base.mark_text(align="left", dx=5, aria=False).encode(x="rate:Q", text="label:N")
    return chart(
        title,
        "The best rate that any code reached, with the threads of each run.",
        bars + texts,
        height=24 * len(rows) + 8,
        half=True,
    )

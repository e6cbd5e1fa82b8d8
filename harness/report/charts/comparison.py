"""Several runs side by side: how much faster than the base, by suite and by case; their peaks."""

from collections.abc import Sequence

import altair as alt

from harness import units
from harness.records import Comparison, Run
from harness.report.charts.style import INK, PALETTE, Chart, chart, data, log_axis, rows_axis, tooltips
from harness.report.comparison import names

# More single cases than this are a smear, and megabytes.
_MOST_TICKS = 3000
# Of more runs than this all suites together are shown: a row for each suite of each is more than a screen.
_MANY_RUNS = 5


def speedups(runs: Sequence[Run], comparisons: Sequence[Comparison]) -> Chart | None:
    """For each suite and run the geometric mean with its interval, and every case as a faint tick behind it."""
    called = names(runs)[1:]
    many = len(called) > _MANY_RUNS
    suites = [
        (name, suite, suite.interval or (None, None))
        for name, one in zip(called, comparisons, strict=True)
        for suite in (filter(None, [one.overall]) if many else one.suites)
    ]
    means = [
        {
            "suite": suite.suite,
            "run": name,
            "row": _row(suite.suite, name, called),
            "speedup": suite.speedup,
            "low": low,
            "high": high,
            "shown": f"{suite.speedup:.2f} x",
            "within": f"{low:.2f} - {high:.2f}" if low and high else "",
            "cases": str(len(suite.cases)),
        }
        for name, suite, (low, high) in sorted(suites, key=lambda one: one[1].suite)
    ]
    if not means:
        return None
    ticks = [
        {
            "row": _row("all" if many else case.suite, name, called),
            "speedup": case.speedup,
            "case": case.case,
            "shown": f"{case.speedup:.2f} x",
            "run": name,
        }
        for name, one in zip(called, comparisons, strict=True)
        for case in one.cases
    ]
    if len(ticks) > _MOST_TICKS:
        ticks = []
    order = [str(mean["row"]) for mean in means]
    shown = [float(str(tick["speedup"])) for tick in ticks] + [suite.speedup for _, suite, _ in suites]
    ends = [end for _, _, interval in suites for end in interval if end is not None]
    x = log_axis("speedup", "speed-up over the base", " x", [1.0, *shown, *ends], form="~r")
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
        tooltip=tooltips(suite="suite", run="run", shown="speed-up", within="95%", cases="cases"),
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
    found: dict[str, list[dict[str, object]]] = {}
    for name, run in zip(called, runs, strict=True):
        threads = run.header.settings.threads
        for dtype in dict.fromkeys(one.dtype for one in run.peaks.compute):
            best = run.peaks.compute_peak(dtype, threads)
            if best is not None:
                row = {"rate": best.flops_per_second, "label": units.work_rate(best.flops_per_second)}
                found.setdefault(dtype, []).append({"run": name, "by": best.method, **row})
        last = run.peaks.levels[-1].name if run.peaks.levels else ""
        memory = run.peaks.bandwidth_peak(last, threads)
        if memory is not None:
            row = {"rate": memory.bytes_per_second, "label": units.bandwidth(memory.bytes_per_second)}
            found.setdefault(f"{last} bandwidth", []).append({"run": name, "by": memory.method, **row})
    return tuple(_bars(title, rows) for title, rows in found.items())


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
        "The best rate any code reached, on the threads of each run.",
        bars + texts,
        height=24 * len(rows) + 8,
        half=True,
    )

"""The charts of a report, as Vega-Lite specifications: data, which the page draws and a test can read."""

from collections.abc import Mapping, Sequence

from altair.utils.schemapi import debug_mode

from harness.records import Comparison, Run, SensorSeries
from harness.report.charts import comparison
from harness.report.charts.estimates import errors, scatter, speedups
from harness.report.charts.roofline import bandwidth, hierarchies, roofline
from harness.report.charts.scaling import curves, heatmap
from harness.report.charts.sensors import disturbance, readings
from harness.report.charts.steps import footprints, phases
from harness.report.charts.style import Chart

__all__ = ["Chart", "charts", "charts_of_several"]


# A test holds every chart against the schema of Vega-Lite; here that would take most of the time.
unchecked = debug_mode(arg=False)


@unchecked
def charts(run: Run, sensors: tuple[SensorSeries, ...] = ()) -> dict[str, tuple[Chart, ...]]:
    """The charts of each section of a report, by the section's name; charts without data are left out."""
    drawn = {
        "peaks": (*hierarchies(run), bandwidth(run)),
        "roofline": (roofline(run),),
        "shapes": (heatmap(run),),
        "scaling": curves(run),
        "expected": (scatter(run), errors(run)),
        "memory": (footprints(run),),
        "steps": (phases(run),),
        "optimizations": (speedups(run),),
        "sensors": (*readings(sensors), *disturbance(run)),
    }
    return _drawn(drawn)


@unchecked
def charts_of_several(runs: Sequence[Run], comparisons: Sequence[Comparison]) -> dict[str, tuple[Chart, ...]]:
    """The charts of several runs, by the section's name."""
    return _drawn({"short": (comparison.speedups(runs, comparisons),), "peaks": comparison.peaks(runs)})


def _drawn(drawn: Mapping[str, Sequence[Chart | None]]) -> dict[str, tuple[Chart, ...]]:
    known = {name: tuple(chart for chart in several if chart is not None) for name, several in drawn.items()}
    return {name: several for name, several in known.items() if several}

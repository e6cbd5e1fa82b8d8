"""Several runs side by side, as content: the machines, their peaks, each case's speed-up, and what differs."""

from collections.abc import Iterator, Sequence

from harness import units
from harness.records import Compared, Comparison, FindingKind, PeakCompared, Run
from harness.report import summary
from harness.report.content import Page, Section, ids, lines, section, table, texts

_OVER_SUITES = (
    "The interval of a suite is that of its geometric mean: what its cases differ by, and what one of them typically does not know of itself, "
    "as a slow hour of the machine is common to all."
)
_HOW_TO_READ = (
    "A speed-up is the base's time over the run's: above 1 the run is faster. Its interval holds the true one in 95 of 100 cases, as far as "
    "each run knows its own times; runs share no minute, so what a machine does differently from hour to hour is in it only where a self-test told."
)
_EXPLAINS_WORDS = {
    "code.commit": "commit",
    "software.torch.version": "torch",
    "software.kernel": "kernel",
    "software.torch.cuda_runtime": "CUDA runtime",
}
_EXPLAINS = frozenset(_EXPLAINS_WORDS)
_MARKS = {"faster": "+", "slower": "-", "no difference seen": "=", "unknown": "?"}


def names(runs: Sequence[Run]) -> tuple[str, ...]:
    """A name for each run that no other of them has: its label, or its device; then what tells it apart."""
    short = [run.header.settings.label or summary.device(run) for run in runs]
    return tuple(
        name if short.count(name) == 1 else f"{name} ({run.header.started_at[:16]}, {run.header.id[-6:]})"
        for name, run in zip(short, runs, strict=True)
    )


def page(runs: Sequence[Run], comparisons: Sequence[Comparison]) -> Page:
    """The report of several runs; the first is the base of every ratio."""
    called = names(runs)
    about = (
        f"{len(runs)} runs; each is compared with the first, {called[0]} (run {runs[0].header.id}).",
        f"{_HOW_TO_READ} {_OVER_SUITES}",
    )
    found = _sections(runs, called, comparisons)
    return Page(
        f"Plumbline: {len(runs)} runs side by side", about, tuple(one for one in found if one is not None)
    )


def _sections(
    runs: Sequence[Run], called: Sequence[str], comparisons: Sequence[Comparison]
) -> Iterator[Section | None]:
    others = called[1:]
    yield section(
        "short",
        "In short",
        (
            table(
                (*ids("run", "state"), "threads", *ids("torch", "begun", "id"), "wrong", "voids"),
                [_about(run, name) for run, name in zip(runs, called, strict=True)],
                "The runs",
            ),
            table(
                (
                    *ids("suite", "run"),
                    "speed-up",
                    "95% CI",
                    "faster",
                    "slower",
                    "no difference seen",
                    "unknown",
                ),
                [row for name, one in zip(others, comparisons, strict=True) for row in _suites(name, one)],
                "Speed-up by suite, geometric mean",
            ),
            lines(_cautions(called, comparisons), caution=True),
        ),
    )
    yield section(
        "differences",
        "What differs",
        (
            table(ids("field", *called), _differing(comparisons, settings=True), "Settings"),
            table(ids("field", *called), _differing(comparisons, settings=False), "Environment"),
        ),
    )
    yield section(
        "peaks",
        "Peaks",
        (table((*ids("peak"), "threads", *called), _peaks(comparisons), "Best rates reached by any code"),),
    )
    yield section(
        "cases",
        "Cases",
        (
            table(
                (*ids("case"), f"{called[0]}, median", *(f"{name}, speed-up" for name in others)),
                _cases(comparisons),
                "Speed-up of each case",
            ),
            lines(
                (
                    "+ faster, - slower, = no difference seen, ? one of the runs states no interval; ! flagged in one of them (noisy, drifting, ...).",
                )
            ),
        ),
    )
    yield section(
        "exact",
        "Work and memory that differ",
        (
            table(
                (*ids("run", "case", "metric"), called[0], "there"),
                [
                    (name, one.case, one.metric, *(_counted(one.metric, n) for n in (one.base, one.other)))
                    for name, several in zip(others, comparisons, strict=True)
                    for one in several.exact
                ],
                "Counts and bytes that no noise touches",
            ),
        ),
    )
    yield section(
        "missing",
        "Not compared",
        (
            table(
                (*ids("run", "case"), *texts("why")),
                [
                    (name, *one)
                    for name, several in zip(others, comparisons, strict=True)
                    for one in several.missing
                ],
                "Measured in the base alone",
            ),
            table(
                ids("run", "case"),
                [
                    (name, one)
                    for name, several in zip(others, comparisons, strict=True)
                    for one in several.added
                ],
                "Not measured in the base",
            ),
        ),
    )
    yield section(
        "findings",
        "Findings of each run",
        (
            table(
                (*ids("run", "kind"), *texts("finding", "what to do")),
                [
                    (name, one.kind.value, f"{one.name}: {one.finding}", one.fix)
                    for run, name in zip(runs, called, strict=True)
                    for one in run.header.findings
                ],
                "Findings",
            ),
        ),
        details=True,
    )


def _about(run: Run, name: str) -> tuple[str, ...]:
    found = [finding.kind for finding in run.header.findings]
    return (
        name,
        summary.state(run),
        str(run.header.settings.threads),
        run.header.environment.software.torch.version,
        run.header.started_at,
        run.header.id,
        str(found.count(FindingKind.WRONG)),
        str(found.count(FindingKind.VOIDS)),
    )


def _suites(name: str, comparison: Comparison) -> Iterator[tuple[str, ...]]:
    for suite in comparison.suites:
        interval = suite.interval
        yield (
            suite.suite,
            name,
            f"{suite.speedup:.2f} x",
            f"{interval[0]:.2f} - {interval[1]:.2f}" if interval else "",
            str(suite.faster),
            str(suite.slower),
            str(suite.none_seen),
            str(suite.unknown),
        )


def _cautions(called: Sequence[str], comparisons: Sequence[Comparison]) -> Iterator[str]:
    for name, one in zip(called[1:], comparisons, strict=True):
        if not one.same_machine:
            yield f"{name} is another machine than {called[0]}: its ratios are of the machines, and of whatever else differs below."
        elif changed := sorted({d.field for d in one.differences} & _EXPLAINS):
            yield f"{name} is the same machine with another {' and '.join(_EXPLAINS_WORDS[field] for field in changed)} than {called[0]}."
        if one.settings:
            yield f"{name} was asked for something else ({', '.join(d.field for d in one.settings)}): its ratios are of that too."
        if not one.cases:
            yield f"{name} has no measured case in common with {called[0]}."


def _differing(comparisons: Sequence[Comparison], *, settings: bool) -> list[tuple[str, ...]]:
    """A row for each field in which any run differs from the base; a run that does not says so."""
    found = [
        {d.field: d for d in (comparison.settings if settings else comparison.differences)}
        for comparison in comparisons
    ]
    fields = dict.fromkeys(field for one in found for field in one)
    rows = []
    for field in fields:
        base = next(one[field].this for one in found if field in one)
        cells = (_value(one[field].other) if field in one else "same" for one in found)
        rows.append((field, _value(base), *cells))
    return rows


def _counted(metric: str, number: int) -> str:
    """A count as it is; bytes in their units too, as two that differ may read the same."""
    return (
        f"{number:,} B ({units.size(number)})" if "memory" in metric or "bytes" in metric else f"{number:,}"
    )


def _value(value: object) -> str:
    return "none" if value is None or value == "" else str(value)


def _peaks(comparisons: Sequence[Comparison]) -> list[tuple[str, ...]]:
    known = [{(c.kind, c.name, c.threads): c for c in comparison.peaks} for comparison in comparisons]
    rows = []
    for kind, name, threads in dict.fromkeys(key for one in known for key in one):
        several = [one.get((kind, name, threads)) for one in known]
        base = next(one.base for one in several if one is not None)
        cells = (_peak(one) for one in several)
        rows.append((name, str(threads), _rate(kind, base), *cells))
    return rows


def _peak(one: PeakCompared | None) -> str:
    if one is None:
        return ""
    return f"{_rate(one.kind, one.other)}{f' ({one.ratio:.2f} x)' if one.ratio else ''}"


def _rate(kind: str, rate: float | None) -> str:
    if rate is None:
        return "none"
    return units.work_rate(rate) if kind == "compute" else units.bandwidth(rate)


def _cases(comparisons: Sequence[Comparison]) -> list[tuple[str, ...]]:
    known = [{case.case: case for case in comparison.cases} for comparison in comparisons]
    rows = []
    for name in dict.fromkeys(case for one in known for case in one):
        several = [one.get(name) for one in known]
        base = next(one.base for one in several if one is not None)
        rows.append((name, units.seconds(base), *(_speedup(one) for one in several)))
    return rows


def _speedup(one: Compared | None) -> str:
    if one is None:
        return ""
    interval = f" ({one.low:.2f} - {one.high:.2f})" if one.low is not None and one.high is not None else ""
    flagged = " !" if one.base_flags or one.other_flags else ""
    return f"{one.speedup:.2f} x{interval} {_MARKS[one.verdict.value]}{flagged}"

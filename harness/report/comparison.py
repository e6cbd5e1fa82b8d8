"""Several runs compared, as content: the machines, their peaks, each case's time ratio, and what differs.

A ratio is the candidate's time over the base's: below 1 the candidate is faster.
"""

from collections.abc import Iterator, Sequence

from harness import units
from harness.records import (
    CaseComparison,
    Comparison,
    Decision,
    FindingKind,
    GroupComparison,
    PeakComparison,
    Run,
)
from harness.records.environment import Difference
from harness.report import summary
from harness.report.content import Lines, Page, Table, ids, lines, section, table, texts

_HOW_TO_READ = (
    "A ratio is the run's time over the base's: below 1 the run is faster. Its 95% interval holds as far as the intervals of both runs "
    "do. Drift of a machine from hour to hour is included only where a self-test measured it. The interval of a suite contains the "
    "spread between its cases and the median uncertainty of one case."
)
_SOFTWARE = {
    "code.commit": "commit",
    "software.torch.version": "torch",
    "software.kernel": "kernel",
    "software.torch.cuda_runtime": "CUDA runtime",
}
_MARKS = {
    Decision.IMPROVED: "+",
    Decision.REGRESSED: "-",
    Decision.EQUIVALENT: "=",
    Decision.INCONCLUSIVE: "=",
}
_LEGEND = (
    "+ faster, - slower, = no difference detected, ? a run has no interval; ! flagged in a run (noisy, drifting, ...).",
)


def names(runs: Sequence[Run]) -> tuple[str, ...]:
    """A unique name for each run: its label or device, then its time and id where two are equal."""
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
        _HOW_TO_READ,
    )
    sections = (
        section(name, title, blocks, details=name == "findings")
        for name, title, blocks in _sections(runs, called, comparisons)
    )
    return Page(f"Plumbline: {len(runs)} runs compared", about, tuple(filter(None, sections)))


def _sections(
    runs: Sequence[Run], called: Sequence[str], comparisons: Sequence[Comparison]
) -> Iterator[tuple[str, str, tuple[Table | Lines | None, ...]]]:
    candidates = called[1:]
    pairs = list(zip(candidates, comparisons, strict=True))
    named = list(zip(called, runs, strict=True))
    yield (
        "short",
        "In short",
        (
            table(
                (*ids("run", "state"), "threads", *ids("torch", "begun", "id"), "wrong", "invalidating"),
                [_about(name, run) for name, run in named],
                "The runs",
            ),
            table(
                (
                    *ids("suite", "run"),
                    "ratio",
                    "95% CI",
                    "faster",
                    "slower",
                    "no difference detected",
                    "no interval",
                ),
                [_suite(name, suite) for name, comparison in pairs for suite in comparison.suites],
                "Time ratio by suite, geometric mean",
            ),
            lines(_cautions(called[0], pairs), caution=True),
        ),
    )
    yield (
        "differences",
        "What differs",
        (
            table(ids("field", *called), _differences([c.settings for c in comparisons]), "Settings"),
            table(ids("field", *called), _differences([c.differences for c in comparisons]), "Environment"),
        ),
    )
    peaks = _peaks(comparisons)
    yield (
        "peaks",
        "Peaks",
        (table((*ids("peak"), "threads", *called), peaks, "Best rates reached by any code"),),
    )
    columns = (*ids("case"), f"{called[0]}, median", *(f"{name}, ratio" for name in candidates))
    cases = table(columns, _cases(comparisons), "Time ratio of each case")
    yield "cases", "Cases", (cases, lines(_LEGEND))
    exact = [
        (
            name,
            change.case,
            change.metric,
            *(_count(change.metric, n) for n in (change.base, change.candidate)),
        )
        for name, comparison in pairs
        for change in comparison.exact
    ]
    columns = (*ids("run", "case", "metric"), called[0], "run's value")
    yield "exact", "Work and memory that differ", (table(columns, exact, "Counts and bytes without noise"),)
    missing = [(name, *reason) for name, comparison in pairs for reason in comparison.missing]
    new = [(name, case) for name, comparison in pairs for case in comparison.new]
    yield (
        "missing",
        "Not compared",
        (
            table((*ids("run", "case"), *texts("why")), missing, "Measured only in the base"),
            table(ids("run", "case"), new, "Not measured in the base"),
        ),
    )
    findings = [
        (name, finding.kind.value, f"{finding.name}: {finding.finding}", finding.fix)
        for name, run in named
        for finding in run.header.findings
    ]
    columns = (*ids("run", "kind"), *texts("finding", "what to do"))
    yield "findings", "Findings of each run", (table(columns, findings, "Findings"),)


def _about(name: str, run: Run) -> tuple[str, ...]:
    kinds = [finding.kind for finding in run.header.findings]
    return (
        name,
        summary.state(run),
        str(run.header.settings.threads),
        run.header.environment.software.torch.version,
        run.header.started_at,
        run.header.id,
        str(kinds.count(FindingKind.WRONG)),
        str(kinds.count(FindingKind.VALIDITY)),
    )


def _suite(name: str, suite: GroupComparison) -> tuple[str, ...]:
    return (
        suite.name,
        name,
        _ratio(suite.ratio),
        _interval(suite),
        str(suite.improved),
        str(suite.regressed),
        str(suite.cases - suite.improved - suite.regressed - suite.without_interval),
        str(suite.without_interval),
    )


def _ratio(ratio: float) -> str:
    """A ratio with three digits below 1 as well as above."""
    return f"{ratio:.3f} x" if ratio < 1.0 else f"{ratio:.2f} x"


def _interval(compared: CaseComparison | GroupComparison) -> str:
    if compared.low is None or compared.high is None:
        return ""
    return f"{compared.low:.2f} - {compared.high:.2f}"


def _cautions(base: str, pairs: Sequence[tuple[str, Comparison]]) -> Iterator[str]:
    for name, comparison in pairs:
        fields = {difference.field for difference in comparison.differences}
        if not comparison.same_machine:
            yield f"{name} is another machine than {base}: its ratios contain the machines, and whatever else differs below."
        elif changed := [word for field, word in sorted(_SOFTWARE.items()) if field in fields]:
            yield f"{name} is the same machine with another {' and '.join(changed)} than {base}."
        if comparison.settings:
            settings = ", ".join(difference.field for difference in comparison.settings)
            yield f"{name} was measured with other settings ({settings}): its ratios contain their effect."
        if not comparison.cases:
            yield f"{name} has no measured case in common with {base}."


def _differences(comparisons: Sequence[Sequence[Difference]]) -> list[tuple[str, ...]]:
    """A row for each field in which any run differs from the base; a run that does not has "same"."""
    known = [{difference.field: difference for difference in several} for several in comparisons]
    rows = []
    for field in dict.fromkeys(field for differences in known for field in differences):
        base = next(differences[field].this for differences in known if field in differences)
        cells = (
            _value(differences[field].other) if field in differences else "same" for differences in known
        )
        rows.append((field, _value(base), *cells))
    return rows


def _count(metric: str, number: int) -> str:
    """A count as it is; bytes in their units too, as two different numbers can be printed the same."""
    return (
        f"{number:,} B ({units.size(number)})" if "memory" in metric or "bytes" in metric else f"{number:,}"
    )


def _value(value: object) -> str:
    return "none" if value is None or value == "" else str(value)


def _peaks(comparisons: Sequence[Comparison]) -> list[tuple[str, ...]]:
    known = [{(peak.kind, peak.name, peak.threads): peak for peak in c.peaks} for c in comparisons]
    rows = []
    for key in dict.fromkeys(key for peaks in known for key in peaks):
        kind, name, threads = key
        base = next(peaks[key].base for peaks in known if key in peaks)
        rows.append((name, str(threads), _rate(kind, base), *(_peak(peaks.get(key)) for peaks in known)))
    return rows


def _peak(peak: PeakComparison | None) -> str:
    if peak is None:
        return ""
    return f"{_rate(peak.kind, peak.candidate)}{f' ({peak.ratio:.2f} x)' if peak.ratio else ''}"


def _rate(kind: str, rate: float | None) -> str:
    if rate is None:
        return "none"
    return units.work_rate(rate) if kind == "compute" else units.bandwidth(rate)


def _cases(comparisons: Sequence[Comparison]) -> list[tuple[str, ...]]:
    known = [{case.case: case for case in comparison.cases} for comparison in comparisons]
    rows = []
    for name in dict.fromkeys(case for cases in known for case in cases):
        base = next(cases[name].base_seconds for cases in known if name in cases)
        rows.append((name, units.seconds(base or 0.0), *(_case(cases.get(name)) for cases in known)))
    return rows


def _case(case: CaseComparison | None) -> str:
    if case is None or case.ratio is None:
        return ""
    interval = _interval(case)
    mark = _MARKS[case.decision] if interval else "?"
    flagged = " !" if case.base_flags or case.candidate_flags else ""
    return f"{_ratio(case.ratio)}{f' ({interval})' if interval else ''} {mark}{flagged}"

"""A run in a terminal: the short answer, of one table and at most 15 lines, and the whole report."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.text import Text

from harness import stats, units
from harness.check.findings import validity
from harness.records import Answer, Finding, FindingKind, Flag, Result, Run
from harness.report import summary
from harness.report.case_tables import absent_rows, memory, of_peak, rate
from harness.report.content import Table, ids
from harness.report.sections import UNMEASURED_COLUMNS
from harness.report.sections import page as page_of
from harness.report.step_tables import (
    MODEL_COLUMNS,
    MODEL_DISPENSABLE,
    model_rows,
    unknown_operators,
    untraced,
)
from harness.report.terminal import print_table, show_section
from harness.text import counted, distinct, some, visible

STYLE = {Answer.HOLDS: "green", Answer.FAILS: "bold red", Answer.INCONCLUSIVE: "yellow"}
_KIND_STYLE = {FindingKind.WRONG: "bold red", FindingKind.VALIDITY: "yellow", FindingKind.ADVICE: "cyan"}
COLUMNS = (*ids("case"), "median", "95% CI", "rate", "of peak", "memory", *ids("flags"))
# A longer list of cases is cut; `-v` and the report have all of them.
MOST_ROWS = 40
MOST_LINES = 15
_GAP = 2
# Lines of the terminal for all troubles, and for each line of the summary.
_TROUBLE_LINES, _LINES_EACH = 7, 2
# An id is not shortened below this width, in characters.
_LEAST_ID = 30
# Where words are too wide, a flag is its initial; that of a cold or warm cache is the warm one's.
_INITIALS = {flag.value: "W" if flag is Flag.CACHE_WARM else flag.value[0].upper() for flag in Flag}
_KINDS = {FindingKind.WRONG: "wrong", FindingKind.VALIDITY: "validity", FindingKind.ADVICE: "advice"}
_Row = tuple[str, ...]


def show_brief(run: Run, console: Console) -> None:
    """Prints the cases, then the verdict, what limits trust in the numbers, the main findings and the machine."""
    cases = [result for result in run.measured if not result.case.calibrates]
    if cases:
        _print_cases(run, cases, console)
    else:
        print_table(console, "Cost model", MODEL_COLUMNS, model_rows(run), MODEL_DISPENSABLE)
    for line in summary_lines(run, console):
        console.print(line)


def _print_cases(run: Run, cases: Sequence[Result], console: Console) -> None:
    rows = [_row(run, result) for result in cases] if len(cases) <= MOST_ROWS else list(_chosen(run, cases))
    cells = _filled([COLUMNS, *rows])
    notes = []
    if cells[0][-1] == COLUMNS[-1] and _width(cells) > console.width:
        used = sorted({flag for row in rows for flag in row[-1].split(", ") if flag})
        short = ["".join(_INITIALS[flag] for flag in row[-1].split(", ") if flag) for row in rows]
        cells = [(*row[:-1], flags) for row, flags in zip(cells, [COLUMNS[-1], *short], strict=True)]
        notes.append(f"flags: {', '.join(f'{_INITIALS[flag]} {flag}' for flag in used)}")
    if _id_room(cells, console.width) < min(_LEAST_ID, max(len(row[0]) for row in rows)):
        kept = [place for place, column in enumerate(cells[0]) if column != "memory"]
        cells = [tuple(row[place] for place in kept) for row in cells]
    names = distinct([row[0] for row in cells[1:]], max(_id_room(cells, console.width), _LEAST_ID))
    if len(cases) > MOST_ROWS:
        notes.append(
            f"{len(rows)} rows for {len(cases)} cases: in each suite those that lose most time against the roofline; -v shows all"
        )
    shown = [(name, *row[1:]) for name, row in zip(names, cells[1:], strict=True)]
    print_table(console, "", cells[0], shown)
    if notes:
        console.print("\n".join(notes), highlight=False, markup=False)
        console.print()


def _filled(cells: Sequence[_Row]) -> list[_Row]:
    """The titles and rows of a table without the columns that are empty below their titles."""
    kept = [place for place in range(len(COLUMNS)) if any(row[place] for row in cells[1:])]
    return [tuple(row[place] for place in kept) for row in cells]


def _width(cells: Sequence[_Row]) -> int:
    return sum(max(map(len, column)) + _GAP for column in zip(*cells, strict=True)) - _GAP


def _id_room(cells: Sequence[_Row], width: int) -> int:
    """What the other columns leave of a width for the first."""
    return width - _width([("", *row[1:]) for row in cells])


def _row(run: Run, result: Result) -> _Row:
    measurement = result.measurement
    if measurement is None:
        return ("",) * len(COLUMNS)
    half = measurement.view.half_width
    return (
        result.case.id,
        units.seconds(measurement.median),
        "" if half is None else f"±{units.percent(half)}",
        rate(result),
        of_peak(result, run),
        memory(measurement),
        ", ".join(measurement.flags),
    )


def _chosen(run: Run, cases: Sequence[Result]) -> Iterator[_Row]:
    """A heading for each suite with its median fraction of peak, then the cases that lose most time; as many as there is room for."""
    suites: dict[str, list[Result]] = {}
    for result in cases:
        suites.setdefault(result.case.suite, []).append(result)
    room = max(MOST_ROWS - len(suites), 0)
    # Small suites first: what they leave belongs to the others.
    rows: dict[str, int] = {}
    for left, suite in zip(
        range(len(suites), 0, -1), sorted(suites, key=lambda s: len(suites[s])), strict=True
    ):
        rows[suite] = min(len(suites[suite]), room // left)
        room -= rows[suite]
    for suite, results in suites.items():
        fractions = [fraction for result in results if (fraction := run.of_peak(result)) is not None]
        middle = units.percent(stats.median(fractions)) if fractions else ""
        yield (f"{suite}: {rows[suite]} of {len(results)}, median", "", "", "", middle, "", "")
        for result in sorted(results, key=_lost_seconds, reverse=True)[: rows[suite]]:
            name, *rest = _row(run, result)
            yield (f"  {name}", *rest)


def _lost_seconds(result: Result) -> float:
    """The median time above the roofline's bound; cases without a bound come last."""
    if result.measurement is None or result.prediction is None or result.prediction.seconds is None:
        return 0.0
    return result.measurement.median - result.prediction.seconds


def summary_lines(run: Run, console: Console) -> list[Text]:
    """At most 15 lines as the terminal wraps them: verdict, troubles, trust, findings, machine."""

    def short(line: Text) -> Text:
        return _shortened(line, console)

    first, trust = short(_verdict(run)), short(_line("trust: ", _trust(run)))
    troubles = _fitting(map(short, _troubles(run)), _TROUBLE_LINES, "problem", console)
    machine = short(_line("machine: ", f"{summary.machine(run)}{_peaks(run)}"))
    room = MOST_LINES - sum(_height(line, console) for line in (first, *troubles, trust, machine))
    found = (
        _line(f"{_KINDS[one.kind]}: ", f"{one.finding} {one.fix}", _KIND_STYLE[one.kind])
        for one in concerning(run)
    )
    return [first, *troubles, trust, *_fitting(map(short, found), room, "finding", console), machine]


def _fitting(lines: Iterable[Text], room: int, noun: str, console: Console) -> list[Text]:
    """As many lines as there is room for; the last counts those left out."""
    every = list(lines)
    heights = [_height(line, console) for line in every]
    if sum(heights) <= room:
        return every
    shown = 0
    while sum(heights[: shown + 1]) < room:
        shown += 1
    return [*every[:shown], Text(f"{counted(len(every) - shown, f'more {noun}')} in the report")]


def _height(line: Text, console: Console) -> int:
    return len(line.wrap(console, console.width))


def _shortened(line: Text, console: Console) -> Text:
    """The line, cut at its end to two lines of the terminal."""
    wrapped = line.wrap(console, console.width)
    if len(wrapped) <= _LINES_EACH:
        return line
    kept = sum(len(part) for part in wrapped[:_LINES_EACH]) - 2
    return line[: line.plain.rfind(" ", 0, kept)].append(" …")


def _line(head: str, text: str, style: str = "") -> Text:
    return Text(head, style=style).append(visible(text), style="default")


def _verdict(run: Run) -> Text:
    """Whether anything failed, and the counts of cases and claims."""
    if not run.complete:
        return Text(summary.state(run), style="bold yellow")
    answers = Counter(verdict.answer for verdict in run.header.verdicts)
    good = run.measured and not run.failed and not answers[Answer.FAILS]
    cases = (
        f"{counted(len(run.measured), 'case')} measured, {len(run.skipped)} skipped, {len(run.failed)} failed"
    )
    counts: list[str] = []
    for answer in (Answer.FAILS, Answer.HOLDS, Answer.INCONCLUSIVE):
        if number := answers[answer]:
            subject = f"{number:,}" if counts else counted(number, "claim")
            counts.append(f"{subject} {answer.value if number == 1 else answer.value.removesuffix('s')}")
    claims = f"; {', '.join(counts)}" if counts else ""
    return _line("PASS: " if good else "FAIL: ", f"{cases}{claims}", "bold green" if good else "bold red")


def _troubles(run: Run) -> Iterator[Text]:
    """Claims that fail, cases that failed, damaged files, missing predictions, and skipped cases."""
    failing = [f"{v.subject}: {v.reason}" for v in run.header.verdicts if v.answer is Answer.FAILS]
    absent = absent_rows(run)
    broken = [f"{reason}: {some(cases.split(', '), 2)}" for reason, word, cases in absent if word == "FAILED"]
    skipped = [reason for reason, word, _ in absent if word == "skipped"]
    yield from (_line("fails: ", text, STYLE[Answer.FAILS]) for text in failing)
    yield from (_line("FAILED: ", text, "bold red") for text in broken)
    yield from (_line("damaged: ", text, "bold red") for text in run.damage)
    yield from (_line("", text, "yellow") for text in (*unknown_operators(run), *untraced(run)))
    if skipped:
        yield _line("skipped: ", f"{counted(len(run.skipped), 'case')}: {some(skipped, 1)}", "yellow")


def _trust(run: Run) -> str:
    """What limits trust in the numbers, and whether their intervals cover what changes from run to run."""
    bad = [name for name, _, state in validity(run) if state == "bad"]
    limits = f"limited by {', '.join(bad)}" if bad else "nothing seen that invalidates the numbers"
    if run.header.selftest_at is None:
        return f"{limits}; no self-test of this host (`plumbline selftest`)"
    return f"{limits}; intervals include the self-test of {run.header.selftest_at[:10]}"


def concerning(run: Run) -> list[Finding]:
    """The findings about cases of this run, and those that name no dtype which no case uses."""
    unused = {peak.dtype for peak in run.peaks.compute} - {result.case.dtype for result in run.results}
    return [
        finding
        for finding in run.header.findings
        if finding.cases or unused.isdisjoint(re.findall(r"\w+", finding.finding))
    ]


def _peaks(run: Run) -> str:
    """The measured peaks of the dtypes that the cases use, and of main memory."""
    threads = run.header.settings.threads
    parts = []
    for dtype in dict.fromkeys(result.case.dtype for result in run.measured if result.case.dtype):
        peak = run.peaks.compute_peak(dtype, threads)
        parts += [f"{dtype} {units.work_rate(peak.flops_per_second)}"] if peak else []
    level = run.peaks.levels[-1].name if run.peaks.levels else ""
    memory_peak = run.peaks.bandwidth_peak(level, threads)
    parts += [f"{level} {units.bandwidth(memory_peak.bytes_per_second)}"] if memory_peak else []
    return f"; peaks: {', '.join(parts)}" if parts else ""


# What the terminal leaves to the page, and what it keeps for the end, where the eye is.
_LEFT_OUT = {"environment", "method", "memory", "roofline", "sensors"}
_LAST = ("doubts", "short", "claims")


def show(run: Run, console: Console) -> None:
    """Prints the report, what matters most at its end; widths follow the terminal."""
    found = {section.name: section for section in page_of(run).sections}
    console.print(Text(visible(summary.machine(run)), style="bold"))
    for name, section in found.items():
        if name not in {*_LEFT_OUT, *_LAST}:
            show_section(section, console)
    for what, why in run.peaks.unmeasured.items():
        console.print(Text(visible(f"not measured: {what} ({why})"), style="yellow"))
    for reason, word, cases in absent_rows(run):
        console.print(Text(f"{word}: {visible(reason)}", style="red" if word == "FAILED" else "yellow"))
        console.print(Text(f"  {visible(cases)}"))
    for line in (*unknown_operators(run), *untraced(run)):
        console.print(Text(visible(line), style="yellow"))
    show_claims(run, console)
    for block in found["short"].blocks:
        if isinstance(block, Table) and not block.cards and block.columns != UNMEASURED_COLUMNS:
            print_table(console, block.title, block.columns, block.rows, block.dispensable)
    for finding in run.header.findings:
        kind = Text(finding.kind.value, style=_KIND_STYLE[finding.kind])
        console.print(kind.append(f"  {finding.name}: {visible(finding.finding)}", style="default"))
        console.print(Text(f"  {visible(finding.fix)}"))
    console.print(Text(visible(summary.surroundings(run))))
    console.print(Text(f"{run.header.id}: {summary.state(run)}", style="" if run.complete else "bold yellow"))


def show_claims(run: Run, console: Console) -> None:
    """Prints the verdicts: the count of each claim, every one worth reading, and what is damaged."""
    for claim, answers in summary.claims(run):
        console.print(Text(f"{claim}: {answers}"))
    for verdict in summary.worth_reading(run):
        line = Text("  ").append(verdict.answer.value, style=STYLE[verdict.answer])
        console.print(line.append(visible(f"  {verdict.subject}: {verdict.reason}")))
    for damage in run.damage:
        console.print(Text(visible(f"damaged: {damage}"), style="red"))

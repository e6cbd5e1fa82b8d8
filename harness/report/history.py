"""Series and their change points, as content of a report."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from harness import units
from harness.records.history import ChangeKind, ChangePoint, ChangeState, History, Shared
from harness.report.content import Page, Section, ids, lines, section, table, texts
from harness.text import counted, minute, some

_BARS = "▁▂▃▄▅▆▇█"
# The length of a line of bars, at most.
WIDTH = 72
# The number of latest points that are shown.
LATEST = 15
_SHORT = 8


def page(histories: Sequence[History]) -> Page:
    """One series in full, or many in a line each."""
    if len(histories) == 1:
        return _one(histories[0])
    changed = sum(bool(history.change_points) for history in histories)
    cases, hosts = {history.name for history in histories}, {history.host for history in histories}
    about = f"{len(histories)} series of {counted(len(cases), 'case')} on {counted(len(hosts), 'host')}; {changed} with change points"
    # Narrow terminals omit these columns: those that are equal everywhere, and the least important.
    spare = ["history", "last change", *(["host"] if len(hosts) == 1 else [])]
    spare += (
        ["machine", "threads"]
        if len({(history.machine, history.threads) for history in histories}) == 1
        else []
    )
    rows = [_row(history) for history in histories]
    found = (
        section("series", "Series", (table(_COLUMNS, rows, "Series", tuple(spare)),)),
        section(
            "notes",
            "Notes",
            (lines(f"{history.name}: {note}" for history in histories for note in history.notes),),
        ),
    )
    return Page("Plumbline: history", (about,), tuple(part for part in found if part is not None))


_COLUMNS = (
    *ids("case", "machine"),
    "threads",
    *ids("host"),
    *("points", "latest", "changes", "last change"),
    *ids("history"),
)


def _row(history: History) -> tuple[str, ...]:
    last = history.change_points[-1] if history.change_points else None
    return (
        history.name,
        history.machine or "",
        str(history.threads or ""),
        (history.host or "")[:_SHORT],
        str(len(history.points)),
        shown(history.points[-1].value, history.unit) if history.points else "",
        str(len(history.change_points) or ""),
        f"{units.signed_percent(last.ratio - 1)} {last.state.value}" if last else "",
        bars([point.value for point in history.points][-24:]),
    )


def _one(history: History) -> Page:
    threads = counted(history.threads, "thread") if history.threads else ""
    of = ", ".join(
        part
        for part in (history.machine, threads, f"host {history.host[:_SHORT]}" if history.host else "")
        if part
    )
    about = [f"{counted(len(history.points), 'point')}{f' on {of}' if of else ''}"]
    about += [f"{bars([point.value for point in history.points])}"] if history.points else []
    return Page(f"Plumbline: history of {history.name}", tuple(about), tuple(_sections(history)))


def _sections(history: History) -> Iterator[Section]:
    changes = [sentence(change) for change in history.change_points]
    found = (
        section(
            "change_points",
            "Change points",
            (lines(changes or ([] if _inconclusive(history) else ["no change point"])),),
        ),
        section(
            "boundaries",
            "Changes of the stack",
            (
                table(
                    ("point", *ids("time"), *texts("what changed")),
                    [
                        (str(b.index), minute(history.points[b.index].time), ", ".join(b.changes))
                        for b in history.boundaries[-LATEST:]
                    ],
                    "Changes of the stack: change points are not searched across them",
                ),
            ),
        ),
        section(
            "points",
            "Points",
            (
                table(
                    ("point", "time", "build", "value", "to the previous"),
                    list(_latest(history)),
                    "Latest points",
                ),
            ),
        ),
        section("notes", "Notes", (lines(history.notes),)),
    )
    yield from (part for part in found if part is not None)


def _inconclusive(history: History) -> bool:
    """Whether there are too few points for a change point, as a note reports."""
    return any(note.startswith("inconclusive") for note in history.notes)


def sentence(change: ChangePoint) -> str:
    """A change point with its place and its state."""
    what = units.signed_percent(change.ratio - 1)
    kind = "drifts by" if change.kind is ChangeKind.DRIFT else "changes by"
    at = f" (build {change.build[:12]})" if change.build else ""
    when = f", {minute(change.time)}" if change.time else ""
    sure = (
        f"confirmed at point {change.confirmed_at}"
        if change.state is ChangeState.CONFIRMED
        else "suspected: too few points after it"
    )
    return f"{kind} {what} from point {change.index}{at}{when} on; {sure}"


def _latest(history: History) -> Iterator[tuple[str, ...]]:
    first = max(0, len(history.points) - LATEST)
    for place, point in enumerate(history.points[first:], start=first):
        before = history.points[place - 1].value if place else None
        yield (
            str(place),
            minute(point.time),
            (point.build or "")[:12],
            shown(point.value, history.unit),
            units.signed_percent(point.value / before - 1) if before else "",
        )


def fleet_page(found: Sequence[tuple[Sequence[History], Sequence[Shared]]]) -> Page:
    """The changes of series on many hosts, and what each points at."""
    hosts = {one.host for members, _ in found for one in members}
    quiet = sum(not changes for _, changes in found)
    about = (
        f"{len(found)} series on {counted(len(hosts), 'host')}; {quiet} without a confirmed change",
        "code: most hosts changed alike; hardware: few hosts changed, the others not",
    )
    rows = [
        (
            members[0].name,
            change.points_at.value,
            units.signed_percent(change.ratio - 1),
            (change.build or "")[:12],
            minute(change.time),
            f"{len(change.hosts)} of {change.of}",
            some([host[:_SHORT] for host in change.hosts]),
            change.reason,
        )
        for members, changes in found
        for change in changes
    ]
    columns = ("case", "points at", "change", "build", "time", "hosts", "which", "why")
    changes = section(
        "changes",
        "Changes",
        (table(columns, rows, "Changes", ("why", "time")) or lines(["no confirmed change on any host"]),),
    )
    return Page("Plumbline: code or machine", about, (changes,) if changes else ())


def shown(value: float, unit: str) -> str:
    """A value with its unit."""
    if unit == "s":
        return units.seconds(value)
    return units.size(value) if unit == "B" else f"{value:,.6g}{f' {unit}' if unit else ''}"


def bars(values: Iterable[float]) -> str:
    """A line of bars from the least value to the greatest; a longer series is thinned out to medians.

    >>> bars([1.0, 1.0, 1.5, 2.0])
    '▁▁▅█'
    """
    every = list(values)
    if len(every) > WIDTH:
        edges = [round(k * len(every) / WIDTH) for k in range(WIDTH + 1)]
        every = [sorted(every[a:b])[(b - a) // 2] for a, b in pairwise(edges)]
    if not every:
        return ""
    low, high = min(every), max(every)
    if not high > low:
        return _BARS[0] * len(every)
    return "".join(
        _BARS[round((value / high - low / high) / (1.0 - low / high) * (len(_BARS) - 1))] for value in every
    )

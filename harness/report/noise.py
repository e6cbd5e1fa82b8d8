"""A host's noise profile, as a person reads it."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from harness import units
from harness.records import Verdict
from harness.records.noise import GATE, INJECTED, PAIRS, KindNoise, NoiseProfile
from harness.report.content import ids
from harness.report.outcome import STYLE
from harness.report.terminal import print_table

COLUMNS = (
    *ids("kind"),
    "threads",
    "call",
    "false alarms",
    f"+{INJECTED:.0%} found",
    "detects",
    "states",
    "covers",
    "alone",
    "flagged",
    "may gate",
)
WORDS = (
    f"false alarms, +{INJECTED:.0%} found: of comparisons of {PAIRS} fresh pairs of processes, at a gate of {GATE:.0%}",
    f"detects: the least change that {PAIRS} pairs show in 80 of 100 cases",
    "states, covers: half of a 95% interval as a bench states it from now on, and how often it holds another repeat",
    "alone: the same without what this self-test found",
)


def show_profile(profile: NoiseProfile, verdicts: Sequence[Verdict], console: Console) -> None:
    """Prints the table, the verdicts, and what may gate."""
    pairs = len(profile.kinds[0].same)
    head = f"{profile.machine}, {profile.device}, {profile.threads} threads, torch {profile.torch}"
    console.print(Text(head, style="bold"))
    print_table(
        console,
        f"Self-test: {pairs} pairs of processes",
        COLUMNS,
        [_row(k) for k in profile.kinds],
        ("flagged", "states"),
    )
    for word in WORDS:
        console.print(Text(word))
    for verdict in verdicts:
        if verdict.claim != "gate":
            line = Text("  ").append(verdict.answer.value, style=STYLE[verdict.answer])
            console.print(line.append(f"  {verdict.claim}, {verdict.subject}: {verdict.reason}"))
    console.print(
        Text(
            f"a sample costs {units.seconds(profile.mark_seconds)} inside its marks and "
            f"{units.seconds(profile.sample_seconds)} around them"
        )
    )
    if profile.other_cpus is not None:
        console.print(Text(f"meanwhile other programs used {profile.other_cpus:.2f} CPUs"))
    for words, wanted in (("may gate here", True), ("may only inform here", False)):
        named = [kind.title for kind in profile.kinds if kind.may_gate is wanted]
        if named:
            console.print(Text(f"{words}: {', '.join(named)}"))


def _row(kind: KindNoise) -> tuple[str, ...]:
    return (
        kind.name,
        str(kind.threads),
        units.seconds(kind.call_seconds),
        units.percent(kind.false_alarms),
        units.percent(kind.power),
        units.percent(kind.detectable()),
        f"± {units.percent(kind.half_width)}" if kind.repeats else "",
        "" if kind.coverage is None else units.percent(kind.coverage),
        "" if kind.coverage_alone is None else units.percent(kind.coverage_alone),
        units.percent(kind.flagged),
        "yes" if kind.may_gate else "no",
    )


def summarized(kind: KindNoise) -> dict[str, object]:
    """What follows from a kind's readings, for programs; shares and seconds."""
    return {
        "name": kind.name,
        "threads": kind.threads,
        "false_alarms": kind.false_alarms,
        "power": kind.power,
        "detectable": kind.detectable(),
        "coverage": kind.coverage,
        "coverage_alone": kind.coverage_alone,
        "drift": kind.drift,
        "half_width": kind.half_width if kind.repeats else None,
        "may_gate": kind.may_gate,
    }

"""The noise profile of a host in the terminal."""

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
    f"power (+{INJECTED:.0%})",
    "minimum detectable change",
    "95% CI",
    "coverage",
    "coverage without profile",
    "flagged",
    "gated",
)
WORDS = (
    f"false alarms, power: fraction of comparisons of {PAIRS} fresh pairs of processes beyond a gate of {GATE:.0%}",
    f"minimum detectable change: the change that {PAIRS} pairs detect in 80 of 100 cases",
    "95% CI, coverage: half the width of the intervals that `bench` reports with this profile, and how often they contain a repeat",
    "coverage without profile: the same for intervals that ignore this profile",
)


def show_profile(profile: NoiseProfile, verdicts: Sequence[Verdict], console: Console) -> None:
    """Prints the table, the verdicts, and the kinds that can be gated."""
    pairs = len(profile.kinds[0].same)
    head = f"{profile.machine}, {profile.device}, {profile.threads} threads, torch {profile.torch}"
    console.print(Text(head, style="bold"))
    print_table(
        console,
        f"Self-test: {pairs} pairs of processes",
        COLUMNS,
        [_row(k) for k in profile.kinds],
        ("flagged", "95% CI"),
    )
    for line in WORDS:
        console.print(Text(line))
    for verdict in verdicts:
        if verdict.claim != "gate":
            answer = Text("  ").append(verdict.answer.value, style=STYLE[verdict.answer])
            console.print(answer.append(f"  {verdict.claim}, {verdict.subject}: {verdict.reason}"))
    console.print(
        Text(
            f"overhead of a sample: {units.seconds(profile.mark_seconds)} inside its time, "
            f"{units.seconds(profile.sample_seconds)} around it"
        )
    )
    if profile.other_cpus is not None:
        console.print(Text(f"background load: {profile.other_cpus:.2f} CPUs"))
    for words, wanted in (("can be gated here", True), ("informational here (not gated)", False)):
        titles = [kind.title for kind in profile.kinds if kind.may_gate is wanted]
        if titles:
            console.print(Text(f"{words}: {', '.join(titles)}"))


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
        "" if kind.coverage_without_profile is None else units.percent(kind.coverage_without_profile),
        units.percent(kind.flagged),
        "yes" if kind.may_gate else "no",
    )


def summarized(kind: KindNoise) -> dict[str, object]:
    """The results of a kind for JSON, in fractions and seconds."""
    return {
        "name": kind.name,
        "threads": kind.threads,
        "false_alarms": kind.false_alarms,
        "power": kind.power,
        "detectable": kind.detectable(),
        "coverage": kind.coverage,
        "coverage_without_profile": kind.coverage_without_profile,
        "drift": kind.drift,
        "half_width": kind.half_width if kind.repeats else None,
        "may_gate": kind.may_gate,
    }

"""Findings of a run: what is wrong, what may void its numbers, and what speed can be had back.

    findings     finding, cause and fix of each trouble, the gravest first
    voids        a fixed checklist of what can void the numbers
    unmeasured   what was not measured, and why

All three are functions of a judged record alone (`harness.check.judge.judged`).
"""

from harness.check.findings import accelerators, environment, optimizations, peaks, record, step_time
from harness.check.findings.gaps import unmeasured
from harness.check.findings.seen import Rule
from harness.check.findings.trust import voids
from harness.records import Finding, FindingKind, Run

__all__ = ["findings", "unmeasured", "voids"]

RULES: tuple[Rule, ...] = (
    *record.RULES,
    *environment.RULES,
    *accelerators.RULES,
    *peaks.RULES,
    *optimizations.RULES,
    *step_time.RULES,
)


def findings(run: Run) -> tuple[Finding, ...]:
    """What a person should know first: what is wrong, what voids, what to do better; in each the largest first."""
    kinds = list(FindingKind)
    ranked = [one for rule in RULES for one in rule(run)]
    ranked.sort(key=lambda one: (kinds.index(one.finding.kind), -one.weight))
    return tuple(one.finding for one in ranked)

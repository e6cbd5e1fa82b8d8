"""Findings of a run: what is wrong, what affects its validity, and what can become faster.

    findings     finding, cause and fix of each trouble, the most important first
    validity     a fixed checklist of what can invalidate the numbers
    unmeasured   what was not measured, and why

All three are functions of a judged record alone (`harness.check.judge.judge`).
"""

from harness.check.findings import host, peaks, performance, record
from harness.check.findings.checklists import unmeasured, validity
from harness.check.findings.common import Rule
from harness.records import Finding, FindingKind, Run

__all__ = ["findings", "unmeasured", "validity"]

RULES: tuple[Rule, ...] = (*record.RULES, *host.RULES, *peaks.RULES, *performance.RULES)


def findings(run: Run) -> tuple[Finding, ...]:
    """The findings of a run: wrong ones, then those of validity, then advice; in each kind the largest first."""
    kinds = list(FindingKind)
    ranked = [finding for rule in RULES for finding in rule(run)]
    ranked.sort(key=lambda rank: (kinds.index(rank.finding.kind), -rank.weight))
    return tuple(rank.finding for rank in ranked)

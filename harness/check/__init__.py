"""Claims and their verdicts: holds, fails, inconclusive. Works from records alone."""

from harness.records import Answer, Verdict


def verdict(claim: str, subject: str, answer: Answer, *reasons: str) -> Verdict:
    """A verdict whose reason joins the parts that are not empty."""
    return Verdict(claim, subject, answer, "; ".join(filter(None, reasons)))

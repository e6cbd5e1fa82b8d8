"""What a session was asked to measure: the cases selected, those left out on purpose, and those it should have found."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.session import last_line, measures, name_of, workload_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pytest


class Place(NamedTuple):
    """Where a case that was measured before came from: its suite's name, and the file where it was then."""

    suite: str | None
    path: Path | None


class Scope:
    """Listens to a session's collection and to what is skipped."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._suites: dict[str, Path] = {}
        self._skipped: dict[str, str] = {}
        self.selected: dict[str, pytest.Item] = {}
        self.deselected: set[str] = set()

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """What was left out on purpose is not missed."""
        for item in filter(measures, items):
            self._suites[name_of(item)] = item.path
            self.deselected.add(str(workload_of(item)))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Takes the cases that were selected."""
        for item in filter(measures, session.items):
            self._suites[name_of(item)] = item.path
            self.selected[str(workload_of(item))] = item

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Takes note of why a test was skipped."""
        if report.skipped:
            self._skipped[report.nodeid] = last_line(report)

    def absent(self, known: Mapping[str, Place], measured: set[str], where: str) -> Iterator[tuple[str, str]]:
        """The cases measured before that are missed now, each with a sentence; not those left out on purpose, failed as a test, or not reached."""
        for case, place in known.items():
            if case in measured or case in self.deselected:
                continue
            if case in self.selected:
                reason = self._skipped.get(self.selected[case].nodeid)
                if reason is not None:
                    yield case, f"{case} is in {where} and was skipped: {reason}"
            elif self._asked_for(place):
                yield case, f"{case} is in {where} and no longer runs"

    def _asked_for(self, place: Place) -> bool:
        """Whether the arguments name the whole of a suite: its file, or a folder above it."""
        path = self._suites.get(place.suite, place.path) if place.suite else place.path
        if path is None:
            return False
        directory = self._config.invocation_params.dir
        whole = ((directory / one).resolve() for one in self._config.args if "::" not in one)
        return any(asked == path or asked in path.parents for asked in whole)

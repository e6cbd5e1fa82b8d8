"""What a case costs that does not say so itself: it is traced before it is tried.

By a process that measures nothing: what a module or a cache keeps from a trace are fake tensors, and stays there.
"""

from harness import units
from harness.errors import UsageError
from harness.measure.crew import Crew, LostError
from harness.measure.imports import pack_workload
from harness.measure.messages import Follow, Followed
from harness.records import Case, CaseOperators, Failed
from harness.workload import Workload

# A cost that is known is checked within so long, or not at all.
CHECK_SECONDS = 10.0


class Foresight:
    """Cases with their costs; each is traced once, and kept until it is on record."""

    def __init__(self, crew: Crew, limit_seconds: float) -> None:
        self._crew = crew.sibling()
        self._limit = limit_seconds
        self._followed: dict[str, Followed] = {}
        self._failed: dict[str, Failed] = {}

    def of(self, workload: Workload, case: Case) -> Case:
        """The case with its cost, or with the reason why that is not known; one given in closed form is checked."""
        if case.id not in self._followed:
            self._followed[case.id] = self._follow(workload, case)
        found = self._followed[case.id]
        return found.applied(case) if case.cost is None else found.checking(case)

    def failure(self, case: str) -> Failed | None:
        """Why a case is not worth trying: what takes so long without computing takes longer with it."""
        return self._failed.get(case)

    def take(self, case: str) -> CaseOperators | None:
        """The operators of a case, to be recorded; they are forgotten here."""
        found = self._followed.pop(case, None)
        return CaseOperators(case, found.operators) if found is not None and found.operators else None

    def close(self) -> bytes:
        """Ends the process, if there is one; gives what was printed in it."""
        self._crew.close()
        return self._crew.output

    def _follow(self, workload: Workload, case: Case) -> Followed:
        limit = self._limit if case.cost is None else min(self._limit, CHECK_SECONDS)
        try:
            self._crew.heal()
            self._crew.grow(1)
            return self._crew.ask(0, Follow(case.id, *pack_workload(workload)), Followed, limit)
        except UsageError as error:
            return Followed(untraced=str(error))
        except LostError as lost:
            if lost.timed_out and case.cost is None:
                told = units.seconds(limit)
                self._failed[case.id] = Failed(reason=f"took longer than its limit of {told}, traced: {lost}")
            return Followed(untraced=f"it took the process down: {lost}")

"""A model fitted to sizes and their times: what it is, what it says of the machine, and how well it explains each size."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.fit.intervals import Expectation, Uncertainty, expect
from harness.fit.models import OVERHEAD, RATES, Columns, Symbol, Vector, exponentials, rate_of
from harness.fit.points import Points
from harness.fit.selection import Choice, choose, family
from harness.records import Parameter

# Fewer sizes tell no model from another.
FEWEST = 4
# Cache edges and packing bend real curves by 10 to 30 %: a model that is typically farther off describes nothing.
CROOKED = 0.25


@dataclass(frozen=True)
class Fitted:
    """The model chosen for some points, with its parameters and residuals."""

    points: Points
    choice: Choice

    @property
    def model(self) -> str:
        """Its formula."""
        return self.choice.chosen.model.formula

    @cached_property
    def known(self) -> Uncertainty:
        """What is known of its parameters."""
        chosen = self.choice.chosen
        return Uncertainty(chosen.model, self.points, chosen.solution, self.choice.times)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those of the model; those that it could have had and has not; and what follows from them."""
        found = [self.known.parameter(place) for place in range(self.choice.chosen.model.size)]
        names = {one.name for one in found}
        absent = [symbol for symbol in self._structure if symbol.name not in names]
        found += [
            Parameter(symbol.name, symbol.unit, why=f"{self.model} explains the sizes without it")
            for symbol in absent
        ]
        return (*found, *self._derived)

    @property
    def _structure(self) -> list[Symbol]:
        worked = [column for column in RATES if column in self.points.columns and column != "size"]
        rates = [] if "level" in self.points.columns else [rate_of(column) for column in worked]
        return [OVERHEAD, *rates] if worked else []

    @property
    def _derived(self) -> list[Parameter]:
        """The work done at half of the rate, where the model's shape has one; and the ridge."""
        half = self.choice.chosen.model.half
        units = {"flops": "FLOP", "bytes": "B", "size": ""}
        found = [
            self.known.product(f"{work}_half", units[column], "t0", rate, factor=half)
            for column, (work, rate, _) in RATES.items()
            if half is not None and column in self.points.columns
        ]
        found.append(self.known.product("ridge", "FLOP/B", "P", "W", -1.0))
        return [one for one in found if one is not None]

    @cached_property
    def measured(self) -> Vector:
        """The median time of each size, in seconds: the median of its repeats."""
        return exponentials(self.points.medians)

    @cached_property
    def fitted(self) -> Vector:
        """What the model says of each size, in seconds."""
        return exponentials(self._curve)

    @cached_property
    def residuals(self) -> Vector:
        """Measured over fitted, minus one."""
        return exponentials(self.points.medians - self._curve) - 1.0

    @property
    def median(self) -> float:
        """The median size of the residuals."""
        return float(np.median(np.abs(self.residuals)))

    @property
    def _curve(self) -> Vector:
        chosen = self.choice.chosen
        return chosen.model.curve(chosen.solution.logs, self.points.columns)

    def expect(self, columns: Columns) -> list[Expectation]:
        """What it expects of other work."""
        return expect(self.known, self.choice, columns)


def fit(points: Points, levels: tuple[str, ...] = ()) -> Fitted | None:
    """The best model of the family that these columns can have; None where the sizes are too few for any."""
    if len(points) < FEWEST:
        return None
    # Work that never varies tells no rate.
    varying = {name: work for name, work in points.columns.items() if np.ptp(work) > 0.0}
    if not varying:
        return None
    choice = choose(points, family(varying, levels, falling=_falling(varying, points.medians)))
    return None if choice is None else Fitted(points, choice)


def _falling(columns: Columns, times: Vector) -> bool:
    """Whether large sizes take less than small ones."""
    order = np.argsort(next(iter(columns.values())))
    half = len(order) // 2
    return bool(np.median(times[order[half:]]) < np.median(times[order[:half]]))

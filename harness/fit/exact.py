"""Laws of memory: polynomials of the size in whole bytes. They hold to the byte or not at all: nothing is fitted.

A peak is the largest of several moments, each a polynomial of its own, so a law may hold from some size on alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

# Sizes beyond those that the coefficients took, on which a law must hold as well; and the highest power that tensors have.
SPARE, HIGHEST = 1, 2


@dataclass(frozen=True)
class Polynomial:
    """Coefficients by power, the constant first; `first` is the size from which on the values are exactly these."""

    coefficients: tuple[Fraction, ...]
    first: int

    @property
    def degree(self) -> int:
        """The power that a large size leaves."""
        return len(self.coefficients) - 1

    def __call__(self, size: int) -> Fraction:
        """Its value."""
        return sum((c * size**power for power, c in enumerate(self.coefficients)), Fraction(0))

    def told(self, variable: str) -> str:
        """As a formula.

        >>> Polynomial((Fraction(0), Fraction(0), Fraction(12)), 64).told("n")
        '12 n^2'
        """
        names = {0: "", 1: f" {variable}"}
        terms = [
            f"{_whole(c)}{names.get(power, f' {variable}^{power}')}"
            for power, c in enumerate(self.coefficients)
            if c
        ]
        return " + ".join(terms).replace("+ -", "- ") or "0"


def exact_law(sizes: Sequence[int], values: Sequence[int]) -> Polynomial | None:
    """The polynomial of the lowest degree that the largest sizes follow to the last digit; None where there is none, or sizes are too few.

    >>> exact_law([1, 2, 4, 8], [107, 114, 128, 156]).told("batch")
    '100 + 7 batch'
    """
    known = sorted(set(zip(sizes, values, strict=True)), reverse=True)
    if len({size for size, _ in known}) < len(known):
        return None  # one size, two values
    for degree in range(HIGHEST + 1):
        tried = known[: degree + 1 + SPARE]
        if len(tried) < degree + 1 + SPARE:
            return None
        law = Polynomial(_through(tried[: degree + 1]), 0)
        if all(law(size) == value for size, value in tried):
            obeying = [size for size, value in known if law(size) == value]
            broken = [size for size, value in known if law(size) != value]
            return Polynomial(
                law.coefficients, min(size for size in obeying if size > max(broken, default=-1))
            )
    return None


def _whole(number: Fraction) -> str:
    return f"{number.numerator:,}" if number.denominator == 1 else str(number)


def _through(points: Sequence[tuple[int, int]]) -> tuple[Fraction, ...]:
    """The coefficients of the polynomial through some points (Lagrange)."""
    total = [Fraction(0)] * len(points)
    for size, value in points:
        basis = [Fraction(1)]
        for other, _ in points:
            if other != size:
                scaled = [Fraction(0), *basis]
                basis = [
                    (up - other * here) / (size - other)
                    for up, here in zip(scaled, [*basis, Fraction(0)], strict=True)
                ]
        total = [have + value * more for have, more in zip(total, basis, strict=True)]
    return tuple(total)

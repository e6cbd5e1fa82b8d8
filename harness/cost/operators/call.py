"""One call of an operator as formulas see it: shapes and sizes, no tensors, no torch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple


class Operand(NamedTuple):
    """A tensor: its shape, dtype name, and the bytes of memory it spans (fewer than its elements, if expanded)."""

    shape: tuple[int, ...]
    dtype: str
    nbytes: int

    @property
    def numel(self) -> int:
        """Elements, repeats included."""
        return prod(self.shape)

    @property
    def item_bytes(self) -> int:
        """Bytes of one element."""
        digits = "".join(c for c in self.dtype.split("_")[0] if c.isdigit())
        if self.dtype == "bool":
            return 1
        return max(1, int(digits) // 8)

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


class Work(NamedTuple):
    """What one operator call does. FLOPs as in `harness.records.Cost`.

    Bytes are None where the general rule holds: each operand read once, each result written once. `scratch_bytes` is
    memory that torch itself takes meanwhile, on every device.
    """

    flops: int = 0
    elementwise_flops: int = 0
    masked_flops: int = 0
    recomputed_flops: int = 0
    bytes_read: int | None = None
    bytes_written: int | None = None
    scratch_bytes: int = 0


@dataclass(frozen=True)
class OperatorCall:
    """An operator call: arguments by the names of its schema, with an `Operand` where a tensor stood.

    `reads` are the operands it reads, `writes` those it makes or changes, each once. `pointwise`: the library says
    that it works element by element.
    """

    name: str
    arguments: dict[str, Any]
    reads: tuple[Operand, ...]
    writes: tuple[Operand, ...]
    pointwise: bool = False

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, or the default where the schema has none of that name."""
        return self.arguments.get(name, default)

    def operands(self, name: str) -> Sequence[Operand]:
        """A list of tensors, without the absent ones."""
        return [argument for argument in self.arguments[name] or () if argument is not None]

    @property
    def out(self) -> Operand:
        """The first result."""
        return self.writes[0]

    @property
    def elements(self) -> int:
        """Elements of the largest tensor it touches."""
        return max((read.numel for read in (*self.reads, *self.writes)), default=0)


Formula = Callable[[OperatorCall], Work]


class Formulas:
    """Formulas by the names of operators, without overloads and the underscore of in-place variants."""

    def __init__(self) -> None:
        self._formulas: dict[str, Formula] = {}

    def of(self, *names: str) -> Callable[[Formula], Formula]:
        """Decorates the formula of these operators."""

        def registered(formula: Formula) -> Formula:
            for name in names:
                if name in self._formulas:
                    raise ValueError(f"two formulas for {name}")
                self._formulas[name] = formula
            return formula

        return registered

    def get(self, name: str) -> Formula | None:
        """The formula of an operator; an in-place one has that of its sibling."""
        return self._formulas.get(name) or self._formulas.get(name.rstrip("_"))

    def __iter__(self) -> Iterator[str]:
        return iter(self._formulas)


FORMULAS = Formulas()

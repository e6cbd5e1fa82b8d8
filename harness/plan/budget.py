"""The best division of a compute budget between the size of a model and its tokens, as published.

A budget C is FLOPs of training, C = 6 N D for N parameters and D tokens (each token through each parameter: 2 forward, 4 backward). Every model here is a fit to
transformers on English web text, of 44 million to 16 billion parameters. Outside that range it extrapolates, as it did in its paper.
"""

import math
from dataclasses import dataclass

from harness.errors import UsageError

_FLOPS = 6
CHINCHILLA = "Hoffmann et al. 2022, arXiv 2203.15556"
PETAFLOP_DAY = 1e15 * 86_400
# The sizes that Hoffmann et al. fitted (section 3).
FITTED = (44e6, 16e9)


@dataclass(frozen=True)
class Optimum:
    """The size and the tokens that spend a budget best, by one approach.

    The loss is that of a parametric fit, in nats a token of its text and tokenizer: of the approach's own, or of the one by Hoffmann et al.
    """

    parameters: float
    tokens: float
    approach: str
    source: str
    loss: float

    @property
    def flops(self) -> float:
        """The budget: 6 N D."""
        return _FLOPS * self.parameters * self.tokens

    @property
    def tokens_per_parameter(self) -> float:
        """Tokens for each parameter."""
        return self.tokens / self.parameters

    @property
    def extrapolated(self) -> bool:
        """Whether the size is outside the fitted range."""
        low, high = FITTED
        return not low <= self.parameters <= high


@dataclass(frozen=True)
class Power:
    """Tokens as a power of the size, D = D0 (N / N0)^g, so that N grows as C^a with a = 1 / (1 + g)."""

    name: str
    source: str
    size: float
    data: float
    growth: float

    @property
    def exponent(self) -> float:
        """The exponent a of N ~ C^a."""
        return 1.0 / (1.0 + self.growth)

    def tokens(self, parameters: float) -> float:
        """The tokens D of a size N."""
        return self.data * math.pow(parameters / self.size, self.growth)

    def parameters(self, flops: float) -> float:
        """The size N of a budget C."""
        return self.size * math.pow(flops / (_FLOPS * self.size * self.data), self.exponent)


@dataclass(frozen=True)
class Parametric:
    """The loss as a function of size and data, L(N, D) = E + A / N^alpha + B / D^beta, and its optimum in closed form.

    N = G (C/6)^a and D = (C/6)^b / G, where a = beta / (alpha + beta), b = alpha / (alpha + beta) and G = (alpha A / (beta B))^(1 / (alpha + beta)) (Hoffmann et al. 2022, equations 2 and 4).
    """

    name: str
    source: str
    floor: float
    size_factor: float
    data_factor: float
    alpha: float
    beta: float

    @property
    def exponent(self) -> float:
        """The exponent a of N ~ C^a."""
        return self.beta / (self.alpha + self.beta)

    @property
    def balance(self) -> float:
        """G: the size for a budget of 6 FLOPs."""
        ratio = self.alpha * self.size_factor / (self.beta * self.data_factor)
        return math.pow(ratio, 1.0 / (self.alpha + self.beta))

    def loss(self, parameters: float, tokens: float) -> float:
        """The loss L(N, D)."""
        return (
            self.floor
            + self.size_factor / math.pow(parameters, self.alpha)
            + self.data_factor / math.pow(tokens, self.beta)
        )

    def parameters(self, flops: float) -> float:
        """The size N of a budget C."""
        return self.balance * math.pow(flops / _FLOPS, self.exponent)

    def tokens(self, parameters: float) -> float:
        """The tokens D of a size N: those of the budget for which N is best."""
        return math.pow(parameters / self.balance, 1.0 / self.exponent) / parameters


def _table(number: int, table: str, ten_billion: float, ten_trillion: float) -> Power:
    """The power law through the rows of a published table, from those of 10B and 10T, which have four digits."""
    growth = math.log10(ten_trillion / ten_billion) / 3
    return Power(f"approach-{number}", f"{CHINCHILLA}, {table}", 1e10, ten_billion, growth)


# Their Table 2 has the exponents 0.50, 0.49 and 0.46; the tables of rows have them to four digits.
APPROACH_1 = _table(1, "Table 3 (envelope of training curves)", 205.1e9, 216.2e12)
APPROACH_2 = _table(2, "Table A3 (profiles of equal FLOPs)", 219.5e9, 292.0e12)
APPROACH_3 = _table(3, "Table A3 (parametric fit, before rounding)", 410.1e9, 1425.5e12)
RULE = Power("rule", f"{CHINCHILLA}, as a rule of thumb: 20 tokens a parameter", 1.0, 20.0, 1.0)
PARAMETRIC = Parametric(
    "parametric", f"{CHINCHILLA}, equation 10, constants as printed", 1.69, 406.4, 410.7, 0.34, 0.28
)
REFIT = Parametric(
    "refit", "Besiroglu et al. 2024, arXiv 2404.10102", 1.8172, 482.01, 2085.43, 0.3478, 0.3658
)
# N = 1.3e9 C^0.73 with C in PF-days, without embeddings; D follows from 6 N D = C.
_KAPLAN_EXPONENT = 0.73
KAPLAN = Power(
    "kaplan",
    "Kaplan et al. 2020, arXiv 2001.08361, section 6: N = 1.3e9 C^0.73 of C in PF-days, without embeddings",
    1.3e9,
    PETAFLOP_DAY / (_FLOPS * 1.3e9),
    1.0 / _KAPLAN_EXPONENT - 1.0,
)
ALLOCATIONS: dict[str, Power | Parametric] = {
    model.name: model for model in (APPROACH_1, APPROACH_2, APPROACH_3, PARAMETRIC, REFIT, RULE, KAPLAN)
}
DEFAULT = "approach-1"


def for_budget(flops: float, approach: str = DEFAULT) -> Optimum:
    """The size and the tokens that spend a budget best.

    >>> best = for_budget(5.76e23)
    >>> round(best.parameters / 1e9), round(best.tokens / 1e12, 1)
    (68, 1.4)
    """
    model = allocation(approach)
    size = model.parameters(_positive(flops, "budget"))
    return _optimum(size, flops / (_FLOPS * size), model)


def for_size(parameters: float, approach: str = DEFAULT) -> Optimum:
    """The tokens for which a size is the best one.

    >>> round(for_size(1e10).tokens / 1e9, 1)
    205.1
    """
    model = allocation(approach)
    return _optimum(parameters, model.tokens(_positive(parameters, "parameters")), model)


def every_approach(flops: float) -> list[Optimum]:
    """The size and the tokens of a budget, by each approach."""
    return [for_budget(flops, name) for name in ALLOCATIONS]


def allocation(approach: str) -> Power | Parametric:
    """The power law or the parametric fit of a name."""
    model = ALLOCATIONS.get(approach)
    if model is None:
        raise UsageError(f"approach {approach!r} is not one of {', '.join(ALLOCATIONS)}")
    return model


def _optimum(parameters: float, tokens: float, model: Power | Parametric) -> Optimum:
    fit = model if isinstance(model, Parametric) else PARAMETRIC
    return Optimum(parameters, tokens, model.name, model.source, fit.loss(parameters, tokens))


def _positive(value: float, what: str) -> float:
    if not 0.0 < value < float("inf"):
        raise UsageError(f"{what} {value!r}: not a number above zero")
    return value

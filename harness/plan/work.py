"""The matrix FLOPs of a model: exact (a mask is honoured) and dense (it is ignored), by component.

Training is three times the forward pass, as each product has two in its backward (of its input and of its weight); what is recomputed counts as hardware FLOPs alone.
"""

from dataclasses import dataclass

from harness.errors import UsageError
from harness.records.architecture import Architecture, Core, Per

# Forward, and the gradients of inputs and of weights.
TRAINING = 3


@dataclass(frozen=True)
class Lengths:
    """A batch: samples, and the tokens of each; `target` are a decoder's where a source stands beside it."""

    batch: int
    source: int
    target: int = 0

    def of(self, per: Per) -> int:
        """How many of these a batch has."""
        return self.batch * {Per.SOURCE: self.source, Per.TARGET: self.target, Per.SAMPLE: 1}[per]

    def length(self, per: Per) -> int:
        """The tokens of one sample."""
        return {Per.SOURCE: self.source, Per.TARGET: self.target, Per.SAMPLE: 1}[per]

    @property
    def tokens(self) -> int:
        """All tokens of the batch, source and target."""
        return self.batch * (self.source + self.target)


@dataclass(frozen=True)
class Work:
    """FLOPs of one pass by component, those of attention's core as "attention core"; `dense` with masks ignored."""

    exact: dict[str, int]
    dense: dict[str, int]

    @property
    def flops(self) -> int:
        """All of them, masks honoured."""
        return sum(self.exact.values())

    @property
    def flops_dense(self) -> int:
        """All of them, masks ignored."""
        return sum(self.dense.values())


CORE = "attention core"


def forward(model: Architecture, lengths: Lengths) -> Work:
    """The FLOPs of a forward pass over a batch."""
    exact: dict[str, int] = {}
    for part in model.parts:
        if part.flops:
            done = part.count * part.flops * lengths.of(part.per)
            exact[part.component] = exact.get(part.component, 0) + done
    dense = dict(exact)
    for core in model.cores:
        queries, keys = lengths.length(core.queries), lengths.length(core.keys)
        each = lengths.batch * core.count * 2 * core.heads * (core.key_width + core.value_width)
        exact[CORE] = exact.get(CORE, 0) + each * pairs(core, queries, keys)
        dense[CORE] = dense.get(CORE, 0) + each * queries * keys
    return Work(exact, dense)


def pairs(core: Core, queries: int, keys: int) -> int:
    """How many pairs of query and key one head attends to.

    Causal, s tokens: s (s + 1) / 2; with a window w: w s - w (w - 1) / 2.

    >>> core = Core(count=1, heads=1, key_width=1, value_width=1, causal=True)
    >>> pairs(core, 4, 4), pairs(Core(1, 1, 1, 1, causal=True, window=2), 4, 4), pairs(Core(1, 1, 1, 1, causal=False), 4, 4)
    (10, 7, 16)
    """
    width = keys if core.window is None else min(core.window, keys)
    if not core.causal:
        return queries * width
    seen = keys - queries  # what a cache holds already
    growing = max(0, min(queries, width - seen))
    return growing * seen + growing * (growing + 1) // 2 + (queries - growing) * width


def joules(watts: float, device_seconds: float, overhead: float = 1.0) -> float:
    """The energy of devices that draw so many watts each, times what the building adds: its PUE, 1 for the devices alone.

    LLaMA-65B in MWh; its paper has 449 (Touvron et al. 2023, arXiv 2302.13971, table 15):

    >>> round(joules(400.0, 3600.0 * 1_022_362, overhead=1.1) / 3.6e9)
    450
    """
    if watts <= 0 or device_seconds < 0 or overhead < 1:
        raise UsageError(
            f"energy of {watts} W with an overhead of {overhead}: power is above 0, an overhead 1 or more"
        )
    return watts * device_seconds * overhead


def cost(price: float, device_seconds: float) -> float:
    """What devices cost, at a price for one of them and a second.

    >>> cost(2.0 / 3600, 30_840_000 * 3600.0)
    61680000.0
    """
    if price <= 0 or device_seconds < 0:
        raise UsageError(f"a price of {price}: above 0")
    return price * device_seconds


def grams_of_co2(energy: float, grams_per_kilowatt_hour: float) -> float:
    """What the power plants emit for an energy in joules, at a stated intensity.

    LLaMA-65B as its paper states it (Touvron et al. 2023, arXiv 2302.13971, table 15): 449 MWh at 385 g give 173 t.

    >>> round(grams_of_co2(449e6 * 3600, 385.0) / 1e6)
    173
    """
    if grams_per_kilowatt_hour < 0:
        raise UsageError(f"an intensity of {grams_per_kilowatt_hour} g/kWh: 0 or more")
    return energy / 3.6e6 * grams_per_kilowatt_hour

"""The matrix FLOPs of a model, by component and by published conventions; energy and price.

Exact FLOPs honour a mask, dense ones ignore it. Training is three times the forward pass, because each product has two in its backward pass: of its input and
of its weight. Recomputation counts as hardware FLOPs alone.
"""

from dataclasses import dataclass

from harness.errors import UsageError
from harness.records.architecture import Architecture, Core, Per, Recompute

# Forward, and the gradients of inputs and of weights.
TRAINING = 3
# The component of attention's core, and that of the part that scores every token of the vocabulary.
CORE, HEAD = "attention core", "head"

SIX_ND = "Kaplan et al. 2020, arXiv 2001.08361, section 2.1; GPT-3, arXiv 2005.14165, table D.1"
PALM = "Chowdhery et al. 2022 (PaLM), arXiv 2204.02311, appendix B"
MEGATRON = "Narayanan et al. 2021 (Megatron-LM), arXiv 2104.04473, equations 2 and 3"
KAPLAN = "Kaplan et al. 2020, arXiv 2001.08361, table 1"


@dataclass(frozen=True)
class Lengths:
    """A batch: samples, and the tokens of each; `target` are those of a decoder that reads an encoder's source."""

    batch: int
    source: int
    target: int = 0

    def of(self, per: Per) -> int:
        """How many of these a batch has."""
        return self.batch * self.length(per)

    def length(self, per: Per) -> int:
        """The tokens of one sample."""
        return {Per.SOURCE: self.source, Per.TARGET: self.target, Per.SAMPLE: 1}[per]

    @property
    def tokens(self) -> int:
        """All tokens of the batch, source and target."""
        return self.batch * (self.source + self.target)


@dataclass(frozen=True)
class Work:
    """FLOPs of one pass by component; `exact` with masks honoured, `dense` with masks ignored."""

    exact: dict[str, int]
    dense: dict[str, int]

    @property
    def flops(self) -> int:
        """FLOPs in all, masks honoured."""
        return sum(self.exact.values())

    @property
    def flops_dense(self) -> int:
        """FLOPs in all, masks ignored."""
        return sum(self.dense.values())


def forward(model: Architecture, lengths: Lengths) -> Work:
    """The FLOPs of a forward pass over a batch."""
    exact: dict[str, int] = {}
    for part in model.parts:
        if part.flops:
            flops = part.count * part.flops * lengths.of(part.per)
            exact[part.component] = exact.get(part.component, 0) + flops
    dense = dict(exact)
    for core in model.cores:
        queries, keys = lengths.length(core.queries), lengths.length(core.keys)
        each = lengths.batch * core.count * 2 * core.heads * (core.key_width + core.value_width)
        exact[CORE] = exact.get(CORE, 0) + each * pairs(core, queries, keys)
        dense[CORE] = dense.get(CORE, 0) + each * queries * keys
    return Work(exact, dense)


def pairs(core: Core, queries: int, keys: int) -> int:
    """The pairs of query and key that one head attends to.

    Causal, s tokens: s (s + 1) / 2; with a window w: w s - w (w - 1) / 2.

    >>> core = Core(count=1, heads=1, key_width=1, value_width=1, causal=True)
    >>> pairs(core, 4, 4), pairs(Core(1, 1, 1, 1, causal=True, window=2), 4, 4), pairs(Core(1, 1, 1, 1, causal=False), 4, 4)
    (10, 7, 16)
    """
    width = keys if core.window is None else min(core.window, keys)
    if not core.causal:
        return queries * width
    cached = keys - queries
    growing = max(0, min(queries, width - cached))
    return growing * cached + growing * (growing + 1) // 2 + (queries - growing) * width


def joules(watts: float, device_seconds: float, overhead: float = 1.0) -> float:
    """The energy of devices that draw `watts` each; `overhead` is the PUE of the building, 1 for the devices alone.

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
    """The cost of devices, at a price for one of them and a second.

    >>> cost(2.0 / 3600, 30_840_000 * 3600.0)
    61680000.0
    """
    if price <= 0 or device_seconds < 0:
        raise UsageError(f"a price of {price}: above 0")
    return price * device_seconds


@dataclass(frozen=True)
class Convention:
    """The training FLOPs of a model by one convention; `note` is what it includes."""

    name: str
    per_token: float
    tokens: int
    source: str
    note: str

    @property
    def total(self) -> float:
        """FLOPs of training on all tokens."""
        return self.per_token * self.tokens


def six_nd(parameters: float, tokens: float, *, encoder_decoder: bool = False) -> float:
    """6 N D: attention is ignored; of an encoder and decoder each token passes through half, so 3 N D.

    GPT-3 175B, with 174.6 billion parameters and 300 billion tokens:

    >>> six_nd(174.6e9, 300e9), six_nd(11e9, 1e12, encoder_decoder=True)
    (3.1428e+23, 3.3e+22)
    """
    return (3.0 if encoder_decoder else 6.0) * parameters * tokens


def palm(parameters: float, layers: int, heads: int, head_width: int, sequence: int) -> float:
    """FLOPs per token, 6 N + 12 L H Q T: attention over whole sequences, masks ignored.

    The meaning of N differs: PaLM takes all parameters, nanoGPT leaves out positions.

    >>> palm(124_337_664 - 1024 * 768, layers=12, heads=12, head_width=64, sequence=1024) * 1024
    875062886400
    """
    return 6 * parameters + 12 * layers * heads * head_width * sequence


@dataclass(frozen=True)
class Gpt:
    """A GPT as Megatron's formulas have it: blocks four times as wide inside, as many key heads as heads, a tied head."""

    layers: int
    hidden: int
    vocabulary: int = 51_200
    sequence: int = 2048

    @property
    def parameters(self) -> float:
        """12 L h^2 (1 + 13 / 12h + (V + s) / 12Lh): biases and norms included.

        >>> round(Gpt(layers=96, hidden=12288).parameters / 1e9, 1)
        174.6
        """
        wide = 12 * self.layers * self.hidden
        return (
            wide * self.hidden
            + 13 * self.layers * self.hidden
            + self.hidden * (self.vocabulary + self.sequence)
        )

    def flops(self, batch: int, recompute: Recompute = Recompute.NONE) -> float:
        """One iteration: 72 B s L h^2 (1 + s / 6h + V / 12Lh).

        With full recomputation the layers cost 4/3, but not the head: 96 B s L h^2 (1 + s / 6h + V / 16Lh). With that of attention's core alone,
        Korthikanti et al. (arXiv 2205.05198, appendix A) print 1 + s / 3h + V / 12Lh, which is the core twice; one more forward pass of it would be
        s / 18h. The papers' V / 12hL and V / 12Lh are the same.
        """
        once = 72.0 * batch * self.sequence * self.layers * self.hidden**2
        core = self.sequence / (6 * self.hidden)
        head = self.vocabulary / (12 * self.layers * self.hidden)
        if recompute is Recompute.FULL:
            return once * ((1 + core) * 4 / 3 + head)
        return once * (1 + core * (2 if recompute is Recompute.SELECTIVE else 1) + head)


def conventions(model: Architecture, tokens: int, sequence: int) -> list[Convention]:
    """The published conventions that apply to a model; none to one without attention."""
    if not model.cores:
        return []
    size = model.active_parameters
    if any(part.per is Per.TARGET for part in model.parts):
        note = "active parameters with embeddings, each token through half of them; attention ignored"
        return [Convention("6ND / 2", six_nd(size, 1, encoder_decoder=True), tokens, SIX_ND, note)]
    attention = 12 * sequence * sum(core.count * core.heads * core.key_width for core in model.cores)
    head = sum(part.count * part.parameters for part in model.parts if part.component == HEAD)
    bare = size - model.embedding_parameters - head
    rows = [
        ("6ND", six_nd(size, 1), SIX_ND, "active parameters with embeddings; attention ignored"),
        ("PaLM", 6.0 * size + attention, PALM, "6N + 12LHQT: all active parameters; the mask ignored"),
        ("Kaplan", 6.0 * bare + attention / 2, KAPLAN, "no embeddings, no head; half of attention"),
    ]
    if _is_gpt(model):
        flops = Gpt(model.layers, model.hidden, model.vocabulary, sequence).flops(1) / sequence
        rows.append(("Megatron", flops, MEGATRON, "72BsLh^2 (1 + s/6h + V/12Lh)"))
    return [Convention(name, flops, tokens, source, note) for name, flops, source, note in rows]


def _is_gpt(model: Architecture) -> bool:
    """Whether Megatron's formula describes such a model."""
    plain = model.intermediate == 4 * model.hidden and not model.gated and not model.experts
    return plain and model.layers > 0 and model.kv_heads == model.heads

"""Training FLOPs as papers count them, to stand beside exact counts. Each goes by its own rules, and says which.

Every function that takes numbers gives FLOPs of training (forward and backward) and nothing of vector work; `beside` puts those that apply to a model in one table.
"""

from dataclasses import dataclass

from harness.records.architecture import Architecture, Per, Recompute

SIX_ND = "Kaplan et al. 2020, arXiv 2001.08361, section 2.1; GPT-3, arXiv 2005.14165, table D.1"
PALM = "Chowdhery et al. 2022 (PaLM), arXiv 2204.02311, appendix B"
MEGATRON = "Narayanan et al. 2021 (Megatron-LM), arXiv 2104.04473, equations 2 and 3"
KORTHIKANTI = "Korthikanti et al. 2022, arXiv 2205.05198, appendix A"
KAPLAN = "Kaplan et al. 2020, arXiv 2001.08361, table 1"


@dataclass(frozen=True)
class Convention:
    """What one convention makes of a model: FLOPs of training per token and in all, with its source and what it leaves out."""

    name: str
    per_token: float
    total: float
    source: str
    note: str


def six_nd(parameters: float, tokens: float, *, encoder_decoder: bool = False) -> float:
    """6 N D: attention is ignored; of an encoder and decoder each token passes through half, so 3 N D.

    GPT-3 175B, with 174.6 billion parameters and 300 billion tokens:

    >>> six_nd(174.6e9, 300e9), six_nd(11e9, 1e12, encoder_decoder=True)
    (3.1428e+23, 3.3e+22)
    """
    return (3.0 if encoder_decoder else 6.0) * parameters * tokens


def palm(parameters: float, layers: int, heads: int, head_width: int, sequence: int) -> float:
    """FLOPs per token, 6 N + 12 L H Q T: attention over whole sequences, masks ignored.

    Which parameters N are is left to whoever quotes it: PaLM takes all, nanoGPT leaves out positions.

    >>> palm(124_337_664 - 1024 * 768, layers=12, heads=12, head_width=64, sequence=1024) * 1024
    875062886400
    """
    return 6 * parameters + 12 * layers * heads * head_width * sequence


@dataclass(frozen=True)
class Gpt:
    """A GPT as Megatron's formulas see it: layers of four times the width inside, as many key heads as heads, a tied head."""

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

        Computed again in full, the layers cost 4/3, the head does not: 96 B s L h^2 (1 + s / 6h + V / 16Lh). With attention's core alone, Korthikanti et al. print 1 + s / 3h + V / 12Lh, that is the core twice; one more forward pass of it would be
        s / 18h. The papers' V / 12hL and V / 12Lh are the same.
        """
        once = 72.0 * batch * self.sequence * self.layers * self.hidden**2
        core = self.sequence / (6 * self.hidden)
        head = self.vocabulary / (12 * self.layers * self.hidden)
        if recompute is Recompute.FULL:
            return once * ((1 + core) * 4 / 3 + head)
        return once * (1 + core * (2 if recompute is Recompute.SELECTIVE else 1) + head)

    def seconds(self, batch: int, devices: int, achieved: float, recompute: Recompute) -> float:
        """An iteration's time at so many FLOP/s of each device, recomputed ones among them, as Megatron reports them."""
        return self.flops(batch, recompute) / (devices * achieved)


def kaplan(parameters: float, layers: int, width: int, sequence: int) -> float:
    """FLOPs per token, 3 (2 N + 2 L n_ctx d): N without embeddings and head, attention over the half that a causal mask leaves.

    >>> kaplan(85e6, layers=12, width=768, sequence=1024)
    566623104.0
    """
    return 3.0 * (2 * parameters + 2 * layers * sequence * width)


def beside(model: Architecture, tokens: int, sequence: int) -> list[Convention]:
    """What the published conventions that apply say of a model; none of one that has no attention."""
    if not model.cores:
        return []
    halved = any(part.per is Per.TARGET for part in model.parts)
    size = model.active_parameters
    found = [
        Convention(
            "6ND / 2" if halved else "6ND",
            six_nd(size, 1, encoder_decoder=halved),
            six_nd(size, tokens, encoder_decoder=halved),
            SIX_ND,
            "active parameters, embeddings among them; attention ignored"
            + ("; each token through half of the parameters" if halved else ""),
        )
    ]
    if halved:
        return found
    attention = 12 * sequence * sum(core.count * core.heads * core.key_width for core in model.cores)
    flops = 6.0 * size + attention
    found.append(
        Convention(
            "PaLM", flops, flops * tokens, PALM, "6N + 12LHQT: all active parameters; the mask ignored"
        )
    )
    head = sum(part.count * part.parameters for part in model.parts if part.component == "head")
    bare = size - model.embedding_parameters - head
    flops = 6.0 * bare + attention / 2
    found.append(
        Convention("Kaplan", flops, flops * tokens, KAPLAN, "no embeddings, no head; half of attention")
    )
    if _is_gpt(model):
        flops = Gpt(model.layers, model.hidden, model.vocabulary, sequence).flops(1) / sequence
        found.append(Convention("Megatron", flops, flops * tokens, MEGATRON, "72BsLh^2 (1 + s/6h + V/12Lh)"))
    return found


def _is_gpt(model: Architecture) -> bool:
    """Whether Megatron's formula is about such a model."""
    plain = model.intermediate == 4 * model.hidden and not model.gated and not model.experts
    return plain and model.layers > 0 and model.kv_heads == model.heads

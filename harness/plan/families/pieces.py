"""Pieces of models: products, tables, norms, attention and feed-forward blocks, each with its parameters and matrix FLOPs."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from harness.records.architecture import Parts, Per


def linear(
    component: str, inputs: int, outputs: int, *, count: int = 1, bias: bool = False, per: Per = Per.SOURCE
) -> Parts:
    """A matrix product, with or without a bias.

    >>> linear("head", 4, 10, bias=True)
    Parts(component='head', count=1, parameters=50, flops=80, active=None, per=<Per.SOURCE: 'source'>, embedding=False)
    """
    return Parts(component, count, inputs * outputs + bias * outputs, 2 * inputs * outputs, per=per)


def table(component: str, rows: int, width: int) -> Parts:
    """A lookup table, which needs no product."""
    return Parts(component, 1, rows * width, embedding=True)


def norm(width: int, count: int = 1) -> Parts:
    """Norms of `width` parameters each."""
    return Parts("norms", count, width)


def output(inputs: int, outputs: int, *, tied: bool, bias: bool = False, per: Per = Per.SOURCE) -> Parts:
    """The head of a language model: a product with a table of its own, or with that of the tokens (`tied`)."""
    own = 0 if tied else inputs * outputs
    return Parts("head", 1, own + bias * outputs, 2 * inputs * outputs, per=per)


def merged(parts: Iterable[Parts]) -> tuple[Parts, ...]:
    """Equal parts as one entry with the sum of their counts, in order of the first; empty ones are left out."""
    counts: Counter[Parts] = Counter()
    for part in parts:
        if part.count and (part.parameters or part.flops):
            counts[replace(part, count=1)] += part.count
    return tuple(replace(part, count=count) for part, count in counts.items())


def per_sample(part: Parts) -> Parts:
    """The same part, once for each sample."""
    return replace(part, per=Per.SAMPLE)


@dataclass(frozen=True)
class Attention:
    """The projections of one attention layer; `bias` is that of queries, keys and values, `extra` the parameters of its norms and sinks."""

    hidden: int
    heads: int
    kv_heads: int
    width: int
    bias: bool = False
    output_bias: bool = False
    extra: int = 0

    @property
    def key_width(self) -> int:
        """The width of one head."""
        return self.width

    @property
    def value_width(self) -> int:
        """The width of one head."""
        return self.width

    @property
    def kept(self) -> int:
        """Elements of a token in a cache: keys and values."""
        return 2 * self.kv_heads * self.width

    def parts(
        self,
        count: int,
        component: str = "attention",
        queries: Per = Per.SOURCE,
        keys: Per = Per.SOURCE,
    ) -> tuple[Parts, ...]:
        """Projections of `count` layers: 2 h d (a + 2 k) + 2 a d h for each token, a heads, k of keys, d wide."""
        inner, shared = self.heads * self.width, self.kv_heads * self.width
        return (
            linear(component, self.hidden, inner, count=count, bias=self.bias, per=queries),
            linear(component, self.hidden, 2 * shared, count=count, bias=self.bias, per=keys),
            linear(component, inner, self.hidden, count=count, bias=self.output_bias, per=queries),
            norm(self.extra, count),
        )


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek-V2, 2405.04434): keys and values come from a short vector, and the cache keeps that alone."""

    hidden: int
    heads: int
    query_rank: int | None
    rank: int
    plain: int
    rotary: int
    value: int
    bias: bool = False

    @property
    def kv_heads(self) -> int:
        """As many as heads, once keys and values are made from the latent."""
        return self.heads

    @property
    def width(self) -> int:
        """The width of the keys of one head: the part without and the part with positions."""
        return self.plain + self.rotary

    @property
    def key_width(self) -> int:
        """The same: the width of the keys of one head."""
        return self.width

    @property
    def value_width(self) -> int:
        """The width of one head."""
        return self.value

    @property
    def kept(self) -> int:
        """Elements of a token in a cache: the latent, and the key with positions that all heads share."""
        return self.rank + self.rotary

    def parts(self, count: int) -> tuple[Parts, ...]:
        """Projections to the latents, their norms, projections to the heads, and the output."""
        name, inner = "attention", self.heads * self.key_width
        down = (
            (linear(name, self.hidden, inner, count=count),)
            if self.query_rank is None
            else (
                linear(name, self.hidden, self.query_rank, count=count, bias=self.bias),
                norm(self.query_rank, count),
                linear(name, self.query_rank, inner, count=count),
            )
        )
        return (
            *down,
            linear(name, self.hidden, self.rank + self.rotary, count=count, bias=self.bias),
            norm(self.rank, count),
            linear(name, self.rank, self.heads * (self.plain + self.value), count=count),
            linear(name, self.heads * self.value, self.hidden, count=count, bias=self.bias),
        )


@dataclass(frozen=True)
class FeedForward:
    """Two products, or three with a gate."""

    hidden: int
    inner: int
    gated: bool = False
    bias: bool = False

    @property
    def weights(self) -> int:
        """The weights of its products."""
        return (2 + self.gated) * self.hidden * self.inner

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.weights + self.bias * ((1 + self.gated) * self.inner + self.hidden)

    def parts(self, count: int, component: str = "feed-forward", per: Per = Per.SOURCE) -> tuple[Parts, ...]:
        """The blocks of `count` layers: 4 h f FLOPs a token, 6 h f with a gate."""
        return (Parts(component, count, self.parameters, 2 * self.weights, per=per),)


@dataclass(frozen=True)
class Mixture:
    """Experts, to a few of which a router sends each token; and one of width `shared` that every token passes."""

    expert: FeedForward
    experts: int
    chosen: int
    shared: int = 0
    shared_gate: bool = False
    router_bias: bool = False

    def parts(self, count: int) -> tuple[Parts, ...]:
        """Router 2 h E, experts 6 h f k FLOPs a token."""
        expert, hidden = self.expert, self.expert.hidden
        experts = Parts(
            "experts",
            count,
            self.experts * expert.parameters,
            2 * self.chosen * expert.weights,
            active=self.chosen * expert.parameters,
        )
        everyone = FeedForward(hidden, self.shared, expert.gated, expert.bias).parts(
            count if self.shared else 0, "shared expert"
        )
        gate = linear("shared expert", hidden, 1, count=count if self.shared_gate else 0)
        return (
            linear("router", hidden, self.experts, count=count, bias=self.router_bias),
            experts,
            *everyone,
            gate,
        )

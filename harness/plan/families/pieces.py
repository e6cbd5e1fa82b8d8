"""Pieces of models: products, tables, norms, attention and feed-forward blocks, each with its parameters and matrix FLOPs."""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.records.architecture import Parts, Per


def linear(
    component: str, inputs: int, outputs: int, *, count: int = 1, bias: bool = False, per: Per = Per.SOURCE
) -> Parts:
    """A matrix product, and what is added to it.

    >>> linear("head", 4, 10, bias=True)
    Parts(component='head', count=1, parameters=50, flops=80, active=None, per=<Per.SOURCE: 'source'>, embedding=False)
    """
    return Parts(component, count, inputs * outputs + bias * outputs, 2 * inputs * outputs, per=per)


def table(component: str, rows: int, width: int) -> Parts:
    """A table that is looked up, which costs no product."""
    return Parts(component, 1, rows * width, embedding=True)


def norm(width: int, count: int = 1) -> Parts:
    """Norms of so many parameters each."""
    return Parts("norms", count, width)


def output(inputs: int, outputs: int, *, tied: bool, bias: bool = False, per: Per = Per.SOURCE) -> Parts:
    """A language model's head: a product with the table of tokens, its own or the one that is tied to it."""
    own = 0 if tied else inputs * outputs
    return Parts("head", 1, own + bias * outputs, 2 * inputs * outputs, per=per)


def merged(parts: Iterable[Parts]) -> tuple[Parts, ...]:
    """Those alike as one entry, in order of their first; those of nothing left out."""
    counts: dict[tuple[str, int, int, int | None, Per, bool], int] = {}
    for part in parts:
        if part.count and (part.parameters or part.flops):
            key = (part.component, part.parameters, part.flops, part.active, part.per, part.embedding)
            counts[key] = counts.get(key, 0) + part.count
    return tuple(
        Parts(component, count, parameters, flops, active, per, embedding)
        for (component, parameters, flops, active, per, embedding), count in counts.items()
    )


def per_sample(part: Parts) -> Parts:
    """The same, once for each sample."""
    return Parts(
        part.component, part.count, part.parameters, part.flops, part.active, Per.SAMPLE, part.embedding
    )


@dataclass(frozen=True)
class Attention:
    """The projections of one attention layer; `bias` is that of queries, keys and values, `extra` what its norms and sinks have."""

    hidden: int
    heads: int
    kv_heads: int
    width: int
    bias: bool = False
    output_bias: bool = False
    extra: int = 0

    @property
    def key_width(self) -> int:
        """Of one head."""
        return self.width

    @property
    def value_width(self) -> int:
        """Of one head."""
        return self.width

    @property
    def kept(self) -> int:
        """Elements of a token in a cache: its keys and values."""
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
    """Multi-head latent attention (DeepSeek-V2, 2405.04434): keys and values come from a short vector, which is all a cache keeps."""

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
        """Each head has its own keys and values, once they are made from the latent."""
        return self.heads

    @property
    def width(self) -> int:
        """Of a head's keys."""
        return self.plain + self.rotary

    @property
    def key_width(self) -> int:
        """Of one head: the part without and the part with positions."""
        return self.plain + self.rotary

    @property
    def value_width(self) -> int:
        """Of one head."""
        return self.value

    @property
    def kept(self) -> int:
        """Elements of a token in a cache: the latent, and the one key with positions that all heads share."""
        return self.rank + self.rotary

    def parts(self, count: int) -> tuple[Parts, ...]:
        """Down to the latents, their norms, up to the heads, and out."""
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
        """Those of its products."""
        return (2 + self.gated) * self.hidden * self.inner

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.weights + self.bias * ((1 + self.gated) * self.inner + self.hidden)

    def parts(self, count: int, component: str = "feed-forward", per: Per = Per.SOURCE) -> tuple[Parts, ...]:
        """Those of `count` layers: 4 h f FLOPs a token, 6 h f with a gate."""
        return (Parts(component, count, self.parameters, 2 * self.weights, per=per),)


@dataclass(frozen=True)
class Mixture:
    """Experts, of which a router sends each token to a few; beside them one that every token passes, of width `shared`."""

    expert: FeedForward
    experts: int
    chosen: int
    shared: int = 0
    shared_gate: bool = False
    router_bias: bool = False

    def parts(self, count: int) -> tuple[Parts, ...]:
        """Router 2 h E, experts 6 h f k FLOPs a token."""
        one, hidden = self.expert, self.expert.hidden
        experts = Parts(
            "experts",
            count,
            self.experts * one.parameters,
            2 * self.chosen * one.weights,
            active=self.chosen * one.parameters,
        )
        everyone = FeedForward(hidden, self.shared, one.gated, one.bias).parts(
            count if self.shared else 0, "shared expert"
        )
        gate = linear("shared expert", hidden, 1, count=count if self.shared_gate else 0)
        return (
            linear("router", hidden, self.experts, count=count, bias=self.router_bias),
            experts,
            *everyone,
            gate,
        )

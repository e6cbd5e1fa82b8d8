"""Scaled-dot-product attention, in every backend that torch has: (batch, heads, length, depth).

`queries` and `keys` are lengths, `depth` is the size of a head. Fewer `kv_heads` than `heads` are grouped-query
attention, one is multi-query. torch's causal mask is aligned to the top left: query i sees keys 0 to i.
A backward call gives the gradients of query, key and value of a forward pass done beforehand.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from harness import (
    ITEM_BYTES,
    Bench,
    Call,
    Cost,
    Series,
    Sweep,
    Unsupported,
    Workload,
    check_dtype,
    check_one_of,
    check_positive,
    powers_of_two,
    precision_of,
)

BACKENDS = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}
DIRECTIONS = ("forward", "backward")
MASKS = ("full", "causal")
# What can vary in a sweep, and the power of it that the work grows with. Lengths: of queries and keys alike.
SWEPT = {"lengths": 2.0, "keys": 1.0, "depth": 1.0, "batch": 1.0}
# A pair of a query and a key: scale, running maximum, subtract, exponential, sum, rescale.
VECTOR_PER_PAIR = 6


@dataclass(frozen=True)
class Attention(Workload):
    """One attention call. `swept` names the sweep that it belongs to; cases that differ in it alone are equal."""

    dtype: str
    direction: str
    backend: str
    mask: str
    batch: int
    heads: int
    kv_heads: int
    queries: int
    keys: int
    depth: int
    swept: str = field(default="lengths", compare=False)

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        check_positive(self)
        for name, allowed in (
            ("direction", DIRECTIONS),
            ("backend", BACKENDS),
            ("mask", MASKS),
            ("swept", SWEPT),
        ):
            check_one_of(name, getattr(self, name), allowed)
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} heads of keys and values")

    def __str__(self) -> str:
        """The id, without `swept`."""
        return super().__str__().replace(f"-{self.mask}-{self.swept}-", f"-{self.mask}-")

    @property
    def pairs(self) -> int:
        """Number of pairs of a query and a key that attend to each other, per head."""
        if self.mask == "full":
            return self.queries * self.keys
        corner = min(self.queries, self.keys)
        return corner * (corner + 1) // 2 + (self.queries - corner) * self.keys

    @property
    def grouped(self) -> bool:
        """Whether heads share keys and values."""
        return self.heads != self.kv_heads

    def cost(self) -> Cost:
        """Forward two products of 2 x depth FLOPs a pair, backward four; masked pairs apart.

        A fused backend computes the scores once more in its backward pass. It moves query, keys, values and
        output, and four bytes a query for the logarithm of its sum; in the backward pass their gradients too.
        The math backend writes and reads its scores as well, and works on masked pairs as on any other.
        """
        heads = self.batch * self.heads
        products = 2 if self.direction == "forward" else 4
        pairs, everything = heads * self.pairs, heads * self.queries * self.keys
        work = Cost(
            flops=2 * products * self.depth * pairs,
            masked_flops=2 * products * self.depth * (everything - pairs),
            bytes_read=0,
            bytes_written=0,
            memory_bytes=0,
        )
        return _unfused(self, work) if self.backend == "math" else _fused(self, work)

    def working_set_bytes(self) -> int:
        """The math backend reads its own results again, at most all of its memory."""
        return min(self.cost().bytes_moved, self.cost().memory_bytes)

    def series(self) -> Series:
        """Cases that differ only in the swept size form a sweep; the work grows as the square of the lengths."""
        varying = {"queries", "keys"} if self.swept == "lengths" else {self.swept}
        kept = [f"{name}{value}" for name, value in self.sizes.items() if name not in varying]
        words = [self.family, self.dtype, self.direction, self.backend, self.mask, self.swept]
        size = self.keys if self.swept == "lengths" else self.sizes[self.swept]
        return Series("-".join([*words, *kept]), self.swept, size, SWEPT[self.swept])

    @contextmanager
    def context(self) -> Iterator[None]:
        """Selects this backend alone; float32 means IEEE."""
        with sdpa_kernel(BACKENDS[self.backend]), precision_of(self.dtype):
            yield

    def prepare(self, device: torch.device) -> Call:
        """Random normal queries, keys and values, and for a backward call the forward pass."""
        dtype, backward = getattr(torch, self.dtype), self.direction == "backward"

        def random(heads: int, length: int) -> torch.Tensor:
            shape = (self.batch, heads, length, self.depth)
            return torch.randn(*shape, device=device, dtype=dtype, requires_grad=backward)

        query = random(self.heads, self.queries)
        key, value = random(self.kv_heads, self.keys), random(self.kv_heads, self.keys)
        causal, grouped = self.mask == "causal", self.grouped
        require_backend(self.backend, query, key, value, causal=causal, grouped=grouped)

        def attend() -> torch.Tensor:
            return scaled_dot_product_attention(query, key, value, is_causal=causal, enable_gqa=grouped)

        if not backward:
            return attend
        output = attend()
        gradient = torch.randn_like(output)
        return lambda: torch.autograd.grad(output, (query, key, value), gradient, retain_graph=True)[0]


def require_backend(
    backend: str, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, causal: bool, grouped: bool
) -> None:
    """Refuses a device without this backend, or one whose kernels do not take these tensors.

    Raises:
        Unsupported: names the device and the backend.
    """
    kind = query.device.type
    if kind == "cpu" and backend in {"efficient", "cudnn"}:
        raise Unsupported(f"the {backend} backend of attention needs an NVIDIA GPU: a CPU has math and flash")
    if kind != "cuda" or backend == "math":
        return
    can_use = {
        "flash": torch.backends.cuda.can_use_flash_attention,
        "efficient": torch.backends.cuda.can_use_efficient_attention,
        "cudnn": torch.backends.cuda.can_use_cudnn_attention,
    }[backend]
    if not can_use(torch.backends.cuda.SDPAParams(query, key, value, None, 0.0, causal, grouped)):
        shape = "grouped-query attention" if grouped else f"heads of {query.shape[-1]}"
        raise Unsupported(
            f"{torch.cuda.get_device_name(query.device)} has no {backend} attention for "
            f"{str(query.dtype).removeprefix('torch.')}, {shape}"
        )


def _fused(of: Attention, work: Cost) -> Cost:
    """The cost of a fused backend, whose scores stay on the chip."""
    item = ITEM_BYTES[of.dtype]
    query = item * of.batch * of.heads * of.queries * of.depth
    pair = 2 * item * of.batch * of.kv_heads * of.keys * of.depth  # keys and values
    logsumexp = 4 * of.batch * of.heads * of.queries
    vector = VECTOR_PER_PAIR * of.batch * of.heads * of.pairs
    if of.direction == "forward":
        return Cost(
            flops=work.flops,
            masked_flops=work.masked_flops,
            elementwise_flops=vector,
            bytes_read=query + pair,
            bytes_written=query + logsumexp,
            memory_bytes=2 * query + pair + logsumexp,
        )
    return Cost(
        flops=work.flops,
        masked_flops=work.masked_flops,
        recomputed_flops=work.flops // 4,
        elementwise_flops=vector,
        bytes_read=3 * query + pair + logsumexp,  # query, output and its gradient
        bytes_written=query + pair,
        memory_bytes=4 * query + 2 * pair + logsumexp,
    )


@dataclass(frozen=True)
class _Counts:
    """Elements of what the math backend works on, all in float32: it widens narrower dtypes first."""

    query: int
    key: int
    """Of keys repeated for each head."""
    own: int
    """Of keys as given."""
    scores: int
    rows: int
    mask: int
    narrow: int
    """Bytes of an element of a dtype narrower than float32, else 0."""
    grouped: bool

    @property
    def given(self) -> int:
        """Of query, keys and values as given."""
        return self.query + 2 * self.own


def _unfused(of: Attention, work: Cost) -> Cost:
    """Operator by operator, as torch composes it; each writes its result to memory, and the next reads it."""
    heads, item = of.batch * of.heads, ITEM_BYTES[of.dtype]
    counts = _Counts(
        query=heads * of.queries * of.depth,
        key=heads * of.keys * of.depth,
        own=of.batch * of.kv_heads * of.keys * of.depth,
        scores=heads * of.queries * of.keys,
        rows=heads * of.queries,
        mask=of.queries * of.keys if of.mask == "causal" else 0,
        narrow=item if item < 4 else 0,
        grouped=of.grouped,
    )
    parts = _math_forward if of.direction == "forward" else _math_backward
    vector, read, written, memory = parts(counts, item)
    return Cost(
        flops=work.flops,
        masked_flops=work.masked_flops,
        elementwise_flops=vector,
        bytes_read=read,
        bytes_written=written,
        memory_bytes=memory,
    )


def _math_forward(of: _Counts, item: int) -> tuple[int, int, int, int]:
    """Elementwise FLOPs, bytes read, bytes written, peak of memory.

    Query and keys are scaled, each by the root of the scale: a product, the mask added, softmax, a product.
    """
    query, key, scores = of.query, of.key, of.scores
    read = 4 * (2 * query + 3 * key + 2 * scores)
    written = 4 * (2 * query + key + 2 * scores)
    vector = query + key + 5 * scores
    held = item * of.given + 4 * query
    out = 4 * (scores + query)
    if of.mask:  # made of booleans, turned into numbers, added to the scores
        read += 6 * of.mask + 8 + 4 * scores
        written += 6 * of.mask + 8 + 4 * scores
        vector += scores
        held += 4 * of.mask
    if of.grouped:  # keys and values are repeated
        read += 8 * of.own
        written += 8 * key
        held += 8 * key
    if of.narrow:  # widened before, narrowed after: the output, and the weights that nobody asked for
        read += of.narrow * of.given + 4 * (scores + query)
        written += 4 * of.given + of.narrow * (scores + query)
        held += 4 * of.given
        out += of.narrow * (scores + query)
    # Softmax looks for rows without a key: a byte for each score and for each row, beside both scores and weights.
    softmax = 9 * scores + of.rows + 4
    return vector, read, written, held + max(4 * (key + scores), softmax, out)


def _math_backward(of: _Counts, item: int) -> tuple[int, int, int, int]:
    """Elementwise FLOPs, bytes read, bytes written, peak of memory.

    The gradients of values, weights, scores (softmax), scaled keys and scaled query, and of what they scale.
    """
    query, key, scores = of.query, of.key, of.scores
    read = 4 * (4 * query + 3 * key + 5 * scores)
    written = 4 * (2 * query + 3 * key + 2 * scores)
    vector = query + key + 4 * scores
    # Inputs, output and its gradient; kept: scaled query and keys, weights, and values where they were changed.
    held = item * (of.given + 2 * query) + 4 * (query + key + scores)
    if of.grouped or of.narrow:
        held += 4 * key
    if of.grouped:  # summed over the heads that share them
        read += 8 * key
        written += 8 * of.own
        vector += 2 * (key - of.own)
    if of.narrow:
        read += of.narrow * query + 4 * of.given
        written += 4 * query + of.narrow * of.given
    widened = query if of.narrow else 0
    stages = (
        widened + key + scores,  # of values and of weights
        key + 2 * scores,  # of scores
        2 * key + scores + query,  # of scaled keys and query
        3 * key + query,  # of keys
        2 * of.own + 2 * query,  # of the query
    )
    return vector, read, written, held + 4 * max(stages)


def over(attention: Attention, **changes: tuple[object, ...]) -> list[Attention]:
    """The attention with each combination of the changes; the last one varies fastest."""
    attentions = [attention]
    for name, values in changes.items():
        attentions = [replace(base, **{name: value}) for base in attentions for value in values]  # type: ignore[arg-type]
    return attentions


def lengths(attentions: list[Attention], *sizes: int) -> list[Attention]:
    """Each with queries and keys of each length."""
    return [replace(attention, queries=n, keys=n) for attention in attentions for n in sizes]


BASE = Attention("float32", "forward", "flash", "causal", 1, 8, 8, 512, 512, 64)
# Decoding (one query per sequence on cached keys), and queries of one sequence on keys of another.
DECODE = Attention("float32", "forward", "flash", "full", 4, 8, 8, 1, 4096, 64, "keys")
CROSSED = Attention("float32", "forward", "flash", "full", 1, 8, 8, 128, 1024, 64, "keys")
# The heads of models with 7 billion parameters.
LARGE = Attention("float32", "forward", "flash", "causal", 1, 32, 32, 2048, 2048, 128)

DTYPES = ("float32", "bfloat16")
EACH = {"dtype": DTYPES, "direction": DIRECTIONS}
EVERY = {**EACH, "backend": tuple(BACKENDS)}

WORKLOADS = Sweep(
    quick=[
        *lengths([BASE], 128, 256, 512, 1024),
        *over(BASE, swept=("depth",), depth=(32,)),
        *over(BASE, mask=("full",)),
        *over(BASE, direction=("backward",)),
        *over(BASE, backend=("math",)),
        *over(BASE, backend=("math",), direction=("backward",)),
        *over(BASE, dtype=("bfloat16",)),
        *over(BASE, kv_heads=(2,)),
        *over(DECODE, kv_heads=(8, 1)),
        CROSSED,
        *over(BASE, backend=("efficient", "cudnn")),
    ],
    standard=[
        *lengths(over(BASE, **EVERY), *powers_of_two(128, 2048)),
        *over(BASE, mask=("full",), **EVERY),
        *over(BASE, kv_heads=(2,), backend=("flash", "math"), **EACH),
        *lengths(over(BASE, swept=("depth",), depth=(16, 32, 64, 96, 128, 256), **EACH), 1024),
        *lengths(over(BASE, swept=("batch",), batch=(2, 4, 8, 16, 32), **EACH), 256),
        *over(DECODE, dtype=DTYPES, kv_heads=(8, 2), keys=(1024, 2048, 4096, 8192, 16384)),
        *over(CROSSED, dtype=DTYPES, keys=(256, 512, 1024, 2048, 4096)),
    ],
    # The keys and values of 64 sequences of 32768 are 4 GiB in bfloat16.
    full=[
        *lengths(over(LARGE, kv_heads=(32, 8), **EVERY), 1024, 2048, 4096, 8192),
        *over(DECODE, dtype=("bfloat16",), batch=(64,), kv_heads=(8, 1), keys=(4096, 8192, 16384, 32768)),
        *lengths(over(BASE, dtype=("bfloat16",)), 16384, 32768, 65536),
    ],
)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_attention(workload: Attention, bench: Bench) -> None:
    bench(workload)

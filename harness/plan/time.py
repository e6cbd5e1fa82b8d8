"""Times: of training, from FLOPs and an assumed utilisation; of inference, from bounds on compute and memory.

Utilisation is of the dense datasheet peak. MFU counts the FLOPs the model needs, HFU also those computed again (Chowdhery et al. 2022, arXiv 2204.02311, appendix B).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.errors import UsageError
from harness.plan.devices import MAMF_SOURCE, Device
from harness.plan.work import HEAD, pairs
from harness.records.architecture import Architecture, Core, Parts, Per

# Whole training steps reach about half of the best published matrix product of their device. The median hardware FLOP/s of the runs in
# tests/test_plan_time.py (Llama 3, LLaMA-65B, OPT, BLOOM, MT-NLG, Megatron-LM, MPT, nanoGPT) is 0.52 of it.
MEDIAN_OF_MAMF = 0.52
# Where no such product is published: the median of the same runs, as a fraction of the peak.
MEDIAN_OF_PEAK = 0.45
# A seventh of the peak: below the slowest whole run known, Llama 3 8B. The 6ND of its 15T tokens are 0.16 of the peak of the 1.3 million
# H100-hours on its model card, which include more than pre-training.
PESSIMISTIC = 0.14

_FOREVER = 2**40


@dataclass(frozen=True)
class Rate:
    """How fast one device trains: its peak in FLOP/s, and the assumed fraction of it, with the highest and the lowest plausible one.

    `counts_all`: the fraction is of all FLOPs that the hardware does (HFU); else of the model's alone (MFU).
    """

    peak: float
    fraction: float
    fastest: float
    slowest: float
    source: str
    counts_all: bool = False

    @property
    def achieved(self) -> float:
        """FLOP/s."""
        return self.peak * self.fraction


def stated(peak: float, fraction: float, source: str = "stated") -> Rate:
    """A stated or measured utilisation: a point, whatever is computed again."""
    if not 0.0 < fraction <= 1.0 or peak <= 0.0:
        raise UsageError(f"MFU {fraction}: a fraction above 0 and up to 1 of a peak above 0")
    return Rate(peak, fraction, fraction, fraction, f"MFU {source}")


def assumed(device: Device, dtype: str, fraction: float | None = None) -> Rate:
    """The rate of a device: at a stated fraction of its peak, else at the usual fraction of its best published matrix product.

    >>> from harness.plan.devices import device
    >>> rate = assumed(device("A100"), "bfloat16")
    >>> round(rate.fraction, 3), round(rate.fastest, 3), rate.slowest
    (0.452, 0.869, 0.14)
    """
    peak = device.peak(dtype)
    best = device.achievable(dtype)
    if fraction is not None:
        above = "" if best is None or fraction * peak <= best else ", above its best published matrix product"
        return stated(peak, fraction, f"stated, of {device.name}'s {dtype} peak{above}")
    if best is None:
        bounds = f"no faster than the peak, no slower than {PESSIMISTIC}"
        source = f"HFU {MEDIAN_OF_PEAK}, the median of published runs; {bounds}"
        return Rate(peak, MEDIAN_OF_PEAK, 1.0, PESSIMISTIC, source, counts_all=True)
    fastest = best / peak
    usual = MEDIAN_OF_MAMF * fastest
    source = (
        f"HFU {usual:.2f}, {MEDIAN_OF_MAMF} of the best published matrix product as the median of published runs; "
        f"at best all of it, {fastest:.2f} ({MAMF_SOURCE}); at worst {PESSIMISTIC}"
    )
    return Rate(peak, usual, fastest, min(PESSIMISTIC, usual), source, counts_all=True)


@dataclass(frozen=True)
class Training:
    """A training run in time: seconds, with the lowest and the highest plausible value."""

    seconds: float
    low: float
    high: float
    tokens: float
    devices: int
    mfu: float
    hfu: float
    source: str

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all devices per second."""
        return self.tokens / self.seconds

    @property
    def device_seconds(self) -> float:
        """Seconds of all devices together."""
        return self.seconds * self.devices


def train(
    model_flops: float,
    tokens: float,
    devices: int,
    rate: Rate,
    *,
    hardware_flops: float | None = None,
    idle: float = 0.0,
) -> Training:
    """The time of training: flops / (devices x peak x utilisation).

    A utilisation of published runs includes the waiting of their pipelines and the traffic of their links. So `idle`, the waiting of the pipeline as
    a fraction of its work, and all FLOPs that the hardware does raise the lower bound alone.

    >>> gpt3 = train(6 * 174.6e9 * 300e9, 300e9, 1024, stated(312e12, 0.449 * 3 / 4))
    >>> round(gpt3.seconds / 86400)
    34
    """
    executed = model_flops if hardware_flops is None else hardware_flops
    if model_flops <= 0 or executed < model_flops or tokens <= 0 or devices < 1 or idle < 0:
        raise UsageError(
            "training needs FLOPs, tokens and devices above zero, and hardware FLOPs no fewer than the model's"
        )
    if not rate.counts_all:
        _check_stated(rate.fraction, model_flops / executed, idle)
    counted = executed if rate.counts_all else model_flops
    each = devices * rate.peak
    seconds = counted / (each * rate.fraction)
    low, high = counted / (each * rate.fastest), counted / (each * rate.slowest)
    if rate.counts_all:
        # Nothing makes up for the waiting of a pipeline: neither the fastest products nor the usual fraction of published runs.
        low *= 1.0 + idle
        seconds, high = max(seconds, low), max(high, low)
    mfu, hfu = model_flops / (each * seconds), executed / (each * seconds)
    return Training(seconds, low, high, tokens, devices, mfu, hfu, rate.source)


def _check_stated(mfu: float, possible: float, idle: float) -> None:
    """Refuses an MFU that recomputation, or the waiting of the pipeline, makes impossible."""
    if mfu > possible:
        raise UsageError(f"MFU {mfu}: with recomputation the hardware can reach no more than {possible:.3f}")
    if mfu * (1.0 + idle) > 1.0:
        raise UsageError(
            f"MFU {mfu}: with the waiting of this pipeline no more than {1.0 / (1.0 + idle):.3f}"
        )


def bubble(stages: int, micro_batches: int, chunks: int = 1) -> float:
    """The waiting of a pipeline as a fraction of its work: (p - 1) / (v m), with v chunks of layers on each stage.

    A step takes 1 + this (Narayanan et al. 2021, arXiv 2104.04473, sections 2.2.1 and 2.2.2).

    >>> bubble(8, 64), bubble(8, 64, chunks=3), bubble(1, 5)
    (0.109375, 0.036458333333333336, 0.0)
    """
    if stages < 1 or micro_batches < 1 or chunks < 1:
        raise UsageError(
            f"a pipeline of {stages} stages, {micro_batches} micro-batches, {chunks} chunks: each 1 or more"
        )
    if chunks > 1 and micro_batches % stages:
        raise UsageError(f"interleaved, {micro_batches} micro-batches are not a multiple of {stages} stages")
    return (stages - 1) / (chunks * micro_batches)


@dataclass(frozen=True)
class Speed:
    """FLOP/s and bytes/s of a device, or of several that share a model; and the seconds of overhead of a step, whatever its size."""

    flops: float
    bytes: float
    overhead: float = 0.0

    def __post_init__(self) -> None:
        if self.flops <= 0 or self.bytes <= 0 or self.overhead < 0:
            raise UsageError("a speed needs FLOP/s and bytes/s above zero, and no negative overhead")


@dataclass(frozen=True)
class Latency:
    """The time of a step: compute and memory overlap, overhead does not. At peak speeds a lower bound."""

    compute: float
    memory: float
    overhead: float

    @property
    def seconds(self) -> float:
        """The longer of compute and memory, and the overhead."""
        return max(self.compute, self.memory) + self.overhead

    @property
    def bound(self) -> str:
        """The longer of the two: "compute" or "memory"."""
        return "compute" if self.compute >= self.memory else "memory"


@dataclass(frozen=True)
class Demand:
    """The demand of a step: matrix FLOPs, and bytes of weights and cache that must be read once."""

    flops: float
    bytes: float

    def on(self, speed: Speed) -> Latency:
        """The time of this demand at a speed."""
        return Latency(self.flops / speed.flops, self.bytes / speed.bytes, speed.overhead)


def prefill(model: Architecture, batch: int, prompt: int, *, weight: float, cache: float) -> Demand:
    """Reading a prompt to the first token; `weight` and `cache` are the bytes of an element.

    Masks are honoured, and only the last position needs the head. With two stacks the encoder reads the prompt, and the decoder takes one step.
    """
    _at_least_one(batch=batch, prompt=prompt)
    flops = 0.0
    for part in model.parts:
        times = batch * (prompt if part.per is Per.SOURCE and part.component != HEAD else 1)
        flops += part.count * part.flops * times
    for core in model.cores:
        queries = prompt if core.queries is Per.SOURCE else 1
        flops += _core(core, queries, prompt if core.keys is Per.SOURCE else 1) * batch
    weights = sum(_weights(part, batch * prompt) for part in model.parts) * weight
    return Demand(flops, weights + _cache(model, {Per.SOURCE: prompt, Per.TARGET: 1}) * batch * cache)


def decode(
    model: Architecture, batch: int, context: int, *, weight: float, cache: float, source: int = 0
) -> Demand:
    """The next token of `batch` sequences of `context` tokens each, with the new one: all weights and the whole cache are read.

    Of the experts, the expected number is read if tokens are sent to them evenly. `source` is the length of what an encoder has read before.
    """
    _at_least_one(batch=batch, context=context)
    side = Per.TARGET if any(core.queries is Per.TARGET for core in model.cores) else Per.SOURCE
    parts = [part for part in model.parts if part.per is side]
    flops = float(sum(part.count * part.flops for part in parts))
    for core in model.cores:
        if core.queries is side:
            flops += _core(core, 1, context if core.keys is side else source)
    weights = sum(_weights(part, batch) for part in parts) * weight
    return Demand(batch * flops, weights + batch * _cache(model, {Per.SOURCE: source, side: context}) * cache)


def turning_batch(demand: Callable[[int], Demand], speed: Speed) -> int | None:
    """The smallest batch whose step takes longer to compute than to fetch; None where none does, because a long cache grows with the batch.

    Found by bisection: FLOPs grow in proportion to the batch, bytes ever more slowly, so that they cross once.
    """

    def computes(batch: int) -> bool:
        return demand(batch).on(speed).bound == "compute"

    if not computes(_FOREVER):
        return None
    low, high = 0, _FOREVER
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if computes(middle) else (middle, high)
    return high


def _at_least_one(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise UsageError(f"{name} {size}: 1 or more")


def _core(core: Core, queries: int, keys: int) -> float:
    each = 2 * core.count * core.heads * (core.key_width + core.value_width)
    return float(each * pairs(core, queries, keys)) if keys else 0.0


def _weights(part: Parts, tokens: int) -> float:
    """The elements of a part that a step reads: almost none of a table, one row a token; a tied head reads its table."""
    if part.component == HEAD:
        return part.count * max(part.parameters, part.flops / 2)
    if part.embedding and not part.flops:
        return 0.0
    if not part.active or part.active >= part.parameters:
        return float(part.count * part.parameters)
    missed = (1.0 - part.active / part.parameters) ** tokens
    return part.count * part.parameters * (1.0 - missed)


def _cache(model: Architecture, lengths: Mapping[Per, int]) -> float:
    """The elements that a cache keeps of one sequence with these numbers of tokens."""
    return float(
        sum(
            cache.layers * cache.width * min(lengths[cache.of], cache.window or lengths[cache.of])
            for cache in model.caches
        )
    )

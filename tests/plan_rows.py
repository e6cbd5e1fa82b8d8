"""Every row of the published cases beside what a plan says, and what counts as the same.

`python -m tests.plan_rows` writes the table of docs/pages/explanation/plan-cases.md anew.
"""

import csv
import json
import math
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from harness.plan import answer, budget, time, work
from harness.plan.activations import Way
from harness.plan.config import read
from harness.plan.devices import device
from harness.plan.memory import Memory, memory
from harness.plan.options import Question, tokens_of
from harness.plan.work import Gpt, Lengths, palm, six_nd
from harness.records import architecture as laid
from harness.records.architecture import Architecture, Layout, Parts, Recipe
from harness.records.plan import Plan, TimeNeed

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "pages" / "explanation" / "plan-cases.md"
ROWS: dict[str, dict[str, str]] = {
    row["id"]: row for row in csv.DictReader((HERE / "reference_cases.csv").read_text().splitlines())
}
GIB, HOUR = 2**30, 3600.0
ALL, SELECTIVE = laid.Recompute.FULL, laid.Recompute.SELECTIVE

Span = tuple[float, float]
Value = Callable[[], float]


class Kind(StrEnum):
    """How a row is met: the same number; inside our bounds; another convention; or nothing a plan says."""

    REPRODUCED = "reproduced"
    BOUNDED = "bounded"
    CONVENTION = "another convention"
    NOT_A_PLANS = "not a plan's"


@dataclass(frozen=True)
class Within:
    """How far ours may be from what is printed: some of the row's digits, a fraction of it, or points of a percentage."""

    digits: int | None = None
    fraction: float | None = None
    points: float | None = None

    def slack(self, printed: str) -> float:
        """In the row's unit.

        >>> Within().slack("1.80e20"), Within(digits=3).slack("3640.0"), Within(fraction=0.01).slack("50")
        (5e+17, 5.0, 0.5)
        """
        value = Decimal(printed)
        if self.points is not None:
            return self.points
        if self.fraction is not None:
            return self.fraction * float(value)
        last = int(value.as_tuple().exponent) if self.digits is None else value.adjusted() - self.digits + 1
        return 0.5 * 10.0**last


ROUNDING, EXACTLY = Within(), Within(points=0.0)
HALF_A_PERCENT, POINTS = Within(fraction=0.005), Within(points=0.3)


@dataclass(frozen=True)
class Entry:
    """What we say of a row. `ours` is a plan's number in the row's unit; `span` its bounds.

    `by_convention` is our code by the publication's convention, which must come out as printed. `how` says it in words; `{beside}` in it is another number of ours.
    """

    kind: Kind
    how: str
    ours: Value | None = None
    span: Callable[[], Span] | None = None
    by_convention: Value | None = None
    within: Within = ROUNDING
    beside: Value | None = None
    digits: int = field(default=4)

    def words(self) -> str:
        """`how`, with its number."""
        return self.how if self.beside is None else self.how.format(beside=number(self.beside(), self.digits))


def same(row: dict[str, str], value: float, within: Within) -> bool:
    """Whether a value of ours is what is printed; half a digit counts, and what arithmetic of floats adds."""
    published = float(row["value"])
    return abs(value - published) <= within.slack(row["value"]) + 1e-12 * abs(published)


def holds(row: dict[str, str], span: Span) -> bool:
    """Whether a published number is inside bounds."""
    return span[0] <= float(row["value"]) <= span[1]


# ---- questions


@dataclass(frozen=True)
class Asked:
    """A question in short; without tokens, one step is planned."""

    name: str
    batch: int = 1
    sequence: int = 2048
    on: str | None = None
    tokens: float | None = None
    layout: Layout = field(default_factory=Layout)
    recipe: Recipe = field(default_factory=Recipe)
    target: int = 0


@cache
def model(name: str) -> Architecture:
    """A bundled model."""
    return read(name)


@cache
def planned(asked: Asked) -> Plan:
    """The plan of a question."""
    found = model(asked.name)
    lengths = Lengths(asked.batch, found.tokens or asked.sequence, asked.target)
    question = Question(
        model=found,
        lengths=lengths,
        tokens=asked.tokens or float(lengths.tokens),
        dtype="bfloat16",
        recipe=asked.recipe,
        layout=asked.layout,
        device=device(asked.on) if asked.on else None,
    )
    return answer.plan(question)


def rates(name: str) -> Span:
    """TFLOP/s of a device in training, all counted that it does: the slowest and the fastest that a plan allows for."""
    rate = time.assumed(device(name), "bfloat16")
    return rate.slowest * rate.peak / 1e12, rate.fastest * rate.peak / 1e12


def taken(asked: Asked) -> TimeNeed:
    """The time of a question that names a device."""
    found = planned(asked).time
    assert found is not None
    return found


def step(asked: Asked) -> Span:
    """The bounds of the time of one step, in seconds."""
    return taken(asked).low, taken(asked).high


def hours(asked: Asked) -> Span:
    """The bounds of the hours of all devices."""
    low, high = step(asked)
    return asked.layout.devices * low / HOUR, asked.layout.devices * high / HOUR


def throughput(asked: Asked) -> Span:
    """The bounds of tokens a second on each device."""
    low, high = step(asked)
    tokens = planned(asked).tokens / asked.layout.devices
    return tokens / high, tokens / low


# ---- counts


def parameters(name: str) -> Entry:
    """All of a model's, to the last."""
    return Entry(Kind.REPRODUCED, "", lambda: planned(Asked(name)).parameters.total, within=EXACTLY)


def billions(name: str) -> Entry:
    """A size of Megatron's table, which prints tenths of a billion."""
    return Entry(
        Kind.REPRODUCED,
        "the final norm included, which the paper's equation leaves out",
        lambda: planned(Asked(name)).parameters.total / 1e9,
    )


def multiply_adds(name: str) -> Entry:
    """Of one image, in GMAC."""
    return Entry(
        Kind.REPRODUCED,
        "half of the dense forward FLOPs",
        lambda: planned(Asked(name)).flops.forward_dense / 2e9,
    )


def traced() -> Entry:
    """A network that no configuration of a known family describes."""
    return Entry(
        Kind.NOT_A_PLANS,
        "no family that a configuration describes; the trace of the network reproduces it (tests/test_reference_cases.py)",
    )


def forward(name: str, sequence: int, how: str) -> Entry:
    """Dense FLOPs of a forward pass over one sequence."""
    return Entry(
        Kind.REPRODUCED,
        how,
        lambda: planned(Asked(name, sequence=sequence)).flops.forward_dense,
        within=EXACTLY,
    )


def nanogpt() -> float:
    """PaLM's formula for a sequence of 1024 tokens, with the parameters that nanoGPT counts: products and 25 norms, no biases, no positions."""
    found = model("GPT-2")
    products = sum(part.count * part.flops for part in found.parts) // 2
    size = products + 25 * found.hidden
    return 1024 * palm(size, found.layers, found.heads, found.head_width, 1024)


def products(name: str, tokens: float, sequence: int = 2048) -> Entry:
    """Training FLOPs by 6ND, as a plan has it beside its own."""
    asked = Asked(name, sequence=sequence, tokens=tokens)
    return Entry(
        Kind.REPRODUCED,
        "6ND with all active parameters; the products themselves, attention among them and the mask honoured, are {beside}",
        lambda: planned(asked).flops.conventions["6ND"],
        beside=lambda: planned(asked).flops.train_total,
    )


def halved(name: str, size: float) -> Entry:
    """A T5 of GPT-3's table, which takes a round size."""
    asked = Asked(name, sequence=512, target=512, tokens=1e12)
    return Entry(
        Kind.CONVENTION,
        f"half of 6ND, but for the model as it is; with the {size / 1e6:,.0f} million parameters of the table, "
        "{beside}",
        lambda: planned(asked).flops.conventions["6ND / 2"],
        by_convention=lambda: six_nd(size, 1e12, encoder_decoder=True),
        beside=lambda: six_nd(size, 1e12, encoder_decoder=True),
    )


# ---- utilisation and time


def measured(name: str) -> Entry:
    """A rate that somebody reached on a device."""
    return Entry(
        Kind.BOUNDED,
        "what a training step reaches: from a seventh of the peak to the best published matrix product",
        span=lambda: rates(name),
    )


def device_hours(name: str, on: str, tokens: float, sequence: int = 2048) -> Entry:
    """The hours of a whole training."""
    asked = Asked(name, sequence=sequence, on=on, tokens=tokens)
    return Entry(
        Kind.BOUNDED,
        f"{tokens / 1e12:g}T tokens at any utilisation from the slowest to the fastest assumed; at the usual one "
        "{beside}",
        span=lambda: hours(asked),
        beside=lambda: taken(asked).device_hours,
    )


def timed(asked: Asked, how: str, beside: Value | None = None) -> Entry:
    """The time of one step."""
    return Entry(Kind.BOUNDED, how, span=lambda: step(asked), beside=beside)


MEGATRON = Recipe("megatron", "adam", dropout=True)
LAYOUTS = {
    "22B": Asked("Megatron-22B", 4, on="A100", recipe=MEGATRON, layout=Layout(tensor=8)),
    "175B": Asked(
        "Megatron-175B", 64, on="A100", recipe=MEGATRON,
        layout=Layout(tensor=8, pipeline=8, interleave=3, microbatch=1),
    ),
    "530B": Asked("Megatron-530B", 280, on="A100", recipe=MEGATRON, layout=Layout(tensor=8, pipeline=35, interleave=3, microbatch=1)),
    "1T": Asked("Megatron-1T", 512, on="A100", recipe=MEGATRON, layout=Layout(tensor=8, pipeline=64, microbatch=1)),
}  # fmt: skip


def changed(asked: Asked, **choices: Any) -> Asked:
    """The same with another layout."""
    given = {name: getattr(asked.layout, name) for name in asked.layout.__struct_fields__}
    return Asked(
        asked.name,
        asked.batch,
        asked.sequence,
        asked.on,
        asked.tokens,
        Layout(**given | choices),
        asked.recipe,
    )


def recomputed(size: str) -> Entry:
    """Korthikanti's time with all layers computed again."""
    return timed(
        changed(LAYOUTS[size], recompute=ALL),
        "a step with every layer computed again, at the utilisations assumed",
    )


def selective(size: str) -> Entry:
    """Korthikanti's time with attention's core computed again; its MFU stands in the same table."""
    fraction = float(ROWS[{"22B": "R148", "175B": "R152"}[size]]["value"]) / 100
    asked = changed(LAYOUTS[size], recompute=SELECTIVE, sequence_parallel=True)
    return timed(
        asked,
        "a step with attention's core computed again; at the MFU of the same table {beside}",
        lambda: (
            planned(asked).flops.train_total_dense
            / (asked.layout.devices * device("A100").peak("bf16") * fraction)
        ),
    )


def fraction_of_peak(size: str, seconds: str, flops: Callable[[Asked], float]) -> float:
    """So many FLOPs in the time of a row, in percent of what the devices could do."""
    asked = LAYOUTS[size]
    return 100 * flops(asked) / (asked.layout.devices * 312e12 * float(ROWS[seconds]["value"]))


def dense(asked: Asked) -> float:
    """Training FLOPs, the mask ignored."""
    return planned(asked).flops.train_total_dense


def dense_again(asked: Asked) -> float:
    """Those, and one more forward pass of attention's core."""
    found = work.forward(model(asked.name), Lengths(asked.batch, asked.sequence))
    return 3 * found.flops_dense + found.dense[work.CORE]


def mfu(size: str, seconds: str) -> Entry:
    """From the published time."""
    return Entry(
        Kind.REPRODUCED,
        f"the plan's dense FLOPs in the time of {seconds}",
        lambda: fraction_of_peak(size, seconds, dense),
        within=POINTS,
    )


def hfu(size: str, seconds: str) -> Entry:
    """From the published time; the core is counted twice there."""

    def printed(asked: Asked) -> float:
        found = model(asked.name)
        return Gpt(found.layers, found.hidden, found.vocabulary).flops(asked.batch, laid.Recompute.SELECTIVE)

    return Entry(
        Kind.CONVENTION,
        "one more forward pass of attention's core; the paper adds the whole core once more, by which it is {beside}",
        lambda: fraction_of_peak(size, seconds, dense_again),
        by_convention=lambda: fraction_of_peak(size, seconds, printed),
        within=POINTS,
        beside=lambda: fraction_of_peak(size, seconds, printed),
    )


def mt_nlg(devices: int, teraflops: float) -> Entry:
    """A step of 1920 sequences."""
    layout = Layout(devices=devices, tensor=8, pipeline=35, microbatch=1, recompute=ALL)
    asked = Asked("MT-NLG-530B", 1920, on="A100", layout=layout, recipe=MEGATRON)
    found = model("MT-NLG-530B")
    gpt = Gpt(found.layers, found.hidden, found.vocabulary)
    return timed(
        asked,
        f"every layer computed again; at the {teraflops:g} TFLOP/s of the paper {{beside}}",
        lambda: gpt.flops(1920, laid.Recompute.FULL) / (devices * teraflops * 1e12),
    )


def mpt(name: str, devices: int, fraction: float, again: laid.Recompute) -> Entry:
    """A row of llm-foundry's table."""
    layout = Layout(data=devices, zero=3, recompute=again)
    asked = Asked(name, devices, on="H100", layout=layout)
    return Entry(
        Kind.BOUNDED,
        f"at the utilisations assumed; at the MFU of {fraction:.2%} printed beside it {{beside}}".replace(
            "%", " %"
        ),
        span=lambda: throughput(asked),
        beside=lambda: fraction * 989.5e12 * planned(asked).tokens / planned(asked).flops.conventions["PaLM"],
    )


def layer() -> Entry:
    """Milliseconds of the forward pass of one layer of 22B on eight A100s."""

    def span() -> Span:
        found = work.forward(model("Megatron-22B"), Lengths(4, 2048)).dense
        flops = sum(done for component, done in found.items() if component != work.HEAD) / 48 / 8
        low, high = rates("A100")
        return 1e3 * flops / (high * 1e12), 1e3 * flops / (low * 1e12)

    return Entry(
        Kind.BOUNDED,
        "one layer at the utilisations assumed, whatever the backward pass computes again",
        span=span,
    )


TITAN = Asked(
    "Llama-3.1-8B", 16, 8192, "H100", layout=Layout(data=8, zero=3, recompute=SELECTIVE, flash=True)
)


def titan_memory() -> Span:
    """GiB with every layer computed again, and with nothing."""
    full, none = (
        planned(changed(TITAN, recompute=kind)).memory.total / GIB for kind in (ALL, laid.Recompute.NONE)
    )
    return full, none


# ---- memory


def of_stage(size: str, stage: int = 0, **choices: Any) -> Memory:
    """Of a layout of Korthikanti's figure, its pipeline full."""
    asked = changed(LAYOUTS[size], **choices, microbatch=None)
    batch = 4 if size == "22B" else 1
    return memory(model(asked.name), MEGATRON, asked.layout, Lengths(batch, 2048), Way.PUBLISHED, stage)


def activations(size: str, **choices: Any) -> Entry:
    """Those of the first stage's layers, in GiB."""

    def held(*, ends: bool) -> float:
        need = of_stage(size, **choices)
        assert need.activations is not None
        return (need.activations + (need.ends if ends else 0)) / GIB

    return Entry(
        Kind.REPRODUCED,
        "layers alone; a plan adds the mask of the embedding's dropout, {beside}",
        lambda: held(ends=False),
        within=HALF_A_PERCENT,
        beside=lambda: held(ends=True),
    )


def states(size: str) -> Entry:
    """Parameters and optimizer of a stage, in GiB."""
    return Entry(
        Kind.CONVENTION,
        "a plan's first stage holds the embeddings; a stage without them, as in the figure, {beside}",
        lambda: of_stage(size).states / GIB,
        by_convention=lambda: of_stage(size, stage=1).states / GIB,
        within=HALF_A_PERCENT,
        beside=lambda: of_stage(size, stage=1).states / GIB,
    )


def zero(stage: int) -> Entry:
    """GB of 7.5 billion parameters' states on one of 64 devices."""

    def held() -> float:
        made = Architecture("of one part", "made up", (Parts("attention", 1, 7_500_000_000),), layers=1)
        layout = Layout(data=64, zero=stage)
        return memory(made, Recipe("mixed", "adam"), layout, Lengths(64, 1)).states / 1e9

    return Entry(Kind.REPRODUCED, "7.5 billion parameters exactly, over 64 devices; GB of 10^9 bytes", held)


def cached(name: str) -> Entry:
    """Bytes of keys and values of one token."""
    return Entry(Kind.REPRODUCED, "", lambda: planned(Asked(name)).kv_cache.bytes_per_token, within=EXACTLY)


def saved(config: dict[str, Any]) -> Entry:
    """Bytes that one layer keeps for each element of the hidden state, as transformers' modules do."""

    def kept() -> float:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(json.dumps(config))
            found = read(folder)
        need = memory(
            found, Recipe("bfloat16"), Layout(flash=True), Lengths(2, 256), Way.IMPLEMENTATION
        ).activations
        assert need is not None
        return need / (found.layers * 2 * 256 * found.hidden)

    return Entry(
        Kind.REPRODUCED, "activations_by_implementation, width 256, four heads, fused attention", kept
    )


SMALL = {"vocab_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 256}

# ---- inference


def speed() -> time.Speed:
    """An A100 at its peaks."""
    a100 = device("A100")
    return time.Speed(a100.peak("bf16"), a100.bytes_per_second)


def most_tokens() -> Span:
    """Tokens a second of 256 sequences that read 128 and write 128, at most."""
    found = model("LLaMA-7B")
    seconds = time.prefill(found, 256, 128, weight=2, cache=2).on(speed()).seconds
    for context in range(129, 256):
        seconds += time.decode(found, 256, context, weight=2, cache=2).on(speed()).seconds
    return 0.0, 256 * 128 / seconds


def first_token() -> Span:
    """Milliseconds to the first token after 2048, at least."""
    seconds = planned(Asked("LLaMA-7B", on="A100")).inference.prefill_seconds
    assert seconds is not None
    return 1e3 * seconds, math.inf


def best_product(name: str) -> Entry:
    """The best published matrix product of a device, in TFLOP/s."""
    return Entry(
        Kind.NOT_A_PLANS,
        "a measurement that a plan takes from this very table, as the fastest a step can be",
        lambda: (device(name).achievable("bf16") or math.nan) / 1e12,
    )


# ---- the rows

GOPHER = 5.76e23

ENTRIES: dict[str, Entry] = {
    **{
        row: traced()
        for row in ("R005", "R006", "R007", "R008", "R013", "R014", "R015", "R016", "R029", "R030")
    },
    "R025": multiply_adds("ResNet-34"),
    "R026": parameters("ResNet-34"),
    "R027": multiply_adds("ResNet-50"),
    "R028": parameters("ResNet-50"),
    "R037": multiply_adds("ViT-B/16"),
    "R038": parameters("ViT-B/16"),
    "R039": multiply_adds("ViT-B/32"),
    "R040": parameters("ViT-B/32"),
    "R041": multiply_adds("ViT-L/16"),
    "R042": parameters("ViT-L/16"),
    "R048": parameters("GPT-2"),
    "R049": parameters("GPT-2-medium"),
    "R050": parameters("GPT-2-large"),
    "R051": parameters("GPT-2-XL"),
    "R052": parameters("T5-small"),
    "R053": parameters("T5-base"),
    "R055": parameters("T5-3B"),
    "R056": parameters("T5-11B"),
    "R058": parameters("Llama-2-7B"),
    "R060": parameters("Llama-2-70B"),
    "R062": parameters("Llama-3-70B"),
    "R063": parameters("Llama-3.1-405B"),
    "R067": parameters("ResNet-50"),
    "R070": forward("GPT-2", 1024, "dense; the mask honoured it is less"),
    "R072": Entry(
        Kind.CONVENTION,
        "PaLM's formula with all parameters; nanoGPT leaves out biases and positions, by which it is {beside}",
        lambda: 1024 * planned(Asked("GPT-2", sequence=1024, tokens=1.0)).flops.conventions["PaLM"],
        by_convention=nanogpt,
        within=EXACTLY,
        beside=nanogpt,
        digits=12,
    ),
    "R073": timed(
        Asked("GPT-2", 100, 1024, "A100"),
        "a step of 100 sequences at the utilisations assumed; at the MFU of R074 {beside}",
        lambda: dense(Asked("GPT-2", 100, 1024, "A100")) / (0.3714 * 312e12),
    ),
    "R074": Entry(
        Kind.REPRODUCED,
        "the plan's dense FLOPs in the time of R073",
        lambda: 100 * dense(Asked("GPT-2", 100, 1024)) / (312e12 * float(ROWS["R073"]["value"])),
    ),
    "R075": forward("BERT-base", 128, "nothing is masked"),
    "R076": halved("T5-small", 60e6),
    "R079": halved("T5-3B", 3000e6),
    "R080": halved("T5-11B", 11000e6),
    "R081": products("BERT-base", 250e9, 512),
    "R083": products("RoBERTa-large", 2000e9, 512),
    "R086": products("GPT-3-6.7B", 300e9),
    "R088": products("GPT-3-175B", 300e9),
    "R089": Entry(
        Kind.REPRODUCED,
        "6ND; the paper prints three digits",
        lambda: planned(Asked("GPT-3-175B", tokens=300e9)).flops.conventions["6ND"] / budget.PETAFLOP_DAY,
        within=Within(digits=3),
    ),
    "R092": Entry(Kind.REPRODUCED, "the paper's first approach", lambda: budget.for_size(1e10).flops),
    "R095": Entry(
        Kind.REPRODUCED,
        "the paper's first approach for the budget of Gopher, 5.76e23; 20 tokens a parameter make {beside}",
        lambda: budget.for_budget(GOPHER).tokens,
        beside=lambda: tokens_of(model("Chinchilla-70B"), None),
    ),
    "R102": products("Llama-3.1-405B", 15.6e12, 8192),
    "R105": measured("H100"),
    "R106": Entry(
        Kind.CONVENTION,
        "the 400 TFLOP/s of R105 over the peak; they are rounded to tens, and up to 405 make {beside}",
        lambda: 100 * 400e12 / device("H100").peak("bf16"),
        by_convention=lambda: 100 * 404.9e12 / device("H100").peak("bf16"),
        beside=lambda: 100 * 404.9e12 / device("H100").peak("bf16"),
    ),
    "R107": measured("H100"),
    "R108": Entry(
        Kind.REPRODUCED,
        "the 380 TFLOP/s of R107 over the peak",
        lambda: 100 * 380e12 / device("H100").peak("bf16"),
    ),
    "R109": device_hours("Llama-3.1-405B", "H100", 15.6e12, 8192),
    "R110": device_hours("LLaMA-7B", "A100", 1e12),
    "R115": device_hours("Llama-2-70B", "A100", 2e12, 4096),
    "R116": device_hours("Llama-2-7B", "A100", 2e12, 4096),
    "R118": measured("A100"),
    "R119": device_hours("OPT-175B", "A100", 180e9),
    "R120": device_hours("BLOOM-176B", "A100", 366e9),
    "R121": measured("A100"),
    **{row: measured("A100") for row in ("R128", "R130", "R134", "R136", "R140", "R142", "R144")},
    "R129": billions("Megatron-3.6B"),
    "R131": billions("Megatron-7.5B"),
    "R135": billions("Megatron-39.1B"),
    "R137": billions("Megatron-76.1B"),
    "R141": billions("Megatron-310.1B"),
    "R143": billions("Megatron-529.6B"),
    "R145": billions("Megatron-1008.0B"),
    "R146": recomputed("22B"),
    "R147": selective("22B"),
    "R148": mfu("22B", "R147"),
    "R149": hfu("22B", "R147"),
    "R150": recomputed("175B"),
    "R151": selective("175B"),
    "R152": mfu("175B", "R151"),
    "R153": hfu("175B", "R151"),
    "R165": activations("175B"),
    "R166": activations("175B", sequence_parallel=True, recompute=SELECTIVE),
    "R167": states("175B"),
    "R168": activations("530B"),
    "R169": activations("530B", sequence_parallel=True, recompute=SELECTIVE),
    "R170": states("530B"),
    "R171": activations("1T"),
    "R172": activations("1T", sequence_parallel=True, recompute=SELECTIVE),
    "R173": states("1T"),
    "R175": layer(),
    "R176": layer(),
    "R177": layer(),
    "R178": zero(0),
    "R179": zero(1),
    "R180": zero(2),
    "R181": zero(3),
    "R184": mpt("MPT-13B-benchmark", 8, 0.3979, laid.Recompute.NONE),
    "R185": mpt("MPT-30B-benchmark", 8, 0.3811, ALL),
    "R186": mpt("MPT-70B-benchmark", 64, 0.4257, ALL),
    "R190": Entry(
        Kind.BOUNDED,
        "sequences of 8192 at the utilisations assumed",
        span=lambda: throughput(TITAN),
    ),
    "R191": Entry(
        Kind.BOUNDED,
        "it recomputes some operators, which no plan does; the bounds recompute every layer and no layer",
        span=titan_memory,
    ),
    "R194": cached("Llama-2-7B"),
    "R198": cached("Llama-3-70B"),
    "R199": cached("Llama-3.1-405B"),
    "R200": cached("GPT-3-175B"),
    "R205": mt_nlg(2240, 126),
    "R206": mt_nlg(2800, 121),
    "R207": mt_nlg(3360, 113),
    "R208": Entry(
        Kind.BOUNDED, "weights and cache read once at full speed: no run writes more", span=most_tokens
    ),
    "R209": Entry(Kind.BOUNDED, "the prompt's FLOPs at the peak: no run is faster", span=first_token),
    "R213": best_product("A100 SXM"),
    "R217": best_product("B200"),
    "R219": best_product("MI325X"),
    "R250": saved(SMALL | {"model_type": "bert", "intermediate_size": 1024}),
    "R252": saved({"model_type": "gpt2", "vocab_size": 512, "n_layer": 2, "n_head": 4, "n_embd": 256}),
    "R253": saved(SMALL | {"model_type": "llama", "intermediate_size": 688}),
}


# ---- the page


def number(value: float, digits: int = 4) -> str:
    """For people: whole numbers from a thousand on in full, huge ones as powers.

    >>> number(6738415616, 10), number(1.8151987e20), number(37.143), number(82432.4), number(3.0)
    ('6,738,415,616', '1.815e20', '37.14', '82,430', '3')
    """
    if not math.isfinite(value):
        return str(value)
    if value and abs(value) >= 10.0 ** max(12, digits):
        return f"{value:.{digits - 1}e}".replace("e+", "e")
    exponent = math.floor(math.log10(abs(value))) if value else 0
    shown = f"{round(value, digits - 1 - exponent):,.{max(0, digits - 1 - exponent)}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _significant(printed: str) -> int:
    value = Decimal(printed)
    return min(
        6, max(4, len(value.normalize().as_tuple().digits) + (0 if value == value.to_integral_value() else 1))
    )


def _published(printed: str) -> str:
    text = printed.removesuffix(".0")
    return f"{int(text):,}" if text.isdigit() and len(text) > 4 else text.replace("e+", "e")


def _ours(row: dict[str, str], entry: Entry) -> str:
    if entry.span is not None:
        low, high = entry.span()
        if high == math.inf:
            return f"{number(low)} or more"
        return f"{number(high)} or less" if not low else f"{number(low)} to {number(high)}"
    if entry.ours is None:
        return ""
    exact = row["unit"] in {"count", "B", "FLOP"} and row["value"].isdigit()
    return number(entry.ours(), len(row["value"]) if exact else _significant(row["value"]))


def _difference(row: dict[str, str], entry: Entry) -> str:
    if entry.span is not None:
        return "inside" if holds(row, entry.span()) else "outside"
    if entry.ours is None:
        return ""
    gap = entry.ours() - float(row["value"])
    if row["unit"] == "%":
        return f"{gap:+.2f} points"
    fraction = 100 * gap / float(row["value"])
    return "0" if abs(fraction) < 5e-4 else f"{fraction:+.2g} %"


def line(row: dict[str, str]) -> str:
    """A row of the table."""
    entry = ENTRIES[row["id"]]
    words = entry.words()
    how = f"{entry.kind}: {words}" if words else f"{entry.kind}"
    cells = (
        row["id"],
        row["model_or_case"],
        row["quantity"],
        f"{_published(row['value'])} {row['unit']}".removesuffix(" count"),
        _ours(row, entry),
        _difference(row, entry),
        how,
    )
    return "| " + " | ".join(cell.replace("|", "/").replace("*", "\\*") for cell in cells) + " |"


def table() -> str:
    """All rows as Markdown."""
    head = ("id", "model or case", "quantity", "published", "ours", "difference", "how")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *map(line, ROWS.values())]
    return "\n".join(lines)


def summary() -> str:
    """How many rows there are of each kind."""
    kinds = Counter(ENTRIES[identity].kind for identity in ROWS)
    counts = ", ".join(f"{kinds[kind]} {kind}" for kind in Kind)
    return f"Of {len(ROWS)} rows: {counts}."


def rendered(page: str) -> str:
    """A page with its table and its count as they are now."""
    page = re.sub(r"^Of \d+ rows: .*$", summary(), page, count=1, flags=re.MULTILINE)
    return re.sub(
        r"^\| id \|.*?(?=\n\n|\Z)", lambda _: table(), page, count=1, flags=re.MULTILINE | re.DOTALL
    )


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))

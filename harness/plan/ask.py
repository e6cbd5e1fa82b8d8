"""Turns what somebody typed into a question."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from harness.errors import UsageError
from harness.plan import amounts, budget, time
from harness.plan.communication import Link
from harness.plan.config import read
from harness.plan.devices import Device, device
from harness.plan.question import Question, at_least_one, lengths_of, tokens_of
from harness.records.layout import OPTIMIZERS, PRECISIONS, Layout, Recipe, Recompute

# What products are computed in; sixteen bits are trained with masters in float32 where nothing else is said.
DTYPES = ("float32", "tf32", "bfloat16", "float16")
STATES = tuple(name for name in PRECISIONS if name not in {"float32", "tf32"})
DAY = 86_400.0
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Options:
    """The words of a command line, as typed."""

    config: str
    tokens: str | None = None
    batch: int = 1
    sequence: int | None = None
    target: int | None = None
    dtype: str = "bfloat16"
    states: str | None = None
    optimizer: str = "adamw"
    dropout: bool = False
    recompute: str = "none"
    flash: bool = False
    devices: int | None = None
    tensor: int = 1
    sequence_parallel: bool = False
    pipeline: int = 1
    interleave: int = 1
    data: int | None = None
    zero: int = 0
    microbatch: int | None = None
    on: str | None = None
    mfu: str | None = None
    memory: str | None = None
    link: str | None = None
    watts: str | None = None
    price: str | None = None


def question(options: Options, *, named: bool) -> Question:
    """The question; `named`: what it is asked on is a device by name, not a run.

    Raises:
        UsageError: one line that names the option and says what is allowed.
    """
    model = read(options.config)
    _one_of("--dtype", options.dtype, DTYPES)
    _one_of("--optimizer", options.optimizer, OPTIMIZERS)
    _one_of("--recompute", options.recompute, [kind.value for kind in Recompute])
    if options.states is not None:
        _one_of("--states", options.states, STATES)
    for name in ("devices", "tensor", "pipeline", "interleave", "data", "microbatch"):
        at_least_one(f"--{name}", getattr(options, name))
    _of_use(options, named=named)
    given = {name: size for name in ("devices", "data") if (size := getattr(options, name)) is not None}
    layout = Layout(
        tensor=options.tensor,
        sequence_parallel=options.sequence_parallel,
        pipeline=options.pipeline,
        interleave=options.interleave,
        zero=options.zero,
        recompute=Recompute(options.recompute),
        microbatch=_microbatch(options),
        flash=options.flash,
        **given,
    )
    precision = options.dtype if options.dtype in {"float32", "tf32"} else options.states or "mixed"
    tokens = _parsed(options.tokens, "--tokens", amounts.amount)
    return Question(
        model=model,
        lengths=lengths_of(model, options.batch, options.sequence, options.target),
        tokens=tokens_of(model, None if tokens is None else float(tokens)),
        dtype=options.dtype,
        recipe=Recipe(precision, options.optimizer, options.dropout),
        layout=layout,
        device=_device(options) if named else None,
        rate=_parsed(options.mfu, "--mfu", amounts.share),
        memory=_parsed(options.memory and options.memory.removesuffix("B"), "--memory", amounts.amount),
        link=None if options.link is None else link(options.link),
        watts=_parsed(options.watts, "--watts", amounts.quantity),
        price=_parsed(options.price, "--price", amounts.price),
    )


def _of_use(options: Options, *, named: bool) -> None:
    """Refuses what would change nothing."""
    if options.states is not None and options.dtype in {"float32", "tf32"}:
        raise UsageError(f"--states {options.states}: of training in 16 bits, not in {options.dtype}")
    if options.mfu is not None and (options.on is None or not named):
        raise UsageError(f"--mfu {options.mfu}: the share of a device's peak, so it needs --on DEVICE")
    for name in ("watts", "price"):
        if getattr(options, name) is not None and options.on is None:
            raise UsageError(
                f"--{name} {getattr(options, name)}: nothing to multiply, as no --on says how long"
            )


def _microbatch(options: Options) -> int | None:
    """What is given; else in a pipeline one sample at a time where a replica has several, as it would wait for all of them together."""
    replicas = options.data or (options.devices or 1) // (options.tensor * options.pipeline) or 1
    if options.microbatch is None and options.pipeline > 1 and options.batch // replicas > 1:
        return 1
    return options.microbatch


def _device(options: Options) -> Device | None:
    return None if options.on is None else device(options.on)


def _parsed(text: str | None, field: str, read_as: Callable[[str, str], _Value]) -> _Value | None:
    return None if text is None else read_as(text, field)


def days_of(text: str) -> float:
    """A time in seconds: a number of days, or with a unit of its own.

    >>> days_of("30"), days_of("12h")
    (2592000.0, 43200.0)
    """
    return amounts.quantity(text, "--days") * DAY if text[-1:].isdigit() else amounts.duration(text, "--days")


def link(text: str) -> Link:
    """A link as latency and bytes a second.

    >>> link("5e-6,450e9").beta
    450000000000.0
    """
    latency, comma, rate = text.partition(",")
    try:
        alpha, beta = float(latency), float(rate)
    except ValueError:
        where = "" if comma else ", with a comma between"
        raise UsageError(
            f"--link {text!r}: seconds of latency and bytes a second{where}, as in 5e-6,450e9"
        ) from None
    if not (0.0 <= alpha < math.inf and 0.0 < beta < math.inf):
        raise UsageError(f"--link {text!r}: a latency of zero or more, and bytes a second above zero")
    return Link(alpha, beta, f"stated, {text}")


def _one_of(field: str, value: str, allowed: Iterable[str]) -> None:
    names = list(allowed)
    if value not in names:
        raise UsageError(f"{field} {value!r} is not one of {', '.join(names)}")


def budgeted(
    flops: str | None, days: str | None, options: Options, here: float | None = None
) -> list[budget.Optimum]:
    """What each approach makes of a compute budget: of FLOPs, or of days on devices; `here`: the FLOP/s of a machine that was measured.

    Raises:
        UsageError: neither or both are given, or no device is named.
    """
    if (flops is None) == (days is None):
        raise UsageError(
            "without a CONFIG: --budget FLOPs, or --days N --on DEVICE [--devices N] [--mfu SHARE]"
        )
    if flops is not None:
        spent = amounts.quantity(flops, "--budget")
        return budget.every_approach(spent)
    _one_of("--dtype", options.dtype, DTYPES)
    at_least_one("--devices", options.devices)
    if options.on is None:
        raise UsageError("--days needs --on DEVICE: how fast is what it trains on?")
    share = _parsed(options.mfu, "--mfu", amounts.share)
    if here is None:
        here = time.assumed(device(options.on), options.dtype, share).achieved
    elif share is not None:
        raise UsageError("--mfu is of a device by name: a run has measured what its steps reach")
    return budget.every_approach(days_of(days or "") * here * (options.devices or 1))

"""Turns what somebody typed into a question."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from harness.errors import UsageError
from harness.plan import budget, time
from harness.plan.communication import Link
from harness.plan.config import read
from harness.plan.devices import Device, device
from harness.plan.question import Question, at_least_one, lengths_of, tokens_of
from harness.records.architecture import OPTIMIZERS, PRECISIONS, Layout, Recipe, Recompute

MINUTE, HOUR, DAY, WEEK, YEAR = 60.0, 3600.0, 86_400.0, 604_800.0, 365 * 86_400.0

# Beyond any model, data set or machine, and still exact as a float's exponent.
_LARGEST = Decimal("1e36")
_NUMBER = (
    r"(?P<number>\d+(?:[_,]\d{3})+(?:\.\d+)?|\d+(?:_\d+)*(?:\.\d*)?|\.\d+)(?P<exponent>[eE][+-]?\d{1,3})?"
)
_AMOUNT = re.compile(rf"\+?{_NUMBER}\s?(?P<suffix>[A-Za-z]*)", re.ASCII)
_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12, "p": 10**15}
_BINARY = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40, "pi": 2**50}
_SUFFIXES = _DECIMAL | _BINARY
_TIMES = {
    "s": 1.0, "sec": 1.0, "m": MINUTE, "min": MINUTE, "h": HOUR, "hr": HOUR, "d": DAY, "day": DAY, "days": DAY,
    "w": WEEK, "y": YEAR,
}  # fmt: skip
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s?([a-z]+)\s?", re.ASCII)

WHOLE = "a whole number above zero, such as 512, 2_000_000, 7e9, 300B, 1.4T or 8Ki"
POSITIVE = "a number above zero, such as 0.5, 25e9, 300B or 1.4T"
TIME = "a time above zero, such as 3600s, 90m, 12h, 30d or 1d12h"
PRICE = "a price above zero for one device and a time, such as 2.5/h or 60/d"
FRACTION = "a share above 0 and up to 1, such as 0.4 or 40%"


def amount(text: str, field: str) -> int:
    """A whole number of things: tokens, parameters, devices.

    k, M, B (or G), T and P are powers of a thousand in either case; Ki, Mi, Gi, Ti and Pi powers of 1024.

    >>> [amount(text, "--tokens") for text in ("1.4T", "7e9", "2_000_000", "1,000,000", "8k", "8Ki")]
    [1400000000000, 7000000000, 2000000, 1000000, 8000, 8192]
    >>> amount("0.5", "--tokens")
    Traceback (most recent call last):
    harness.errors.UsageError: --tokens '0.5' is not a whole number above zero, such as 512, 2_000_000, 7e9, 300B, 1.4T or 8Ki
    """
    value = _positive(text)
    if value is None or value != int(value):
        raise _refused(text, field, WHOLE)
    return int(value)


def quantity(text: str, field: str) -> float:
    """A number above zero that need not be whole: FLOPs, bytes per second, watts.

    >>> quantity("1.5", "--power"), quantity("5.76e23", "--budget")
    (1.5, 5.76e+23)
    """
    value = _positive(text)
    if value is None:
        raise _refused(text, field, POSITIVE)
    return float(value)


def duration(text: str, field: str) -> float:
    """A time in seconds; units may follow one another.

    >>> duration("30d", "--within"), duration("1d12h", "--within"), duration("90m", "--within")
    (2592000.0, 129600.0, 5400.0)
    """
    lowered = text.strip().lower()
    found = _DURATION.findall(lowered)
    whole = "".join(match.group() for match in _DURATION.finditer(lowered)) == lowered
    if not (found and whole and all(unit in _TIMES for _, unit in found)):
        raise _refused(text, field, TIME)
    seconds = sum(float(number) * _TIMES[unit] for number, unit in found)
    if not 0.0 < seconds < float(_LARGEST):
        raise _refused(text, field, TIME)
    return seconds


def price(text: str, field: str) -> float:
    """What one device costs for a second, in the currency of whoever asks; a sign in front is passed over.

    >>> price("2.5/h", "--price") * 3600, price("$60/d", "--price") * 86400
    (2.5, 60.0)
    """
    cost, slash, unit = text.strip().lstrip("$€£¥").partition("/")
    value = _positive(cost)
    time = _TIMES.get({"hour": "h", "second": "s"}.get(unit.strip().lower(), unit.strip().lower()))
    if value is None or not slash or time is None:
        raise _refused(text, field, PRICE)
    return float(value) / time


def fraction(text: str, field: str) -> float:
    """A fraction of a whole, as a number up to one or with a percent sign.

    >>> share("0.4", "--mfu"), share("40%", "--mfu")
    (0.4, 0.4)
    """
    stripped = text.strip()
    value = _positive(stripped.removesuffix("%"))
    if value is not None and stripped.endswith("%"):
        value /= 100
    if value is None or value > 1:
        raise _refused(text, field, FRACTION)
    return float(value)


def _positive(text: str) -> Decimal | None:
    match = _AMOUNT.fullmatch(text.strip())
    factor = _SUFFIXES.get(match["suffix"].lower()) if match else None
    if match is None or factor is None:
        return None
    digits = match["number"].replace("_", "").replace(",", "")
    try:
        value = Decimal(digits + (match["exponent"] or "")) * factor
    except InvalidOperation:
        return None
    return value if 0 < value <= _LARGEST else None


def _refused(text: str, field: str, allowed: str) -> UsageError:
    shown = " ".join(text.split())
    shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
    return UsageError(f"{field} {shown!r} is not {allowed}")


# What products are computed in; sixteen bits are trained with masters in float32 where nothing else is said.
DTYPES = ("float32", "tf32", "bfloat16", "float16")
STATES = tuple(name for name in PRECISIONS if name not in {"float32", "tf32"})
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
    tokens = _parsed(options.tokens, "--tokens", amount)
    return Question(
        model=model,
        lengths=lengths_of(model, options.batch, options.sequence, options.target),
        tokens=tokens_of(model, None if tokens is None else float(tokens)),
        dtype=options.dtype,
        recipe=Recipe(precision, options.optimizer, options.dropout),
        layout=layout,
        device=_device(options) if named else None,
        rate=_parsed(options.mfu, "--mfu", fraction),
        memory=_parsed(options.memory and options.memory.removesuffix("B"), "--memory", amount),
        link=None if options.link is None else link(options.link),
        watts=_parsed(options.watts, "--watts", quantity),
        price=_parsed(options.price, "--price", price),
    )


def _of_use(options: Options, *, named: bool) -> None:
    """Refuses what would change nothing."""
    if options.states is not None and options.dtype in {"float32", "tf32"}:
        raise UsageError(f"--states {options.states}: of training in 16 bits, not in {options.dtype}")
    if options.mfu is not None and (options.on is None or not named):
        raise UsageError(f"--mfu {options.mfu}: the fraction of a device's peak, so it needs --on DEVICE")
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
    return quantity(text, "--days") * DAY if text[-1:].isdigit() else duration(text, "--days")


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
        spent = quantity(flops, "--budget")
        return budget.every_approach(spent)
    _one_of("--dtype", options.dtype, DTYPES)
    at_least_one("--devices", options.devices)
    if options.on is None:
        raise UsageError("--days needs --on DEVICE: how fast is what it trains on?")
    mfu = _parsed(options.mfu, "--mfu", fraction)
    if here is None:
        here = time.assumed(device(options.on), options.dtype, mfu).achieved
    elif mfu is not None:
        raise UsageError("--mfu is of a device by name: a run has measured what its steps reach")
    return budget.every_approach(days_of(days or "") * here * (options.devices or 1))

"""The options of `plan` as a user gives them, and the question that they make."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import UsageError
from harness.plan import budget, time
from harness.plan.config import read
from harness.plan.devices import Device, device
from harness.plan.parallelism import Link
from harness.plan.work import Lengths
from harness.records.architecture import (
    OPTIMIZERS,
    PRECISIONS,
    Architecture,
    Layout,
    Per,
    Recipe,
    Recompute,
)
from harness.units import read_amount, read_duration, read_fraction, read_price, read_quantity

DAY = 86_400.0
# The length of a sample where a model gives none, or a longer one than it is usually trained at.
USUAL, LONGEST = 2048, 8192
# Hoffmann et al. 2022 (arXiv 2203.15556): about this many tokens for each parameter spend a budget best.
TOKENS_PER_PARAMETER = 20
# Above any data set or machine, and the FLOPs are still a float.
MOST = 10**18
DTYPES = ("float32", "tf32", "bfloat16", "float16")
# Training states that products in 16 bits may have; without an option they are "mixed": masters in float32.
STATES = tuple(name for name in PRECISIONS if name not in {"float32", "tf32"})


@dataclass(frozen=True)
class Options:
    """The options of a plan as they are typed; `question` and `optima` resolve them."""

    config: str = ""
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
    budget: str | None = None
    days: str | None = None


@dataclass(frozen=True)
class Question:
    """All that a plan depends on. `tokens` are those of the whole training; for a model of images, its samples.

    `mfu` is a stated utilisation. `price` is per device-second, `watts` of one device. `memory` overrides that of the device.
    `tokens_given` is False where `tokens` follow from the size of the model.
    """

    model: Architecture
    lengths: Lengths
    tokens: float
    dtype: str
    recipe: Recipe
    layout: Layout
    device: Device | None = None
    mfu: float | None = None
    memory: int | None = None
    link: Link | None = None
    watts: float | None = None
    price: float | None = None
    tokens_given: bool = True

    @property
    def capacity(self) -> int | None:
        """Bytes of one device; None where no device is named."""
        return self.memory or (self.device.memory_bytes if self.device else None)

    @property
    def samples(self) -> bool:
        """Whether training is counted in samples, as for images, and not in tokens."""
        return self.model.tokens is not None or not self.model.cores

    @property
    def tokens_per_batch(self) -> int:
        """Tokens of a batch, source and target; its samples where those are counted."""
        return self.lengths.batch if self.samples else self.lengths.tokens

    @property
    def passes(self) -> int:
        """The micro-batches of a replica in a step."""
        replica = max(1, self.lengths.batch // self.layout.data)
        return max(1, replica // (self.layout.microbatch or replica))


def question(options: Options, *, on_run: bool = False) -> Question:
    """The question about one model; `on_run`: `--on` names a run, not a device.

    Raises:
        UsageError: one line that names the option, and what is allowed.
    """
    if options.budget is not None or options.days is not None:
        raise UsageError("--budget and --days: they find the best size, so give them without a CONFIG")
    model = read(options.config)
    _check(options, on_run=on_run)
    tokens = None if options.tokens is None else float(read_amount(options.tokens, "--tokens"))
    return Question(
        model=model,
        lengths=lengths_of(model, options.batch, options.sequence, options.target),
        tokens=tokens_of(model, tokens),
        dtype=options.dtype,
        recipe=Recipe(_precision(options, on_run=on_run), options.optimizer, options.dropout),
        layout=_layout(options),
        device=None if options.on is None or on_run else device(options.on),
        mfu=None if options.mfu is None else read_fraction(options.mfu, "--mfu"),
        memory=None if options.memory is None else read_amount(options.memory.removesuffix("B"), "--memory"),
        link=None if options.link is None else _link(options.link),
        watts=None if options.watts is None else read_quantity(options.watts, "--watts"),
        price=None if options.price is None else read_price(options.price, "--price"),
        tokens_given=tokens is not None,
    )


def optima(options: Options, measured: float | None = None) -> list[budget.Optimum]:
    """The best size and tokens for a compute budget, by each approach: of FLOPs, or of days on devices.

    Args:
        options: Those of the command line.
        measured: The FLOP/s of a machine whose training steps were measured.

    Raises:
        UsageError: neither or both are given, or no device is named.
    """
    if (options.budget is None) == (options.days is None):
        raise UsageError(
            "without a CONFIG: --budget FLOPs, or --days N --on DEVICE [--devices N] [--mfu FRACTION]"
        )
    if options.budget is not None:
        return budget.every_approach(read_quantity(options.budget, "--budget"))
    _one_of("--dtype", options.dtype, DTYPES)
    at_least_one("--devices", options.devices)
    if options.on is None:
        raise UsageError("--days: needs --on DEVICE, for the speed of what it trains on")
    mfu = None if options.mfu is None else read_fraction(options.mfu, "--mfu")
    if measured is None:
        measured = time.assumed(device(options.on), options.dtype, mfu).achieved
    elif mfu is not None:
        raise UsageError("--mfu: for a device by name; a run has measured the rate of its steps")
    return budget.every_approach(_days(options.days or "") * measured * (options.devices or 1))


def lengths_of(model: Architecture, batch: int, sequence: int | None, target: int | None = None) -> Lengths:
    """The batch: of the given length, else of the model's own, up to the longest usual one.

    Raises:
        UsageError: the model cannot have that length.
    """
    at_least_one("--batch", batch)
    at_least_one("--seq", sequence)
    at_least_one("--target-seq", target)
    two_stacks = any(core.queries is Per.TARGET for core in model.cores)
    if target is not None and not two_stacks:
        raise UsageError(f"--target-seq {target}: {model.name} has no decoder next to an encoder")
    if model.tokens is not None:
        if sequence not in {None, model.tokens}:
            raise UsageError(f"--seq {sequence}: a sample of {model.name} has {model.tokens} tokens")
        return Lengths(batch, model.tokens)
    if not model.cores:
        return Lengths(batch, 1)
    length = sequence or min(model.context or USUAL, LONGEST)
    return Lengths(batch, length, target or length) if two_stacks else Lengths(batch, length)


def tokens_of(model: Architecture, tokens: float | None) -> float:
    """The tokens of training: those given, else twenty for each active parameter."""
    return tokens if tokens is not None else float(TOKENS_PER_PARAMETER * model.active_parameters)


def at_least_one(field: str, size: int | None) -> None:
    """Refuses a size below one or above any."""
    if size is not None and size < 1:
        raise UsageError(f"{field} {size}: 1 or more")
    if size is not None and size > MOST:
        raise UsageError(f"{field} of {len(str(size))} digits: no more than {MOST:.0e}")


def _check(options: Options, *, on_run: bool) -> None:
    """Refuses values that are not allowed, and options that would change nothing."""
    _one_of("--dtype", options.dtype, DTYPES)
    _one_of("--optimizer", options.optimizer, OPTIMIZERS)
    _one_of("--recompute", options.recompute, Recompute)
    for name in ("devices", "tensor", "pipeline", "interleave", "data", "microbatch"):
        at_least_one(f"--{name}", getattr(options, name))
    if options.states is not None:
        _one_of("--states", options.states, STATES)
        if options.dtype in {"float32", "tf32"}:
            raise UsageError(f"--states {options.states}: for training in 16 bits, not in {options.dtype}")
    if options.mfu is not None and (options.on is None or on_run):
        raise UsageError(f"--mfu {options.mfu}: a fraction of a device's peak; name the device with --on")
    for name in ("watts", "price"):
        if getattr(options, name) is not None and options.on is None:
            raise UsageError(f"--{name} {getattr(options, name)}: needs a time; name a device with --on")


def _one_of(field: str, value: str, allowed: Iterable[str]) -> None:
    names = list(allowed)
    if value not in names:
        raise UsageError(f"{field} {value!r}: not one of {', '.join(names)}")


def _precision(options: Options, *, on_run: bool) -> str:
    """The training states; the steps of a run train 16 bits by autocast."""
    if options.dtype in {"float32", "tf32"}:
        return options.dtype
    return options.states or ("autocast" if on_run and options.dtype == "bfloat16" else "mixed")


def _layout(options: Options) -> Layout:
    given = {name: size for name in ("devices", "data") if (size := getattr(options, name)) is not None}
    return Layout(
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


def _microbatch(options: Options) -> int | None:
    """The given one; in a pipeline one sample, where a replica has several: all together would wait for each other."""
    replicas = options.data or (options.devices or 1) // (options.tensor * options.pipeline) or 1
    if options.microbatch is None and options.pipeline > 1 and options.batch // replicas > 1:
        return 1
    return options.microbatch


def _days(text: str) -> float:
    """A time in seconds, from a number of days or with a unit of its own.

    >>> _days("30"), _days("12h")
    (2592000.0, 43200.0)
    """
    return read_quantity(text, "--days") * DAY if text[-1:].isdigit() else read_duration(text, "--days")


def _link(text: str) -> Link:
    """A link as latency and bytes per second.

    >>> _link("5e-6,450e9").beta
    450000000000.0
    """
    latency, _, rate = text.partition(",")
    try:
        alpha, beta = float(latency), float(rate)
    except ValueError:
        alpha, beta = math.nan, math.nan
    if not (0.0 <= alpha < math.inf and 0.0 < beta < math.inf):
        raise UsageError(f"--link {text!r}: not seconds of latency and bytes per second; write 5e-6,450e9")
    return Link(alpha, beta, f"stated, {text}")

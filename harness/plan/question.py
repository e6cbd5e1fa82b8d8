"""What is asked of a plan: a model, a batch, how it is trained and on what."""

from dataclasses import dataclass

from harness.errors import UsageError
from harness.plan.communication import Link
from harness.plan.devices import Device
from harness.plan.work import Lengths
from harness.records.architecture import Architecture, Layout, Per, Recipe

# Where a model says no length, or one that nobody trains at.
USUAL, LONGEST = 2048, 8192
# Hoffmann et al. 2022 (arXiv 2203.15556): about so many tokens for each parameter spend a budget best.
TOKENS_PER_PARAMETER = 20
# No size is larger: beyond any data set or machine, and its FLOPs are still a float.
MOST = 10**18


@dataclass(frozen=True)
class Question:
    """All that a plan depends on. `tokens` are those of the whole training; of a model of images, its samples.

    `rate` is a utilisation somebody states. `price` is per device-second, `watts` of one device. `memory` overrides that of the device.
    """

    model: Architecture
    lengths: Lengths
    tokens: float
    dtype: str
    recipe: Recipe
    layout: Layout
    device: Device | None = None
    rate: float | None = None
    memory: int | None = None
    link: Link | None = None
    watts: float | None = None
    price: float | None = None

    @property
    def capacity(self) -> int | None:
        """Bytes of one device; None where no device is named."""
        return self.memory or (self.device.memory_bytes if self.device else None)

    @property
    def samples(self) -> bool:
        """Whether training is counted in samples, as of images, and not in tokens."""
        return self.model.tokens is not None or not self.model.cores

    @property
    def tokens_per_batch(self) -> int:
        """Tokens of a batch, source and target; its samples where those are counted."""
        return self.lengths.batch if self.samples else self.lengths.tokens


def lengths_of(model: Architecture, batch: int, sequence: int | None, target: int | None = None) -> Lengths:
    """The batch: of a length that is given, else of the model's own, no longer than is usual.

    Raises:
        UsageError: a length that the model cannot have.
    """
    at_least_one("--batch", batch)
    at_least_one("--seq", sequence)
    at_least_one("--target-seq", target)
    beside = any(core.queries is Per.TARGET for core in model.cores)
    if target is not None and not beside:
        raise UsageError(f"--target-seq {target}: {model.name} has no decoder beside an encoder")
    if model.tokens is not None:
        if sequence not in {None, model.tokens}:
            raise UsageError(f"--seq {sequence}: a sample of {model.name} has {model.tokens} tokens")
        return Lengths(batch, model.tokens)
    if not model.cores:
        return Lengths(batch, 1)
    length = sequence or min(model.context or USUAL, LONGEST)
    return Lengths(batch, length, target or length) if beside else Lengths(batch, length)


def at_least_one(field: str, size: int | None) -> None:
    """Refuses what no size can be, where one is given."""
    if size is not None and size < 1:
        raise UsageError(f"{field} {size}: 1 or more")
    if size is not None and size > MOST:
        raise UsageError(f"{field} of {len(str(size))} digits: no more than {MOST:.0e}")


def tokens_of(model: Architecture, tokens: float | None) -> float:
    """The tokens of training: those given, else twenty for each active parameter."""
    return tokens if tokens is not None else float(TOKENS_PER_PARAMETER * model.active_parameters)

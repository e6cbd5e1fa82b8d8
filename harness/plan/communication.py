"""What devices say to each other in training, in bytes, and how long that takes by the model of latency and bandwidth.

A message of n bytes takes alpha + n / beta (Hockney 1994; Thakur, Rabenseifner and Gropp 2005 for the collectives). Alpha and beta are measured or stated; nothing is assumed of how much hides behind compute.
"""

from dataclasses import dataclass

from harness.errors import UsageError

ZERO = "Rajbhandari et al. 2020 (ZeRO), arXiv 1910.02054, section 7"
TENSOR = "Shoeybi et al. 2019 (Megatron-LM), arXiv 1909.08053, section 3; Korthikanti et al. 2022, arXiv 2205.05198, section 4.2.2"
PIPELINE = "Narayanan et al. 2021 (Megatron-LM), arXiv 2104.04473, section 3.2"


@dataclass(frozen=True)
class Link:
    """What one device can send: a message's latency in seconds, bytes/s in one direction, and who says so."""

    alpha: float
    beta: float
    source: str

    def __post_init__(self) -> None:
        if self.alpha < 0 or self.beta <= 0:
            raise UsageError("a link needs a latency of zero or more and a bandwidth above zero")

    def message(self, size: float) -> float:
        """The time of one message.

        >>> Link(alpha=5e-6, beta=25e9, source="stated").message(25e6)
        0.001005
        """
        return self.alpha + size / self.beta


@dataclass(frozen=True)
class Traffic:
    """What one device sends: messages one after the other, and the bytes of all of them."""

    messages: int
    sent: float

    def seconds(self, link: Link) -> float:
        """How long it takes, nothing else using the link."""
        return self.messages * link.alpha + self.sent / link.beta

    def times(self, often: int) -> "Traffic":
        """The same so many times over."""
        return Traffic(self.messages * often, self.sent * often)

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.messages + other.messages, self.sent + other.sent)


NOTHING = Traffic(0, 0.0)


def reduce_scatter(size: float, devices: int) -> Traffic:
    """A ring's: n - 1 messages of a share each; `size` is the whole of what is reduced."""
    return _ring(size, devices, 1)


def all_gather(size: float, devices: int) -> Traffic:
    """A ring's: as much as a reduce-scatter; `size` is the whole of what everyone has afterwards."""
    return _ring(size, devices, 1)


def all_reduce(size: float, devices: int) -> Traffic:
    """A ring's: a reduce-scatter and an all-gather, 2 (n - 1) / n of the size from each device.

    >>> all_reduce(8e9, 8)
    Traffic(messages=14, sent=14000000000.0)
    """
    return _ring(size, devices, 2)


def all_to_all(size: float, devices: int) -> Traffic:
    """Each device keeps its fraction of the size it holds, and sends every other device one."""
    return _ring(size, devices, 1)


def _ring(size: float, devices: int, rounds: int) -> Traffic:
    if devices < 1 or size < 0:
        raise UsageError(f"a collective needs one device or more and no negative size: {devices}, {size}")
    return Traffic(rounds * (devices - 1), rounds * (devices - 1) / devices * size)


def data_parallel(
    parameters: float,
    devices: int,
    *,
    stage: int,
    element: int = 2,
    weight: int | None = None,
    passes: int = 1,
) -> Traffic:
    """A step's: gradients reduced and parameters gathered.

    Plain data parallelism and ZeRO 1 and 2 move 2 psi elements, ZeRO 3 moves 3 psi (parameters once more, gathered in the forward and
    again in the backward pass), times (n - 1) / n for a ring. It is one collective each here; in buckets there are more messages.
    `element` is of gradients, `weight` of weights where those that are gathered are of another size. Gradients are kept whole until
    the last micro-batch; weights that ZeRO 3 shares out are gathered for each of `passes`.

    >>> [round(data_parallel(1e9, 1024, stage=stage).sent / 2e9, 2) for stage in (0, 1, 2, 3)]
    [2.0, 2.0, 2.0, 3.0]
    """
    if stage not in {0, 1, 2, 3}:
        raise UsageError(f"ZeRO stage {stage}: 0, 1, 2 or 3")
    size = element if weight is None or stage == 0 else weight
    gathered = all_gather(parameters * size, devices).times(2 * passes if stage == 3 else 1)
    return reduce_scatter(parameters * element, devices) + gathered


def tensor_parallel(
    tokens: float, hidden: int, layers: int, devices: int, *, element: int = 2, gathered_again: bool = False
) -> Traffic:
    """A micro-batch's: four all-reduces of tokens x hidden a layer, two forward and two backward.

    With sequence parallelism each is an all-gather and a reduce-scatter instead, which sends as much in as many messages. Layers that are computed again in full say their two of the forward pass again.
    """
    each = all_reduce(tokens * hidden * element, devices)
    return each.times(layers * (6 if gathered_again else 4))


def pipeline(
    tokens: float, hidden: int, micro_batches: int, *, stages: int, chunks: int = 1, element: int = 2
) -> Traffic:
    """A step's between neighbours, of a stage in the middle: tokens x hidden forward and as much back for each micro-batch, `chunks` times where stages are interleaved."""
    if stages < 2:
        return NOTHING
    return Traffic(2, 2 * tokens * hidden * element).times(micro_batches * chunks)


def expert_parallel(
    tokens: float, hidden: int, layers: int, devices: int, *, experts_per_token: int, element: int = 2
) -> Traffic:
    """A micro-batch's: each layer sends its tokens to their experts and back, forward and backward; spread evenly (Lepikhin et al. 2020, arXiv 2006.16668)."""
    return all_to_all(tokens * experts_per_token * hidden * element, devices).times(4 * layers)


def exposed(communication: float, compute: float, overlap: float) -> float:
    """The seconds of communication that compute does not hide, where a stated fraction of it can run beside compute.

    >>> exposed(2.0, 10.0, overlap=0.75), exposed(2.0, 1.0, overlap=1.0), exposed(2.0, 10.0, overlap=0.0)
    (0.5, 1.0, 2.0)
    """
    if not 0.0 <= overlap <= 1.0:
        raise UsageError(f"overlap {overlap}: a share from 0 to 1")
    return communication - min(overlap * communication, compute)

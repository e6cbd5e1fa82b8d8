"""The operators of a call, one by one: which they are, how often, and on what; never how long they really take."""

from collections import Counter
from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional

from harness.cost.trace import trace
from harness.measure import replay as replaying
from harness.measure.replay import replay
from harness.records import Replayed
from harness.workload import Call
from tests.simulated import Simulated


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Simulated:
    """A device on which each operator that is timed takes a millisecond for each of its operands."""
    device = Simulated()

    class Watch:
        def __init__(self, clock: object) -> None:
            del clock

        def quick_samples(self, call: object, look: object) -> object:
            del look
            call()  # type: ignore[operator]
            return type("Samples", (), {"trusted_seconds": (1e-3,)})()

    monkeypatch.setattr(replaying, "Timer", Watch)
    return device


def network(device: torch.device) -> Call:
    weight = torch.randn(8, 8, device=device, requires_grad=True)
    table = torch.randn(10, 8, device=device, requires_grad=True)
    ids = torch.tensor([1, 9, 1], device=device)

    def call() -> torch.Tensor:
        hidden = functional.embedding(ids, table) @ weight
        loss = functional.relu(hidden).expand(2, 3, 8).sum()
        return torch.autograd.grad(loss, (weight, table))[0]

    return call


def names(operators: tuple[Replayed, ...]) -> Counter[str]:
    found: Counter[str] = Counter()
    for operator in operators:
        found[operator.name] += operator.count
    return found


def test_it_replays_the_operators_that_a_trace_foresees(simulated: Simulated) -> None:
    foreseen: Counter[tuple[str, tuple[str, ...], tuple[str, ...]]] = Counter()
    for operator in trace(network, torch.device("cpu")).operators:
        if operator.kernel:
            foreseen[operator.name, operator.inputs, operator.outputs] += operator.count

    timed, untimed = replay(network(torch.device("cpu")), simulated, nullcontext, 10.0)

    assert untimed == 0
    found: Counter[tuple[str, tuple[str, ...], tuple[str, ...]]] = Counter()
    for again in timed:
        found[again.name, again.inputs, again.outputs] += again.count
    assert found == foreseen
    assert {one.seconds for one in timed} == {1e-3}


def test_in_inference_composites_are_taken_apart_as_in_a_trace(simulated: Simulated) -> None:
    def prepare(device: torch.device) -> Call:
        layer = torch.nn.Linear(4, 4, device=device)
        x = torch.randn(2, 4, device=device)
        return torch.inference_mode()(lambda: layer(x))

    timed, _ = replay(prepare(torch.device("cpu")), simulated, nullcontext, 10.0)

    assert names(timed) == Counter(
        operator.name for operator in trace(prepare, torch.device("cpu")).operators if operator.kernel
    )


def test_operators_on_integers_keep_their_values(simulated: Simulated) -> None:
    """Made-up indices would lie outside of the table."""
    table, ids = torch.randn(4, 2), torch.tensor([3, 0])

    timed, untimed = replay(lambda: table[ids] * 2, simulated, nullcontext, 10.0)

    assert (names(timed), untimed) == (Counter(index=1, mul=1), 0)


def test_alike_on_other_strides_is_another_operator(simulated: Simulated) -> None:
    a = torch.randn(3, 3)

    timed, _ = replay(lambda: (a @ a) + (a.t() @ a), simulated, nullcontext, 10.0)

    assert [one.name for one in timed if one.name == "mm"] == ["mm", "mm"]


def test_what_there_was_no_time_for_is_counted(simulated: Simulated) -> None:
    timed, untimed = replay(network(torch.device("cpu")), simulated, nullcontext, 0.0)

    assert timed == ()
    assert untimed > 5


def test_an_operator_that_cannot_be_called_again_is_counted(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(run: object, calls: int, device: object) -> float:
        raise RuntimeError

    monkeypatch.setattr(replaying, "_seconds", refuses)
    a = torch.randn(3)

    assert replay(lambda: a + a + a, simulated, nullcontext, 10.0) == ((), 2)

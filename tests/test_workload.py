"""Workloads: what is a size, what is a parameter, and the id."""

from dataclasses import dataclass, field

import msgspec
import pytest
import torch

from harness import Call, Workload, check_one_of
from harness.records import Case


@dataclass(frozen=True)
class Thing(Workload):
    """A workload with a field of each kind."""

    dtype: str
    kind: str
    n: int
    causal: bool = True
    rate: float = 0.5
    swept: str = field(default="n", compare=False)

    def prepare(self, device: torch.device) -> Call:
        return lambda: torch.zeros(self.n, device=device)


def test_a_bool_is_a_parameter_and_no_size() -> None:
    thing = Thing("float32", "wide", 8)

    assert thing.sizes == {"n": 8}
    assert thing.parameters == {"kind": "wide", "causal": True, "rate": 0.5}


def test_the_id_contains_every_field() -> None:
    assert str(Thing("float32", "wide", 8)) == "thing-float32-wide-0.5-n-n8-causalTrue"


def test_parameters_survive_storage() -> None:
    case = Thing("float32", "wide", 8).describe("things")

    assert msgspec.json.decode(msgspec.json.encode(case), type=Case) == case
    assert case.parameters["causal"] is True


def test_a_value_that_is_not_allowed_is_named_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="unknown mask 'odd': one of full, causal"):
        check_one_of("mask", "odd", ("full", "causal"))

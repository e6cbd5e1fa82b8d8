"""Optimizations: what a decision buys, found among the cases of a run."""

import math
import re

import msgspec

from harness.costmodel import optimizations
from harness.records import Case, Cost, Prediction, Result, Run
from harness.workload import ITEM_BYTES
from tests import made_up
from tests.made_up import markdown_of

SIZE = re.compile("(batch|threads|n|m)[0-9]+")


def case(
    name: str, seconds: float, *, memory: int = 1000, said: int = 1000, threads: int | None = None
) -> Result:
    """A case whose id holds a family, parameters and sizes."""
    family, *words = name.split("-")
    sizes = {
        word.rstrip("0123456789"): int(re.sub(r"\D", "", word)) for word in words if SIZE.fullmatch(word)
    }
    dtypes = [word for word in words if word in ITEM_BYTES]
    others = [word for word in words if not SIZE.fullmatch(word) and word not in ITEM_BYTES]
    made = Case(
        id=name,
        suite="train_step",
        family=family,
        dtype=dtypes[0] if dtypes else "",
        sizes=sizes,
        parameters={f"parameter{place}": word for place, word in enumerate(others)},
        cost=Cost(bytes_read=1, bytes_written=1, memory_bytes=said, flops=1000),
        threads=threads,
    )
    prediction = Prediction(compute_seconds=seconds / 3)
    return Result(made, made_up.measurement(seconds, memory=memory), prediction)


def run(*results: Result) -> Run:
    return made_up.run(results)


def test_a_pair_that_differs_in_one_decision_is_an_optimization() -> None:
    (found,) = optimizations(
        run(
            case("train-gpt2-float32-adamw-eager-batch2", 0.2, memory=4000, said=4000),
            case("train-gpt2-float32-adamw-checkpointed-batch2", 0.25, memory=1000, said=1100),
            case("train-t5-float32-adamw-checkpointed-batch2", 0.25),
        )
    )

    assert found.optimization == "activation checkpointing"
    assert found.speedup == 0.8
    assert found.low
    assert found.high
    assert found.low < 0.8 < found.high
    assert math.isclose(found.low * found.high, 0.64)
    assert (found.memory, found.predicted_memory) == (0.25, 0.275)
    assert (found.predicted, found.way) == (0.8, "roofline")


def test_what_a_compiler_fuses_has_no_roofline_to_expect() -> None:
    eager, compiled = case("train-a-eager-batch1", 0.3), case("train-a-compiled-batch1", 0.1)
    compiled = msgspec.structs.replace(compiled, case=msgspec.structs.replace(compiled.case, fused=True))

    (found,) = optimizations(run(eager, compiled))

    assert round(found.speedup, 6) == 3.0
    assert (found.predicted, found.way) == (None, "")


def test_threads_are_compared_from_one_to_the_most() -> None:
    (found,) = optimizations(
        run(*(case(f"threadedmatmul-threads{n}-n1024", 0.4 / n**0.9, threads=n) for n in (1, 2, 4)))
    )

    assert found.optimization == "4 threads instead of 1"
    assert round(found.speedup, 3) == round(4**0.9, 3)
    assert (found.predicted, found.way) == (4.0, "cores")


def test_one_process_alone_states_no_interval() -> None:
    pair = [case("matmul-float32-n8", 0.2), case("matmul-bfloat16-n8", 0.1)]
    for index, result in enumerate(pair):
        assert result.measurement is not None
        view = msgspec.structs.replace(
            result.measurement.view, processes=result.measurement.view.processes[:1]
        )
        alone = msgspec.structs.replace(result.measurement, view=view)
        pair[index] = msgspec.structs.replace(result, outcome=alone)
    (found,) = optimizations(run(*pair))

    assert (found.speedup, found.low, found.high) == (2.0, None, None)


def test_what_calibrates_is_no_optimization() -> None:
    pair = [case("calibrate-gemm-float32-m8", 1.0), case("calibrate-gemm-bfloat16-m8", 0.5)]
    pair = [msgspec.structs.replace(r, case=msgspec.structs.replace(r.case, calibrates=True)) for r in pair]

    assert optimizations(run(*pair)) == ()


def test_the_report_has_a_row_for_each() -> None:
    made = run(case("matmul-float32-n8", 0.2), case("matmul-bfloat16-n8", 0.1))
    header = msgspec.structs.replace(made.header, optimizations=optimizations(made))

    text = markdown_of(msgspec.structs.replace(made, header=header))

    assert "| bfloat16 instead of float32 | 2.00 x |" in text

"""Where the time of cases goes that is not their work: the framework, pages that are mapped anew, odd shapes."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from harness import units
from harness.check.findings.seen import Ranked, ids, number, on_cpu
from harness.records import MAPPED_BYTES, Finding, FindingKind, Result, Run
from harness.records.measurement import speedup_interval

# From half on, the framework is what a step is made of.
FRAMEWORK = 0.5
# First touches of pages that take a tenth of a call are worth a setting.
FAULTS = 0.10
# Sizes within 5 % of each other are the same work to a person; a quarter of the rate is then the shape's.
ALIKE, UNEVEN = 1.05, 1.25
# Vectors and tiles of every CPU and GPU known to us hold a multiple of so many elements.
MULTIPLE = 8


def _framework(run: Run) -> Iterator[Ranked]:
    known = {result.case.id for result in run.measured}
    steps = [
        (said, sum(part.seconds for part in said.parts if part.kind == "framework"))
        for said in run.header.estimates
        if said.case in known and said.seconds > 0.0
    ]
    # On an accelerator the host works ahead: only where it is the slower of the two does it set the pace.
    least = FRAMEWORK if on_cpu(run) else 1.0
    found = sorted(
        ((part / said.seconds, said) for said, part in steps if part >= least * said.seconds * (1.0 - 1e-9)),
        key=lambda one: -one[0],
    )
    if not found:
        return
    most, worst = found[0]
    yield Ranked(
        most,
        Finding(
            "mostly framework",
            FindingKind.ADVICE,
            f"{len(found)} of {number(len(steps), 'step')} {'is' if len(found) == 1 else 'are'} mostly framework by the cost model: most {worst.case}, of whose expected "
            f"{units.seconds(worst.seconds)} it is {units.percent(most)}.",
            "Python, the dispatch of each operator, views and the autograd engine take as long for little work as for much.",
            "Larger batches, `torch.compile`"
            + ("" if on_cpu(run) else ", or CUDA graphs")
            + ": the framework's part then stands beside more work, or shrinks.",
            tuple(said.case for _, said in found),
        ),
    )


def _mapped(run: Run) -> Iterator[Ranked]:
    """Results so large that the allocator maps them anew each time, where the first touch of their pages takes its share."""
    model = run.header.cost_model
    if model is None or not model.fault_seconds or not on_cpu(run):
        return
    page = run.header.environment.memory.page_bytes
    found = []
    for result in run.measured:
        mapped = sum(one.mapped_bytes for one in run.operators.get(result.case.id, ()))
        measurement = result.measurement
        if mapped and measurement is not None and not result.case.calibrates:
            faults = mapped / page * model.fault_seconds
            found.append((min(1.0, faults / measurement.median), faults, mapped, result, measurement))
    found = sorted((one for one in found if one[0] >= FAULTS), key=lambda one: -one[0])
    if not found:
        return
    most, faults, mapped, worst, measurement = found[0]
    huge = run.header.environment.memory.transparent_huge_pages
    # An estimate of more than the whole says that it is too high, and no more of the truth than one of half.
    yield Ranked(
        most if most < 1.0 else 0.5,
        Finding(
            "pages mapped anew",
            FindingKind.ADVICE,
            f"{number(len(found), 'case')} of this run {'gets' if len(found) == 1 else 'get'} results of {units.size(MAPPED_BYTES)} or more: "
            f"{units.size(mapped)} a call in {worst.case.id}, which took {units.seconds(measurement.median)}. By the cost model the first touches of "
            f"their pages take {f'up to {units.seconds(faults)} of it' if most < 1.0 else 'much of it'}.",
            f"{_allocator(run)} maps an allocation of {units.size(MAPPED_BYTES)} or more anew each time and gives it back, and its pages fault "
            "when they are first touched" + (f" (transparent huge pages: {huge})." if huge else "."),
            _kept(run, huge),
            ids(result for _, _, _, result, _ in found),
        ),
    )


def _allocator(run: Run) -> str:
    libc = run.header.environment.software.libc
    return "glibc" if libc and "glibc" in libc.lower() else "The allocator probably"


def _kept(run: Run, huge: str | None) -> str:
    """How to keep the memory, as far as the record tells what would help."""
    if _allocator(run) != "glibc":
        return "Reuse the memory: results written into tensors made beforehand (`out=`), or an allocator that keeps what it was given."
    told = "`MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296` before the command keeps the memory"
    return (
        f"{told}; `THP_MEM_ALLOC_ENABLE=1` takes huge pages for it, but may slow down smaller results."
        if huge == "madvise"
        else f"{told}."
    )


class _Pair(NamedTuple):
    ratio: float
    slow: Result
    fast: Result


def _odd_shapes(run: Run) -> Iterator[Ranked]:
    """Cases of nearly the same size, of which one goes at another rate."""
    alike: dict[tuple[str, str], list[Result]] = {}
    for result in run.measured:
        if not result.case.calibrates and result.case.sizes and _rate(result):
            shape = re.sub(r"\d+", "", result.case.id)
            alike.setdefault((result.case.dtype, shape), []).append(result)
    pairs = [
        pair
        for group in alike.values()
        for one, other in _neighbours(group)
        if (pair := _uneven(one, other)) is not None
    ]
    if not pairs:
        return
    worst = max(pairs, key=lambda pair: pair.ratio)
    slow = dict.fromkeys(pair.slow.case.id for pair in pairs)
    yield Ranked(
        1.0 - 1.0 / worst.ratio,
        Finding(
            "uneven shapes",
            FindingKind.ADVICE,
            f"{worst.slow.case.id} goes at {_shown(worst.slow)}, {worst.fast.case.id} at {_shown(worst.fast)}: {worst.ratio:.2f} times the rate "
            f"at sizes within {units.percent(ALIKE - 1.0)} of each other"
            + (f"; {number(len(slow) - 1, 'other case')} like it." if len(slow) > 1 else "."),
            _why_uneven(worst),
            f"Pad to the sizes of {worst.fast.case.id}: up to {units.percent(1.0 - 1.0 / worst.ratio)} of the time.",
            tuple(slow),
        ),
    )


def _neighbours(group: list[Result]) -> Iterator[tuple[Result, Result]]:
    """The pairs of nearly the same sizes; those whose sizes multiplied lie too far apart are not even looked at."""
    volumes = sorted(
        ((math.prod(one.case.sizes.values()), place) for place, one in enumerate(group)), reverse=True
    )
    for at, (volume, place) in enumerate(volumes):
        for other_volume, other in volumes[at + 1 :]:
            if volume > ALIKE ** len(group[place].case.sizes) * other_volume:
                break
            if _nearly(group[place].case.sizes, group[other].case.sizes):
                yield group[place], group[other]


def _nearly(one: dict[str, int], other: dict[str, int]) -> bool:
    return one.keys() == other.keys() and all(
        max(one[name], other[name]) <= ALIKE * min(one[name], other[name]) for name in one
    )


def _uneven(result: Result, other: Result) -> _Pair | None:
    """The pair, if the rates differ by more than chance explains; both do nearly the same work."""
    slow, fast = sorted((result, other), key=_rate)
    ratio = _rate(fast) / _rate(slow)
    if ratio < UNEVEN or slow.measurement is None or fast.measurement is None:
        return None
    told = speedup_interval(slow.measurement.view, fast.measurement.view)
    return _Pair(ratio, slow, fast) if told is not None and told[0] > 1.0 else None


def _why_uneven(pair: _Pair) -> str:
    slow, fast = pair.slow.case.sizes, pair.fast.case.sizes
    odd = [name for name in slow if slow[name] % MULTIPLE and not fast[name] % MULTIPLE]
    if odd:
        told = ", ".join(f"{name} = {slow[name]}" for name in odd)
        return f"{told} {'is' if len(odd) == 1 else 'are'} no multiple of {MULTIPLE}: rows then begin off the boundary of a vector, and the last vector or tile is partly empty."
    return "The library probably takes another kernel or another blocking for these sizes."


def _rate(result: Result) -> float:
    return result.flops_per_second or result.bytes_per_second or 0.0


def _shown(result: Result) -> str:
    if result.flops_per_second:
        return units.work_rate(result.flops_per_second)
    return units.bandwidth(_rate(result))


RULES = (_framework, _mapped, _odd_shapes)

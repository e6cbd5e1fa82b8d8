"""Which laws are tried on what is known of the work; those of threads among them."""

import math

import numpy as np

from harness.fit.laws import (
    NOTHING,
    Columns,
    Law,
    Symbol,
    Vector,
    additive,
    by_level,
    constant,
    floored,
    power,
    proportional,
    roof,
    roofline,
    smooth,
)


def scalability(*, contention: bool = True, coherency: bool = True) -> Law:
    """The time of fixed work on N threads: ideal, Amdahl's law (sigma is its serial share), or the universal one.

    Gunther, "A general theory of computational scalability based on rational functions", 2008. Throughput has a
    maximum at N = sqrt((1 - sigma) / kappa).
    """
    share = Symbol("sigma", "", most=1.0, beyond="threads make it slower")
    shapes = [one for one, there in ((share, contention), (Symbol("kappa", ""), coherency)) if there]

    def curve(logs: Vector, columns: Columns) -> Vector:
        count = columns["threads"]
        more = np.log(np.maximum(np.expm1(count), NOTHING))  # of N - 1
        slowed = np.zeros_like(count)
        if contention:
            slowed = np.logaddexp(slowed, logs[..., 1, None] + more)
        if coherency:
            slowed = np.logaddexp(slowed, logs[..., 2, None] + count + more)
        return np.asarray(logs[..., 0, None] + slowed - count)

    terms = ["1", *(["sigma*(N-1)"] if contention else []), *(["kappa*N*(N-1)"] if coherency else [])]
    return Law(
        f"T1*({' + '.join(terms)})/N" if contention else "T1/N",
        (Symbol("T1", "s"), *shapes),
        curve,
        lambda columns, times: [
            [float(np.max(columns["threads"] + times)) - away, *(math.log(share) for _ in shapes)]
            for away in (0.0, 0.5)
            for share in (0.2, 0.02, 0.002)
        ],
    )


def family(columns: Columns, levels: tuple[str, ...] = (), *, falling: bool = False) -> tuple[Law, ...]:
    """The laws that can be tried on such columns, the simpler first. `falling`: what is told gets less with size."""
    if levels:
        kinds = [(overhead, free) for free in (False, True) for overhead in (False, True)]
        return tuple(by_level(levels, overhead=overhead, free=free) for overhead, free in kinds)
    if "threads" in columns:
        return (
            scalability(contention=False, coherency=False),
            scalability(coherency=False),
            scalability(),
        )
    if "size" in columns:
        powers = [power("size", joined, falling=falling) for joined in ("", "+", "max")]
        growing = () if falling else (proportional("size"), additive("size"))
        return (constant(), *growing, *powers)
    worked = [column for column in ("flops", "bytes") if column in columns]
    laws = [make(column) for make in (proportional, additive, floored) for column in worked]
    laws += [roof(), roofline()] if len(worked) == 2 else []
    return (*laws, smooth(worked[0]), power(worked[0], ""), power(worked[0], "+"), power(worked[0], "max"))

"""Compute-optimal models against the published tables, and amounts as people write them."""

import math

import pytest

from harness.errors import UsageError
from harness.plan import budget
from harness.plan.budget import (
    ALLOCATIONS,
    PARAMETRIC,
    REFIT,
    Parametric,
    every_approach,
    for_budget,
    for_size,
)
from harness.units import read_amount, read_duration, read_fraction, read_price, read_quantity

# Parameters; then FLOPs and tokens by approach 1 (Table 3), 2 and 3 (Table A3) of arXiv 2203.15556.
TABLES: tuple[tuple[float, tuple[float, float], tuple[float, float], tuple[float, float]], ...] = (
    (400e6, (1.92e19, 8.0e9), (1.84e19, 7.7e9), (2.21e19, 9.2e9)),
    (1e9, (1.21e20, 20.2e9), (1.20e20, 20.0e9), (1.62e20, 27.1e9)),
    (10e9, (1.23e22, 205.1e9), (1.32e22, 219.5e9), (2.46e22, 410.1e9)),
    (67e9, (5.76e23, 1.5e12), (6.88e23, 1.7e12), (1.71e24, 4.1e12)),
    (175e9, (3.85e24, 3.7e12), (4.54e24, 4.3e12), (1.26e25, 12.0e12)),
    (280e9, (9.90e24, 5.9e12), (1.18e25, 7.1e12), (3.52e25, 20.1e12)),
    (520e9, (3.43e25, 11.0e12), (4.19e25, 13.4e12), (1.36e26, 43.5e12)),
    (1e12, (1.27e26, 21.2e12), (1.59e26, 26.5e12), (5.65e26, 94.1e12)),
    (10e12, (1.30e28, 216.2e12), (1.75e28, 292.0e12), (8.55e28, 1425.5e12)),
)
CASES = [
    pytest.param(f"approach-{number}", size, *row[number - 1], id=f"approach-{number}-{size / 1e9:g}B")
    for size, *row in TABLES
    for number in (1, 2, 3)
]


# Rows whose own numbers do not fit together, or not with the rest of their column; see below.
ODD = {("approach-1", 67e9), ("approach-2", 67e9), ("approach-3", 67e9), ("approach-3", 280e9)}


@pytest.mark.parametrize(("approach", "size", "flops", "tokens"), CASES)
def test_chinchilla_tables(approach: str, size: float, flops: float, tokens: float) -> None:
    """R092 and the other rows: FLOPs to 1 %, tokens to the rounding of their last digit or 0.4 %, from one power model a column, through its rows of 10B and 10T."""
    found = for_size(size, approach)
    rounding = 0.05e9 if tokens < 1e12 else 0.05e12
    if (approach, size) not in ODD:
        assert found.flops == pytest.approx(flops, rel=0.01)
        assert abs(found.tokens - tokens) <= max(rounding, 0.004 * tokens)


@pytest.mark.parametrize(
    ("approach", "flops"), [("approach-1", 5.76e23), ("approach-2", 6.88e23), ("approach-3", 1.71e24)]
)
def test_rows_of_67_billion(approach: str, flops: float) -> None:
    """In every column they lie above the line of the other rows, by 2.7, 7.6 and 9.9 %: the budgets are those of 68B, 69B and 70B. Table 3's is Gopher's, of which its 1.5T tokens would make 6.03e23."""
    assert 67e9 < for_budget(flops, approach).parameters < 70.1e9


def test_misprints() -> None:
    """Table A3, approach 3: 280B has 20.1T tokens, but 3.52e25 FLOPs make 20.95T, as do we; 175B has 1.26e24 FLOPs, but 12.0T tokens make 1.26e25."""
    assert for_size(280e9, "approach-3").tokens == pytest.approx(3.52e25 / 6 / 280e9, rel=0.001)
    assert for_size(175e9, "approach-3").flops == pytest.approx(1.26e25, rel=0.01)


def test_the_exponents_are_the_published_ones() -> None:
    """Table 2: 0.50, 0.49, 0.46; Kaplan 0.73. The printed constants of equation 10 give 0.452, its text says 0.46; the refit says 0.513."""
    exponents = {name: model.exponent for name, model in ALLOCATIONS.items()}
    assert exponents["approach-1"] == pytest.approx(0.50, abs=0.005)
    assert exponents["approach-2"] == pytest.approx(0.49, abs=0.005)
    assert exponents["approach-3"] == pytest.approx(0.46, abs=0.005)
    assert exponents["parametric"] == pytest.approx(0.4516, abs=0.0001)
    assert exponents["refit"] == pytest.approx(0.5126, abs=0.0001)
    assert exponents["kaplan"] == pytest.approx(0.73)


def test_approach_1_at_1e21() -> None:
    """Appendix D.4: approach 1 makes 2.86B of 1e21 FLOPs."""
    assert for_budget(1e21).parameters == pytest.approx(2.86e9, abs=0.01e9)


def test_gophers_budget() -> None:
    """Section 3.4 and 4: 40 to 70 billion for Gopher's 5.76e23; by approach 1 67B or so, by approach 3 42B; as Chinchilla's 70B and 1.4T (R095)."""
    assert for_budget(5.76e23).parameters == pytest.approx(67e9, rel=0.02)
    assert 40e9 < for_budget(5.76e23, "approach-3").parameters < 43e9
    chinchilla = for_size(70e9)
    assert chinchilla.tokens == pytest.approx(1.4e12, rel=0.05)
    assert for_size(70e9, "rule").tokens == 1.4e12


def test_rounded_constants_are_not_approach_3() -> None:
    """The constants as printed make 32B of Gopher's budget where the paper says 40B: they were rounded after the fit. They stand apart as "parametric"."""
    printed, table = for_budget(5.76e23, "parametric"), for_budget(5.76e23, "approach-3")
    assert 0.75 < printed.parameters / table.parameters < 0.85


def test_kaplan_wants_larger_models() -> None:
    """1.3e9 at a PF-day, growing as C^0.73 (arXiv 2001.08361)."""
    assert for_budget(budget.PETAFLOP_DAY, "kaplan").parameters == pytest.approx(1.3e9)
    assert for_budget(100 * budget.PETAFLOP_DAY, "kaplan").parameters == pytest.approx(1.3e9 * 100**0.73)
    assert for_budget(1e24, "kaplan").parameters > 5 * for_budget(1e24).parameters


@pytest.mark.parametrize("model", [PARAMETRIC, REFIT], ids=lambda model: model.name)
def test_the_closed_form_is_the_minimum(model: Parametric) -> None:
    for flops in (1e18, 1e21, 1e24, 1e27):
        best = for_budget(flops, model.name)
        assert best.flops == pytest.approx(flops)
        for size in (0.9 * best.parameters, 1.1 * best.parameters):
            assert model.loss(size, flops / (6 * size)) > best.loss


def test_losses() -> None:
    """Chinchilla 1.94 and Gopher 1.99 by equation 10, in nats a token."""
    assert PARAMETRIC.loss(70e9, 1.4e12) == pytest.approx(1.937, abs=0.001)
    assert PARAMETRIC.loss(280e9, 300e9) == pytest.approx(1.993, abs=0.001)


@pytest.mark.parametrize("approach", ALLOCATIONS)
def test_size_and_budget_are_one_model(approach: str) -> None:
    sizes = []
    for flops in (1e17, 1e20, 1e23, 1e26, 1e29):
        best = for_budget(flops, approach)
        assert best.flops == pytest.approx(flops)
        again = for_size(best.parameters, approach)
        assert (again.tokens, again.loss) == pytest.approx((best.tokens, best.loss))
        assert best.approach == approach
        assert best.source
        sizes.append(best)
    assert [size.parameters for size in sizes] == sorted(size.parameters for size in sizes)
    assert [size.tokens for size in sizes] == sorted(size.tokens for size in sizes)
    assert sizes[0].extrapolated
    assert sizes[-1].extrapolated
    assert not for_size(1e9, approach).extrapolated


def test_every_approach_answers() -> None:
    assert [one.approach for one in every_approach(1e22)] == list(ALLOCATIONS)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_budget(bad: float) -> None:
    with pytest.raises(UsageError, match="budget"):
        for_budget(bad)
    with pytest.raises(UsageError, match="parameters"):
        for_size(bad)


def test_what_is_no_approach() -> None:
    with pytest.raises(UsageError, match="approach-1"):
        for_budget(1e20, "approach-4")


# ---- amounts


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.4T", 1_400_000_000_000),
        ("300B", 300_000_000_000),
        ("300b", 300_000_000_000),
        ("300 B", 300_000_000_000),
        ("7e9", 7_000_000_000),
        ("7E+9", 7_000_000_000),
        ("2_000_000", 2_000_000),
        ("1,000,000", 1_000_000),
        ("15.6T", 15_600_000_000_000),
        ("8k", 8_000),
        ("8K", 8_000),
        ("8Ki", 8_192),
        ("1M", 1_000_000),
        ("1Mi", 2**20),
        ("2Gi", 2**31),
        (" 12 ", 12),
        ("+12", 12),
        ("0.5k", 500),
        ("1e-3M", 1_000),
        ("512", 512),
    ],
)
def test_amounts(text: str, value: int) -> None:
    assert read_amount(text, "--tokens") == value


@pytest.mark.parametrize("value", [1, 7, 999, 1000, 1024, 10**6, 123_456_789, 10**12 + 1, 10**15, 10**30])
def test_amounts_come_back(value: int) -> None:
    for text in (str(value), f"{value:_}", f"{value:,}", f"{value}e0"):
        assert read_amount(text, "--tokens") == value
    assert read_amount(f"{value}k", "--tokens") == 1000 * value


BAD = [
    "", " ", "0", "-1", "0.0T", "nan", "inf", "-inf", "1e999", "1e999999999", "abc", "1.5", "0.0001k", "1x", "T", "1TT", "1,00", "1,5", "1_", "_1",
    "1__0", "0x10", "1 000", "1e", "e9", "1.2.3", "12\n13", "٣", "1kib", "--", "True", "None", "9" * 400,
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(UsageError, match="--tokens") as caught:
        read_amount(text, "--tokens")
    assert "\n" not in str(caught.value)
    assert "1.4T" in str(caught.value)
    assert len(str(caught.value)) < 200


def test_quantities_may_have_fractions() -> None:
    assert read_quantity("1.5", "--power") == 1.5
    assert read_quantity("0.25k", "--power") == 250.0
    for text in ("0", "-1", "nan", "inf", "watts"):
        with pytest.raises(UsageError, match="--power"):
            read_quantity(text, "--power")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30d", 30 * 86400),
        ("12h", 43200),
        ("90m", 5400),
        ("90min", 5400),
        ("3600s", 3600),
        ("0.5d", 43200),
        ("2w", 14 * 86400),
        ("1d12h", 129600),
        ("1d 12h", 129600),
        ("1Y", 365 * 86400),
        ("30 days", 30 * 86400),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert read_duration(text, "--within") == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-3d", "3x", "1d12", "nand", "infs", "1e9d", "٣d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match=r"--within .* 30d"):
        read_duration(text, "--within")


def test_prices() -> None:
    assert read_price("2.5/h", "--price") * 3600 == pytest.approx(2.5)
    assert read_price("$2.5 / hour", "--price") * 3600 == pytest.approx(2.5)
    assert read_price("€60/d", "--price") * 86400 == pytest.approx(60)
    for text in ("2.5", "/h", "0/h", "-1/h", "2.5/fortnight", "2.5/", "free/h", "nan/h"):
        with pytest.raises(UsageError, match=r"--price .* 2\.5/h"):
            read_price(text, "--price")


def test_shares() -> None:
    assert read_fraction("40%", "--mfu") == read_fraction("0.4", "--mfu") == 0.4
    assert read_fraction("100 %", "--mfu") == 1.0
    for text in ("0", "1.01", "40", "-0.1", "101%", "nan", "%", ""):
        with pytest.raises(UsageError, match="--mfu"):
            read_fraction(text, "--mfu")

"""Models of memory, to the byte."""

from fractions import Fraction

import pytest

from harness.fit.fitted import exact_model


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([7, 7, 7, 7], "7"),
        ([107, 114, 128, 156], "100 + 7 batch"),
        ([12, 48, 192, 768], "12 batch^2"),
        ([6, 13, 39, 139], "3 + batch + 2 batch^2"),
        ([97, 94, 88, 76], "100 - 3 batch"),
    ],
)
def test_a_polynomial_is_found_to_the_last_digit(values: list[int], told: str) -> None:
    model = exact_model([1, 2, 4, 8], values)

    assert model is not None
    assert model.formula("batch").replace("+ 1 batch", "+ batch") == told
    assert [model(size) for size in (1, 2, 4, 8)] == values
    assert model.first == 1


def test_one_byte_more_is_another_model() -> None:
    assert exact_model([1, 2, 4, 8], [107, 114, 128, 157]) is None


def test_below_another_moment_sets_the_peak() -> None:
    """The larger of two moments: 500 bytes whatever the batch, and 100 + 7 batch."""
    sizes = [16, 32, 64, 128, 256]
    model = exact_model(sizes, [max(500, 100 + 7 * size) for size in sizes])

    assert model is not None
    assert (model.coefficients, model.first) == ((Fraction(100), Fraction(7)), 64)


def test_two_sizes_prove_nothing() -> None:
    assert exact_model([1, 2], [107, 114]) is None
    assert exact_model([1, 1, 2], [107, 108, 114]) is None


def test_coefficients_beyond_any_float_stay_exact() -> None:
    huge = 10**17 + 1
    model = exact_model([1, 2, 3], [huge, 2 * huge, 3 * huge])

    assert model is not None
    assert model(4) == 4 * huge

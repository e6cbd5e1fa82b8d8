"""Show quantities to a person, and read those that a person writes. The only place that knows "TFLOP/s", "GiB" or "µs".

Everything else in the harness is in base units: seconds, bytes, FLOPs, per second.
GB = 10^9 bytes (rates); GiB = 2^30 bytes (sizes).
"""

import re
from decimal import Decimal, InvalidOperation

from harness.errors import UsageError
from harness.text import shortened

_DECIMAL = ((1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_BINARY = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))
_HOUR, _DAY = 3600.0, 86_400.0
_TIME = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def _three_digits(value: float) -> str:
    """Three significant digits without an exponent.

    >>> [_three_digits(v) for v in (1.2345, 12.345, 123.45, 1234.5)]
    ['1.23', '12.3', '123', '1234']
    """
    if abs(value) < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 99.95 else f"{value:.0f}"


def _scaled(value: float, unit: str) -> str:
    for factor, prefix in _DECIMAL:
        if abs(value) >= 0.9995 * factor:
            return f"{_three_digits(value / factor)} {prefix}{unit}"
    return f"{_three_digits(value)} {unit}"


def seconds(value: float) -> str:
    """A duration.

    >>> seconds(0.0123), seconds(4.2e-6), seconds(75.0)
    ('12.3 ms', '4.20 µs', '75.0 s')
    """
    for factor, unit in _TIME:
        if abs(value) >= 0.9995 * factor:
            return f"{_three_digits(value / factor)} {unit}"
    return f"{_three_digits(value * 1e9)} ns"


def lasting(value: float) -> str:
    """A long time, in hours or days where it takes so long.

    >>> lasting(90.0), lasting(9000.0), lasting(36 * 3600.0)
    ('90.0 s', '2.5 hours', '1.5 days')
    """
    if value >= _DAY:
        return f"{value / _DAY:,.1f} days"
    return f"{value / _HOUR:.1f} hours" if value >= _HOUR else seconds(value)


def size(value: float) -> str:
    """A number of bytes held, in binary units.

    >>> size(16384), size(3 * 2**30), size(100)
    ('16.0 KiB', '3.00 GiB', '100 B')
    """
    for factor, unit in _BINARY:
        if abs(value) >= factor:
            return f"{value:.0f} B" if unit == "B" else f"{_three_digits(value / factor)} {unit}"
    return f"{value:.0f} B"


def bandwidth(value: float) -> str:
    """Bytes per second, in decimal units.

    >>> bandwidth(27.3e9)
    '27.3 GB/s'
    """
    return _scaled(value, "B/s")


def work_rate(value: float) -> str:
    """FLOPs per second.

    >>> work_rate(2.2e12)
    '2.20 TFLOP/s'
    """
    return _scaled(value, "FLOP/s")


def work(value: float) -> str:
    """A count of FLOPs.

    >>> work(2 * 1024**3)
    '2.15 GFLOP'
    """
    return _scaled(value, "FLOP")


def total_work(value: float) -> str:
    """FLOPs of a whole training, beyond the usual prefixes.

    >>> total_work(8.4e22)
    '8.4e+22 FLOP'
    """
    return f"{value:.3g} FLOP"


def count(value: float) -> str:
    """A number of things.

    >>> count(1234.5), count(7.5)
    ('1.23 k', '7.50')
    """
    return _scaled(value, "").rstrip()


def frequency(value: float) -> str:
    """A clock.

    >>> frequency(3.53e9)
    '3.53 GHz'
    """
    return _scaled(value, "Hz")


def energy(value: float) -> str:
    """Joules.

    >>> energy(0.0123), energy(4.2)
    ('12.3 mJ', '4.20 J')
    """
    return f"{_three_digits(value * 1e3)} mJ" if abs(value) < 0.9995 else _scaled(value, "J")


def power(value: float) -> str:
    """Watts.

    >>> power(312.4)
    '312 W'
    """
    return _scaled(value, "W")


def change(ratio: float) -> str:
    """A ratio to something else as a signed percentage.

    >>> change(0.83), change(1.02)
    ('-17%', '+2%')
    """
    return f"{round(100.0 * (ratio - 1.0)):+d}%"


def signed_percent(ratio: float) -> str:
    """A small difference from one as a signed percentage.

    >>> signed_percent(0.0042), signed_percent(-0.021)
    ('+0.42%', '-2.10%')
    """
    return f"{100.0 * ratio:+.2f}%"


def percent(ratio: float) -> str:
    """A ratio as a percentage, with a decimal below 10%.

    >>> percent(0.923), percent(0.0123), percent(1.5)
    ('92%', '1.2%', '150%')
    """
    value = 100.0 * ratio
    return f"{value:.1f}%" if abs(value) < 9.95 else f"{value:.0f}%"


# What follows reads quantities that a person writes.

_MINUTE, _WEEK, _YEAR = 60.0, 7 * _DAY, 365 * _DAY
# Above any model, data set or machine, and still exact as a float's exponent.
_LARGEST = Decimal("1e36")
_AMOUNT = re.compile(
    r"\+?(?P<number>\d+(?:[_,]\d{3})+(?:\.\d+)?|\d+(?:_\d+)*(?:\.\d*)?|\.\d+)"
    r"(?P<exponent>[eE][+-]?\d{1,3})?\s?(?P<suffix>[A-Za-z]*)",
    re.ASCII,
)
_SUFFIXES = {
    "": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12, "p": 10**15,
    "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40, "pi": 2**50,
}  # fmt: skip
_TIMES = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "m": _MINUTE, "min": _MINUTE, "h": _HOUR, "hr": _HOUR, "hour": _HOUR,
    "d": _DAY, "day": _DAY, "days": _DAY, "w": _WEEK, "y": _YEAR,
}  # fmt: skip
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s?([a-z]+)\s?", re.ASCII)


def read_amount(text: str, field: str) -> int:
    """A whole number of things: tokens, parameters, devices.

    k, M, B (or G), T and P are powers of a thousand in either case; Ki, Mi, Gi, Ti and Pi powers of 1024.

    >>> [read_amount(text, "--tokens") for text in ("1.4T", "7e9", "2_000_000", "1,000,000", "8k", "8Ki")]
    [1400000000000, 7000000000, 2000000, 1000000, 8000, 8192]
    >>> read_amount("0.5", "--tokens")
    Traceback (most recent call last):
    harness.errors.UsageError: --tokens 0.5: not a whole number above zero; write 512, 2_000_000, 7e9, 300B, 1.4T or 8Ki
    """
    value = _positive(text)
    if value is None or value != int(value):
        raise _refused(text, field, "a whole number above zero", "512, 2_000_000, 7e9, 300B, 1.4T or 8Ki")
    return int(value)


def read_quantity(text: str, field: str) -> float:
    """A number above zero that need not be whole: FLOPs, bytes per second, watts.

    >>> read_quantity("1.5", "--watts"), read_quantity("5.76e23", "--budget")
    (1.5, 5.76e+23)
    """
    value = _positive(text)
    if value is None:
        raise _refused(text, field, "a number above zero", "0.5, 25e9, 300B or 1.4T")
    return float(value)


def read_fraction(text: str, field: str) -> float:
    """A fraction of a whole, as a number up to one or with a percent sign.

    >>> read_fraction("0.4", "--mfu"), read_fraction("40%", "--mfu")
    (0.4, 0.4)
    >>> read_fraction("2.5x", "--threshold")
    Traceback (most recent call last):
    harness.errors.UsageError: --threshold 2.5x: not a fraction; write 2.5% or 0.025
    """
    stripped = text.strip()
    value = _positive(stripped.removesuffix("%"))
    if value is not None and stripped.endswith("%"):
        value /= 100
    if value is None or value > 1:
        meant = re.match(r"\d{1,2}(?:\.\d{1,3})?(?![\d.])", stripped)
        number = Decimal(meant.group()) if meant else Decimal(0)
        example = f"{number}% or {number / 100}" if number else "40% or 0.4"
        raise _refused(text, field, "a fraction", example)
    return float(value)


def read_duration(text: str, field: str) -> float:
    """A time in seconds; several units may follow one another.

    >>> read_duration("30d", "--days"), read_duration("1d12h", "--days"), read_duration("90m", "--days")
    (2592000.0, 129600.0, 5400.0)
    """
    lowered = text.strip().lower()
    pairs = _DURATION.findall(lowered)
    complete = "".join(match.group() for match in _DURATION.finditer(lowered)) == lowered
    known = complete and all(unit in _TIMES for _, unit in pairs)
    value = sum(float(number) * _TIMES[unit] for number, unit in pairs) if known else 0.0
    if not 0.0 < value < float(_LARGEST):
        raise _refused(text, field, "a time above zero", "3600s, 90m, 12h, 30d or 1d12h")
    return value


def read_price(text: str, field: str) -> float:
    """The price of one device for a second, in any currency; a currency sign in front is ignored.

    >>> read_price("2.5/h", "--price") * 3600, read_price("$60/d", "--price") * 86400
    (2.5, 60.0)
    """
    cost, slash, unit = text.strip().lstrip("$€£¥").partition("/")
    value, time = _positive(cost), _TIMES.get(unit.strip().lower())
    if value is None or not slash or time is None:
        raise _refused(text, field, "a price above zero for one device and a time", "2.5/h or 60/d")
    return float(value) / time


def _positive(text: str) -> Decimal | None:
    """The number in a text, with its suffix; None where there is none above zero."""
    match = _AMOUNT.fullmatch(text.strip())
    factor = _SUFFIXES.get(match["suffix"].lower()) if match else None
    if match is None or factor is None:
        return None
    digits = match["number"].replace("_", "").replace(",", "")
    try:
        value = Decimal(digits + (match["exponent"] or "")) * factor
    except InvalidOperation:
        return None
    return value if 0 < value <= _LARGEST else None


def _refused(text: str, field: str, needed: str, example: str) -> UsageError:
    shown = shortened(" ".join(text.split()), 40) or "''"
    return UsageError(f"{field} {shown}: not {needed}; write {example}")

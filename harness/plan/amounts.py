"""Amounts as people write them: 1.4T tokens, 30d, 2.5/h, 40%. What is not one is refused in one line that names the field."""

import re
from decimal import Decimal, InvalidOperation

from harness.errors import UsageError

MINUTE, HOUR, DAY, WEEK, YEAR = 60.0, 3600.0, 86_400.0, 604_800.0, 365 * 86_400.0

# Beyond any model, data set or machine, and still exact as a float's exponent.
_LARGEST = Decimal("1e36")
_NUMBER = (
    r"(?P<number>\d+(?:[_,]\d{3})+(?:\.\d+)?|\d+(?:_\d+)*(?:\.\d*)?|\.\d+)(?P<exponent>[eE][+-]?\d{1,3})?"
)
_AMOUNT = re.compile(rf"\+?{_NUMBER}\s?(?P<suffix>[A-Za-z]*)", re.ASCII)
_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12, "p": 10**15}
_BINARY = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40, "pi": 2**50}
_SUFFIXES = _DECIMAL | _BINARY
_TIMES = {
    "s": 1.0, "sec": 1.0, "m": MINUTE, "min": MINUTE, "h": HOUR, "hr": HOUR, "d": DAY, "day": DAY, "days": DAY,
    "w": WEEK, "y": YEAR,
}  # fmt: skip
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s?([a-z]+)\s?", re.ASCII)

WHOLE = "a whole number above zero, such as 512, 2_000_000, 7e9, 300B, 1.4T or 8Ki"
POSITIVE = "a number above zero, such as 0.5, 25e9, 300B or 1.4T"
TIME = "a time above zero, such as 3600s, 90m, 12h, 30d or 1d12h"
PRICE = "a price above zero for one device and a time, such as 2.5/h or 60/d"
SHARE = "a share above 0 and up to 1, such as 0.4 or 40%"


def amount(text: str, field: str) -> int:
    """A whole number of things: tokens, parameters, devices.

    k, M, B (or G), T and P are powers of a thousand in either case; Ki, Mi, Gi, Ti and Pi powers of 1024.

    >>> [amount(text, "--tokens") for text in ("1.4T", "7e9", "2_000_000", "1,000,000", "8k", "8Ki")]
    [1400000000000, 7000000000, 2000000, 1000000, 8000, 8192]
    >>> amount("0.5", "--tokens")
    Traceback (most recent call last):
    harness.errors.UsageError: --tokens '0.5' is not a whole number above zero, such as 512, 2_000_000, 7e9, 300B, 1.4T or 8Ki
    """
    value = _positive(text)
    if value is None or value != int(value):
        raise _refused(text, field, WHOLE)
    return int(value)


def quantity(text: str, field: str) -> float:
    """A number above zero that need not be whole: FLOPs, bytes per second, watts.

    >>> quantity("1.5", "--power"), quantity("5.76e23", "--budget")
    (1.5, 5.76e+23)
    """
    value = _positive(text)
    if value is None:
        raise _refused(text, field, POSITIVE)
    return float(value)


def duration(text: str, field: str) -> float:
    """A time in seconds; units may follow one another.

    >>> duration("30d", "--within"), duration("1d12h", "--within"), duration("90m", "--within")
    (2592000.0, 129600.0, 5400.0)
    """
    lowered = text.strip().lower()
    found = _DURATION.findall(lowered)
    whole = "".join(match.group() for match in _DURATION.finditer(lowered)) == lowered
    if not (found and whole and all(unit in _TIMES for _, unit in found)):
        raise _refused(text, field, TIME)
    seconds = sum(float(number) * _TIMES[unit] for number, unit in found)
    if not 0.0 < seconds < float(_LARGEST):
        raise _refused(text, field, TIME)
    return seconds


def price(text: str, field: str) -> float:
    """What one device costs for a second, in the currency of whoever asks; a sign in front is passed over.

    >>> price("2.5/h", "--price") * 3600, price("$60/d", "--price") * 86400
    (2.5, 60.0)
    """
    cost, slash, unit = text.strip().lstrip("$€£¥").partition("/")
    value = _positive(cost)
    time = _TIMES.get({"hour": "h", "second": "s"}.get(unit.strip().lower(), unit.strip().lower()))
    if value is None or not slash or time is None:
        raise _refused(text, field, PRICE)
    return float(value) / time


def share(text: str, field: str) -> float:
    """A share of a whole, as a number up to one or with a percent sign.

    >>> share("0.4", "--mfu"), share("40%", "--mfu")
    (0.4, 0.4)
    """
    stripped = text.strip()
    value = _positive(stripped.removesuffix("%"))
    if value is not None and stripped.endswith("%"):
        value /= 100
    if value is None or value > 1:
        raise _refused(text, field, SHARE)
    return float(value)


def _positive(text: str) -> Decimal | None:
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


def _refused(text: str, field: str, allowed: str) -> UsageError:
    shown = " ".join(text.split())
    shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
    return UsageError(f"{field} {shown!r} is not {allowed}")

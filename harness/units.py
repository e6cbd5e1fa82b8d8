"""Quantities as text, with their units.

Everything else in the harness is in base units: seconds, bytes, FLOPs, per second.
GB = 10^9 bytes (rates); GiB = 2^30 bytes (sizes).
"""

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

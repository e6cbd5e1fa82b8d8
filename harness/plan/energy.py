"""Energy and cost, from numbers that somebody measured or stated; there is no default for any of them."""

from harness.errors import UsageError


def joules(watts: float, device_seconds: float, overhead: float = 1.0) -> float:
    """The energy of devices that draw so many watts each, times what the building adds: its PUE, 1 for the devices alone.

    LLaMA-65B in MWh; its paper has 449 (Touvron et al. 2023, arXiv 2302.13971, table 15):

    >>> round(joules(400.0, 3600.0 * 1_022_362, overhead=1.1) / 3.6e9)
    450
    """
    if watts <= 0 or device_seconds < 0 or overhead < 1:
        raise UsageError(
            f"energy of {watts} W with an overhead of {overhead}: power is above 0, an overhead 1 or more"
        )
    return watts * device_seconds * overhead


def cost(price: float, device_seconds: float) -> float:
    """What devices cost, at a price for one of them and a second.

    >>> cost(2.0 / 3600, 30_840_000 * 3600.0)
    61680000.0
    """
    if price <= 0 or device_seconds < 0:
        raise UsageError(f"a price of {price}: above 0")
    return price * device_seconds


def grams_of_co2(energy: float, grams_per_kilowatt_hour: float) -> float:
    """What the power plants emit for an energy in joules, at a stated intensity.

    LLaMA-65B as its paper states it (Touvron et al. 2023, arXiv 2302.13971, table 15): 449 MWh at 385 g give 173 t.

    >>> round(grams_of_co2(449e6 * 3600, 385.0) / 1e6)
    173
    """
    if grams_per_kilowatt_hour < 0:
        raise UsageError(f"an intensity of {grams_per_kilowatt_hour} g/kWh: 0 or more")
    return energy / 3.6e6 * grams_per_kilowatt_hour

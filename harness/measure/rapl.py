"""Energy of the processor packages, where the kernel lets this process read it.

Linux, Documentation/power/powercap/powercap.rst: `energy_uj` counts microjoules and starts anew at
`max_energy_range_uj`. Most systems let root alone read it (CVE-2020-8694).
"""

from pathlib import Path

from harness.measure.files import read, read_integer

_ZONES = "sys/class/powercap"


class Rapl:
    """The sum over the packages; None where none can be read."""

    def __init__(self, root: Path = Path("/")) -> None:
        zones = sorted((root / _ZONES).glob("intel-rapl:*"))
        self._zones = [
            zone
            for zone in zones
            if (read(zone / "name") or "").startswith("package")
            and read_integer(zone / "energy_uj") is not None
        ]
        self._last: dict[Path, int] = {}
        self._wrapped: dict[Path, int] = {}

    def joules(self) -> float | None:
        """Energy since some moment in the past, in joules; never goes back."""
        total = 0
        for zone in self._zones:
            now = read_integer(zone / "energy_uj")
            if now is None:
                return None
            if now < self._last.get(zone, 0):
                span = read_integer(zone / "max_energy_range_uj") or 0
                self._wrapped[zone] = self._wrapped.get(zone, 0) + span
            self._last[zone] = now
            total += now + self._wrapped.get(zone, 0)
        return total * 1e-6 if self._zones else None

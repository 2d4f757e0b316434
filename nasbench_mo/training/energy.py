"""Energy counters of this machine. Where there is none, energy is not available; it is never 0."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_RAPL = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Joules, or why there are none.

    Parameters
    ----------
    joules
        Energy of all processor packages, everything that ran on them included; None where not available.
    why_not
        The reason, where not available.
    """

    joules: float | None
    why_not: str | None = None


class EnergyMeter:
    """Reads the processor packages' RAPL counters (Intel and AMD under Linux).

    Parameters
    ----------
    root
        Folder of the kernel's powercap counters.
    """

    def __init__(self, root: Path = _RAPL) -> None:
        self._zones = sorted(root.glob("intel-rapl:[0-9]*/energy_uj")) if root.is_dir() else []
        self._zones = [zone for zone in self._zones if zone.parent.name.count(":") == 1]
        self._start: list[int] | None = None

    def start(self) -> None:
        """Note the counters."""
        self._start = self._read()

    def stop(self) -> Energy:
        """Energy since :meth:`start`, wrap-around of a counter included once."""
        if not self._zones:
            return Energy(joules=None, why_not="this machine has no RAPL counter")
        now, before = self._read(), self._start
        if now is None or before is None:
            return Energy(joules=None, why_not="the RAPL counter may not be read by this user")
        total = 0
        for zone, first, last in zip(self._zones, before, now, strict=True):
            span = int((zone.parent / "max_energy_range_uj").read_text()) if last < first else 0
            total += last - first + span
        return Energy(joules=total / 1e6)

    def _read(self) -> list[int] | None:
        try:
            return [int(zone.read_text()) for zone in self._zones]
        except OSError:
            return None

"""On what a run was measured, in a few words: what stands in files of other tools beside its times."""

from harness.flat import machine_of
from harness.records import Environment, Header
from harness.records.base import Record


class MachineFacts(Record, frozen=True):
    """What must agree before times may be compared (all but `torch`), and what a person calls it.

    `machine` is the model of the accelerators the run was for, else of the processor.
    """

    fingerprint: str | None = None
    device: str | None = None
    threads: int | None = None
    torch: str | None = None
    machine: str | None = None

    @classmethod
    def of(cls, header: Header) -> "MachineFacts":
        """Those of a run."""
        return cls.of_environment(header.environment, header.settings.device, header.settings.threads)

    @classmethod
    def of_environment(cls, environment: Environment, device: str, threads: int) -> "MachineFacts":
        """Those of a run that was not begun yet."""
        return cls(
            fingerprint=environment.fingerprint,
            device=device,
            threads=threads,
            torch=environment.software.torch.version,
            machine=machine_of(environment),
        )

    def forbids(self, now: "MachineFacts") -> tuple[str, ...]:
        """Why times measured with these facts may not be compared with those of now; empty where they may. What is not known forbids nothing."""
        told = [
            f"{name} {then} there, {here} here"
            for name in ("machine", "device", "threads")
            for then, here in [(getattr(self, name), getattr(now, name))]
            if None not in {then, here} and then != here
        ]
        if (
            not told
            and None not in {self.fingerprint, now.fingerprint}
            and self.fingerprint != now.fingerprint
        ):
            told = ["instruction sets, usable cores or size of memory"]
        return tuple(told)

"""Leads a run: ceilings first, then each case as it is asked for, each recorded when it is done.

`measure_case` is the one place where a workload meets a device. It returns a record whatever the
workload raises. Cases run in this very process: one that kills it (a segmentation fault, the kernel's
out-of-memory killer) or hangs ends the run, and `--resume` goes on with it.
"""

import gc
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch

from harness import store, units
from harness.errors import UsageError, one_line
from harness.measure.ceilings import measure_ceilings
from harness.measure.device import Device, impossible
from harness.measure.stopwatch import Stopwatch
from harness.predict import roofline
from harness.records import (
    Case,
    Ceilings,
    Environment,
    Failed,
    Header,
    Measurement,
    Result,
    Sampling,
    Settings,
    Skipped,
    envelope,
)
from harness.workload import Workload

SAMPLING = {
    "quick": Sampling(
        warmup_seconds=0.1,
        min_samples=5,
        max_samples=512,
        min_seconds=0.1,
        max_seconds=0.5,
        min_sample_seconds=2e-4,
        target_half_width=0.01,
    ),
    "standard": Sampling(
        warmup_seconds=0.4,
        min_samples=10,
        max_samples=2048,
        min_seconds=0.5,
        max_seconds=2.5,
        min_sample_seconds=2e-4,
        target_half_width=0.005,
    ),
    "full": Sampling(
        warmup_seconds=1.0,
        min_samples=20,
        max_samples=8192,
        min_seconds=1.0,
        max_seconds=8.0,
        min_sample_seconds=2e-4,
        target_half_width=0.0025,
    ),
}
# A case whose single call must take longer than this, at the best rate torch reached in its dtype,
# is skipped: float16 on a CPU without the instructions is 30-150 times slower than float32.
LONGEST_CALL_SECONDS = {"quick": 1.0, "standard": 5.0, "full": 30.0}
# What else must be as it was before a run may go on: half a record of one torch and half of another is none.
SAME_ON_RESUMING = ("software.torch.", "software.environment_variables.", "numerics.")
# Memory left to everything else.
MEMORY_SHARE = 0.8


def measure_case(
    workload: Workload,
    case: Case,
    device: Device,
    ceilings: Ceilings,
    settings: Settings,
) -> Result:
    """Predicts, then measures, one workload; never raises for what the workload does."""
    prediction = roofline.predict(case, ceilings, device.threads)
    reason = _not_worth_it(case, device, ceilings, LONGEST_CALL_SECONDS[settings.profile])
    outcome: Measurement | Skipped | Failed
    if reason is not None:
        outcome = Skipped(reason=reason)
    else:
        try:
            outcome = _run(workload, device, settings.sampling)
        except Exception as error:  # noqa: BLE001 - whatever a workload raises is its record
            impossibility = impossible(error)
            outcome = Skipped(reason=impossibility) if impossibility else Failed(reason=one_line(error))
    return Result(case=case, prediction=prediction, outcome=outcome)


def _run(workload: Workload, device: Device, sampling: Sampling) -> Measurement | Failed:
    with workload.context():
        weighed = device.weigh(workload.prepare)
        trouble = _wrong_output(weighed.output, device.torch_device)
        if trouble is not None:
            return Failed(reason=trouble)
        gc.collect()  # now, as it is off while samples are taken
        measurement = Stopwatch(device).measure(weighed.call, sampling)
    return msgspec.structs.replace(measurement, peak_memory_bytes=weighed.peak_bytes)


def _wrong_output(output: object, where: torch.device) -> str | None:
    """A result that nobody could want to be fast: absent, elsewhere, or not finite."""
    if not isinstance(output, torch.Tensor):
        return f"the call returned {type(output).__name__}, not a tensor"
    if output.device.type != where.type:
        return f"the output is on {output.device}, not on {where}"
    if output.is_floating_point() and not torch.isfinite(output.flatten()[: 1 << 20].float()).all():
        return "the output holds NaN or infinity"
    return None


def _not_worth_it(case: Case, device: Device, ceilings: Ceilings, longest_call_seconds: float) -> str | None:
    if case.cost is None:
        return None
    free = device.free_bytes()
    if case.cost.memory_bytes > MEMORY_SHARE * free:
        return (
            f"needs {units.size(case.cost.memory_bytes)} of memory; {units.size(free)} are free, and a fifth "
            "of that is left to the rest"
        )
    torch_best = ceilings.torch_ceiling(case.dtype, device.threads)
    if torch_best is None or not case.cost.flops:
        return None
    seconds = case.cost.flops / torch_best.flops_per_second
    if seconds <= longest_call_seconds:
        return None
    return (
        f"one call would take {units.seconds(seconds)} or more, the limit is "
        f"{units.seconds(longest_call_seconds)}: {case.dtype} products reach "
        f"{units.work_rate(torch_best.flops_per_second)} here"
    )


class Conductor:
    """One run, from its first ceiling to its last case."""

    def __init__(
        self,
        device: Device,
        writer: store.Writer,
        done: dict[str, Result],
        note: Callable[[str], None],
    ) -> None:
        self._device = device
        self._writer = writer
        self._done = done
        self._note = note

    @classmethod
    def start(
        cls,
        results: Path,
        settings: Settings,
        environment: Environment,
        device: Device,
        planned: tuple[str, ...],
        note: Callable[[str], None],
    ) -> "Conductor":
        """Begins a new run: its folder and its header exist when this returns."""
        header = Header(
            id=store.new_id(environment.code.commit),
            schema_version=store.SCHEMA_VERSION,
            started_at=store.now(),
            settings=settings,
            environment=environment,
            planned=planned,
        )
        return cls(device, store.Writer.create(results, header), {}, note)

    @classmethod
    def resume(
        cls, folder: Path, environment: Environment, device: Device, note: Callable[[str], None]
    ) -> "Conductor":
        """Goes on with a run; cases that failed are measured again.

        Raises:
            UsageError: the run was measured on another machine, or with another torch or settings.
        """
        run = store.load(folder)
        then = run.header.environment
        differing = [d.field for d in then.differences(environment)]
        if (then.host.id, then.fingerprint) != (environment.host.id, environment.fingerprint):
            words = ", ".join(differing[:4])
            raise UsageError(f"{run.header.id} was measured on another machine (it differs in {words})")
        changed = [field for field in differing if field.startswith(SAME_ON_RESUMING)]
        if changed:
            raise UsageError(f"{run.header.id} was measured with another {', '.join(changed[:4])}")
        done = {r.case.id: r for r in run.results if not isinstance(r.outcome, Failed)}
        return cls(device, store.Writer.reopen(folder), done, note)

    @property
    def folder(self) -> Path:
        """Where the run is stored."""
        return self._writer.folder

    @property
    def header(self) -> Header:
        """The run's header as it stands on disk."""
        return self._writer.header

    def measure(self, workload: Workload, suite: str) -> Result:
        """The result of a workload: from the record where it is done already."""
        known = self._done.get(str(workload))
        if known is not None:
            return known
        if not self.header.ceilings:
            self.measure_ceilings()
        result = measure_case(
            workload,
            workload.describe(suite),
            self._device,
            envelope(self.header.ceilings),
            self.header.settings,
        )
        self.record(result)
        return result

    def record(self, result: Result) -> None:
        """Puts a result on disk; one recorded before under the same id no longer counts."""
        self._writer.append(result)
        self._done[result.case.id] = result

    def recorded(self, case_id: str) -> Result | None:
        """The result on record."""
        return self._done.get(case_id)

    def measure_ceilings(self) -> None:
        """Adds a round of ceilings to the record; after the first, of the run's own thread count alone."""
        rounds = self.header.ceilings
        threads = (self._device.threads,) if rounds else self._device.thread_counts()
        levels = rounds[0].levels if rounds else ()
        one_round = measure_ceilings(self._device, self._note, threads, levels)
        self._writer.put(msgspec.structs.replace(self.header, ceilings=(*rounds, one_round)))

    @property
    def done(self) -> int:
        """How many cases are on record."""
        return len(self._done)

    def close(self) -> None:
        """Ends writing."""
        self._writer.close()

    def finish(self) -> None:
        """Closes the run if every planned case is on record; a last round of ceilings shows drift."""
        if not set(self.header.planned) <= self._done.keys():
            return
        if self.header.ceilings:
            self.measure_ceilings()
        self._writer.put(msgspec.structs.replace(self.header, finished_at=store.now()))

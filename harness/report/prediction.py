"""What a model needs, as a person and as a program reads it."""

from rich.console import Console
from rich.text import Text

from harness import units
from harness.records import PHASES, Forecast, Pass
from harness.report.content import ids
from harness.report.terminal import print_table

COLUMNS = (
    *ids("pass"),
    *("FLOPs", "dense", "hardware", "elementwise", "bytes moved", "kernels", "memory"),
    *("at least", "estimated", "90% interval"),
)
# What a narrow terminal leaves out, first to last.
DISPENSABLE = ("kernels", "elementwise", "hardware", "dense", "bytes moved")
MEMORY = ("parameters", "buffers", "gradients", "optimizer", "activations", "inputs", "temporaries")


def show_forecast(forecast: Forecast, console: Console) -> None:
    """Prints what the passes and the phases of a step do, and the memory of a step."""
    precision = "bfloat16 autocast" if forecast.dtype == "bfloat16" else forecast.dtype
    batch = ", ".join(f"{count} {unit}" for unit, count in forecast.items.items())
    head = f"{forecast.model}: {forecast.forward.trace.parameters:,} parameters; {precision}, {forecast.optimizer}, {forecast.device}"
    console.print(Text(f"{head}; a batch is {batch}" if batch else head, style="bold"))
    rows = [_row("inference", forecast.forward)]
    if forecast.train is not None:
        rows += [_row("training step", forecast.train), *_phase_rows(forecast.train)]
    print_table(console, "Work", COLUMNS, rows, DISPENSABLE)
    memory = _memory(forecast)
    print_table(
        console,
        "Memory of a training step" if forecast.train else "Memory of inference: nothing can be trained",
        (*ids("part"), "bytes", "size"),
        [(name, f"{memory[name]:,}", units.size(memory[name])) for name in (*MEMORY, "peak")],
    )
    console.print(
        Text(f"the {_step(forecast).trace.peak_phase} sets the peak; the parts peak at different moments")
    )
    for name in unknown(forecast):
        console.print(Text(f"no formula for the operator {name}: its FLOPs are missing", style="yellow"))
    if forecast.run is None:
        console.print(
            Text("no time: no run of this machine and device is known (`plumbline bench` makes one)")
        )
    else:
        console.print(Text(f"at least: the roofline of the peaks measured in {forecast.run}"))
        console.print(Text(_calibration(forecast)))


def _calibration(forecast: Forecast) -> str:
    said = _step(forecast).estimate
    if said is None:
        return "no expected time: nothing was calibrated for so many threads (`plumbline calibrate`)"
    told = f"expected: the sum over operators as calibrated in {forecast.calibrated_in}"
    if said.uncalibrated:
        told += f"; no model of their own have {', '.join(said.uncalibrated)}"
    if said.extrapolated:
        told += f"; larger than anything calibrated: {', '.join(said.extrapolated)}"
    return told


def as_json(forecast: Forecast) -> dict[str, object]:
    """The same for programs: FLOPs, bytes, seconds."""
    return {
        "model": forecast.model,
        "device": forecast.device,
        "threads": forecast.threads,
        "dtype": forecast.dtype,
        "optimizer": forecast.optimizer,
        "items": forecast.items,
        "parameters": forecast.forward.trace.parameters,
        "forward": _pass(forecast.forward),
        "train": _pass(forecast.train) | {"phases": forecast.train.trace.phases} if forecast.train else None,
        "memory": _memory(forecast),
        "unknown_operators": unknown(forecast),
        "peaks_from": forecast.run,
        "calibrated_in": forecast.calibrated_in,
    }


def unknown(forecast: Forecast) -> list[str]:
    """The operators no formula covers."""
    return sorted({**forecast.forward.trace.unknown, **_step(forecast).trace.unknown})


def _pass(one: Pass) -> dict[str, object]:
    cost = one.cost
    return {
        "flops": cost.flops,
        "flops_dense": cost.flops_dense,
        "hardware_flops": cost.hardware_flops,
        "elementwise_flops": cost.elementwise_flops,
        "bytes_read": cost.bytes_read,
        "bytes_written": cost.bytes_written,
        "kernels": one.trace.kernels,
        "memory_peak": cost.memory_bytes,
        "seconds_at_least": one.prediction.seconds,
        "seconds_expected": one.estimate.seconds if one.estimate else None,
        "seconds_low": one.estimate.low if one.estimate else None,
        "seconds_high": one.estimate.high if one.estimate else None,
        "extrapolated": one.estimate.extrapolated if one.estimate else (),
        "uncalibrated": one.estimate.uncalibrated if one.estimate else (),
    }


def _step(forecast: Forecast) -> Pass:
    """The training step, or inference where nothing can be trained."""
    return forecast.train or forecast.forward


def _memory(forecast: Forecast) -> dict[str, int]:
    trace = _step(forecast).trace
    held = trace.held
    return {
        "parameters": held.parameters,
        "buffers": held.buffers,
        "gradients": held.gradients,
        "optimizer": held.optimizer,
        "activations": trace.saved_bytes,
        "inputs": held.inputs,
        "temporaries": held.temporaries,
        "peak": trace.footprint.total,
    }


def _row(name: str, one: Pass) -> tuple[str, ...]:
    cost, seconds = one.cost, one.prediction.seconds
    return (
        name,
        *_works(cost.flops, cost.flops_dense, cost.hardware_flops, cost.elementwise_flops),
        units.size(cost.bytes_moved),
        str(one.trace.kernels),
        units.size(cost.memory_bytes),
        "" if seconds is None else units.seconds(seconds),
        *_expected(one),
    )


def _expected(one: Pass) -> tuple[str, str]:
    said = one.estimate
    if said is None:
        return "", ""
    return units.seconds(said.seconds), f"{units.seconds(said.low)} - {units.seconds(said.high)}"


def _phase_rows(one: Pass) -> list[tuple[str, ...]]:
    phases = [phase for name in PHASES if (phase := one.trace.phase(name)).kernels]
    return [
        (
            f"  {phase.phase}",
            *_works(
                phase.flops,
                phase.flops + phase.masked_flops,
                phase.flops + phase.recomputed_flops,
                phase.elementwise_flops,
            ),
            units.size(phase.bytes_read + phase.bytes_written),
            str(phase.kernels),
            units.size(phase.peak_bytes),
            "",
            "",
            "",
        )
        for phase in phases
    ]


def _works(*flops: int) -> tuple[str, ...]:
    return tuple(units.work(flop) if flop else "" for flop in flops)

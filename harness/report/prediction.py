"""The predicted demand of a model, as tables and as JSON."""

from rich.console import Console
from rich.text import Text

from harness import units
from harness.records import PHASES, Forecast, Pass
from harness.report.content import ids
from harness.report.terminal import print_table

COLUMNS = (
    *ids("pass"),
    "FLOPs",
    "dense",
    "hardware",
    "elementwise",
    "bytes moved",
    "kernels",
    "memory",
    "lower bound",
    "estimate",
    "90% interval",
)
# The columns that a narrow terminal leaves out, first to last.
DISPENSABLE = ("kernels", "elementwise", "hardware", "dense", "bytes moved")
MEMORY = ("parameters", "buffers", "gradients", "optimizer", "activations", "inputs", "temporaries")


def show_forecast(forecast: Forecast, console: Console) -> None:
    """Prints the work of the passes and of the phases of a step, and the memory of a step."""
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
    peak = _step(forecast).trace.peak_phase
    console.print(Text(f"the {peak} sets the peak; the parts peak at different moments"))
    for name in unknown(forecast):
        console.print(Text(f"no formula for the operator {name}: its FLOPs are missing", style="yellow"))
    if forecast.run is None:
        console.print(Text("no time: this machine and device has no run (`plumbline bench` makes one)"))
    else:
        console.print(Text(f"lower bound: the roofline of the peaks measured in {forecast.run}"))
        console.print(Text(_calibration(forecast)))


def _calibration(forecast: Forecast) -> str:
    estimate = _step(forecast).estimate
    if estimate is None:
        return "no estimate: no run calibrated this number of threads (`plumbline calibrate`)"
    text = f"estimate: the sum over operators as calibrated in {forecast.calibrated_in}"
    if estimate.uncalibrated:
        text += f"; without a model of their own: {', '.join(estimate.uncalibrated)}"
    if estimate.extrapolated:
        text += f"; beyond the calibrated sizes: {', '.join(estimate.extrapolated)}"
    return text


def as_json(forecast: Forecast) -> dict[str, object]:
    """The same as JSON: FLOPs, bytes, seconds."""
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
    """The operators without a formula."""
    return sorted({**forecast.forward.trace.unknown, **_step(forecast).trace.unknown})


def _pass(traced: Pass) -> dict[str, object]:
    cost, estimate = traced.cost, traced.estimate
    return {
        "flops": cost.flops,
        "flops_dense": cost.flops_dense,
        "hardware_flops": cost.hardware_flops,
        "elementwise_flops": cost.elementwise_flops,
        "bytes_read": cost.bytes_read,
        "bytes_written": cost.bytes_written,
        "kernels": traced.trace.kernels,
        "memory_peak": cost.memory_bytes,
        "seconds_at_least": traced.prediction.seconds,
        "seconds_estimate": estimate.seconds if estimate else None,
        "seconds_low": estimate.low if estimate else None,
        "seconds_high": estimate.high if estimate else None,
        "extrapolated": estimate.extrapolated if estimate else (),
        "uncalibrated": estimate.uncalibrated if estimate else (),
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


def _row(name: str, traced: Pass) -> tuple[str, ...]:
    cost, seconds, estimate = traced.cost, traced.prediction.seconds, traced.estimate
    return (
        name,
        *_works(cost.flops, cost.flops_dense, cost.hardware_flops, cost.elementwise_flops),
        units.size(cost.bytes_moved),
        str(traced.trace.kernels),
        units.size(cost.memory_bytes),
        "" if seconds is None else units.seconds(seconds),
        "" if estimate is None else units.seconds(estimate.seconds),
        "" if estimate is None else f"{units.seconds(estimate.low)} - {units.seconds(estimate.high)}",
    )


def _phase_rows(step: Pass) -> list[tuple[str, ...]]:
    phases = [phase for name in PHASES if (phase := step.trace.phase(name)).kernels]
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

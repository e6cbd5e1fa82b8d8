"""The demand of a model, for people and as JSON."""

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
    """Prints the work of the passes and phases of a step, and its memory."""
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
            Text("no time: there is no run of this machine and device (`plumbline bench` makes one)")
        )
    else:
        console.print(Text(f"at least: the roofline of the peaks measured in {forecast.run}"))
        console.print(Text(_calibration(forecast)))


def _calibration(forecast: Forecast) -> str:
    estimate = _step(forecast).estimate
    if estimate is None:
        return "no estimated time: no calibration for this number of threads (`plumbline calibrate`)"
    text = f"estimated: the sum over operators as calibrated in {forecast.calibrated_in}"
    if estimate.uncalibrated:
        text += f"; without a model of their own: {', '.join(estimate.uncalibrated)}"
    if estimate.extrapolated:
        text += f"; larger than anything calibrated: {', '.join(estimate.extrapolated)}"
    return text


def as_json(forecast: Forecast) -> dict[str, object]:
    """The forecast as JSON values in FLOPs, bytes and seconds."""
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


def _pass(step: Pass) -> dict[str, object]:
    cost = step.cost
    return {
        "flops": cost.flops,
        "flops_dense": cost.flops_dense,
        "hardware_flops": cost.hardware_flops,
        "elementwise_flops": cost.elementwise_flops,
        "bytes_read": cost.bytes_read,
        "bytes_written": cost.bytes_written,
        "kernels": step.trace.kernels,
        "memory_peak": cost.memory_bytes,
        "seconds_at_least": step.prediction.seconds,
        "seconds_expected": step.estimate.seconds if step.estimate else None,
        "seconds_low": step.estimate.low if step.estimate else None,
        "seconds_high": step.estimate.high if step.estimate else None,
        "extrapolated": step.estimate.extrapolated if step.estimate else (),
        "uncalibrated": step.estimate.uncalibrated if step.estimate else (),
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


def _row(name: str, step: Pass) -> tuple[str, ...]:
    cost, seconds = step.cost, step.prediction.seconds
    return (
        name,
        *_works(cost.flops, cost.flops_dense, cost.hardware_flops, cost.elementwise_flops),
        units.size(cost.bytes_moved),
        str(step.trace.kernels),
        units.size(cost.memory_bytes),
        "" if seconds is None else units.seconds(seconds),
        *_expected(step),
    )


def _expected(step: Pass) -> tuple[str, str]:
    estimate = step.estimate
    if estimate is None:
        return "", ""
    return units.seconds(estimate.seconds), f"{units.seconds(estimate.low)} - {units.seconds(estimate.high)}"


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

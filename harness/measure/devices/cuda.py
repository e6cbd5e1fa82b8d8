"""An NVIDIA GPU as the device under test."""

import time
from collections.abc import Callable, Sequence

import pynvml
import torch

from harness.measure.devices.base import MAIN_MEMORY, MeasuredMemory
from harness.measure.sensors import Counters
from harness.records import MemoryLevel
from harness.workload import Call, phases_of

# A spin of this many clock cycles, some milliseconds, measures their rate.
CALIBRATION_CYCLES = 10_000_000


class Cuda:
    """Calls return before they are done, the timeline is that of events. No setting is changed."""

    view = "gpu_hot"
    # Event pairs that may wait in the queue before one synchronisation.
    batch = 16
    asynchronous = True

    def __init__(self, index: int, threads: int) -> None:
        self.torch_device = torch.device("cuda", index)
        self.name = f"cuda:{index}"
        self.threads = threads
        self.use_threads(self.threads)
        torch.cuda.set_device(self.torch_device)
        self._properties = torch.cuda.get_device_properties(self.torch_device)
        self.uuid: str | None = f"GPU-{self._properties.uuid}"
        self._energy = _energy_counter(f"GPU-{self._properties.uuid}")
        self._cycles_per_second = self._calibrate()
        # The BLAS library's workspace, made at the first product, belongs to no case.
        for dtype in (torch.float32, torch.bfloat16):
            square = torch.ones(64, 64, device=self.torch_device, dtype=dtype)
            torch.mm(square, square)
        self.synchronize()

    def mark(self) -> torch.cuda.Event:
        """An event on the current stream."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def seconds_between(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        """The device's own time between two events; resolution about 0.5 µs (CUDA documentation)."""
        return float(start.elapsed_time(end)) * 1e-3

    def synchronize(self) -> None:
        """Waits for the device."""
        torch.cuda.synchronize(self.torch_device)

    def host_seconds(self) -> float:
        """The host's clock."""
        return time.perf_counter()

    def counters(self) -> Counters | None:
        """None: the host's scheduler does not see samples timed on the device."""
        return None

    def delay_queue(self, seconds: float) -> None:
        """A kernel of one thread that spins on the device's clock (ATen/cuda/Sleep.cu)."""
        torch.cuda._sleep(max(1, int(seconds * self._cycles_per_second)))  # type: ignore[no-untyped-call]  # noqa: SLF001

    def reached(self, mark: torch.cuda.Event) -> bool:
        """Queries the event, without waiting."""
        return bool(mark.query())  # type: ignore[no-untyped-call]

    def measure_memory(self, prepare: Callable[[torch.device], Call]) -> MeasuredMemory:
        """Measures the caching allocator's peak of requested bytes."""
        return measure_memory_on_cuda(prepare, self.torch_device)

    def free_bytes(self) -> int:
        """The driver's free memory, and unused memory of the allocator."""
        free, _ = torch.cuda.mem_get_info(self.torch_device)
        unused = torch.cuda.memory_reserved(self.torch_device) - torch.cuda.memory_allocated(
            self.torch_device
        )
        return free + unused

    def cache_bytes(self) -> int:
        """The size of L2."""
        return int(self._properties.L2_cache_size)

    def captured(self, calls: Sequence[Call]) -> Callable[[], object]:
        """A CUDA graph; its outputs live in a pool of their own."""
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream(self.torch_device)
        self.synchronize()
        try:
            with torch.cuda.graph(graph):
                for call in calls:
                    call()
        finally:
            torch.cuda.set_stream(stream)  # a capture that fails leaves its own
        return graph.replay

    def spend(self, seconds: float) -> None:
        """Runs the kernel of `delay_queue`."""
        self.delay_queue(seconds)

    def joules(self) -> float | None:
        """NVML's counter since the driver was loaded (Volta and later)."""
        return self._energy()

    def give_back(self) -> None:
        """Empties the caching allocator."""
        torch.cuda.empty_cache()

    def memory_levels(self) -> tuple[MemoryLevel, ...]:
        """L2 and the device's main memory."""
        return (
            MemoryLevel(name="L2", capacity_bytes=self.cache_bytes()),
            MemoryLevel(name=MAIN_MEMORY, capacity_bytes=None),
        )

    def thread_counts(self) -> tuple[int, ...]:
        """The host's threads do not change what the device can do."""
        return (self.threads,)

    def use_threads(self, threads: int) -> None:
        """Sets torch's intra-op threads on the host."""
        torch.set_num_threads(threads)

    def _calibrate(self) -> float:
        """Clock cycles per second of the spin kernel, the faster of two: the first wakes the device up."""
        spans = []
        for _ in range(2):
            start = self.mark()
            torch.cuda._sleep(CALIBRATION_CYCLES)  # type: ignore[no-untyped-call]  # noqa: SLF001
            end = self.mark()
            self.synchronize()
            spans.append(self.seconds_between(start, end))
        return CALIBRATION_CYCLES / min(spans)


def _energy_counter(uuid: str) -> Callable[[], float | None]:
    """Reads joules; None always, where this card or driver has no counter. NVML counts millijoules."""
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return lambda: None

    def joules() -> float | None:
        try:
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) * 1e-3
        except pynvml.NVMLError:
            return None

    return joules


# The caching allocator's own peak of requested bytes, before rounding to blocks.
def measure_memory_on_cuda(prepare: Callable[[torch.device], Call], device: torch.device) -> MeasuredMemory:
    """Runs a call once; its inputs count, tensors made before `prepare` do not."""

    def read(what: str) -> int:
        return int(torch.cuda.memory_stats(device).get(what, 0))

    requested, allocated = read("requested_bytes.all.current"), read("allocated_bytes.all.current")
    call = prepare(device)
    output = None
    phases, blocks, reserved = {}, 0, 0
    for name, phase in phases_of(call).items():
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        result = phase()
        output = output if result is None else result
        del result
        torch.cuda.synchronize(device)
        phases[name] = read("requested_bytes.all.peak") - requested
        blocks = max(blocks, read("allocated_bytes.all.peak") - allocated)
        reserved = max(reserved, read("reserved_bytes.all.peak"))
    return MeasuredMemory(call, output, max(phases.values()), phases, blocks, reserved)

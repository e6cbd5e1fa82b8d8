"""What float32 products, convolutions and recurrent layers on an NVIDIA GPU may be rounded to. Loads torch when called, not before."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


@contextmanager
def float32_precision(precision: str) -> Iterator[None]:
    """Makes it "ieee", whatever was set before, or "tf32"; what was set comes back afterwards.

    torch's own default is "ieee" for products and "tf32" for what cuDNN does.
    """
    import torch  # noqa: PLC0415

    cudnn: Any = torch.backends.cudnn
    switches: list[Any] = [torch.backends.cuda.matmul, cudnn, cudnn.conv, cudnn.rnn]
    before = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = precision
    try:
        yield
    finally:
        for switch, was in zip(switches, before, strict=True):
            switch.fp32_precision = was


def precision_of(dtype: str) -> AbstractContextManager[object]:
    """What holds while a workload of a dtype runs: float32 means IEEE, tf32 is float32 with a narrower multiplier."""
    precision = {"float32": "ieee", "tf32": "tf32"}.get(dtype)
    return float32_precision(precision) if precision else nullcontext()


def require_tf32(device: torch.device) -> None:
    """Refuses a device that would silently compute in float32 instead.

    Raises:
        Unsupported: not an NVIDIA GPU of compute capability 8.0 or later.
    """
    import torch  # noqa: PLC0415

    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0):
        raise Unsupported("TF32 needs an NVIDIA GPU of compute capability 8.0 or later")

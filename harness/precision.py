"""What a float32 product on an NVIDIA GPU may be rounded to. Loads torch when called, not before."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


@contextmanager
def float32_precision(precision: str) -> Iterator[None]:
    """Makes it "ieee", whatever was set before, or "tf32"; what was set comes back afterwards."""
    import torch  # noqa: PLC0415

    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = precision
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def require_tf32(device: torch.device) -> None:
    """Refuses a device that would silently compute in float32 instead.

    Raises:
        Unsupported: not an NVIDIA GPU of compute capability 8.0 or later.
    """
    import torch  # noqa: PLC0415

    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0):
        raise Unsupported("TF32 needs an NVIDIA GPU of compute capability 8.0 or later")

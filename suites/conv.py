"""Convolutions as networks use them: by stride, dilation, groups, dimension, direction and layout.

`inputs` and `outputs` are channels; grids, kernels, strides and paddings are the same in each dimension.
Taps in the padding count as work, as every tool counts them. There is no bias. A backward call gives the gradients
of input and weight of a forward pass done beforehand.
"""

from abc import abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import pytest
import torch
from torch.nn import functional

from harness import (
    ITEM_BYTES,
    Bench,
    Call,
    Cost,
    Series,
    Sweep,
    Workload,
    check_dtype,
    check_one_of,
    powers_of_two,
    precision_of,
)

DIRECTIONS = ("forward", "backward")
LAYOUTS = ("contiguous", "channels_last")
# Sizes at these values are left out of an id.
PLAIN = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}


@dataclass(frozen=True)
class Convolution(Workload):
    """A convolution over a grid of `size` in each dimension, from `inputs` to `outputs` channels."""

    dimensions: ClassVar[int]

    dtype: str
    direction: str
    layout: str
    batch: int
    inputs: int
    outputs: int
    size: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        check_one_of("direction", self.direction, DIRECTIONS)
        check_one_of("layout", self.layout, LAYOUTS if self.dimensions > 1 else LAYOUTS[:1])
        for name, value in self.sizes.items():
            least = 0 if name == "padding" else 1
            if value < least:
                raise ValueError(f"{type(self).__name__}.{name} is {value}: it is at least {least}")
        if self.inputs % self.groups or self.outputs % self.groups:
            raise ValueError(f"{self.inputs} inputs and {self.outputs} outputs in {self.groups} groups")
        if self.output_size < 1:
            raise ValueError(f"a kernel of {self.kernel} does not fit a grid of {self.size}")

    def __str__(self) -> str:
        """The id, without sizes at their defaults."""
        shown = {name: value for name, value in self.sizes.items() if PLAIN.get(name) != value}
        words = [self.family, self.dtype, self.direction, self.layout]
        return "-".join([*words, *(f"{name}{value}" for name, value in shown.items())])

    @property
    @abstractmethod
    def output_size(self) -> int:
        """The edge of the output's grid."""

    @property
    @abstractmethod
    def multiply_adds(self) -> int:
        """Matrix FLOPs of the forward pass."""

    @property
    @abstractmethod
    def weight_shape(self) -> tuple[int, ...]:
        """As torch has it."""

    @property
    def reach(self) -> int:
        """Distance from the first to the last tap of a dilated kernel."""
        return self.dilation * (self.kernel - 1)

    @property
    def elements(self) -> tuple[int, int, int]:
        """Of input, weight and output."""
        kernel = self.kernel**self.dimensions
        return (
            self.batch * self.inputs * self.size**self.dimensions,
            self.inputs * self.outputs * kernel // self.groups,
            self.batch * self.outputs * self.output_size**self.dimensions,
        )

    def cost(self) -> Cost:
        """Forward, input and weight are read, the output is written; backward costs the work twice.

        Each multiply-add of the forward pass has a counterpart in the gradient of the input, and one in that
        of the weight. Input, weight and the output's gradient are read, two gradients written; the output itself
        is in memory too.
        """
        source, weight, output = (ITEM_BYTES[self.dtype] * count for count in self.elements)
        if self.direction == "forward":
            return Cost(
                flops=2 * self.multiply_adds,
                bytes_read=source + weight,
                bytes_written=output,
                memory_bytes=source + weight + output,
            )
        return Cost(
            flops=4 * self.multiply_adds,
            bytes_read=source + weight + output,
            bytes_written=source + weight,
            memory_bytes=2 * (source + weight + output),
        )

    def series(self) -> Series:
        """Cases that differ only in their batch form a sweep; the work grows as the batch."""
        return Series(name=self.without("batch"), variable="batch", size=self.batch, exponent=1.0)

    def context(self) -> AbstractContextManager[object]:
        """Float32 means IEEE; by default cuDNN rounds to TF32."""
        return precision_of(self.dtype)

    def prepare(self, device: torch.device) -> Call:
        """Random normal input and weight, and for a backward call the forward pass."""
        dtype = getattr(torch, self.dtype)
        grid = [self.size] * self.dimensions
        x = self._laid_out(torch.randn(self.batch, self.inputs, *grid, device=device, dtype=dtype))
        weight = self._laid_out(torch.randn(*self.weight_shape, device=device, dtype=dtype))
        if self.direction == "forward":
            return lambda: self._convolve(x, weight)
        x.requires_grad_()
        weight.requires_grad_()
        output = self._convolve(x, weight)
        gradient = torch.randn_like(output)
        return lambda: torch.autograd.grad(output, (x, weight), gradient, retain_graph=True)[0]

    @abstractmethod
    def _convolve(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The forward pass."""

    def _laid_out(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.layout == "contiguous":
            return tensor
        last = torch.channels_last if self.dimensions == 2 else torch.channels_last_3d
        return tensor.contiguous(memory_format=last)


class Plain(Convolution):
    """Each output gathers from the inputs under the kernel."""

    @property
    def output_size(self) -> int:
        return (self.size + 2 * self.padding - self.reach - 1) // self.stride + 1

    @property
    def multiply_adds(self) -> int:
        """Each element of the output meets the weights of its channel."""
        taps: int = self.kernel**self.dimensions
        return self.elements[2] * (self.inputs // self.groups) * taps

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.outputs, self.inputs // self.groups, *[self.kernel] * self.dimensions)

    def _convolve(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        function = (functional.conv1d, functional.conv2d, functional.conv3d)[self.dimensions - 1]
        return function(x, weight, None, self.stride, self.padding, self.dilation, self.groups)


class Conv1d(Plain):
    """Over a sequence."""

    dimensions = 1


class Conv2d(Plain):
    """Over an image."""

    dimensions = 2


class Conv3d(Plain):
    """Over a volume, or a film."""

    dimensions = 3


class ConvTranspose2d(Convolution):
    """Each input is scattered to the outputs under the kernel: an image grows by the stride."""

    dimensions = 2

    @property
    def output_size(self) -> int:
        return (self.size - 1) * self.stride - 2 * self.padding + self.reach + 1

    @property
    def multiply_adds(self) -> int:
        """Each element of the input meets the weights of its channel."""
        taps: int = self.kernel**self.dimensions
        return self.elements[0] * (self.outputs // self.groups) * taps

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.inputs, self.outputs // self.groups, *[self.kernel] * self.dimensions)

    def _convolve(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.conv_transpose2d(
            x, weight, None, self.stride, self.padding, 0, self.groups, self.dilation
        )


def over(shape: Convolution, **changes: tuple[object, ...]) -> list[Workload]:
    """The shape with each combination of the changes, the last varied fastest."""
    shapes = [shape]
    for name, values in changes.items():
        if name not in {field.name for field in fields(shape)}:
            raise ValueError(f"{type(shape).__name__} has no field {name!r}")
        shapes = [replace(shape, **{name: value}) for shape in shapes for value in values]  # type: ignore[arg-type]
    return list(shapes)


AS_USUAL = ("float32", "forward", "contiguous")
STEM = Conv2d(*AS_USUAL, 1, 3, 64, 224, 7, 2, 3)  # ResNet's first
BLOCK = Conv2d(*AS_USUAL, 4, 64, 64, 56, 3, 1, 1)  # VGG, ResNet
POINTWISE = Conv2d(*AS_USUAL, 4, 256, 64, 56, 1)  # ResNet-50's bottleneck
STRIDED = Conv2d(*AS_USUAL, 4, 128, 128, 56, 3, 2, 1)  # ResNet between stages
GROUPED = Conv2d(*AS_USUAL, 4, 128, 128, 56, 3, 1, 1, 1, 32)  # ResNeXt-50 32x4d
DEPTHWISE = Conv2d(*AS_USUAL, 4, 96, 96, 56, 3, 1, 1, 1, 96)  # MobileNet
DILATED = Conv2d(*AS_USUAL, 2, 256, 256, 28, 3, 1, 2, 2)  # DeepLab
SEQUENCE = Conv1d(*AS_USUAL, 1, 512, 512, 1600, 3, 2)  # wav2vec 2.0's feature encoder
VOLUME = Conv3d(*AS_USUAL, 1, 64, 64, 16, 3, 1, 1)  # 3D U-Net, R3D
GROWING = ConvTranspose2d(*AS_USUAL, 2, 256, 128, 16, 4, 2, 1)  # DCGAN, U-Net

IMAGES = (STEM, BLOCK, POINTWISE, STRIDED, GROUPED, DEPTHWISE, DILATED, GROWING)
SHAPES = (*IMAGES, SEQUENCE, VOLUME)
DTYPES = ("float32", "bfloat16")

WORKLOADS = Sweep(
    quick=[
        *over(BLOCK, batch=(1, 2, 4, 8)),
        *(shape for shape in SHAPES if shape != BLOCK),
        *over(BLOCK, dtype=("bfloat16",)),
        *over(BLOCK, layout=("channels_last",)),
        *over(BLOCK, direction=("backward",)),
    ],
    standard=[
        *over(BLOCK, dtype=DTYPES, direction=DIRECTIONS, batch=tuple(powers_of_two(1, 32))),
        *(case for shape in SHAPES for case in over(shape, dtype=DTYPES, direction=DIRECTIONS)),
        *(case for shape in IMAGES for case in over(shape, dtype=DTYPES, layout=LAYOUTS)),
    ],
    # 256 images in the block are 205 MB in and as many out; 1024 fill some GB.
    full=[
        *over(BLOCK, dtype=DTYPES, direction=DIRECTIONS, layout=LAYOUTS, batch=(64, 128, 256, 512, 1024)),
        *(
            case
            for shape in IMAGES
            for case in over(shape, dtype=DTYPES, direction=DIRECTIONS, layout=LAYOUTS, batch=(32, 256))
        ),
        *over(SEQUENCE, dtype=DTYPES, direction=DIRECTIONS, size=(16000,), batch=(1, 16)),
        *over(VOLUME, dtype=DTYPES, direction=DIRECTIONS, size=(32, 64), batch=(1, 8)),
    ],
)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_conv(workload: Convolution, bench: Bench) -> None:
    bench(workload)

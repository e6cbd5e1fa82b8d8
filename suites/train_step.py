"""Whole training steps: forward and loss, backward, optimizer.

Models of maintained libraries with random weights, from an MLP of 128-64-10 units to a mixture of experts. `float32` is that; `bfloat16` is
autocast, with weights and updates in float32. A step is `eager`, `compiled` (torch.compile) or `checkpointed` (activations of
each block are computed again). No dropout, and torch's fused attention, as large models are trained.
"""

import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

import pytest
import torch

from harness import (
    Bench,
    Call,
    Series,
    Subject,
    Sweep,
    Unsupported,
    Workload,
    build,
    check_one_of,
    check_positive,
    precision_of,
    training,
)

How = dict[str, Any]

MODES = ("eager", "compiled", "checkpointed")


@dataclass(frozen=True)
class TrainStep(Workload):
    """One step of a model on a batch. FLOPs, bytes and memory come from the trace of this very step."""

    architecture: str
    dtype: str
    optimizer: str
    mode: str
    batch: int

    stateful = True

    def __post_init__(self) -> None:
        check_one_of("mode", self.mode, MODES)
        check_positive(self)

    @property
    def family(self) -> str:
        return "train"

    @property
    def fused(self) -> bool:
        return self.mode == "compiled"

    def items(self) -> dict[str, int]:
        return {"samples": self.batch}

    def series(self) -> Series:
        """Steps that differ in their batch alone: the work grows with it, the update does not."""
        return Series(name=self.without("batch"), variable="batch", size=self.batch, exponent=1.0)

    def context(self) -> AbstractContextManager[object]:
        """Float32 means IEEE, on a GPU too."""
        return precision_of(self.dtype)

    def subject(self, device: torch.device) -> Subject:
        """The model with its batch."""
        return build(self.architecture, self.sizes, device)

    def prepare(self, device: torch.device) -> Call:
        """The model, its batch, and one step, after which the optimizer has its state."""
        subject = self.subject(device)
        if self.mode == "checkpointed":
            _checkpointed(subject.model)
        if self.mode == "compiled":
            _needs_compiler(device)
            subject.model = cast("torch.nn.Module", torch.compile(subject.model))
        return training(subject, device, optimizer=self.optimizer, dtype=self.dtype)


@dataclass(frozen=True)
class MlpStep(TrainStep):
    """`depth` hidden layers of `width` units, on a loss of its own."""

    loss: str
    inputs: int
    width: int
    depth: int
    classes: int

    def subject(self, device: torch.device) -> Subject:
        return build(self.architecture, self.sizes, device, loss=self.loss)


@dataclass(frozen=True)
class ImageStep(TrainStep):
    """Images of `image` x `image` pixels, 1000 classes."""

    image: int


@dataclass(frozen=True)
class PatchStep(ImageStep):
    """A vision transformer of `depth` blocks, `width` wide."""

    width: int
    depth: int


@dataclass(frozen=True)
class TextStep(TrainStep):
    """Tokens, with a prediction at each position; `depth` blocks, `width` wide, heads of 64."""

    sequence: int
    width: int
    depth: int
    vocabulary: int

    def items(self) -> dict[str, int]:
        return {"samples": self.batch, "tokens": self.batch * self.sequence}


def _checkpointed(model: torch.nn.Module) -> None:
    """Each block keeps its input alone, by the model's own switch (which was renamed in transformers 5)."""
    how = {"use_reentrant": False}
    for kind in ("activation", "gradient"):
        enable = getattr(model, f"{kind}_checkpointing_enable", None)
        if enable is not None:
            enable(**{f"{kind}_checkpointing_kwargs": how})
            return
    raise Unsupported(f"{type(model).__name__} has no activation checkpointing of its own")


def _needs_compiler(device: torch.device) -> None:
    if device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise Unsupported("torch.compile needs a C++ compiler, and there is none on the path")


def digits(batch: int, loss: str = "cross_entropy") -> MlpStep:
    """128-64-10 units, ReLU, Adam."""
    return MlpStep("mlp", "float32", "adam", "eager", batch, loss, 128, 64, 1, 10)


def mlp(batch: int, width: int, optimizer: str = "adamw", dtype: str = "float32") -> MlpStep:
    """Three hidden layers, 1024 inputs, 1000 classes."""
    return MlpStep("mlp", dtype, optimizer, "eager", batch, "cross_entropy", 1024, width, 3, 1000)


def images(
    architecture: str, batch: int, image: int, *, dtype: str = "float32", mode: str = "eager"
) -> ImageStep:
    """A convolutional network, trained with momentum."""
    return ImageStep(architecture, dtype, "momentum", mode, batch, image)


def patches(batch: int, image: int, width: int, depth: int, *, dtype: str = "float32") -> PatchStep:
    """A vision transformer, trained with AdamW."""
    return PatchStep("vit", dtype, "adamw", "eager", batch, image, width, depth)


def text(architecture: str, batch: int, sequence: int, width: int, depth: int, **words: Any) -> TextStep:
    """A language model; by default in float32, eager, with AdamW and 4096 words."""
    options: How = {"dtype": "float32", "optimizer": "adamw", "mode": "eager", "vocabulary": 4096} | words
    strings = (options["dtype"], options["optimizer"], options["mode"])
    return TextStep(architecture, *strings, batch, sequence, width, depth, options["vocabulary"])


BF16: How = {"dtype": "bfloat16"}
COMPILED: How = {"mode": "compiled"}
CHECKPOINTED: How = {"mode": "checkpointed"}
GPT2: How = {"dtype": "bfloat16", "vocabulary": 50257}
LARGE: tuple[tuple[str, tuple[int, ...], int], ...] = (
    # Published shapes: BERT-base, GPT-2, T5-base, and decoders of 1.2 billion parameters and a mixture.
    ("bert", (32, 512, 768, 12), 30522),
    ("gpt2", (16, 1024, 768, 12), 50257),
    ("t5", (16, 512, 768, 12), 32128),
    ("llama", (4, 2048, 2048, 24), 32000),
    ("mixtral", (4, 2048, 1024, 16), 32000),
)

WORKLOADS = Sweep(
    quick=[
        *map(digits, (64, 256, 1024, 4096)),
        digits(64, "mse"),
        *(mlp(128, 1024, optimizer) for optimizer in ("sgd", "momentum", "adamw")),
        images("alexnet", 4, 96),
        images("vgg16", 1, 64),
        images("inception_v3", 2, 107),
        images("resnet18", 4, 64),
        images("resnet50", 2, 64),
        patches(8, 96, 192, 4),
        text("bert", 4, 128, 256, 2),
        *(text("gpt2", batch, 128, 256, 2) for batch in (1, 2, 4, 8)),
        text("gpt2", 2, 256, 256, 2),
        text("gpt2", 2, 128, 512, 2),
        text("gpt2", 2, 128, 256, 4),
        text("gpt2", 2, 128, 256, 2, **BF16),
        text("gpt2", 2, 128, 256, 2, **CHECKPOINTED),
        text("t5", 2, 128, 256, 2),
        text("llama", 2, 128, 256, 2),
        text("mixtral", 2, 128, 256, 2),
    ],
    standard=[
        *(mlp(batch, 2048) for batch in (32, 128, 512)),
        mlp(512, 2048, dtype="bfloat16"),
        *(images("resnet18", batch, 128) for batch in (2, 4, 8, 16)),
        images("resnet50", 4, 128),
        images("resnet50", 4, 128, dtype="bfloat16"),
        images("resnet18", 8, 128, mode="compiled"),
        patches(8, 224, 384, 6),
        text("bert", 8, 128, 512, 4),
        text("bert", 8, 128, 512, 4, **BF16),
        *(text("gpt2", batch, 256, 512, 4) for batch in (1, 2, 4, 8)),
        *(text("gpt2", 1, sequence, 512, 4) for sequence in (128, 512, 1024)),
        *(text("gpt2", 2, 256, 512, depth) for depth in (2, 6, 8)),
        *(text("gpt2", 4, 256, 512, 4, **how) for how in (BF16, COMPILED, CHECKPOINTED)),
        text("t5", 4, 128, 512, 4),
        *(text("llama", 2, 256, 512, 4, **how) for how in ({}, BF16, COMPILED, CHECKPOINTED)),
        text("mixtral", 2, 256, 512, 4),
    ],
    full=[
        *(mlp(batch, 8192, dtype=dtype) for dtype in ("float32", "bfloat16") for batch in (256, 1024, 4096)),
        *(images(name, 64, 224, dtype="bfloat16") for name in ("alexnet", "vgg16", "resnet18", "resnet50")),
        images("inception_v3", 64, 299, dtype="bfloat16"),
        *(images("resnet50", batch, 224, dtype="bfloat16") for batch in (16, 32, 128, 256)),
        images("resnet50", 64, 224),
        images("resnet50", 64, 224, dtype="bfloat16", mode="compiled"),
        patches(64, 224, 768, 12, dtype="bfloat16"),
        *(
            text(name, sizes[0], sizes[1], sizes[2], sizes[3], **BF16, **how, vocabulary=vocabulary)
            for name, sizes, vocabulary in LARGE
            for how in ({}, COMPILED, CHECKPOINTED)
        ),
        *(text("gpt2", batch, 1024, 768, 12, **GPT2) for batch in (1, 2, 4, 8, 32)),
        *(text("gpt2", 4, sequence, 768, 12, **GPT2) for sequence in (512, 2048, 4096)),
        *(text("gpt2", 4, 1024, width, 12, **GPT2) for width in (1024, 1536)),
        *(text("gpt2", 4, 1024, 768, depth, **GPT2) for depth in (6, 24)),
    ],
)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_train_step(workload: TrainStep, bench: Bench) -> None:
    bench(workload)

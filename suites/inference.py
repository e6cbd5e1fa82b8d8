"""Inference: a forward pass of each model, and one more token with a cache of keys and values.

`Prefill` is a whole batch at once: images, or the prompt of a language model. `Decode` is one token for each of `batch` sequences
that have `context` tokens behind them: each weight and each cached key and value is read for a few FLOPs, so memory decides. The
cache is the library's own, which copies it as it grows.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
import torch

from harness import (
    Bench,
    Call,
    Series,
    Sweep,
    Workload,
    build,
    check_positive,
    decoding,
    forward,
    precision_of,
)


@dataclass(frozen=True)
class Inference(Workload):
    """What both have in common. FLOPs, bytes and memory come from the trace of this very call."""

    architecture: str
    dtype: str
    batch: int

    capturable = False

    def __post_init__(self) -> None:
        check_positive(self)

    def items(self) -> dict[str, int]:
        return {"samples": self.batch}

    def series(self) -> Series:
        """Calls that differ in their batch alone."""
        return Series(name=self.without("batch"), variable="batch", size=self.batch, exponent=1.0)

    def context(self) -> AbstractContextManager[object]:
        """Float32 means IEEE, on a GPU too."""
        return precision_of(self.dtype)

    def prepare(self, device: torch.device) -> Call:
        return forward(build(self.architecture, self.sizes, device), dtype=self.dtype)


@dataclass(frozen=True)
class Classify(Inference):
    """Images of `image` x `image` pixels."""

    image: int


@dataclass(frozen=True)
class ClassifyPatches(Classify):
    """A vision transformer."""

    width: int
    depth: int

    @property
    def family(self) -> str:
        return "classify"


@dataclass(frozen=True)
class Prefill(Inference):
    """A prompt of `sequence` tokens, with the logits of each."""

    sequence: int
    width: int
    depth: int
    vocabulary: int

    def items(self) -> dict[str, int]:
        return {"samples": self.batch, "tokens": self.batch * self.sequence}


@dataclass(frozen=True)
class Decode(Inference):
    """One token for each sequence."""

    stateful = True

    cached: int
    width: int
    depth: int
    vocabulary: int

    def items(self) -> dict[str, int]:
        return {"samples": self.batch, "tokens": self.batch}

    def prepare(self, device: torch.device) -> Call:
        return decoding(self.architecture, self.sizes, device, dtype=self.dtype)


# Published shapes: GPT-2, and a decoder of 1.2 billion parameters.
GPT2, LLAMA = (768, 12, 50257), (2048, 24, 32000)
SMALL, MIDDLE = (256, 4, 4096), (512, 6, 8192)

WORKLOADS = Sweep(
    quick=[
        *(Classify("resnet18", "float32", batch, 64) for batch in (1, 16)),
        Classify("resnet50", "float32", 4, 64),
        ClassifyPatches("vit", "float32", 4, 96, 192, 4),
        Prefill("bert", "float32", 4, 128, *SMALL),
        Prefill("gpt2", "float32", 1, 256, *SMALL),
        Prefill("llama", "bfloat16", 1, 256, *SMALL),
        *(Decode("llama", "float32", 1, cached, *SMALL) for cached in (128, 512, 2048)),
        Decode("llama", "float32", 8, 512, *SMALL),
        Decode("mixtral", "float32", 1, 512, *SMALL),
    ],
    standard=[
        *(
            Classify(name, "float32", batch, 224)
            for name in ("alexnet", "vgg16", "resnet50")
            for batch in (1, 4)
        ),
        Classify("inception_v3", "float32", 1, 299),
        *(Classify("resnet50", "bfloat16", batch, 224) for batch in (1, 4)),
        ClassifyPatches("vit", "float32", 4, 224, 384, 6),
        *(Prefill(name, "float32", 1, 512, *MIDDLE) for name in ("bert", "gpt2", "t5", "llama", "mixtral")),
        *(Prefill("gpt2", "bfloat16", 1, sequence, *MIDDLE) for sequence in (128, 512, 1024)),
        *(
            Decode(name, dtype, 1, cached, *MIDDLE)
            for name in ("gpt2", "llama")
            for dtype in ("float32", "bfloat16")
            for cached in (128, 512, 900)
        ),
        *(Decode("llama", "bfloat16", batch, 512, *MIDDLE) for batch in (2, 8, 32)),
        Decode("gpt2", "float32", 1, 900, *GPT2),
    ],
    full=[
        *(Classify(name, "bfloat16", 256, 224) for name in ("alexnet", "vgg16", "resnet18", "resnet50")),
        *(Classify("resnet50", "bfloat16", batch, 224) for batch in (16, 64, 512)),
        ClassifyPatches("vit", "bfloat16", 256, 224, 768, 12),
        *(Prefill("llama", "bfloat16", 1, sequence, *LLAMA) for sequence in (512, 2048, 4096)),
        *(Prefill("llama", "bfloat16", batch, 2048, *LLAMA) for batch in (4, 16)),
        *(Decode("llama", "bfloat16", 1, cached, *LLAMA) for cached in (128, 1024, 4000)),
        *(Decode("llama", "bfloat16", batch, 1024, *LLAMA) for batch in (8, 32, 128)),
    ],
)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_inference(workload: Inference, bench: Bench) -> None:
    bench(workload)

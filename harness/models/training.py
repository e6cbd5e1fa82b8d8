"""A training step and an inference call of a model, and the precision they compute in. Loads torch when called."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported, UsageError
from harness.models.subject import Subject, first_tensor
from harness.workload import Call, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import torch

OPTIMIZERS = ("sgd", "momentum", "adam", "adamw")
PRECISIONS = ("float32", "bfloat16")
# Small enough that thousands of steps on one batch stay finite.
LEARNING_RATE = 1e-4


def optimizer_of(name: str, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """An optimizer with torch's defaults, apart from a small learning rate.

    Raises:
        UsageError: no such optimizer.
    """
    import torch  # noqa: PLC0415 - the public API loads no torch

    trained = [parameter for parameter in parameters if parameter.requires_grad]
    makers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(trained, lr=LEARNING_RATE),
        "momentum": lambda: torch.optim.SGD(trained, lr=LEARNING_RATE, momentum=0.9),
        "adam": lambda: torch.optim.Adam(trained, lr=LEARNING_RATE),
        "adamw": lambda: torch.optim.AdamW(trained, lr=LEARNING_RATE),
    }
    if name not in makers:
        raise UsageError(f"unknown optimizer {name!r}: one of {', '.join(OPTIMIZERS)}")
    return makers[name]()


def _check_precision(dtype: str) -> None:
    if dtype not in PRECISIONS:
        raise UsageError(f"unknown precision {dtype!r}: one of {', '.join(PRECISIONS)}")


def precision(dtype: str, device: torch.device) -> AbstractContextManager[object]:
    """`float32` as it is; `bfloat16` by autocast, with weights and their updates in float32.

    Raises:
        UsageError: another dtype.
    """
    import torch  # noqa: PLC0415

    _check_precision(dtype)
    return torch.autocast(device.type, torch.bfloat16) if dtype == "bfloat16" else nullcontext()


def training(
    subject: Subject,
    device: torch.device,
    *,
    optimizer: str = "adamw",
    dtype: str = "float32",
) -> Step:
    """Forward and loss, backward, optimizer: one whole step, as a call in three phases. It returns the loss.

    A step first frees the gradients of the one before. One step runs at once, so that the optimizer has its
    state.
    """
    subject.model.train()
    updating = optimizer_of(optimizer, subject.model.parameters())
    losses: list[torch.Tensor] = []

    def forward_phase() -> torch.Tensor:
        updating.zero_grad(set_to_none=True)
        with precision(dtype, device):
            loss = subject.loss_of(subject.output())
        losses.append(loss)
        return loss.detach()

    def backward_phase() -> None:
        losses.pop().backward()  # type: ignore[no-untyped-call]

    def optimizer_phase() -> None:
        updating.step()

    step = Step(forward=forward_phase, backward=backward_phase, optimizer=optimizer_phase)
    step()
    return step


def forward(subject: Subject, *, dtype: str = "float32") -> Call:
    """One inference pass; returns the first tensor of the output.

    In bfloat16 the weights are, as they are served: autocast would cast each of them in each call.
    """
    import torch  # noqa: PLC0415

    narrowed(subject, dtype)
    subject.model.eval()
    named = {name: value for name, value in subject.named.items() if name not in subject.training_only}

    def call() -> torch.Tensor:
        with torch.inference_mode():
            return first_tensor(_without_loss(subject.model(*subject.inputs, **named)))

    return call


def narrowed(subject: Subject, dtype: str) -> None:
    """Converts the weights and the floating-point inputs of a model to a precision.

    Raises:
        UsageError: another dtype.
    """
    import torch  # noqa: PLC0415
    from torch.utils._pytree import tree_map_only  # noqa: PLC0415

    _check_precision(dtype)
    if dtype == "float32":
        return
    narrow = getattr(torch, dtype)
    subject.model.to(narrow)

    def cast(value: Any) -> Any:
        return tree_map_only(
            torch.Tensor, lambda tensor: tensor.to(narrow) if tensor.is_floating_point() else tensor, value
        )

    subject.inputs, subject.named = cast(tuple(subject.inputs)), cast(dict(subject.named))


def _without_loss(output: Any) -> Any:
    """A model given labels returns its loss first."""
    if "loss" in getattr(output, "keys", tuple)():
        return {name: value for name, value in output.items() if name != "loss"}
    return output


@contextmanager
def float32_precision(precision: str) -> Iterator[None]:
    """Sets float32 precision to "ieee" or "tf32", and restores the settings at the end.

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
    """The precision context of a dtype: float32 means IEEE, tf32 is float32 with a narrower multiplier."""
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

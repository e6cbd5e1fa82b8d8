"""A model and one batch of inputs, for a training step or an inference call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported, UsageError

if TYPE_CHECKING:
    import torch

Loss = Callable[[Any], "torch.Tensor"]


@dataclass
class Subject:
    """A model, its inputs by position and by name, and how its output becomes a loss.

    `loss` None: see `loss_of`. `training_only` names inputs that inference goes without, such as labels. `items` is what a batch holds, by unit: samples, tokens.
    """

    model: torch.nn.Module
    inputs: Sequence[Any] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    loss: Loss | None = None
    training_only: tuple[str, ...] = ()
    items: dict[str, int] = field(default_factory=dict)

    def to(self, device: torch.device) -> Subject:
        """The same on a device."""
        import torch  # noqa: PLC0415 - the public API loads no torch
        from torch.utils._pytree import tree_map_only  # noqa: PLC0415

        def moved(value: Any) -> Any:
            # Always a copy: memory that another library allocated would not be counted.
            return tree_map_only(torch.Tensor, lambda tensor: tensor.to(device, copy=True), value)

        self.inputs, self.named = moved(tuple(self.inputs)), moved(dict(self.named))
        if any(tensor.device != device for tensor in chain(self.model.parameters(), self.model.buffers())):
            self.model.to(device)
        return self

    def check_trainable(self, name: str) -> None:
        """Refuses a model without a parameter that takes a gradient.

        Raises:
            Unsupported: there is nothing to train.
        """
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise Unsupported(f"{name} has no parameter that takes a gradient: there is nothing to train")

    def output(self) -> Any:
        """One forward pass."""
        return self.model(*self.inputs, **self.named)

    def loss_of(self, output: Any) -> torch.Tensor:
        """The loss: the given one of the output, or its own `loss`, or a scalar output, or the mean of its squares."""
        if self.loss is not None:
            return _scalar(self.loss(output))
        own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
        if own is not None:
            return _scalar(own)
        first = first_tensor(output, floating=True)
        return first if first.ndim == 0 else first.float().square().mean()


def _scalar(loss: Any) -> torch.Tensor:
    """A loss that has a gradient of its own.

    Raises:
        UsageError: it is not a tensor, or more than one number.
    """
    import torch  # noqa: PLC0415

    if not isinstance(loss, torch.Tensor):
        raise UsageError(f"the loss returned {type(loss).__name__}, not a tensor")
    if loss.numel() != 1:
        raise UsageError(f"the loss returned a tensor of shape {tuple(loss.shape)}, not a single number")
    return loss


def first_tensor(output: Any, *, floating: bool = False) -> torch.Tensor:
    """The first tensor in a model's output, if it can be a floating-point one.

    Raises:
        UsageError: there is none; `floating`: none of that kind.
    """
    leaves = [leaf for leaf in _tensors(output) if leaf.is_floating_point() or not floating]
    if not leaves:
        kind = "floating-point tensor" if floating else "tensor"
        raise UsageError(f"the model returned {type(output).__name__}, which holds no {kind}")
    return next((leaf for leaf in leaves if leaf.is_floating_point()), leaves[0])


def _tensors(output: Any) -> list[torch.Tensor]:
    """All tensors in nested lists, dicts and dataclasses."""
    import torch  # noqa: PLC0415 - the public API loads no torch
    from torch.utils._pytree import tree_leaves  # noqa: PLC0415

    if isinstance(output, Mapping):
        return [leaf for value in output.values() for leaf in _tensors(value)]
    if is_dataclass(output):
        return [leaf for field in fields(output) for leaf in _tensors(getattr(output, field.name))]
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, list | tuple):
        return [leaf for value in output for leaf in _tensors(value)]
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]

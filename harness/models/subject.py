"""A model and one batch of inputs: what a training step or an inference call is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError

if TYPE_CHECKING:
    import torch

Loss = Callable[[Any], "torch.Tensor"]


@dataclass
class Subject:
    """A model, its inputs by position and by name, and how its output becomes a loss.

    `loss` None: see `loss_of`. `items` is what a batch holds, by unit: samples, tokens.
    """

    model: torch.nn.Module
    inputs: Sequence[Any] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    loss: Loss | None = None
    items: dict[str, int] = field(default_factory=dict)

    def to(self, device: torch.device) -> Subject:
        """The same on a device."""
        import torch  # noqa: PLC0415 - the front door loads none
        from torch.utils._pytree import tree_map_only  # noqa: PLC0415

        def moved(value: Any) -> Any:
            return tree_map_only(torch.Tensor, lambda one: one.to(device), value)

        self.inputs, self.named = moved(tuple(self.inputs)), moved(dict(self.named))
        if any(one.device != device for one in self.model.parameters()):
            self.model.to(device)
        return self

    def check_trainable(self, name: str) -> None:
        """Refuses a model without a parameter that takes a gradient.

        Raises:
            UsageError: there is nothing to train.
        """
        if not any(one.requires_grad for one in self.model.parameters()):
            raise UsageError(f"{name} has no parameter that takes a gradient: there is nothing to train")

    def output(self) -> Any:
        """One forward pass."""
        return self.model(*self.inputs, **self.named)

    def loss_of(self, output: Any) -> torch.Tensor:
        """What is trained on: the given loss of the output; else its own `loss`, a scalar itself, or the mean of its squares."""
        if self.loss is not None:
            return self.loss(output)
        own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
        if own is not None:
            found: torch.Tensor = own
            return found
        first = first_tensor(output)
        return first if first.ndim == 0 else first.float().square().mean()


def first_tensor(output: Any) -> torch.Tensor:
    """The first floating-point tensor in a model's output.

    Raises:
        TypeError: there is none.
    """
    import torch  # noqa: PLC0415 - the front door loads none
    from torch.utils._pytree import tree_leaves  # noqa: PLC0415

    plain = dict(output) if isinstance(output, Mapping) else output
    for leaf in tree_leaves(plain):
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
            return leaf
    raise TypeError(f"the model returned {type(output).__name__}, which holds no floating-point tensor")

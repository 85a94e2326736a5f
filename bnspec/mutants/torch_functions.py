"""Wrong functions with the signature of `torch.nn.functional.batch_norm`: each asks torch's own for the wrong thing."""

# ruff: noqa: D103  (what is wrong with each stands in bnspec/mutants/table.py)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from torch import Tensor


@dataclass(frozen=True)
class Call:
    """The arguments of one call, named as torch names them."""

    input: Tensor
    running_mean: Tensor | None
    running_var: Tensor | None
    weight: Tensor | None
    bias: Tensor | None
    training: bool
    momentum: float
    eps: float

    def run(self) -> Tensor:
        return F.batch_norm(**self.__dict__)

    def but(self, **changes: object) -> Tensor:
        """What torch answers when some arguments are others."""
        return replace(self, **changes).run()  # type: ignore[arg-type]  # names of fields

    def without_writing(self) -> Tensor:
        """The same answer; the running statistics stay as they are."""
        copies = {name: getattr(self, name) for name in ("running_mean", "running_var")}
        return self.but(**{name: None if buffer is None else buffer.clone() for name, buffer in copies.items()})


def functional(answer: Callable[[Call], Tensor]) -> Callable[..., Tensor]:
    """Give `answer` the signature of `torch.nn.functional.batch_norm`."""

    def batch_norm(
        input: Tensor,  # noqa: A002  (torch's name)
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        return answer(Call(input, running_mean, running_var, weight, bias, training, momentum, eps))

    batch_norm.__name__ = batch_norm.__qualname__ = answer.__name__
    return batch_norm


# ---- eps and momentum
@functional
def eps_squared(call: Call) -> Tensor:
    return call.but(eps=call.eps**2)


@functional
def eps_in_half(call: Call) -> Tensor:
    return call.but(eps=torch.tensor(call.eps, dtype=torch.float16).item())


@functional
def eps_twice_in_evaluation(call: Call) -> Tensor:
    return call.run() if call.training else call.but(eps=2 * call.eps)


@functional
def momentum_weighs_old(call: Call) -> Tensor:
    return call.but(momentum=1 - call.momentum)


@functional
def momentum_zero_is_default(call: Call) -> Tensor:
    return call.but(momentum=call.momentum or 0.1)


@functional
def momentum_in_bfloat16(call: Call) -> Tensor:
    return call.but(momentum=torch.tensor(call.momentum, dtype=torch.bfloat16).item())


# ---- gamma and beta
@functional
def absolute_gamma(call: Call) -> Tensor:
    return call.but(weight=None if call.weight is None else call.weight.abs())


@functional
def one_gamma_for_all(call: Call) -> Tensor:
    return call.but(weight=None if call.weight is None else call.weight[:1].expand_as(call.weight))


@functional
def gamma_after_beta(call: Call) -> Tensor:
    return call.run() if call.weight is None or call.bias is None else call.but(bias=call.weight * call.bias)


@functional
def zero_gamma_is_one(call: Call) -> Tensor:
    return call.but(weight=None if call.weight is None else torch.where(call.weight == 0, 1, call.weight))


# ---- what is read, written and handed out
@functional
def centred_and_restored(call: Call) -> Tensor:
    y = call.run()
    if call.training and call.input.is_contiguous():
        mean = call.input.detach().mean((0, *range(2, call.input.ndim)), keepdim=True)
        call.input.data.sub_(mean).add_(mean)
    return y


@functional
def single_returned(call: Call) -> Tensor:
    return call.run().float()


@functional
def variance_not_updated(call: Call) -> Tensor:
    return call.but(running_var=None if call.running_var is None else call.running_var.clone())


@functional
def batch_statistics_in_evaluation(call: Call) -> Tensor:
    several = call.input.numel() > call.input.shape[1]
    return call.run() if call.training or not several else call.but(running_mean=None, running_var=None, training=True)


@functional
def no_shift_without_weight(call: Call) -> Tensor:
    folded = call.weight is None and not call.training and call.running_mean is not None
    return call.but(running_mean=torch.zeros_like(call.running_mean)) if folded else call.run()  # type: ignore[arg-type]  # told by `folded`


# ---- the upstream gradient
@functional
def upstream_clipped(call: Call) -> Tensor:
    y = call.run()
    if y.requires_grad:
        y.register_hook(lambda dy: dy.clamp(-5, 5))  # type: ignore[no-untyped-call]  # untyped in torch
    return y

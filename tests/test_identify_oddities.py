"""What identification says of layers that do what no dialect does, or hide what would tell."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
from numpy.typing import NDArray
from torch import Tensor, nn

from bnspec.identification.identity import Identity, identify
from bnspec.identification.settings import tell_shape
from bnspec.layers.target import TargetError
from bnspec.mutants.numpy_base import BatchNorm

Array = NDArray[Any]
NO_DIALECT = "It speaks no dialect that can be named"


def value(found: Identity, field: str) -> Any:
    answer = found.answers[field]
    assert (answer.value is None) == bool(answer.needs), answer
    return answer.value


# Evaluation


class EvaluatesByTheBatch(nn.BatchNorm1d):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        return super().forward(input) if self.training else F.batch_norm(input, None, None, training=True, eps=self.eps)


class Doubles(nn.BatchNorm1d):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as above
        return super().forward(input) * (1 if self.training else 2)


def test_what_normalises_in_evaluation_is_told() -> None:
    assert value(identify(nn.BatchNorm1d), "evaluation") == "running"
    by_batch, neither = identify(EvaluatesByTheBatch), identify(Doubles)
    assert value(by_batch, "evaluation") == "batch"
    assert "What normalises in evaluation is: batch; in all dialects it is the running statistics" in by_batch.sentence
    assert value(neither, "evaluation") is None
    assert neither.sentence.endswith("Not told: what normalises in evaluation.")
    assert value(identify(nn.BatchNorm1d, arguments={"track_running_stats": False}), "evaluation") == "not offered"


# Averages


class MeanCopied(BatchNorm):
    """The mean of the first batch is copied, its variance blended."""

    def update(self, mean: Array, var: Array, m: int) -> None:
        new = not self.running_mean.any()
        super().update(mean, var, m)
        self.running_mean = mean.astype(self.running_mean.dtype) if new else self.running_mean


class Hard(BatchNorm):
    """0.1, and no momentum to choose."""

    def __init__(self, num_features: int, eps: float = 1e-5, dtype: Any = np.float64) -> None:
        super().__init__(num_features, 0.1, eps, dtype)
        self.weight = self.momentum
        del self.momentum

    def blend(self, old: Array, new: Array) -> Array:
        return np.asarray((1 - 0.1) * old + 0.1 * new)


class Heedless(BatchNorm):
    """A momentum that is taken and not heeded."""

    def blend(self, old: Array, new: Array) -> Array:
        return np.asarray((1 - 0.1) * old + 0.1 * new)


class ByDecay(BatchNorm):
    """A momentum by another name, that of an attribute."""

    def __init__(self, num_features: int, eps: float = 1e-5, dtype: Any = np.float64) -> None:
        super().__init__(num_features, 0.2, eps, dtype)
        self.decay = 0.2
        del self.momentum

    def blend(self, old: Array, new: Array) -> Array:
        return np.asarray((1 - self.decay) * old + self.decay * new)


def test_the_average_is_that_of_both_statistics() -> None:
    found = identify(MeanCopied)
    assert value(found, "average") is None
    assert "the running mean weighs 3 batches 1, 0.28, 0.28" in found.answers["average"].needs
    assert "variance 0.28, 0.28, 0.28" in found.answers["average"].needs
    assert value(found, "stores") == "unbiased"
    assert found.sentence.startswith(NO_DIALECT)


def test_a_momentum_that_nobody_chose_is_not_spoken_of() -> None:
    for layer, needs in (
        (Hard, "the momentum in use, bnspec_momentum = ...: a batch weighs 0.1"),
        (Heedless, "a momentum that is heeded: at 0.28 as well a batch weighs 0.1"),
    ):
        found = identify(layer)
        assert value(found, "average") == "plain"
        assert value(found, "momentum_weighs") is None
        assert found.answers["momentum_weighs"].needs == needs
    assert "0.28" not in str(identify(Hard).answers["average"])
    assert value(identify(ByDecay), "momentum_weighs") == "new"


def trained(**settings: Any) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(3, **settings)
    for seed in range(10):
        layer(torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(seed)))
    return layer


def test_an_instance_may_have_trained_already() -> None:
    assert value(identify(nn.BatchNorm2d(3)), "average") == "plain"
    found = identify(trained())
    assert value(found, "average") is None
    assert found.answers["average"].needs == "a new layer: an instance may have trained already"
    assert value(found, "buffer_shape") == "(C,)"
    assert value(identify(trained(momentum=None)), "momentum_none") == "cumulative"


# eps


class Fixed(nn.BatchNorm2d):
    """An eps of its own, whatever it is asked for."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as above
        assert self.momentum is not None
        given = self.running_mean, self.running_var, self.weight, self.bias
        return F.batch_norm(input, *given, self.training, self.momentum, 1e-3)


class FloorUnderDeviation(BatchNorm):
    def rstd(self, var: Array) -> Array:
        return np.asarray(1 / np.maximum(np.sqrt(var), self.eps), var.dtype)


def test_where_eps_stands_is_told() -> None:
    assert value(identify(FloorUnderDeviation), "eps_place") == "as a floor under the deviation"
    found = identify(Fixed)
    assert value(found, "eps_place") == "inside the root as 0.001 where 0.1 is asked for"
    assert value(found, "normalises_with") == "biased"
    assert value(found, "constants") is not None or found.answers["constants"].needs
    assert "eps stands inside the root as 0.001 where 0.1 is asked for, as in no dialect." in found.sentence


class NoneInEvaluation(BatchNorm):
    """eps in training alone."""

    def rstd(self, var: Array) -> Array:
        return np.asarray(1 / np.sqrt(var + (self.eps if self.training else 0)), var.dtype)


def test_an_evaluation_without_eps_is_told() -> None:
    found = identify(NoneInEvaluation)
    assert str(value(found, "evaluation")).startswith("running, with eps ")
    assert "in all dialects it is the running statistics, eps inside" in found.sentence


class Grows(nn.BatchNorm2d):
    """The usual slip: (C,) blended with (1, C, 1, 1)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as above
        y = super().forward(input)
        if self.training:
            self.running_mean = self.running_mean.reshape(-1) + torch.zeros(1, self.num_features, 1, 1)  # type: ignore[union-attr]
            self.running_var = self.running_var.reshape(-1) + torch.zeros(1, self.num_features, 1, 1)  # type: ignore[union-attr]
        return y


def test_buffers_that_grow_end_it() -> None:
    with pytest.raises(TargetError, match="its running statistics have 9 and 9 values, not 3"):
        identify(Grows)


# Axes, shapes, ranks, defaults


class ByPosition(BatchNorm):
    """Each position of (N, D, C) by itself, as x.mean(0) has it."""

    bnspec_ranks = (2,)  # type: ignore[assignment]  # fewer than it inherits

    def __call__(self, x: Array) -> Array:
        if x.ndim == 2:
            return super().__call__(x)
        return np.asarray((x - x.mean(0)) / np.sqrt(x.var(0) + self.eps))


class Nothing(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as above
        return input


@pytest.mark.parametrize("layer", [ByPosition, Nothing, nn.InstanceNorm2d])
def test_a_channel_axis_is_told_of_batches_that_come_back_normalised(layer: Any) -> None:
    layer = layer if layer is not nn.InstanceNorm2d else partial(layer, affine=True, track_running_stats=True)
    assert value(identify(layer), "channel_axis") is None


def test_of_what_normalises_in_another_way_no_dialect_is_named() -> None:
    instances = partial(nn.InstanceNorm2d, affine=True, track_running_stats=True)
    for layer in (Nothing, instances):
        assert identify(layer).sentence.startswith(NO_DIALECT)


def test_one_channel_tells_no_shape() -> None:
    assert tell_shape((1,), 1, 2) == "(C,)"
    assert tell_shape((1, 1, 1, 1), 1, 4) is None
    found = identify(nn.BatchNorm2d, arguments={"num_features": 1})
    assert (value(found, "buffer_shape"), value(found, "stores")) == ("(C,)", "unbiased")


def test_a_default_of_none_is_said() -> None:
    def layer(num_features: int, eps: float = 1e-5, momentum: float | None = None) -> nn.Module:
        return nn.BatchNorm1d(num_features, eps, momentum)

    answer = identify(layer).answers["momentum_default"]
    assert answer.value is None
    assert answer.needs == "a number as its default in the signature of a class or function, which has None"


def test_statistics_that_a_function_may_be_without_are_left_out() -> None:
    assert value(identify(F.batch_norm), "eval_without_statistics") == "refuse"
    found = identify("torch:native_batch_norm").answers["eval_without_statistics"]
    assert "died by SIGSEGV" in found.needs


def test_a_buffer_that_is_no_number_is_part_of_the_evidence() -> None:
    assert identify("torch:native_batch_norm").answers["one_value"].seen.endswith("statistics that are not finite")


def test_measured_rows_come_before_those_of_which_most_is_untried() -> None:
    class Biased(BatchNorm):
        def stored_variance(self, var: Array, m: int) -> Array:
            return var

    assert identify(Biased).nearest.names[0] == "d2l"

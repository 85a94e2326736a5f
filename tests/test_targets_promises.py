"""What an implementation promises: found by its shape, by calls, and by what the target or its arguments declare."""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from torch import nn

import bnspec
from bnspec.layers.implementation import resolve
from bnspec.layers.promises import PROMISED
from bnspec.layers.protocol import Array, Structure, SubjectError
from bnspec.layers.target import load_target
from bnspec.spec.formats import PRECISIONS
from tests.target_samples import RIGHT, load_samples, refusal

SPIES = load_samples("spying_layers.py", "Spy")
SEED, REFERENCE, TEACHING = (load_target(f"reference:{name}").obj for name in ("seed", "torch", "numpy"))
OPEN = Structure(channels=3, rank=2, dtype="float64", device="cpu", eps=1e-3, momentum=0.25)
ALL_DTYPES = tuple(PRECISIONS)
PURE_DTYPES = ALL_DTYPES[:4]  # with float32 parameters the seed's output is float32, whatever x is
TORCH_ABILITIES = frozenset(PROMISED) - {"late_statistics", "beta_alone"}
OBJECT_ABILITIES = TORCH_ABILITIES - {
    "saves", "converts", "resets", "recomputation", "untracked", "untracked_evaluation",
    "unscaled", "unshifted", "retunes",
}  # fmt: skip
NUMPY_ABILITIES = OBJECT_ABILITIES - {
    "gradient_subsets", "reentrance", "memory_formats", "second_order", "forward_mode",
}  # fmt: skip
FUNCTION_ABILITIES = OBJECT_ABILITIES - {"initial_state", "cumulative", "copies", "switches", "counter"}


@pytest.mark.parametrize(
    ("subject", "ranks", "dtypes", "abilities"),
    [
        (nn.BatchNorm1d, (2, 3), ALL_DTYPES, TORCH_ABILITIES),
        (nn.BatchNorm2d, (4,), ALL_DTYPES, TORCH_ABILITIES),
        (nn.BatchNorm3d, (5,), ALL_DTYPES, TORCH_ABILITIES),
        (nn.SyncBatchNorm, (2, 3, 4, 5), ALL_DTYPES, TORCH_ABILITIES),
        (RIGHT.HandsOn, (2, 3), ALL_DTYPES, TORCH_ABILITIES),
        (RIGHT.PlainTorch, (2, 3, 4, 5), ALL_DTYPES, OBJECT_ABILITIES - {"cumulative"}),
        (F.batch_norm, (2, 3, 4, 5), ALL_DTYPES, FUNCTION_ABILITIES | {"unscaled", "unshifted", "beta_alone"}),
        (SEED, (2,), PURE_DTYPES, OBJECT_ABILITIES - {"cumulative", "counter"}),
        (REFERENCE, (2, 3, 4, 5), ALL_DTYPES, OBJECT_ABILITIES),
        (TEACHING, (2, 3, 4, 5), ("float32", "float64", "float16"), NUMPY_ABILITIES),
        (RIGHT.ForwardOnly, (2, 3, 4, 5), ("float32", "float64"), NUMPY_ABILITIES - {"counter"}),
    ],
)
def test_promises(subject: Any, ranks: tuple[int, ...], dtypes: tuple[str, ...], abilities: frozenset[str]) -> None:
    promises = resolve(subject).promises
    assert (promises.ranks, promises.dtypes, promises.abilities) == (ranks, dtypes, abilities)
    assert promises.devices == (("cpu",) if "gradient_subsets" not in abilities else ("cpu", "cuda"))
    assert (promises.eps, promises.momentum, promises.channels) == (None, "free", None)


@pytest.mark.parametrize(
    ("subject", "arguments", "fixed"),
    [
        (nn.BatchNorm1d, {"eps": 0.5}, (0.5, "free", None)),
        (nn.BatchNorm1d, {"momentum": 1, "num_features": 4}, (None, 1.0, 4)),
        (RIGHT.factory, {"epsilon": 0.5}, (0.5, "free", None)),
        (functools.partial(nn.BatchNorm1d, 7, eps=0.5), {"momentum": 0.5}, (0.5, 0.5, 7)),
        (nn.BatchNorm1d(5, eps=0.5, momentum=0.5), {}, (0.5, 0.5, 5)),
        (lambda: nn.BatchNorm1d(6), {}, (1e-5, 0.1, 6)),
        (F.batch_norm, {"momentum": 0.5}, (None, 0.5, None)),
        (functools.partial(F.batch_norm, eps=0.5), {}, (0.5, "free", None)),
        (RIGHT.functional, {}, (None, 0.25, None)),
        (RIGHT.without_momentum, {}, (None, 0.1, None)),
        (nn.BatchNorm1d, {"track_running_stats": False}, (None, "free", None)),
        (nn.BatchNorm1d, {"momentum": None}, (None, "average", None)),
        (nn.BatchNorm1d(3, momentum=None), {}, (1e-5, "average", 3)),
    ],
)
def test_what_cannot_be_chosen_is_fixed(subject: Any, arguments: dict[str, Any], fixed: tuple[object, ...]) -> None:
    promises = resolve(subject, arguments).promises
    assert (promises.eps, promises.momentum, promises.channels) == fixed


def test_an_argument_reaches_every_layer() -> None:
    layer = resolve(nn.BatchNorm1d, {"eps": 3.0}).make(OPEN)
    y = layer.run(np.full((2, 3), 4.0), training=False).y
    np.testing.assert_allclose(y, 4 / np.sqrt(1 + 3), rtol=1e-12)


def test_declarations_are_honoured_on_classes_functions_and_instances() -> None:
    class Declares(nn.BatchNorm1d):
        bnspec_dialect = "makemore"
        bnspec_ranks = (3,)
        bnspec_dtypes = ("float16", "float32")
        bnspec_devices = ("cpu",)
        bnspec_eps = 0.5
        bnspec_momentum = 0.5
        bnspec_algorithm = "twopass"
        bnspec_without = ("cumulative", "gradient_subsets")

    def make_one(size: int) -> nn.Module:
        return Declares(size)

    for subject in (Declares, Declares(3), make_one):
        found = resolve(subject)
        promises = found.promises
        assert (found.dialect, found.dialect_source) == ("makemore", "the target")
        assert (promises.ranks, promises.dtypes, promises.devices) == ((3,), ("float32", "float16"), ("cpu",))
        assert (promises.eps, promises.momentum, promises.algorithm) == (0.5, 0.5, "twopass")
        assert not promises.abilities & {"cumulative", "gradient_subsets"}


def test_dialects_come_from_the_target_or_the_adapter_or_nobody() -> None:
    sources = [
        (found.dialect, found.dialect_source)
        for found in map(resolve, (nn.BatchNorm1d, SEED, RIGHT.PlainTorch, SPIES.Spy))
    ]
    assert sources == [("torch", "the adapter"), ("makemore", "the target"), ("torch", "the adapter"), (None, "")]


@pytest.mark.parametrize(
    ("without", "gone"),
    [
        ("gradients", {"gradients"}),
        (
            "running_statistics",
            {"running_statistics", "kept_statistics", "evaluation", "switches", "cumulative", "initial_state"},
        ),
        ("affine", {"affine", "gamma", "beta"}),
    ],
)
def test_what_is_left_out_need_not_exist(without: str, gone: set[str]) -> None:
    class Lacks:
        eps = 1e-5

        def __init__(self, dim: int) -> None:
            self.training, self.momentum = True, 0.1
            if without != "affine":
                self.gamma, self.beta = np.ones(dim), np.zeros(dim)
            if without != "running_statistics":
                self.running_mean, self.running_var = np.zeros(dim), np.ones(dim)
            if without != "gradients":
                self.backward = lambda dy: (dy, dy[0], dy[0])

        def __call__(self, x: Array) -> Array:
            return x + 1

    assert "--without" in refusal(lambda: resolve(Lacks))
    state = {"running_statistics", "kept_statistics", "evaluation", "switches", "initial_state", "copies"}
    everything = {"gradients", "affine", "gamma", "beta"} | state
    assert resolve(Lacks, without=frozenset({without})).promises.abilities == everything - gone


def test_what_stands_on_running_statistics_goes_with_them() -> None:
    left = resolve(nn.BatchNorm1d, without=frozenset({"running_statistics"})).promises.abilities
    kept = {"reentrance", "recomputation", "saves", "copies", "converts", "memory_formats", "unscaled", "unshifted"}
    kept |= {
        "second_order",
        "forward_mode",
        "untracked",
        "untracked_evaluation",
    }  # what is built without them evaluates all the same
    assert left == {"gradients", "gradient_subsets", "affine", "gamma", "beta"} | kept


class OfFourAxes(nn.Module):
    """As frozen layers of detection libraries: (N, C) comes back as (1, N, C, ...) by broadcasting."""

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(num_features)), nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = self.weight * (self.get_buffer("running_var") + self.eps).rsqrt()
        shift = self.bias - self.get_buffer("running_mean") * scale
        return x * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)


def test_a_rank_whose_answer_has_more_axes_than_the_batch_is_no_promise() -> None:
    assert resolve(OfFourAxes).promises.ranks == (4,)


def test_where_every_answer_has_more_axes_the_ranks_are_judged() -> None:
    class Grown(nn.BatchNorm2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x)[None]

    assert resolve(Grown).promises.ranks == (4,)


def test_positions_are_left_out_by_rank() -> None:
    assert resolve(nn.BatchNorm1d, without=frozenset({"positions"})).promises.ranks == (2,)
    assert resolve(REFERENCE, without=frozenset({"positions"})).promises.ranks == (2,)
    assert "nothing is left without positions" in refusal(
        lambda: resolve(nn.BatchNorm2d, without=frozenset({"positions"}))
    )


def test_probes_find_the_dtypes_that_numpy_layers_keep() -> None:
    assert resolve(load_samples("probed_layers.py", "AlwaysDouble").AlwaysDouble).promises.dtypes == ("float64",)


def test_probes_survive_whatever_a_subject_does() -> None:
    assert resolve(load_samples("probed_layers.py", "Hostile").Hostile).promises.ranks == (2,)


def test_a_layer_that_never_trains_is_probed_in_evaluation() -> None:
    assert resolve(load_samples("probed_layers.py", "NeverTrains").NeverTrains).promises.ranks == (2, 4)


def test_one_call_that_returns_anything_is_enough() -> None:
    implementation = resolve(load_samples("probed_layers.py", "Returns").Returns)
    assert implementation.promises.ranks == (4,)
    with pytest.raises(SubjectError, match=r"returned a NoneType, wanted a torch\.Tensor"):
        implementation.make(OPEN).run(np.ones((2, 3, 2, 2)), training=False)


def test_devices_and_environment() -> None:
    numpy, native = resolve(TEACHING), resolve(nn.BatchNorm1d)
    assert numpy.devices() == ["cpu"]
    assert numpy.environment() == {"numpy": np.__version__}
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    assert native.devices() == ["cpu", *cuda]
    assert native.environment()["torch"] == torch.__version__
    assert native.environment()["torch threads"] == str(torch.get_num_threads())


def test_a_numpy_layer_is_resolved_without_torch() -> None:
    program = (
        "import sys; from bnspec.layers.implementation import resolve; from bnspec.layers.target import load_target;"
        "resolve(load_target('reference:numpy').obj); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_numpy_layer_of_float32_alone_is_found_out() -> None:
    """Whoever raises may not be the layer itself, as where ctypes takes no other array."""
    assert resolve(load_samples("probed_layers.py", "AlwaysSingle").AlwaysSingle).promises.dtypes == ("float32",)


class InFours(nn.BatchNorm2d):
    """A kernel that takes its channels in fours."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        if num_features % 4:
            raise ValueError("channels come in fours")
        super().__init__(num_features, eps, momentum)


def test_the_number_of_channels_that_a_constructor_takes_is_kept_to_and_said() -> None:
    report = bnspec.certify(InFours, profile="smoke", dtypes=["float32"]).targets[0]
    assert report.verdict == "conforms"
    assert report.scope["channels"] == 4
    assert "a layer of 4 channels alone, as InFours(num_features=3, " in str(report.scope["understood"])
    assert "ValueError: channels come in fours" in str(report.scope["understood"])


class WeighsTheOld(nn.BatchNorm2d):
    """Keras' momentum in torch's class."""

    def __init__(self, num_features: int, momentum: float = 0.99, eps: float = 1e-3) -> None:
        super().__init__(num_features, eps, 1 - momentum)


def test_what_does_not_keep_its_settings_is_not_set_anew() -> None:
    assert "retunes" not in resolve(WeighsTheOld).promises.abilities
    assert bnspec.certify(WeighsTheOld, profile="smoke", dtypes=["float32"], dialect="chainer").exit_code == 0


def test_ranks_that_were_refused_are_said() -> None:
    assert "without other ranks: rank 3, 4, 5 raised RuntimeError: The size of" in resolve(SEED).understood
    assert resolve(REFERENCE).understood == ""


class SmallEps(nn.BatchNorm2d):
    """Settings within what its author thought of."""

    def __init__(self, num_features: int, eps: float = 1e-4, momentum: float = 0.2) -> None:
        if not (1e-8 < eps < 1e-2 and 0 < momentum < 1):
            raise ValueError(f"eps {eps} and momentum {momentum}")
        super().__init__(num_features, eps, momentum)


def test_settings_that_a_constructor_refuses_are_kept_to_its_defaults() -> None:
    promises, understood = resolve(SmallEps).promises, resolve(SmallEps).understood
    assert set(promises.epsilons) == {1e-5, 1e-3}
    assert set(promises.momenta) == {0.05, 0.1, 0.3, 0.7, 0.9}
    assert "a layer of eps 1e-05, 0.001 alone, as SmallEps(num_features=3, eps=1.0, momentum=0.1) cannot" in understood
    assert "momentum 0.05, 0.1, 0.3, 0.7, 0.9 alone, as SmallEps(num_features=3, eps=1e-05, momentum=0.0)" in understood
    assert bnspec.certify(SmallEps, profile="smoke", dtypes=["float32"], without=["cumulative"]).exit_code == 0


class HeedsNothing(SmallEps):
    """A momentum of its own."""

    def __init__(self, num_features: int, eps: float = 1e-4, momentum: float = 0.2) -> None:
        super().__init__(num_features, eps, momentum)
        self.momentum = 0.2


class OneAlone(nn.BatchNorm2d):
    """A constructor that takes its own default and nothing else."""

    def __init__(self, num_features: int, eps: float = 1e-4) -> None:
        if eps != 1e-4:
            raise ValueError(f"eps {eps}")
        super().__init__(num_features, eps)


def strict(x: torch.Tensor, running_mean: torch.Tensor, running_var: torch.Tensor, training: bool, momentum: float,
           eps: float) -> torch.Tensor:  # fmt: skip
    """A function that refuses the ends."""
    if not 0 < momentum < 1:
        raise ValueError(f"momentum {momentum}")
    return F.batch_norm(x, running_mean, running_var, None, None, training, momentum, eps)


def test_what_is_wrong_within_the_limits_is_found() -> None:
    report = bnspec.certify(HeedsNothing, profile="smoke", dtypes=["float32"], without=["cumulative"]).targets[0]
    assert {"R2", "R5"} <= {clause.id for clause in report.clauses if clause.outcome == "fail"}


def test_limits_are_found_by_defaults_and_by_calls() -> None:
    assert resolve(OneAlone).promises.eps == 1e-4
    promises = resolve(strict).promises
    assert set(promises.momenta) == {0.05, 0.1, 0.3, 0.7, 0.9}
    assert "alone, as at momentum 0.0 a training call raised ValueError: momentum 0.0" in resolve(strict).understood
    report = bnspec.certify(strict, profile="smoke", dtypes=["float32"])
    assert report.exit_code == 0
    assert report.targets[0].clause("E6").outcome == "skip"  # no batch can have all the weight


class Swallows(nn.BatchNorm1d):
    """Reads from **kwargs what it knows, by names of its own."""

    def __init__(self, num_features: int, **kwargs: Any) -> None:
        super().__init__(num_features, kwargs.get("epsilon", 1e-3), kwargs.get("decay", 0.2))


class Slots:
    """An object of torch without a dictionary."""

    __slots__ = ("bias", "eps", "momentum", "running_mean", "running_var", "training", "weight")

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.weight, self.bias = torch.ones(num_features), torch.zeros(num_features)
        self.running_mean, self.running_var = torch.zeros(num_features), torch.ones(num_features)
        self.eps, self.momentum, self.training = eps, momentum, True

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        given = self.running_mean, self.running_var, self.weight, self.bias
        return F.batch_norm(x, *given, self.training, self.momentum, self.eps)


@pytest.mark.parametrize("layer", [Swallows, Slots])
def test_right_layers_of_unusual_making_conform(layer: type) -> None:
    report = bnspec.certify(layer, profile="smoke", dtypes=["float32"]).targets[0]
    assert report.verdict == "conforms"
    assert report.scope["eps"] is None  # it can be chosen


def test_what_a_layer_is_not_judged_without_is_said() -> None:
    def needs_weight(x: torch.Tensor, running_mean: torch.Tensor, running_var: torch.Tensor, training: bool,
                     momentum: float, eps: float, weight: Any = None, bias: Any = None) -> torch.Tensor:  # fmt: skip
        return F.batch_norm(x, running_mean, running_var, weight * 1, bias, training, momentum, eps)

    assert "; not without gamma: it raised TypeError: unsupported operand" in resolve(needs_weight).understood

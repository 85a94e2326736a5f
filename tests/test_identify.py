"""Identification: random conventions, right layers of the museum, torch's own, what cannot be told, and the command."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch._decomp.decompositions import native_batch_norm_helper

import bnspec
from bnspec.cli import main
from bnspec.commands.identify import as_plain
from bnspec.identification.answers import Answer, fit
from bnspec.identification.identity import Identity, identify
from bnspec.identification.naming import CONVENTIONS, ESSENTIAL, find_nearest
from bnspec.identification.settings import tell_shape
from bnspec.layers.target import TargetError
from bnspec.mutants.table_right import RIGHT_LAYERS
from bnspec.spec.dialects import DIALECTS, Dialect
from tests.spoken_layers import CHOICES, draw_dialect, speak

Output = pytest.CaptureFixture[str]
PORTION = 50
ALGORITHMS = {"textbook": "C", "welford": "B", "chan": "B", "blocks-merged": "B"}
"""The classes of the museum's right layers, by parts of their names; all others have two passes, or lose as little."""


def hidden(field: str, dialect: Dialect, place: str) -> bool:
    """Is there nothing in what a layer does that the field would change?"""
    stored = dialect.stores != "nothing"
    return {
        "normalises_with": dialect.training_statistics == "running",
        "momentum_weighs": not stored,
        "average": not stored,
        "momentum_none": not stored and dialect.momentum_none == "cumulative",
        "constants": not stored and place == "nowhere",
    }.get(field, False)


@pytest.mark.parametrize("portion", range(4))
def test_random_conventions_are_told_and_those_without_effect_are_not(portion: int) -> None:
    for seed in range(portion * PORTION, (portion + 1) * PORTION):
        dialect, place = draw_dialect(np.random.RandomState(seed))
        answers = identify(speak(dialect, place)).answers
        wanted = {f: place if f == "eps_place" else getattr(dialect, f) for f in CHOICES}
        wanted = {f: None if hidden(f, dialect, place) else value for f, value in wanted.items()}
        told = {f: answers[f].value for f in wanted}
        assert told == wanted, seed
        assert all(answers[f].needs for f, value in told.items() if value is None)


@pytest.mark.parametrize("layer", RIGHT_LAYERS, ids=lambda layer: layer.id)
def test_right_layers_of_the_museum_are_told(layer: bnspec.mutants.record.RightLayer) -> None:
    found = identify(layer.target)
    dialect = DIALECTS[layer.dialect]
    assert {f: found.answers[f].value for f in ESSENTIAL} == {f: getattr(dialect, f) for f in ESSENTIAL}
    assert not found.nearest.differing, found.sentence
    assert found.answers["eps_place"].value == "inside the root"
    letter = next((letter for part, letter in ALGORITHMS.items() if layer.id.endswith(part)), "A")
    assert found.answers["algorithm"].value.startswith(letter)


def functional_replacement(num_features: int, eps: float = 1e-5) -> torch.nn.Module:
    layer = torch.nn.BatchNorm1d(num_features, eps=eps)
    torch.func.replace_all_batch_norm_modules_(layer)
    return layer


class DiveIntoDeepLearning(torch.nn.Module):
    """The layer of the book, typed anew: ranks 2 and 4, buffers that are no buffers, momentum 0.9 of the new batch."""

    bnspec_eps, bnspec_momentum = 1e-5, 0.9

    def __init__(self, num_features: int, num_dims: int) -> None:
        super().__init__()
        shape = (1, num_features) if num_dims == 2 else (1, num_features, 1, 1)
        self.gamma, self.beta = torch.nn.Parameter(torch.ones(shape)), torch.nn.Parameter(torch.zeros(shape))
        self.running_mean, self.running_var = torch.zeros(shape), torch.ones(shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dim() in (2, 4)
        mean, var = self.running_mean, self.running_var
        if self.training:
            axes = (0,) if x.dim() == 2 else (0, 2, 3)
            mean = x.mean(axes, keepdim=True)
            var = ((x - mean) ** 2).mean(axes, keepdim=True)
            self.running_mean = (0.1 * self.running_mean + 0.9 * mean).detach()
            self.running_var = (0.1 * self.running_var + 0.9 * var).detach()
        return self.gamma * (x - mean) / torch.sqrt(var + 1e-5) + self.beta


@pytest.mark.parametrize(
    ("target", "dialect"),
    [
        ("torch.nn:BatchNorm1d", "torch"),
        ("torch.nn:BatchNorm3d", "torch"),
        ("torch.nn:SyncBatchNorm", "torch-sync"),
        ("torch.nn.functional:batch_norm", "torch-functional"),
        (functional_replacement, "torch-functional-replacement"),
        ("torch:native_batch_norm", "torch-native"),
        ("torch:batch_norm", "torch-batch-norm"),
        (partial(native_batch_norm_helper, functional=True), "torch-decomposition"),
        (DiveIntoDeepLearning, "d2l"),
        ("reference:numpy", "torch"),
        ("reference:seed", "makemore"),
    ],
)
def test_layers_of_torch_and_of_this_project_speak_their_dialects(target: object, dialect: str) -> None:
    found = identify(target)
    assert dialect in found.nearest.names, found.sentence
    assert not found.nearest.differing, found.sentence


def test_a_sentence_names_what_is_not_as_in_the_nearest_dialect() -> None:
    found = identify(speak(replace(DIALECTS["chainer"], eps_default=0.5)))
    assert found.nearest.names == ("chainer",)
    assert found.nearest.differing == ("eps_default",)
    assert found.sentence == (
        "It speaks the dialect chainer, that of chainer.links.BatchNormalization, except that the default of eps"
        " (eps_default) is 0.5 instead of 2e-05."
    )


def test_what_the_reference_has_mended_of_the_class_it_grew_from_is_told() -> None:
    found = identify("reference:torch")
    assert found.nearest.names == ("makemore",)
    assert set(found.nearest.differing) >= {"one_value", "empty_batch", "ranks"}
    assert found.answers["normalises_with"].value == "unbiased"


def test_what_a_fixed_momentum_hides_is_not_told() -> None:
    layer = partial(torch.nn.BatchNorm1d, momentum=0.5)
    answers = identify(layer).answers
    assert answers["momentum_weighs"].value is None
    assert answers["momentum_weighs"].needs == "another momentum than 0.5, at which both weigh the same"
    assert answers["stores"].value == "unbiased"


@pytest.mark.parametrize("average", ["debiased", "first copied"])
def test_the_algorithm_of_a_layer_whose_average_is_hidden_is_that_of_one_batch(
    average: Literal["debiased", "first copied"],
) -> None:
    initial_var = 0.0 if average == "debiased" else 1.0
    found = identify(speak(replace(DIALECTS["torch"], average=average, initial_var=initial_var)))
    assert found.answers["average"].value == average
    assert found.answers["algorithm"].value.startswith("A")


class NoBatchNorm(torch.nn.BatchNorm1d):
    """Divides by the mean of the absolute values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        super().forward(x)
        return x / x.abs().mean(0)


def test_of_what_is_no_batch_norm_it_says_that_it_cannot_tell() -> None:
    found = identify(NoBatchNorm)
    assert found.answers["normalises_with"].value is None
    assert "bnspec certify" in found.answers["normalises_with"].needs
    assert found.sentence.startswith(
        "It speaks no dialect that can be named, as it does what none does: the statistics"
    )
    assert found.sentence.endswith("nearest to torch. Not told: what normalises in evaluation.")


def test_a_default_that_is_no_plain_number_is_written_all_the_same() -> None:
    class Rounded(torch.nn.BatchNorm1d):
        def __init__(self, num_features: int, eps: float = np.float32(1e-5)) -> None:  # type: ignore[assignment]  # as users have it
            super().__init__(num_features, float(eps))

    found = as_plain(identify(Rounded))
    assert found["answers"]["eps_default"]["value"] == float(np.float32(1e-5))
    json.dumps(found)


class Outside(torch.nn.BatchNorm1d):
    """eps beside the root, in evaluation too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * (self._var(x) + self.eps).sqrt() / (self._var(x).sqrt() + self.eps)

    def _var(self, x: torch.Tensor) -> torch.Tensor:
        var = x.var([0, *range(2, x.dim())], unbiased=False) if self.training else self.running_var
        assert var is not None
        return var.reshape(1, -1, *[1] * (x.dim() - 2))


class Stale(torch.nn.BatchNorm1d):
    """Normalises by the buffers as they were, and updates them afterwards."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        mean, var = self.running_mean.clone(), self.running_var.clone()
        y = torch.nn.functional.batch_norm(x, mean, var, self.weight, self.bias, False, 0.0, self.eps)
        super().forward(x)
        return y


class Warming(torch.nn.BatchNorm1d):
    """Each batch weighs more than the one before."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.momentum
        self.momentum = min(1.0, 0.1 * (1 + float(self.num_batches_tracked or 0)))
        try:
            return super().forward(x)
        finally:
            self.momentum = weight


class OtherEps(torch.nn.BatchNorm1d):
    """eps in float32, momentum not."""

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__(num_features, float(np.float32(eps)), momentum, dtype=dtype)


def test_what_no_dialect_has_is_in_the_sentence() -> None:
    assert "eps stands outside the root, as in no dialect." in identify(Outside).sentence
    stale = identify(Stale)
    assert stale.answers["training_statistics"].value == "running, before the update"
    assert "(training_statistics) is 'running, before the update' instead of" in stale.sentence
    assert "(constants) is 'float32 for eps, native for momentum' instead of" in identify(OtherEps).sentence


def test_where_the_average_is_not_told_the_algorithm_is_told_by_the_output() -> None:
    found = identify(Warming)
    assert found.answers["average"].value is None
    assert found.answers["algorithm"].value.startswith("A")
    assert "the statistic that momentum weighs, the kind of running average could not be told" in found.sentence


def test_a_momentum_at_which_nothing_is_stored_tells_nothing_of_it() -> None:
    found = identify("torch.nn:BatchNorm1d", arguments={"momentum": 0.0})
    assert found.answers["stores"].value is None
    assert found.answers["stores"].needs == "another momentum than 0.0"
    assert found.nearest.names[0] == "torch"


def test_evaluation_without_statistics_is_told_of_a_layer_that_has_none() -> None:
    found = identify("torch.nn:BatchNorm2d", arguments={"track_running_stats": False})
    assert found.answers["eval_without_statistics"].value == "batch"


def test_small_eps_in_float32_hides_no_buffer() -> None:
    def batch_norm(x, running_mean, running_var, weight, bias, training, momentum=0.1):  # type: ignore[no-untyped-def]  # as users write
        assert x.dtype == torch.float32
        return torch.nn.functional.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, 1e-5)

    batch_norm.bnspec_eps = 1e-5  # type: ignore[attr-defined]  # a declaration
    assert identify(batch_norm).answers["stores"].value == "unbiased"


class Pair(torch.nn.BatchNorm1d):
    """y is not alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x), x  # type: ignore[return-value]  # so it is


@pytest.mark.parametrize(
    ("target", "arguments", "said"),
    [
        (Pair, {}, "for a float64 batch of shape (3, 3, 2) in training it returned a tuple, wanted a torch.Tensor"),
        (torch.nn.BatchNorm1d, {"eps": 0}, "eps is 0.0, and batch norm is specified for eps > 0"),
    ],
)
def test_of_a_layer_that_answers_no_batch_nothing_is_told(target: object, arguments: dict[str, int], said: str) -> None:
    with pytest.raises(TargetError, match=re.escape(said)):
        identify(target, arguments=arguments)


def test_a_dialect_of_which_much_is_untried_is_not_the_nearest_for_that() -> None:
    answers = {f: Answer(f, getattr(DIALECTS["torch-functional"], f)) for f in CONVENTIONS}
    nearest = find_nearest(answers | {"integer_input": Answer("integer_input", "truncate")})
    assert nearest.names[0] == "torch-functional"
    assert nearest.differing == ("integer_input",)
    assert DIALECTS["timm-split"].integer_input == DIALECTS["detectron2-sync"].integer_input == "untried"


def test_two_candidates_that_fit_tell_only_what_they_agree_on() -> None:
    seen = np.array([1.0, 2.0])
    found = fit(seen, {("a", 1): seen, ("a", 2): seen + 1e-13, ("b", 3): seen + 1e-3}, ("float64",))
    assert found.told(lambda key: key[0]) == "a"
    assert found.told(lambda key: key[1]) is None
    assert fit(seen, {"b": seen + 1e-6}, ("float64", "float32")).format == "float32"
    assert fit(seen, {"b": seen * np.nan}, ("float64",)).keys == ()


def test_shapes_of_buffers_are_told_in_letters() -> None:
    assert tell_shape((3,), 3, 4) == "(C,)"
    assert tell_shape((1, 3), 3, 4) == "(1, C)"
    assert tell_shape((1, 3, 1, 1), 3, 4) == "(1, C, 1, ..., 1)"
    assert tell_shape((1, 1, 1, 3), 3, 4) == "(1, ..., 1, C)"


def test_the_command_prints_every_answer_and_writes_json(capsys: Output, tmp_path: Path) -> None:
    file = tmp_path / "identity.json"
    assert main(["identify", "torch.nn:BatchNorm1d", "--arg", "momentum=0.5", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    written = json.loads(file.read_text())
    assert "cannot tell, and what it would take:" in out
    assert all(f"  {field} " in out for field in written["answers"])
    assert written["dialects"][0] == "torch"
    assert " ".join(out.split()).endswith(written["sentence"])
    assert set(CHOICES) <= written["answers"].keys()


def test_a_target_that_is_not_there_is_refused_in_a_line(capsys: Output) -> None:
    assert main(["identify", "torch.nn:BatchNorm9d"]) == 2
    assert capsys.readouterr().err.startswith("bnspec: torch.nn has no attribute 'BatchNorm9d'")


def test_it_is_a_public_name() -> None:
    assert isinstance(bnspec.identify("reference:numpy"), Identity)

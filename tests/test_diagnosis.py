"""What a failure is said to look like: known mistakes, missing values, and the conditions under which it vanishes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bnspec.conformance.missing import tell_places
from torch import Tensor, nn

import bnspec
from bnspec.layers.target import load_target
from bnspec.selftest import select_layers

# A layer of the museum, a clause that refuses it, the dtype to look in, and what must be said.
SAID = [
    ("eps-outside", "F1", "float32", "it looks as if eps were added outside the root"),
    ("biased-stored", "R2", "float32", "it looks as if the biased variance were stored"),
    ("biased-stored-for-images", "R2", "float32", "right at rank 2 and 3 and 5 instead of 4"),
    ("mean-detached", "G1", "float32", "it looks as if the mean were a constant"),
    ("bessel-in-evaluation", "E1", "float64", "it looks as if running_var were multiplied by m/(m-1)"),
    ("tail-dropped", "F1", "float32", "right where m is a multiple of 32"),
    ("second-level-of-one-block", "F1", "float64", "were missing"),
    ("channel-tail-not-stored", "R2", "float32", "right where C is a multiple of 32"),
    ("single-inside", "F1", "float64", "it is right in float32 instead of float64"),
    ("expanded-upstream-is-constant", "G1", "float32", "right where dy is contiguous instead of expanded"),
    ("plan-of-first-batch", "R3", "float32", "it is right after one batch instead of"),
]


@pytest.mark.parametrize(("name", "clause", "dtype", "words"), SAID, ids=[row[0] for row in SAID])
def test_a_wrong_layer_is_told_what_is_wrong_with_it(name: str, clause: str, dtype: str, words: str) -> None:
    (layer,) = select_layers([name])
    dtypes = ["float32", "float64"] if "instead of float64" in words else [dtype]
    report = bnspec.certify(
        load_target(layer.target).obj, dialect=layer.dialect, profile="smoke", clauses=[clause], dtypes=dtypes
    ).targets[0]
    assert report.clause(clause).outcome == "fail"
    assert words in (report.clause(clause).looks or ""), report.clause(clause)


def test_what_comes_and_goes_is_told() -> None:
    class Sometimes(torch.nn.BatchNorm1d):
        met = 0

        def forward(self, x: Tensor) -> Tensor:
            Sometimes.met += self.training and x.shape == (9, 8)
            return super().forward(x) + float(self.training and x.shape == (9, 8) and Sometimes.met == 1)

    report = bnspec.certify(Sometimes, profile="smoke", clauses=["F1"], dtypes=["float32"]).targets[0]
    assert report.verdict == "does not conform"
    assert "comes and goes" in (report.clause("F1").looks or "")


def test_a_right_layer_is_told_nothing() -> None:
    report = bnspec.certify(torch.nn.BatchNorm1d, profile="smoke", clauses=["F1"], dtypes=["float32"]).targets[0]
    assert report.clause("F1").looks is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([(0, 5), (0, 6)], "only channel 0 of 8 is off"),
        ([(c, 1) for c in (5, 6, 7)], "only the channels from 5 on, of 8, are off"),
        ([(c, 1) for c in (0, 1, 2)], "only the channels up to 2, of 8, are off"),
        ([(1, 0), (3, 0), (6, 0)], "only 3 of 8 channels are off: 1, 3, 6"),
        ([(c, v) for c in range(8) for v in (8, 9)], "only the last 2 of 10 values of each channel are off"),
        ([(c, 4) for c in range(8)], "only 1 of 10 values of each channel are off, the first at 4"),
        ([(c, v) for c in range(8) for v in range(10)], None),
    ],
)
def test_places_are_told_by_their_pattern(wrong: list[tuple[int, int]], words: str | None) -> None:
    mask = np.zeros((8, 10), bool)
    for place in wrong:
        mask[place] = True
    assert tell_places(mask) == words


def test_of_few_channels_no_place_is_told() -> None:
    mask = np.zeros((3, 10), bool)
    mask[0] = True
    assert tell_places(mask) is None


class Louder(nn.BatchNorm1d):
    """Every output a hundredth too large."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 1.01


@pytest.mark.parametrize("ability", ["running_statistics", "evaluation", "affine", "gamma", "beta", "gradients"])
def test_a_failure_is_told_whatever_the_layer_lacks(ability: str) -> None:
    """What explains one, and what judges by several acts, must not ask for what is left out."""
    quick = {"clauses": ("F1", "R2", "R11", "S4", "G1"), "dtypes": ("float64",)}
    certificate = bnspec.certify(Louder, profile="smoke", without=(ability,), **quick)  # type: ignore[arg-type]  # as named
    assert certificate.verdict == "does not conform"

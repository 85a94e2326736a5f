"""The museum in every floating-point format: what is right in float32, and wrong in low precision or in float64.

Torch's own module in float64 plays the same scenes on the same values; its answers are rounded to what is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from bnspec.mutants.record import Mutant, RightLayer
from bnspec.mutants.table import RIGHT_LAYERS
from bnspec.mutants.table_precision import PRECISION
from tests.mutant_stage import Contiguous, Own, Trace, by_id, collect, deviations, drawn, maker

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
Make = Callable[..., Any]
Scene = Iterator[tuple[str, Any]]


class Exact(Contiguous):
    """torch's own module in float64, its answers rounded to the dtypes of the batch and of the parameters."""

    def __init__(self, channels: int, eps: float, momentum: float, dtype: torch.dtype) -> None:
        super().__init__(Own, channels, eps, momentum)
        self.dtype = dtype

    def run(self, x: Tensor, training: bool, needs: str = "x gamma beta") -> Tensor:
        return super().run(x.double(), training, needs).to(x.dtype)

    def backward(self, dy: Tensor) -> tuple[Tensor | None, ...]:
        dtypes = (dy.dtype, self.dtype, self.dtype)
        gradients = super().backward(dy.double())
        return tuple(d if d is None else d.to(dtype) for d, dtype in zip(gradients, dtypes, strict=True))

    def gamma_dtype(self) -> torch.dtype:
        return self.dtype

    def state(self) -> Trace:
        return {k: v.to(self.dtype) if v.is_floating_point() else v for k, v in super().state().items()}


def play(make: Make, name: str) -> Trace:
    dtype = DTYPES[name]
    wide = torch.promote_types(dtype, torch.float32)
    return collect(seen for parameters in {dtype, wide} for seen in play_passes(make, dtype, parameters))


def batches(dtype: torch.dtype, wide: bool) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Batches that are exact in their dtype, and upstream gradients; the largest variance is above 65504 if `wide`."""
    place = torch.arange(4099)
    odd, large = (place % 2).double(), 600 if wide else 200
    long = torch.stack((1 + odd / 8, 2 - odd / 2, large * (1 - 2 * odd)), dim=1)
    yield "long", long.to(dtype), torch.stack((1 + odd / 4, 1 - odd / 2, odd), dim=1).to(dtype)
    yield "short", drawn((37, 3), 1).to(dtype), drawn((37, 3), 2).to(dtype)
    if dtype.itemsize == 2 and not wide:
        return  # torch itself rounds the mean to the dtype of the parameters
    step = torch.finfo(dtype).eps if dtype.itemsize == 2 else 1
    offset = 64 * (1 + step * (place[:160] % 16).double() / (1 if dtype.itemsize == 2 else 64))
    yield "offset", offset[:, None].repeat(1, 3).to(dtype), drawn((160, 3), 5).to(dtype)


def play_passes(make: Make, dtype: torch.dtype, parameters: torch.dtype) -> Scene:
    precision = "N4" if dtype is torch.float64 else "N3"
    mode = {True: ("F1", "G1"), False: ("E1", "G2")}
    state = {
        "gamma": torch.tensor((0.7, -1.3, 0.4), dtype=torch.float64).to(parameters),
        "beta": torch.tensor((0.1, 0.6, -0.3), dtype=torch.float64).to(parameters),
        "running_mean": torch.tensor((0.3, 6.2, 5.1), dtype=torch.float64).to(parameters),
        "running_var": torch.tensor((0.9, 3.3, 9000.7), dtype=torch.float64).to(parameters),
    }
    for what, x, dy in batches(dtype, parameters is not dtype):
        for training in (True, False):
            subject = make(3, 0.3, 0.3, parameters)
            subject.load(**state)
            y = subject.run(x.clone(), training)
            where = f"{what}, parameters {parameters}, training {training}"
            for clause in (precision, mode[training][0]):
                yield f"{clause} y, {where}", y.to(dtype)
            yield f"F7 dtype of y, {where}", str(y.dtype)
            yield f"F7 gamma is left, {where}", subject.gamma_dtype() is parameters
            if what == "offset":
                continue  # its variance is the algorithm's affair
            for name, buffer in subject.state().items():
                yield from ((f"{clause} {name}, {where}", buffer) for clause in (precision, "R2", "R5"))
            names = ("dx", "dgamma", "dbeta")
            for name, gradient in zip(names, subject.backward(dy.clone().to(y.dtype)), strict=True):
                yield from ((f"{clause} {name}, {where}", gradient) for clause in (precision, mode[training][1]))
    if parameters is not dtype:
        subject = make(3, 0.3, 0.3, parameters)
        subject.load(**state | {"running_var": torch.tensor((1e5, 9e4, 2e5))})
        y = subject.run((300 * drawn((9, 3), 3)).to(dtype), False)
        yield from ((f"{clause} y of a large running variance", y.to(dtype)) for clause in (precision, "E1"))
    subject = make(3, 1e-8, 0.3, parameters)
    subject.load(**state)
    subject.run(torch.full((9, 3), 0.5, dtype=dtype), True)
    yield f"{precision} dx of constants, parameters {parameters}", subject.backward((drawn((9, 3), 4) / 8).to(dtype))[0]


@cache
def exact(name: str) -> Trace:
    return play(Exact, name)


@pytest.mark.parametrize("entry", RIGHT_LAYERS, ids=by_id)
def test_a_right_layer_is_right_in_every_dtype(entry: RightLayer) -> None:
    assert {name: deviations(play(maker(entry), name), exact(name)) for name in DTYPES} == {n: set() for n in DTYPES}


@pytest.mark.parametrize("entry", PRECISION, ids=by_id)
def test_a_wrong_layer_deviates_in_its_dtypes(entry: Mutant) -> None:
    found = {name: deviations(play(maker(entry), name), exact(name)) for name in DTYPES}
    assert tuple(name for name in DTYPES if found[name]) == entry.dtypes
    for name in entry.dtypes:
        assert set(entry.clauses) <= found[name]

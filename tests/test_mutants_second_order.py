"""The museum's derivatives of gradients and tangents of outputs, seen beside those of torch's own module in float64."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, cast

import pytest
import torch

from bnspec.mutants.record import Mutant, RightLayer
from bnspec.mutants.table import RIGHT_LAYERS
from bnspec.mutants.table_second_order import SECOND_ORDER
from tests.mutant_stage import Own, Trace, by_id, collect, deviations, drawn, load_target, parameters

SHAPES = ((5, 3), (4, 3, 2), (2, 3, 2, 3), (2, 3, 2, 1, 2))
forward_ad = cast(Any, torch.autograd.forward_ad)  # which torch leaves untyped
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, by torch's forward mode
RIGHT = [layer for layer in RIGHT_LAYERS if "torch_second_order" in layer.target]


def ready(target: Any, training: bool) -> Any:
    bn = target(3, eps=0.03, momentum=0.3, dtype=torch.float64)
    with torch.no_grad():
        for tensor, values in zip(
            (bn.weight, bn.bias, bn.running_mean, bn.running_var), parameters(3).values(), strict=True
        ):
            tensor.copy_(values)
    return bn.train(training)


def scenes(target: Any) -> Iterator[tuple[str, Any]]:
    for shape in SHAPES:
        x, dy, u = (drawn(shape, seed) for seed in range(3))
        a, b = torch.tensor([0.7, -1.0, 0.4]).double(), torch.tensor([0.2, 1.1, -0.3]).double()
        for training in (True, False):
            where = f"of {shape}, training {training}"
            bn = ready(target, training)
            leaves = [x.clone().requires_grad_(), bn.weight, bn.bias]
            upstream = dy.clone().requires_grad_()
            loss = (bn(leaves[0]) * upstream).sum()
            try:
                first = torch.autograd.grad(loss, leaves, create_graph=True)
                moved = torch.stack([(g * d).sum() for g, d in zip(first, (u, a, b), strict=True)]).sum()
                found = torch.autograd.grad(moved, [*leaves[:2], upstream])
            except RuntimeError:
                found = ()
            yield from ((f"G10 by {by} {where}", g) for by, g in zip(("x", "gamma", "dy"), found, strict=False))
            bn = ready(target, training)
            with forward_ad.dual_level():
                with torch.no_grad():
                    for tensor, tangent in ((bn.weight, a), (bn.bias, b)):
                        tensor.copy_(forward_ad.make_dual(tensor.detach().clone(), tangent))
                try:
                    tangent = forward_ad.unpack_dual(bn(forward_ad.make_dual(x, u))).tangent
                except (RuntimeError, NotImplementedError):
                    continue
                yield f"G13 tangent {where}", tangent.clone()


@cache
def own() -> Trace:
    return collect(scenes(Own))


def seen(entry: Mutant | RightLayer) -> set[str]:
    return deviations(collect(scenes(load_target(entry))), own())


@pytest.mark.parametrize("entry", RIGHT, ids=by_id)
def test_a_right_layer_agrees_with_torch(entry: RightLayer) -> None:
    assert seen(entry) == set()


def test_right_layers_offer_what_they_say() -> None:
    offered = {entry.id: {name.split()[0] for name in collect(scenes(load_target(entry)))} for entry in RIGHT}
    assert offered == {
        "torch-double-backward": {"G10"},
        "torch-recomputed-backward": {"G10"},
        "torch-tangents": {"G13"},
    }


@pytest.mark.parametrize("entry", SECOND_ORDER, ids=by_id)
def test_a_wrong_layer_deviates_in_what_it_says_alone(entry: Mutant) -> None:
    assert seen(entry) == set(entry.clauses)

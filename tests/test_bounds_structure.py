"""The rounding bounds are not loose: structural mistakes fall out of them. And what holds of the bounds themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bnspec.conformance.expected import begin_buffers, expect_evaluation, expect_training, update_buffers
from numpy.typing import NDArray

from bnspec.layers.protocol import State
from bnspec.spec.bounds import accumulate, bound_moments, rounding_for
from bnspec.spec.formats import FLOAT32, FLOAT64, FORMATS
from tests.bounds.algorithms import Ways, run_numpy, two_pass
from tests.bounds.batches import Batch, adversarial, running, structural
from tests.bounds.measuring import claim, measure, terms_for

Array = NDArray[Any]
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def exact_parts(b: Batch) -> dict[str, Array]:
    """A right training pass in float64, of which mistakes are made."""
    x, dy = b.x.astype(np.float64), b.dy.astype(np.float64)
    m = x.shape[1]
    mu, s2 = x.mean(axis=1), x.var(axis=1)
    gamma, beta, rm, rv = (np.asarray(v, np.float64) for v in (b.state.gamma, b.state.beta, *running(b)))
    r = 1 / np.sqrt(s2 + b.eps)
    xh = (x - mu[:, None]) * r[:, None]
    values = {"x": x, "g": dy, "mu": mu, "s2": s2, "r": r, "xh": xh, "gamma": gamma, "beta": beta, "rm": rm, "rv": rv}
    return values | {"m": np.asarray(float(m)), "eps": np.asarray(b.eps), "sg": dy.sum(1), "sgx": (dy * xh).sum(1)}


def output(p: dict[str, Array], mu: Array, root: Array) -> Array:
    return np.asarray((p["x"] - mu[:, None]) / root[:, None] * p["gamma"][:, None] + p["beta"][:, None])


def by_x(p: dict[str, Array], gamma: Array, mean: float, var: float) -> Array:
    inner = p["g"] - mean * p["sg"][:, None] / p["m"] - var * p["xh"] * p["sgx"][:, None] / p["m"]
    return np.asarray(inner * (gamma * p["r"])[:, None])


MISTAKES: dict[str, tuple[str, Callable[[dict[str, Array]], Array]]] = {
    "normalises with the unbiased variance": (
        "y",
        lambda p: output(p, p["mu"], np.sqrt(p["s2"] * p["m"] / (p["m"] - 1) + p["eps"])),
    ),
    "eps doubled": ("y", lambda p: output(p, p["mu"], np.sqrt(p["s2"] + 2 * p["eps"]))),
    "eps missing": ("y", lambda p: output(p, p["mu"], np.sqrt(p["s2"]))),
    "eps outside the root": ("y", lambda p: output(p, p["mu"], np.sqrt(p["s2"]) + p["eps"])),
    "mean without the last value": ("y", lambda p: output(p, p["x"][:, :-1].mean(1), 1 / p["r"])),
    "variance without the last value": (
        "y",
        lambda p: output(p, p["mu"], np.sqrt(p["x"][:, :-1].var(1) + p["eps"])),
    ),
    "beta subtracted": ("y", lambda p: output(p | {"beta": -p["beta"]}, p["mu"], 1 / p["r"])),
    "gamma missing in dx": ("dx", lambda p: by_x(p, np.ones_like(p["gamma"]), 1, 1)),
    "dx without the path through the mean": ("dx", lambda p: by_x(p, p["gamma"], 0, 1)),
    "dx without the path through the variance": ("dx", lambda p: by_x(p, p["gamma"], 1, 0)),
    "dgamma of the deviation": ("dgamma", lambda p: p["sgx"] / p["r"]),
    "dgamma of x not centred": ("dgamma", lambda p: (p["g"] * p["x"]).sum(1) * p["r"]),
    "dbeta averaged": ("dbeta", lambda p: p["sg"] / p["m"]),
    "biased variance stored": ("running_var", lambda p: 0.7 * p["rv"] + 0.3 * p["s2"]),
    "Bessel's correction squared": (
        "running_var",
        lambda p: 0.7 * p["rv"] + 0.3 * p["s2"] * (p["m"] / (p["m"] - 1)) ** 2,
    ),
    "momentum of the other kind": ("running_mean", lambda p: 0.3 * p["rm"] + 0.7 * p["mu"]),
    "running mean with the wrong sign": ("running_mean", lambda p: -0.7 * p["rm"] + 0.3 * p["mu"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@DTYPES
def test_a_structural_mistake_is_far_outside(mistake: str, dtype: str) -> None:
    quantity, formula = MISTAKES[mistake]
    # float64 mistakes are formed in float64 too, whose rounding cannot matter at ten bounds and more.
    terms, ratios = terms_for(dtype), []
    for seed in range(20):
        b = structural(seed, dtype)
        claims = claim(b, expect_training(terms, b.native(b.x), b.state, b.eps), momentum=0.3)
        right = run_numpy(b, two_pass, b.x.shape[1], Ways())
        assert all(measure(right[each], *claims[each], terms.arithmetic) <= 1 for each in right)
        ratios.append(measure(formula(exact_parts(b)), *claims[quantity], terms.arithmetic))
    assert min(ratios) > 10, f"{mistake} is only {min(ratios):.3g} bounds off in {quantity}"


# Properties of the bounds themselves


def test_accumulated_roundings_grow_and_end_without_a_claim() -> None:
    u = FLOAT32.unit_roundoff
    assert accumulate(1, u) == u / (1 - u)
    assert accumulate(100, u) > 100 * u
    for n in (3, 7.5, 1e6):
        assert accumulate(np.array([n, 1 / u]), u).tolist() == [accumulate(n, u), np.inf]
    assert accumulate(0.5 / u, u) == np.inf


def test_any_allows_what_each_class_allows() -> None:
    for case in range(50):
        b = adversarial(case, "float32")
        x = b.x.astype(np.float64)
        own = np.abs(running(b)[0].astype(np.float64))
        r = rounding_for(FLOAT32, FLOAT32)
        with np.errstate(all="ignore"):
            each = {
                name: bound_moments(x, x.mean(axis=1), x.var(axis=1), r, name, own)
                for name in ("twopass", "stable", "shifted", "textbook", "any")
            }
        for name in ("twopass", "stable", "shifted", "textbook"):
            for loose, tight in zip(each["any"], each[name], strict=True):
                assert (loose >= tight).all()


def test_no_claim_where_squares_or_results_may_overflow() -> None:
    terms = terms_for("float32")
    b = structural(1, "float32")
    huge = replace(b, x=b.x / np.abs(b.x).max() * np.float32(1e19))
    expected = expect_training(terms, huge.native(huge.x), huge.state, huge.eps)
    assert np.isinf(expected.errors.mean).all()
    half = replace(terms, rounding=rounding_for(FORMATS["float16"], FLOAT32))
    state = replace(b.state, gamma=np.full(3, 1e5, np.float32))
    got = expect_training(half, b.native(b.x), state, b.eps)
    beyond = np.abs(half.arithmetic.float64(got.forward.y)) >= 65504
    assert beyond.any()
    assert np.isinf(got.e_y[beyond]).all()


def test_a_constant_channel_keeps_its_claim_as_long_as_eps_is_not_zero() -> None:
    x = np.full((8, 1), 0.1, dtype=np.float32)
    state, terms = State(), terms_for("float32")
    assert np.isfinite(expect_training(terms, x, state, 1e-5).e_y).all()
    assert np.isinf(expect_training(terms, x, state, 0.0).e_y).all()


def test_low_precision_storage_widens_and_keeps_its_arithmetic() -> None:
    half, single = FORMATS["bfloat16"], FLOAT32
    mixed, pure = rounding_for(half, single), rounding_for(half, half)
    assert mixed.arithmetic is single
    assert mixed.kept is single
    assert pure.kept is half
    assert rounding_for(FLOAT64, FLOAT64).extra(FLOAT64) == (0.0, 0.0)
    assert rounding_for(half, half, flushes=True).w == single.smallest_normal


def test_an_expected_evaluation_wants_running_statistics_and_gives_none() -> None:
    terms, b = terms_for("float32"), structural(1, "float32")
    with pytest.raises(ValueError, match="without running statistics"):
        expect_evaluation(terms, b.native(b.x), State(), b.eps)
    with pytest.raises(ValueError, match="that has none"):
        begin_buffers(terms, State())
    evaluated = expect_evaluation(terms, b.native(b.x), b.state, b.eps)
    with pytest.raises(ValueError, match="no batch statistics"):
        update_buffers(begin_buffers(terms, b.state), evaluated, 0.1, 0)

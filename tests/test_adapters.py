"""Adapters: layers of functional make, those that other packages register, and what is said of missing frameworks."""

from __future__ import annotations

import importlib.util
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import cast

import numpy as np
import pytest

import bnspec
from bnspec import adapters
from bnspec.adapters.wrapped import Wrapped, adapting
from bnspec.cli import main
from bnspec.layers.implementation import resolve
from bnspec.layers.numpy_functional import FunctionalLayer
from bnspec.layers.protocol import Array, Structure
from bnspec.layers.target import TargetError
from bnspec.spec.clauses import CLAUSES
from tests.frameworks import TABLE
from tests.targets.adapted_layers import Adapted, Foreign, Functional, OneCache

MODULE = "tests.targets.adapted_layers"


def register(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    entry = EntryPoint("ours", f"{MODULE}:{name}", adapters.GROUP)
    monkeypatch.setattr(adapters, "entry_points", lambda group: [entry] if group == adapters.GROUP else [])


def test_a_layer_whose_forwards_give_their_backwards_may_let_them_wait() -> None:
    assert "reentrance" in resolve(Functional).promises.abilities
    report = bnspec.certify(Functional, profile="smoke", dtypes=["float64"]).targets[0]
    assert report.verdict == "conforms", report
    assert {report.clause(clause).outcome for clause in ("G1", "G2", "G8", "S6", "S5")} == {"pass"}


def test_an_input_that_the_subject_may_not_write_to_is_refilled_all_the_same() -> None:
    implementation = resolve(Functional)
    layer = cast(FunctionalLayer, implementation.make(Structure(3, 2, "float64", "cpu", 1e-5, 0.1)))
    x = np.arange(12.0).reshape(4, 3)
    x.flags.writeable = False
    passed = layer.run(x, training=True)
    again = layer.run_again(passed, training=True, x=2 * x)
    assert np.array_equal(again.x, 2 * x)
    assert not again.x.flags.writeable


def test_backwards_that_share_one_cache_are_refused() -> None:
    report = bnspec.certify(OneCache, profile="smoke", dtypes=["float64"], clauses=["G1", "G8"]).targets[0]
    assert (report.clause("G1").outcome, report.clause("G8").outcome) == ("pass", "crashed")  # the shapes differ


def test_versions_that_a_target_declares_stand_in_the_certificate() -> None:
    environment = bnspec.certify(Functional, profile="smoke", clauses=["F1"]).targets[0].environment
    assert environment["functional"] == "1.2"
    assert "numpy" in environment


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"bnspec_versions": ("numpy",)}, "texts by name"),
        ({"bnspec_forks": "no"}, "True or False"),
        ({"bnspec_compiles": 1}, "True or False"),
    ],
)
def test_declarations_of_a_wrong_kind_are_refused(declared: dict[str, object], told: str) -> None:
    with pytest.raises(TargetError, match=told):
        resolve(type("Declares", (Functional,), declared))


def test_a_layer_that_cannot_be_forked_is_judged_in_fresh_processes() -> None:
    for clause in ("B1", "B3"):
        found = bnspec.certify(f"{MODULE}:NoFork", profile="smoke", dtypes=["float64"], clauses=[clause])
        assert found.conforms, str(found)


def test_a_layer_that_compiles_meets_two_ranks_a_block() -> None:
    compiled = type("Compiles", (Functional,), {"bnspec_compiles": True})
    shapes = {}
    for profile in ("smoke", "standard"):
        report = bnspec.certify(compiled, profile=profile, dtypes=["float64"], clauses=["L4"]).targets[0]
        assert report.verdict == "conforms", report
        shapes[profile] = report.scope["ranks"]
    assert shapes == {"smoke": [2, 4], "standard": [2, 3, 4, 5]}


class Native:
    """A layer of a framework whose arrays are lists."""

    def __init__(self, channels: int, epsilon: float = 1e-5) -> None:
        self.scale, self.shift, self.mean, self.var = [1.0] * channels, None, [0.0] * channels, [1.0] * channels
        self.epsilon = epsilon


class Lists(Wrapped):
    names = MappingProxyType({"gamma": "scale", "beta": "shift", "running_mean": "mean", "running_var": "var"})
    settings = MappingProxyType({"eps": "epsilon"})

    def __init__(self, native: type[Native], channels: int, eps: float = 1e-5) -> None:
        super().__init__(native(channels, eps))

    def _receive(self, native: list[float]) -> Array:
        return np.array(native)

    def _write(self, name: str, value: Array) -> None:
        setattr(self._layer, self.names[name], value.tolist())


def test_a_wrapped_layer_has_the_attributes_of_one_in_numpy() -> None:
    adapt = adapting(Native, Lists)
    made = adapt(Native)(3, eps=0.1)
    assert (made.eps, made.gamma.tolist(), made.beta, made.training) == (0.1, [1.0] * 3, None, True)
    made.running_var = np.full(3, 2.0)
    assert made.running_var.tolist() == [2.0] * 3
    with pytest.raises(AttributeError):
        _ = made.momentum
    own = Native(2)
    around = adapt(own)
    assert around.bnspec_dtypes == ("float64",), "a ready-made layer is judged in the dtype that it has"
    around.gamma = np.zeros(2)
    assert own.scale == [0.0, 0.0]
    assert adapt(7) is None


# Adapters of other packages


def test_what_another_package_registers_is_judged_as_its_adapter_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TargetError, match="no known shape"):
        resolve(Foreign, {}, frozenset({"gradients", "affine"}))
    register(monkeypatch, "adapt")
    report = bnspec.certify(Foreign, profile="smoke").targets[0]
    assert (report.verdict, report.dialect) == ("conforms", "flax"), report
    assert resolve(Adapted).promises == resolve(Foreign).promises


def test_an_adapter_that_raises_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "fail")
    with pytest.raises(TargetError, match=r"adapter 'ours' \(tests.targets.adapted_layers:fail\) raised ZeroDivision"):
        resolve(Functional)


def test_where_none_is_registered_the_object_is_what_it_is() -> None:
    assert adapters.adapt(Foreign) is Foreign


# Frameworks


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_frameworks_names_clauses_that_decide(name: str) -> None:
    for row in TABLE[name]["certified"]:
        assert {CLAUSES[clause].level for clause in row.get("misses", ())} <= {"MUST"}
        assert row["target"].count(":") == 1


@pytest.mark.parametrize(
    ("target", "extra"),
    [
        ("flax.linen:BatchNorm", "bnspec[flax]"),
        ("haiku:BatchNorm", "bnspec[haiku]"),
        ("equinox.nn:BatchNorm", "bnspec[equinox]"),
        ("mlx.nn:BatchNorm", "bnspec[mlx]"),
        ("bnspec.adapters.onnxruntime:BatchNormalization", "bnspec[onnx]"),
    ],
)
def test_a_missing_framework_is_one_line_that_names_the_extra(
    target: str, extra: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert importlib.util.find_spec(target.partition(".")[0].partition(":")[0]) is None or target.startswith("bnspec")
    assert main(["certify", target]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert extra in err

"""The two tables of the specification: every clause and every dialect is there, complete, and can be found by name."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from bnspec.layers.promises import ABILITIES
from bnspec.spec import clause_tables
from bnspec.spec.clauses import CLAUSES, FAMILIES, LEVELS, NOTATION, SPEC_VERSION, Clause, UnknownClause, find_clause
from bnspec.spec.dialects import (
    DIALECTS,
    FIELDS,
    ROWS,
    Dialect,
    UnknownDialect,
    find_dialect,
    is_frozen,
    may_average,
    neighbours,
)
from bnspec.spec.formats import PRECISIONS

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"F": 13, "R": 12, "E": 8, "G": 14, "N": 8, "L": 8, "B": 10, "S": 8, "D": 1, "C": 6}
ACTIVE = {
    "F": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
    "R": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    "E": [1, 2, 3, 4, 5, 6, 7, 8],
    "G": list(range(1, 15)),
    "N": [1, 2, 3, 4, 5, 6, 7, 8],
    "L": [1, 2, 3, 4, 5, 6, 7, 8],
    "B": list(range(1, 11)),
    "S": [1, 2, 3, 4, 5, 6, 8],
    "C": [1, 2, 3, 4, 5],
}
DIAGNOSTIC = ["F2", "F9", "F10", "E6", "G3", "G5", "G11", "G12"]
NOT_MUST = {
    **dict.fromkeys(
        ["F12", "G13", "G14", "L6", "L7", "L8", "B9", "B10", "S7", "C1", "C2", "C3", "C4", "C5", "C6"], "SHOULD"
    ),
    **dict.fromkeys(["N1", "N7", "N8"], "GRADE"),
}

# One entry a row of the measured table. biased/unbiased variance that normalises and that is stored, what momentum
# weighs, its default, the default of eps, the channel axis.
MEASURED: dict[str, tuple[str, str, str, float | None, float | None, int]] = {
    "torch": ("biased", "unbiased", "new", 0.1, 1e-5, 1),
    "torch-functional": ("biased", "unbiased", "new", 0.1, 1e-5, 1),
    "torch-native": ("biased", "unbiased", "new", None, None, 1),
    "torch-batch-norm": ("biased", "unbiased", "new", None, None, 1),
    "torch-decomposition": ("biased", "unbiased", "new", None, None, 1),
    "torch-compiled": ("biased", "unbiased", "new", 0.1, 1e-5, 1),
    "torch-sync": ("biased", "unbiased", "new", 0.1, 1e-5, 1),
    "torch-functional-replacement": ("biased", "nothing", "new", None, 1e-5, 1),
    "timm": ("biased", "unbiased", "new", 0.1, 1e-5, 1),
    "timm-frozen": ("biased", "nothing", "new", None, 1e-5, 1),
    "timm-split": ("biased", "unbiased", "new", 0.1, 1e-5, 1),
    "flax": ("biased", "biased", "old", 0.99, 1e-5, -1),
    "flax-nnx": ("biased", "biased", "old", 0.99, 1e-5, -1),
    "haiku": ("biased", "biased", "old", None, 1e-5, -1),
    "equinox-ema": ("biased", "biased", "old", 0.99, 1e-5, 1),
    "equinox-batch": ("biased", "biased", "old", 0.99, 1e-5, 1),
    "jax-standardize": ("biased", "nothing", "old", None, 1e-5, -1),
    "keras": ("biased", "biased", "old", 0.99, 1e-3, -1),
    "keras-jax": ("biased", "biased", "old", 0.99, 1e-3, -1),
    "keras-tensorflow": ("biased", "biased", "old", 0.99, 1e-3, -1),
    "keras-numpy": ("biased", "biased", "old", 0.99, 1e-3, -1),
    "tensorflow-fused": ("biased", "unbiased", "new", 1.0, 1e-4, -1),
    "paddle": ("biased", "biased", "old", 0.9, 1e-5, 1),
    "mlx": ("biased", "unbiased", "new", 0.1, 1e-5, -1),
    "tinygrad": ("biased", "unbiased", "new", 0.1, 1e-5, 1),
    "chainer": ("biased", "unbiased", "old", 0.9, 2e-5, 1),
    "onnx": ("biased", "biased", "old", 0.9, 1e-5, 1),
    "onnxruntime": ("biased", "biased", "old", 0.9, 1e-5, 1),
    "onnx-inference": ("biased", "nothing", "new", None, 1e-5, 1),
    "d2l": ("biased", "biased", "new", 0.9, 1e-5, 1),
    "makemore": ("unbiased", "unbiased", "new", 0.1, 1e-5, -1),
    "torchvision-frozen": ("biased", "nothing", "new", None, 0.0, 1),
    "detectron2-frozen": ("biased", "nothing", "new", None, 1e-5, 1),
    "detectron2-sync": ("biased", "biased", "new", 0.1, 1e-5, 1),
}

ASKED_FOR = {
    (8, 64, 512): "F1 F2 F7 F10 R2 R7 R11 E1 E2 E4 G1 G2 G3 G5 G9 N2 N3 N4 L4 B6 D1",
    (4, 32, 256): "F3 F4 F6 F8 F9 F12 F13 R3 E3 G6 G7",
    (2, 16, 128): "F5 R1 R4 R5 R6 R10 E5 E6 E7 E8 G4 G8 G11 G12 G14 N5 N6 L3 L5 L7 L8 S1 S2 S3 S4 S5 S6 S8",
    (1, 8, 64): "F11 R8 R9 R12 G10 L1 L2",
    (0, 8, 64): "G13",
    (1, 1, 1): "N1 N7 N8 B1 B2 B3 B4 B5 B7 B8 B9 B10",
    (1, 4, 32): "L6 S7",
    (0, 0, 2): "C1 C2 C3 C4 C5 C6",
}
"""Informative cases of a cell at smoke, standard and thorough."""

RANKS = {
    (2, 3, 4, 5): "torch torch-compiled torch-functional-replacement paddle",
    (
        2,
        3,
        4,
        5,
        6,
    ): "torch-functional torch-native torch-batch-norm torch-decomposition torch-sync haiku equinox-ema equinox-batch"
    " keras tinygrad chainer onnx onnxruntime onnx-inference",
    (4,): "timm timm-frozen timm-split torchvision-frozen detectron2-frozen detectron2-sync",
    (1, 2, 3, 4, 5, 6): "flax flax-nnx jax-standardize keras-jax keras-tensorflow keras-numpy",
    (4, 5): "tensorflow-fused",
    (2, 3, 4): "mlx",
    (2, 4): "d2l",
    (2,): "makemore",
}

# Edges: one value per channel, an empty batch, integer input.
EDGES = {
    "torch": ("refuse", "untouched", "refuse"),
    "torch-native": ("as is", "refuse", "refuse"),
    "torch-batch-norm": ("as is", "untouched", "refuse"),
    "torch-decomposition": ("refuse", "nan", "refuse"),
    "flax": ("zeros", "nan", "convert"),
    "equinox-ema": ("zeros", "nan", "convert"),
    "keras": ("zeros", "nan", "convert"),
    "tensorflow-fused": ("zeros", "nan", "refuse"),
    "paddle": ("x", "untouched", "refuse"),
    "mlx": ("refuse", "nan", "convert"),
    "tinygrad": ("refuse", "nan", "convert"),
    "chainer": ("zeros", "nan", "refuse"),
    "onnx": ("zeros", "nan", "truncate"),
    "onnxruntime": ("zeros", "nan", "refuse"),
    "d2l": ("zeros", "nan", "refuse"),
    "makemore": ("as is", "nan", "refuse"),
}


def choices(hint: Any) -> set[object]:
    """The values that a type of literals admits; empty for a type that is not made of literals."""
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    return {value for part in get_args(hint) for value in choices(part)}


def test_clause_ids_are_a_family_and_a_number_without_gaps() -> None:
    for letter, size in SIZES.items():
        numbers = [int(name[1:]) for name in CLAUSES if name[0] == letter]
        assert sorted(numbers) == list(range(1, size + 1)), letter
    assert all(re.fullmatch(r"[FREGNLBSDC][1-9]\d*", name) for name in CLAUSES)
    assert list(SIZES) == list(FAMILIES)


def test_each_clause_is_under_its_own_id_and_in_its_family_in_order() -> None:
    for name, clause in CLAUSES.items():
        assert clause.id == name
        assert clause.family == name[0]
    order = [(list(FAMILIES).index(name[0]), int(name[1:])) for name in CLAUSES]
    assert order == sorted(order)


def test_no_clause_table_gives_an_id_twice() -> None:
    folder = Path(next(iter(clause_tables.__path__)))
    written = [found for file in folder.glob("*.py") for found in re.findall(r'\bid="(\w+)"', file.read_text("utf-8"))]
    assert [name for name, count in Counter(written).items() if count > 1] == []
    assert set(written) == set(CLAUSES)


@pytest.mark.parametrize("clause", CLAUSES.values(), ids=list(CLAUSES))
def test_each_clause_is_complete(clause: Clause) -> None:
    for text in (clause.title, clause.statement, clause.why, clause.source, clause.bound):
        assert text
        assert text == " ".join(text.split()), "no stray blanks where lines are joined"
    assert 3 <= len(clause.title.split()) <= 8
    assert clause.statement.endswith((".", ")"))
    assert clause.why.endswith((".", ")"))
    assert clause.level in LEVELS
    assert set(clause.needs) <= set(ABILITIES)
    smoke, standard, thorough = clause.informative
    assert 0 <= smoke <= standard <= thorough
    assert thorough > 0


def test_how_many_informative_cases_are_asked_for_changes_for_no_clause_unnoticed() -> None:
    found: dict[tuple[int, int, int], list[str]] = {}
    for name, clause in CLAUSES.items():
        found.setdefault(clause.informative, []).append(name)
    assert {counts: " ".join(names) for counts, names in found.items()} == ASKED_FOR


def test_low_precisions_are_asked_for_a_quarter_rounded_up() -> None:
    usual, rare, named = (CLAUSES[name] for name in ("F1", "L2", "C1"))
    assert [usual.asks_for(column, "float64") for column in range(3)] == [8, 64, 512]
    assert [usual.asks_for(column, "mixed_float16") for column in range(3)] == [2, 16, 128]
    assert rare.asks_for(0, "bfloat16") == 1
    assert [named.asks_for(column, "float32") for column in range(3)] == [2, 2, 2]
    assert [named.runs_in(column) for column in range(3)] == [False, False, True]
    assert usual.runs_in(0)


def test_what_no_dtype_restricts_speaks_of_all() -> None:
    assert all(CLAUSES["F1"].speaks_of(dtype) for dtype in PRECISIONS)
    assert [dtype for dtype in PRECISIONS if CLAUSES["N4"].speaks_of(dtype)] == ["float64"]


def test_threads_are_cited_as_owner_repository_and_number() -> None:
    for clause in CLAUSES.values():
        for word in clause.source.replace(",", " ").replace(";", " ").split():
            if "#" in word:
                assert re.fullmatch(r"[\w.-]+/[\w.-]+#[1-9]\d*", word), f"{clause.id}: {word}"


def test_levels_active_and_diagnostic_clauses() -> None:
    assert {name: c.level for name, c in CLAUSES.items() if c.level != "MUST"} == NOT_MUST
    assert [name for name, c in CLAUSES.items() if c.status == "active"] == [
        f"{letter}{number}" for letter, numbers in ACTIVE.items() for number in numbers
    ]
    assert [c.id for c in CLAUSES.values() if c.status not in ("active", "planned")] == ["S7", "C6"]
    assert [name for name, c in CLAUSES.items() if c.diagnostic] == DIAGNOSTIC


@pytest.mark.parametrize("text", ["F1", "f1", " F1 "])
def test_find_clause_takes_either_case(text: str) -> None:
    assert find_clause(text) is CLAUSES["F1"]


@pytest.mark.parametrize(
    ("asked", "close"), [("F14", "F1"), ("G44", "G4"), ("zz", "F, R, E, G, N, L, B, S, D, C"), ("", "`bnspec spec`")]
)
def test_unknown_clause_names_close_ones_and_how_to_list(asked: str, close: str) -> None:
    with pytest.raises(UnknownClause) as raised:
        find_clause(asked)
    message = str(raised.value)
    assert repr(asked) in message
    assert close in message
    assert "`bnspec spec` lists all" in message
    assert isinstance(raised.value, ValueError)


def test_notation_explains_the_symbols_of_the_statements() -> None:
    for symbol in ("m", "K", "v", "eps", "r", "xh", "delta", "g", "a", "b", "e_q"):
        assert re.search(rf"^  {symbol} +\S", NOTATION, re.MULTILINE), symbol
    assert re.fullmatch(r"\d+\.\d+", SPEC_VERSION)


def test_one_dialect_a_row_of_the_measured_table() -> None:
    assert list(DIALECTS) == list(MEASURED)
    assert len(ROWS) == len(DIALECTS), "no name twice"
    assert len({row.implementation for row in ROWS}) == len(ROWS), "no row forgot to name what it describes"


@pytest.mark.parametrize("name", MEASURED)
def test_dialects_hold_what_was_measured(name: str) -> None:
    row = DIALECTS[name]
    held = row.normalises_with, row.stores, row.momentum_weighs, row.momentum_default, row.eps_default, row.channel_axis
    assert held == MEASURED[name]
    if name in EDGES:
        assert (row.one_value, row.empty_batch, row.integer_input) == EDGES[name]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_each_dialect_is_complete(row: Dialect) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row.name)
    for name, hint in get_type_hints(Dialect).items():
        value = getattr(row, name)
        assert value != "", name
        number = float in get_args(hint) and isinstance(value, float)
        assert not choices(hint) or number or value in choices(hint), name
    assert re.match(r"measured (with|on) |read, not run", row.source)
    assert row.ranks == tuple(sorted(set(row.ranks)))
    assert row.ranks


def test_ranks_and_initial_values() -> None:
    assert {name: row.ranks for name, row in DIALECTS.items()} == {
        name: ranks for ranks, names in RANKS.items() for name in names.split()
    }
    others = {"haiku": (0.0, 0.0), "equinox-ema": (0.0, 0.0), "detectron2-frozen": (0.0, "1 - eps")}
    initial = {name: (row.initial_mean, row.initial_var) for name, row in DIALECTS.items()}
    assert initial == dict.fromkeys(DIALECTS, (0.0, 1.0)) | others


def test_kinds_of_average_and_of_training_statistics() -> None:
    assert neighbours("average", "debiased") == ["haiku", "equinox-batch"]
    assert neighbours("average", "first copied") == ["equinox-ema"]
    frozen = ["timm-frozen", "onnx-inference", "torchvision-frozen", "detectron2-frozen"]
    assert neighbours("training_statistics", "running") == ["timm-frozen", "equinox-ema", *frozen[1:]]
    assert neighbours("constants", "float32") == ["paddle", "onnx", "onnxruntime", "onnx-inference"]
    assert neighbours("normalises_with", "unbiased") == ["makemore"]
    assert neighbours("momentum_none", "cumulative")[0] == "torch"
    assert set(frozen) <= set(neighbours("stores", "nothing"))
    assert [row.name for row in ROWS if is_frozen(row)] == frozen
    refusing, offering = neighbours("momentum_none", "refused"), neighbours("momentum_none", "cumulative")
    assert refusing
    assert {row.name for row in ROWS if may_average(row)} == {*refusing, *offering}


def test_neighbours_refuses_a_field_that_is_none() -> None:
    assert neighbours("stores", "neither") == []
    with pytest.raises(ValueError, match="no field 'store': did you mean one of stores"):
        neighbours("store", "biased")


def test_every_field_has_a_phrase() -> None:
    assert list(FIELDS) == [field.name for field in fields(Dialect)]
    assert len(set(FIELDS.values())) == len(FIELDS)
    assert all(re.fullmatch(r"[a-z][\w= -]+", phrase) for phrase in FIELDS.values()), "embeddable in a sentence"


@pytest.mark.parametrize(("asked", "close"), [("Torch", "torch"), ("tensorflow", "tensorflow-fused"), ("flx", "flax")])
def test_unknown_dialect_names_close_ones_and_how_to_list(asked: str, close: str) -> None:
    with pytest.raises(UnknownDialect) as raised:
        find_dialect(asked)
    message = str(raised.value)
    assert repr(asked) in message
    assert close in message.split("did you mean")[1]
    assert "print(*DIALECTS)" in message
    assert isinstance(raised.value, ValueError)


def test_unknown_dialect_without_close_ones_still_says_how_to_list() -> None:
    with pytest.raises(UnknownDialect, match=r"print\(\*DIALECTS\)") as raised:
        find_dialect("qqqq")
    assert "did you mean" not in str(raised.value)


def test_find_dialect() -> None:
    assert all(find_dialect(name) is row for name, row in DIALECTS.items())


def test_the_tables_import_neither_numpy_nor_a_framework() -> None:
    code = (
        "import sys, bnspec.spec.clauses, bnspec.spec.dialects;"
        "print(*sorted({'numpy', 'torch', 'hypothesis', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

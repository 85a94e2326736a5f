"""Grades: the class of a known algorithm, what headroom and repetition say, and how declarations are held to."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bnspec.conformance.acting import Stage
from bnspec.conformance.table import EXPERIMENTS
from jsonschema import validate

import bnspec
import bnspec.certificate
from bnspec.certificate.json_face import render_json
from bnspec.certificate.merge import Rule, decide_cell, decide_verdict, merge_tallies, report_clause
from bnspec.cli import main
from bnspec.engine.blocks import Tally
from bnspec.engine.judging import judge_case
from bnspec.engine.profiles import PROFILES
from bnspec.layers.target import load_target
from bnspec.mutants import numpy_promises, numpy_right, torch_right
from bnspec.mutants.numpy_base import BatchNorm
from bnspec.mutants.numpy_promises import SplitInTurn
from bnspec.mutants.table_promises import PROMISES
from bnspec.spec.clauses import CLAUSES
from bnspec.spec.measure import Measure, describe, join
from bnspec.spec.stability import grade, grid
from tests.bounds import grades
from tests.bounds.grades import Known, list_known
from tests.test_engine import subject_of

UNITS = {"float32": 2.0**-24, "float64": 2.0**-53}
SCHEMA = json.loads((Path(bnspec.certificate.__file__).parent / "schema.json").read_text(encoding="utf-8"))
SMOKE = PROFILES["smoke"]


def judge(layer: Any, *clauses: str, **options: Any) -> Any:
    return bnspec.certify(layer, profile="standard", clauses=clauses, **options).targets[0]


# The rule


@pytest.mark.parametrize("unit", UNITS.values(), ids=list(UNITS))
@pytest.mark.parametrize("factor", [0.2, 1, 4])
def test_the_laws_of_chan_golub_and_leveque_are_told_apart(unit: float, factor: float) -> None:
    kappa = grid(unit)
    laws = {"C": factor * unit * kappa**2, "B": factor * unit * kappa, "A": unit + (factor * unit * kappa) ** 2}
    for letter, error in laws.items():
        found = grade(kappa, np.minimum(error, 1.0), unit)
        assert found.letter == letter
        exact = {"C": (unit**-0.5 / factor) ** 0.5, "B": unit**-0.5 / factor, "A": unit**-0.75 / factor}[letter]
        assert 0.8 < found.kappa_star / exact < 1.25
        assert not found.beyond


@pytest.mark.parametrize("unit", UNITS.values(), ids=list(UNITS))
def test_half_of_the_digits_may_never_be_lost_or_at_once(unit: float) -> None:
    kappa = grid(unit)
    never, at_once = grade(kappa, np.full(25, unit), unit), grade(kappa, np.ones(25), unit)
    assert (never.letter, never.beyond, never.slope) == ("A", True, None)
    assert "above" in never.describe()
    assert (at_once.letter, at_once.kappa_star) == ("C", 1.0)
    assert at_once.worth == pytest.approx((0, 1))
    assert never.worth == pytest.approx((2, kappa[-1]))
    assert at_once.describe("slope 2") == "C (kappa* 1.0e+00, slope 2)"


@pytest.mark.parametrize("unit", UNITS.values(), ids=list(UNITS))
@pytest.mark.parametrize(
    ("q", "slope", "letter"),
    [(0.37, 1, "C"), (0.38, 1, "B"), (0.37, 2, "C"), (0.5, 1.91, "B"), (0.5, 1.92, "A"), (0.76, 1.39, "B"),
     (0.76, 1.40, "A")],
)  # fmt: skip
def test_the_letters_change_at_three_eighths_and_midway_between_one_pass_and_two(
    unit: float, q: float, slope: float, letter: str
) -> None:
    kappa, star = np.geomspace(1.0, 0.16 / unit, 250), unit**-q
    found = grade(kappa, np.minimum(unit**0.5 * (kappa / star) ** slope, 1.0), unit)
    assert found.letter == letter
    assert found.kappa_star == pytest.approx(star, rel=1e-6)
    assert found.slope == pytest.approx(slope, rel=1e-6)
    at_three_eighths = grade(np.exp2(np.arange(17.0)), np.exp2(np.arange(17.0) - 14), 2.0**-16)
    assert at_three_eighths.letter == "B"


def test_where_no_slope_can_be_measured_the_exponent_decides_midway_between_one_pass_and_two() -> None:
    kappa = np.exp2(np.arange(24.0))
    for star, letter in ((14, "B"), (15, "B"), (16, "A")):  # sqrt(u) is passed between two places, at q = 5/8 or so
        found = grade(kappa, np.where(np.arange(24) < star, 2.0**-24, 1.0), 2.0**-24)
        assert found.slope is None
        assert found.letter == letter


def test_the_slope_is_measured_from_below_an_error_of_three_quarters_of_the_digits_to_above_a_quarter() -> None:
    """Twenty bits: from u^(3/4) = 2^-15 to u^(1/4) = 2^-5, one place more at either end; zero counts as u/8."""
    unit, exponents = 2.0**-20, np.array([-99, -99, -15.5, -14, -12, -6, -4, -0.5])
    kappa = 2.0 ** np.arange(8.0)
    error = np.where(exponents < -50, 0.0, 2.0**exponents)
    inside = [2, 3, 4, 5, 6]
    slope = np.polyfit(inside, exponents[inside], 1)[0]
    assert grade(kappa, error, unit).slope == pytest.approx(slope, rel=1e-9)
    error[2:4] = 0.0  # the last place below is one that loses nothing
    from_nothing = np.polyfit([3, 4, 5, 6], [-23, -12, -6, -4], 1)[0]
    assert grade(kappa, error, unit).slope == pytest.approx(from_nothing, rel=1e-9)
    error[4:6] = 0.0  # two places are no slope
    assert grade(kappa, error, unit).slope is None
    error[4:6] = 2.0**-14, 2.0**-4
    assert grade(kappa, error, unit).slope == pytest.approx(np.polyfit([3, 4, 5], [-23, -14, -4], 1)[0], rel=1e-9)
    exponents = np.array([-14.0, -13, -6, -3])  # none is below: from the first
    whole = np.polyfit(range(4), exponents, 1)[0]
    assert grade(kappa[:4], 2.0**exponents, unit).slope == pytest.approx(whole, rel=1e-9)


def test_a_sweep_goes_from_one_to_a_few_units_in_the_last_place() -> None:
    for unit in UNITS.values():
        assert grid(unit) == pytest.approx(np.exp(np.linspace(0, np.log(0.16 / unit), 25)), rel=1e-9)


def test_where_half_of_the_digits_are_lost_is_looked_up_between_two_places_of_the_largest_error_so_far() -> None:
    kappa, unit = np.array([1.0, 10.0, 100.0, 1e3, 1e4]), 2.0**-24
    error = np.array([1e-6, 1e-5, 1e-7, 1e-3, 1e-2])  # sqrt(u) is 2.4e-4
    share = (np.log(2.0**-12) - np.log(1e-5)) / (np.log(1e-3) - np.log(1e-5))
    assert grade(kappa, error, unit).kappa_star == pytest.approx(10 ** (2 + share), rel=1e-9)
    assert grade(kappa, np.full(5, unit), unit).kappa_star == pytest.approx(1e4)


KNOWN: list[tuple[str, str]] = [
    ("bnspec.mutants.numpy_base:BatchNorm", "A"),
    ("bnspec.mutants.numpy_right:SequentialSums", "A"),
    ("bnspec.mutants.numpy_right:CorrectedTwoPass", "A"),
    ("bnspec.mutants.numpy_right:Welford", "B"),
    ("bnspec.mutants.numpy_right:ChanMerge", "B"),
    ("bnspec.mutants.numpy_right:Textbook", "C"),
    ("bnspec.mutants.torch_right:Textbook", "C"),
    ("torch.nn:BatchNorm2d", "A"),
]


@pytest.mark.parametrize(("target", "letter"), KNOWN)
@pytest.mark.parametrize("dtype", UNITS)
def test_the_class_of_a_known_algorithm(target: str, letter: str, dtype: str) -> None:
    subject = subject_of(target)
    ranks = subject.promises.ranks
    cases = [c for c in EXPERIMENTS["sweep"].literal if len(c.shape) == ranks[0]]
    for case in (replace(c, dtype=dtype, seed=seed) for c in cases for seed in range(2)):
        record = EXPERIMENTS["sweep"].act(Stage(subject, case, "cpu"))
        found = {name: grade(record.kappa, error, UNITS[dtype]).letter for name, error in record.errors.items()}
        assert found == dict.fromkeys(("running_var", "y", "dx"), letter), case.address()


def test_the_page_of_grades_is_of_every_implementation_and_shows_no_wrong_one() -> None:
    page = (Path(__file__).parents[1] / "docs/grades.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+) \| ([ABC ]+) \| ([ABC ]+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    wanted = [(known.name, *(" ".join(known.letters(dtype)) for dtype in UNITS)) for known in list_known()]
    assert [(name, single, double) for name, single, double, _, _ in rows] == wanted
    assert all(int(count) >= 50 * 2 * 3 and wrong == "0" for *_, count, wrong in rows)


@pytest.mark.parametrize(("layer", "code"), [(numpy_right.Pairwise, 0), (numpy_right.Textbook, 1)])
def test_the_run_of_grades_fails_where_one_is_wrong(
    layer: Any, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grades, "list_known", lambda: [Known("of two passes", layer)])
    monkeypatch.setattr("sys.argv", ["grades", "--seeds", "1"])
    assert grades.main() == code
    out, err = capsys.readouterr()
    assert f"| of two passes | A A A | A A A | 36 | {36 * code} |" in out
    assert ("graded C and not A" in err) == bool(code)


def test_a_folded_output_is_graded_apart_from_the_variance_behind_it() -> None:
    value = judge(torch_right.Folded, "N1", dtypes=["float64"]).clause("N1").value
    assert value.startswith("float64: running_var A")
    assert "y B" in value
    assert "dx A" in value


@pytest.mark.parametrize(("eps", "channels"), [(100.0, 1), (1e-5, 40)])
def test_a_layer_given_ready_made_is_graded(eps: float, channels: int) -> None:
    report = judge(torch.nn.BatchNorm1d(channels, eps=eps), "N1", dtypes=["float32"])
    assert report.clause("N1").value.count(" A (") == 3


# Declarations


@pytest.mark.parametrize("mutant", PROMISES, ids=lambda mutant: mutant.id)
def test_what_is_declared_and_not_so_is_refused(mutant: Any) -> None:
    report = judge(load_target(mutant.target).obj, *mutant.clauses, dtypes=["float32"])
    assert report.verdict == "does not conform"
    found = report.clause(mutant.clauses[0])
    assert (found.level, found.outcome) == ("GRADE", "fail")
    assert found.value


def test_the_message_says_what_was_declared_and_what_measured() -> None:
    certificate = bnspec.certify(
        numpy_promises.WelfordDeclaredTwoPass, profile="standard", clauses=["N1"], dtypes=["float32"]
    )
    text = " ".join(str(certificate).split())
    assert "MUST N1 FAILS" in text
    assert "class of the variance that running_var shows: got B (kappa* " in text
    assert "wanted A, as bnspec_algorithm = 'twopass' declares" in text


@pytest.mark.parametrize("layer", [numpy_promises.DeclaredTwoPass, numpy_promises.DeclaredWelford])
def test_true_declarations_are_held(layer: Any) -> None:
    report = judge(layer, "N1", "N7", "N8")
    assert [report.clause(clause).outcome for clause in ("N1", "N7", "N8")] == ["measured"] * 3
    assert report.verdict == "conforms"


def test_a_class_is_held_to_where_no_buffer_shows_the_variance() -> None:
    report = judge(numpy_promises.SquaresDeclaredTwoPass, "N1", dtypes=["float32"], without=["running_statistics"])
    assert "that y shows: got C" in report.clause("N1").why


@pytest.mark.parametrize("promised", [("run",), ("rows",), ()])
def test_only_what_is_declared_must_repeat(promised: tuple[str, ...]) -> None:
    class Declares(SplitInTurn):
        bnspec_reproducible = promised

    report = judge(Declares, "N8", dtypes=["float32"])
    assert report.clause("N8").outcome == ("fail" if promised == ("run",) else "measured")
    assert report.clause("N8").value.startswith("float32: run differs, rows kept")
    assert report.scope["reproducible"] == list(promised)


def test_the_wrong_layers_are_wrong() -> None:
    """Without the suite: float32 statistics and dx of a batch far from zero, against float64; sums that differ."""
    random = np.random.default_rng(0)
    x, dy = random.standard_normal((256, 40)) + 1e3, random.standard_normal((256, 40)).astype(np.float32)
    exact = BatchNorm(40, momentum=1.0, dtype=np.float64)

    def off(layer: Any) -> tuple[float, float]:
        made = layer(40, momentum=1.0)
        seen = made.forward(x.astype(np.float32)), made.backward(dy), made.running_var
        wanted = exact.forward(x.astype(np.float32).astype(np.float64)), exact.backward(dy), exact.running_var
        assert seen[0].shape == wanted[0].shape
        return tuple(float(np.abs(seen[k] - wanted[k]).mean() / np.abs(wanted[k]).mean()) for k in (1, 2))  # type: ignore[return-value]  # two of them

    right = off(BatchNorm)
    assert off(numpy_promises.SquaresDeclaredTwoPass)[1] > 1e3 * right[1]
    assert off(numpy_promises.WelfordDeclaredTwoPass)[1] > 10 * right[1]
    assert off(numpy_promises.SquaresInTheBackward)[1] == right[1]
    assert off(numpy_promises.SquaresInTheBackward)[0] > 10 * right[0]
    layer = SplitInTurn(40)
    assert layer.forward(x.astype(np.float32)).tobytes() != layer.forward(x.astype(np.float32)).tobytes()


# Headroom


def test_headroom_is_told_by_quantity_and_dtype() -> None:
    report = judge(numpy_right.Welford, "N7")
    for cell in report.clause("N7").cells:
        words = cell.value.split(", ")
        assert [word.split()[0] for word in words] == ["y", "running_mean", "running_var", "dx", "dgamma", "dbeta"]
        assert all(float(word.split()[1]) > 0 for word in words if "exact" not in word)


def test_missing_the_stable_bound_decides_where_the_verdict_is_strict() -> None:
    reports = [judge(numpy_right.Textbook, "N7", "F1", dtypes=["float32"], strict=strict) for strict in (False, True)]
    assert [report.verdict for report in reports] == ["conforms", "does not conform"]
    for report in reports:
        assert report.clause("N7").outcome == "fail"
        assert "-" in report.clause("N7").value


# Joining


def test_the_worst_of_each_quantity_stays_whatever_the_order() -> None:
    blocks = [
        {"y": Measure((2.0, 9.0), "A"), "dx": Measure((1.0, 5.0), "B")},
        {"y": Measure((1.0, 7.0), "B 7"), "dx": Measure((1.0, 6.0), "B 6")},
        {"y": Measure((1.0, 8.0), "B 8")},
    ]
    assert describe(join(*blocks)) == "y B 7, dx B"
    assert join(*blocks[::-1]) == join(*blocks)
    assert describe({}) is None
    merged = merge_tallies(Tally(1, 1, measures=block) for block in blocks)
    assert merged.measures == join(*blocks)


def test_cells_are_measured_and_their_values_told_by_dtype() -> None:
    clause = CLAUSES["N1"]
    tallies = {"float32": {"y": Measure((1.0,), "B")}, "float64": {"y": Measure((2.0,), "A")}}
    cells = [decide_cell(clause, Tally(2, 2, measures=m), d, "cpu", SMOKE, True) for d, m in tallies.items()]
    report = report_clause(clause, cells, [])
    assert (report.outcome, report.value) == ("measured", "float32: y B; float64: y A")
    assert decide_cell(clause, Tally(2, 0), "float32", "cpu", SMOKE, True).outcome == "vacuous"


def test_a_grade_decides_by_its_failures_alone() -> None:
    passed = report_clause(
        CLAUSES["F1"], [decide_cell(CLAUSES["F1"], Tally(99, 99), "float32", "cpu", SMOKE, True)], []
    )
    for clause, outcome, strict, verdict in (
        ("N1", "vacuous", False, "conforms"), ("N1", "measured", True, "conforms"), ("N1", "not-run", True, "conforms"),
        ("N1", "fail", False, "does not conform"), ("N8", "fail", False, "does not conform"),
        ("N7", "fail", False, "conforms"), ("N7", "fail", True, "does not conform"),
    ):  # fmt: skip
        graded = replace(passed, id=clause, level="GRADE", outcome=outcome)  # type: ignore[arg-type]  # a literal
        assert decide_verdict([passed, graded], Rule(strict)) == verdict, (clause, outcome, strict)


def test_workers_and_the_json_tell_the_same_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = "bnspec.mutants.numpy_right:Welford"
    values = []
    for workers in ("1", "2"):
        file = tmp_path / f"{workers}.json"
        arguments = ["certify", target, "--clause", "N1", "N7", "--profile", "standard", "-n", workers]
        assert main([*arguments, "--json", str(file)]) == 0
        document = json.loads(file.read_text(encoding="utf-8"))
        validate(document, SCHEMA)
        values.append([c["value"] for c in document["targets"][0]["clauses"] if c["id"] in ("N1", "N7")])
    assert values[0] == values[1]
    assert all(values[0])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("  N1   GRADE  measured  float32: running_var B (kappa* ") for line in lines)


def test_a_certificate_with_grades_is_valid() -> None:
    validate(json.loads(render_json(bnspec.certify(torch.nn.BatchNorm1d, profile="standard", clauses=["N8"]))), SCHEMA)


# Layers that are wrong in shape


class Summed(torch.nn.BatchNorm1d):
    """An output without axes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).sum()


class Shortened(torch.nn.BatchNorm1d):
    """The first example alone comes out."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[:1]


@pytest.mark.parametrize("clause", ["N1", "N8", "C1", "C4", "C5"])
@pytest.mark.parametrize("layer", [Summed, Shortened])
def test_an_output_of_another_shape_is_a_finding_and_no_fault_of_the_suite(layer: Any, clause: str) -> None:
    found = judge(layer, clause, dtypes=("float64",)).clause(clause)
    assert found.outcome in ("crashed", "fail", "vacuous")
    assert found.executed


def test_conditions_are_sought_among_batches_as_long_as_the_experiment_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The experiment of C4 differentiates every value by itself: 1024 of them took twenty seconds."""
    sizes = []

    def count(subject: Any, case: Any, *others: Any) -> Any:
        sizes.append(case.count)
        return judge_case(subject, case, *others)

    monkeypatch.setattr("bnspec.engine.contrast.judge_case", count)
    assert judge(Summed, "C4", dtypes=("float64",)).clause("C4").outcome == "fail"
    assert 2 < max(sizes) <= 4 * max(6, EXPERIMENTS["jacobian"].longest)

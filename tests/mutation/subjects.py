"""Which files are changed, and who must notice."""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutation.operators import OPPOSITES
from tests.mutation.trial import Judge


@dataclass(frozen=True)
class Witness:
    """A judge, and the words that a table calls it by."""

    words: str
    passes: Judge


@dataclass(frozen=True)
class Subject:
    """A file, who judges its changes, from quick to slow, and which operators change it: all where none is named."""

    file: str
    judges: tuple[Witness, ...]
    operators: frozenset[str] = frozenset()


def suite(target: str, profile: str, dialect: str | None = None, **arguments: object) -> Witness:
    """The conformance suite as its users run it: does the target conform, SHOULD clauses included?"""
    given = "".join(f" --arg {name}={value}" for name, value in arguments.items())
    asked = f" --dialect {dialect}" if dialect else ""

    def passes() -> bool:
        from bnspec import certify

        certificate = certify(
            target, profile=profile, dialect=dialect, arguments=arguments, strict=True, fail_fast=True
        )
        return certificate.verdict == "conforms"

    return Witness(f"`bnspec certify {target}{given}{asked} --strict --profile {profile}`", passes)


def by_tests(*names: str, only: str = "") -> Witness:
    """Files of `tests/`, by pytest, or those tests of theirs whose names fit `only`."""
    files = [f"tests/test_{name}.py" for name in names]
    chosen = ["-k", only] if only else []

    def passes() -> bool:
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain", *chosen]
        return pytest.main([*options, *files]) == 0

    return Witness(" ".join(f"`{file}`" for file in files) + (f" (-k {only})" if only else ""), passes)


OWN_TESTS = by_tests("references_passes", "references_dtypes", "references_refusals")
EXACT, TORCH_SMOKE = suite("reference:numpy", "smoke"), suite("reference:torch", "smoke")

TABLES, BY_THE_PAGE = by_tests("tables"), by_tests("bounds_by_the_page", "bounds_structure")
FAMILIES = ("evaluation", "forward", "gradients", "layout", "state")
"""The tables of clauses that hold anything but words."""


def specification(name: str, *judges: Witness) -> Subject:
    """A file of the specification, which the suite judges last, with a target of each framework."""
    return Subject(f"bnspec/spec/{name}.py", (*judges, EXACT, TORCH_SMOKE), OPPOSITES)


SUBJECTS = {
    subject.file: subject
    for subject in (
        Subject("reference/numpy_batchnorm.py", (EXACT, OWN_TESTS)),
        Subject(
            "reference/torch_batchnorm.py",
            (TORCH_SMOKE, suite("reference:torch", "smoke", "torch", unbiased=False), OWN_TESTS),
        ),
        specification("equations", by_tests("equations")),
        specification("bounds", BY_THE_PAGE),
        specification("second_order", by_tests("second_order", only="formulas")),
        specification("second_order_bounds", BY_THE_PAGE),
        specification("stability", by_tests("grades", only="laws or half or letters or slope or sweep")),
        specification("truncation", by_tests("relations", only="truncation")),
        specification("double_double", by_tests("precision")),
        specification("precision", by_tests("precision")),
        specification("formats", by_tests("tables", "precision", "bounds_by_the_page")),
        specification("measure", by_tests("grades", only="worst or headroom")),
        specification("dialects", TABLES),
        specification("clause", TABLES, by_tests("certificate", "engine")),
        specification("clauses", TABLES, by_tests("cli", only="specification")),
        *(specification(f"clause_tables/{family}", TABLES) for family in FAMILIES),
    )
}

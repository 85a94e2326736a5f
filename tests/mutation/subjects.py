"""Which files are changed, and who must notice."""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutation.trial import Judge


@dataclass(frozen=True)
class Witness:
    """A judge, and the words that a table calls it by."""

    words: str
    passes: Judge


@dataclass(frozen=True)
class Subject:
    """A file, and who judges its changes, from quick to slow."""

    file: str
    judges: tuple[Witness, ...]


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


def tests(*names: str) -> Witness:
    """Files of `tests/`, by pytest."""
    files = [f"tests/test_{name}.py" for name in names]

    def passes() -> bool:
        import pytest

        return pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain", *files]) == 0

    return Witness(" ".join(f"`{file}`" for file in files), passes)


OWN_TESTS = tests("references_passes", "references_dtypes", "references_refusals")
EXACT = suite("reference:numpy", "smoke")

SUBJECTS = {
    subject.file: subject
    for subject in (
        Subject(
            "reference/numpy_batchnorm.py",
            (EXACT, OWN_TESTS),
        ),
        Subject(
            "reference/torch_batchnorm.py",
            (
                suite("reference:torch", "smoke"),
                suite("reference:torch", "smoke", "torch", unbiased=False),
                OWN_TESTS,
            ),
        ),
    )
}

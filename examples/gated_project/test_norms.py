"""The project's own tests: each batch norm is judged clause by clause, under the name of this file."""

from __future__ import annotations

from collections.abc import Callable

from norms import FoldedBatchNorm, LeanBatchNorm

import bnspec

QUICK = {"profile": "smoke", "dtypes": ["float32"]}


@bnspec.parametrize_with_checks(FoldedBatchNorm, **QUICK)
def test_folded(check: Callable[[], None]) -> None:
    """One clause, or the verdict."""
    check()


@bnspec.parametrize_with_checks(LeanBatchNorm, **QUICK)
def test_lean(check: Callable[[], None]) -> None:
    """One clause, or the verdict."""
    check()

"""Errors in units of their bounds, where numbers are no numbers and bounds are none."""

from __future__ import annotations

import numpy as np
import pytest
from bnspec.conformance.compare import compare

from bnspec.spec.precision import DOUBLE

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("observed", "exact", "bound", "ratio"),
    [
        (1.5, 1.0, 1.0, 0.5),
        (1.0, 1.0, 0.0, 0.0),
        (2.0, 1.0, 0.0, INF),
        (NAN, 1.0, 1.0, INF),
        (1.0, NAN, 1.0, INF),
        (INF, 1.0, 1.0, INF),
        (INF, INF, 1.0, INF),
        (NAN, 1.0, INF, None),
        (1.0, 1.0, NAN, None),
    ],
)
@pytest.mark.parametrize("beside", [None, 9.0, NAN])
def test_what_is_no_number_is_off_by_no_bound_unless_nothing_is_claimed(
    observed: float, exact: float, bound: float, ratio: float | None, beside: float | None
) -> None:
    """`beside` is another value, of which nothing is claimed."""
    rows = [(observed, exact, bound), *([] if beside is None else [(beside, 0.0, INF)])]
    seen, right, limit = (np.array([column]) for column in zip(*rows, strict=True))
    assert compare("y", seen, right, limit, DOUBLE).ratio == ratio

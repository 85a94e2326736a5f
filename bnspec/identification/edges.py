"""What becomes of batches that have no variance or no values, of whole numbers and of low precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bnspec.engine.isolation import find_ending
from bnspec.identification.answers import FINE, Answer
from bnspec.identification.bench import Bench, flat, rows
from bnspec.identification.evaluation import probe_untracked
from bnspec.layers.protocol import Array, Layer, State, SubjectError, as_dtype
from bnspec.spec.formats import FORMATS

LOW = ("float16", "bfloat16")
PLAIN_S = 10.0
"""How long a plain batch may take in a child."""


def probe_edges(bench: Bench) -> list[Answer]:
    """one_value, empty_batch, integer_input, low_precision_output, eval_without_statistics."""
    probes: dict[str, Callable[[Bench], Answer]] = {
        "one_value": probe_one_value,
        "empty_batch": probe_empty_batch,
        "integer_input": probe_integers,
        "low_precision_output": probe_low_precision,
        "eval_without_statistics": probe_untracked,
    }
    # A child cannot call a layer that waits for threads which the fork left behind: it then is tried out here.
    # A shape that was not met before makes sure that they are called upon.
    plain = bench.batch(1, values=22)
    apart = bench.implementation.forks and find_ending(lambda: bench.run(bench.make(), plain), PLAIN_S) is None
    return [_attempt(bench, field, probe, apart) for field, probe in probes.items()]


def _attempt(bench: Bench, field: str, probe: Callable[[Bench], Answer], apart: bool) -> Answer:
    """In a child first, where there can be one: what ends it, or never comes back, would end this process too."""
    ending = find_ending(lambda: probe(bench)) if apart else None
    if ending is not None:
        return Answer(field, needs=f"a layer that comes back from it: it {ending.words}")
    return probe(bench)


def probe_one_value(bench: Bench) -> Answer:
    """Training on one value a channel: zeros is y = beta, with buffers that stay finite."""
    x = bench.batch(1, values=1)
    try:
        layer = bench.make()
        before = layer.state()
        layer.load(replace(before, gamma=_fill(before.gamma, 2.0), beta=_fill(before.beta, 3.0)))
        before = layer.state()
        y = bench.run(layer, x)
        after = layer.state()
    except SubjectError as error:
        return Answer("one_value", "refuse", error.reason)
    beta = 0.0 if before.beta is None else before.beta.reshape(-1, 1).astype(np.float64)
    margin = FORMATS[bench.formats[-1]].unit_roundoff ** FINE
    values = rows(y) if y.shape == x.shape else np.full(rows(x).shape, np.nan)
    if np.allclose(values, rows(x), margin, 0):
        return Answer("one_value", "x", "y = x")
    finite = _is_finite(after)
    zeros = np.all(abs(values - beta) <= margin) and finite
    seen = f"y = {values.ravel()[0]:.4g}" + ("" if finite else ", and running statistics that are not finite")
    return Answer("one_value", "zeros" if zeros else "as is", seen)


def _fill(parameter: Array | None, value: float) -> Array | None:
    return None if parameter is None else np.full_like(parameter, value)


def probe_empty_batch(bench: Bench) -> Answer:
    """Training on no example."""
    x = bench.batch(1)[:0]
    try:
        layer = bench.make()
        bench.run(layer, bench.batch(2))
        before = layer.state()
        bench.run(layer, x)
        after = layer.state()
    except SubjectError as error:
        return Answer("empty_batch", "refuse", error.reason)
    buffers = [(flat(s.running_mean), flat(s.running_var)) for s in (before, after)]
    if buffers[0][0] is None:
        return Answer("empty_batch", "untouched", "an empty output")
    same = all(np.array_equal(a, b) for a, b in zip(*buffers, strict=True) if a is not None and b is not None)
    if same:
        return Answer("empty_batch", "untouched", "the same buffers")
    if not _is_finite(after):
        return Answer("empty_batch", "nan", "buffers that are no numbers")
    return Answer("empty_batch", needs="buffers that stay, or become NaN: they took other values")


def probe_integers(bench: Bench) -> Answer:
    """Training on int64."""
    try:
        y = bench.run(bench.make(), (bench.batch(1) * 100 / bench.structure.eps**0.5).astype(np.int64))
    except SubjectError as error:
        return Answer("integer_input", "refuse", error.reason)
    return Answer("integer_input", "truncate" if y.dtype.kind in "iu" else "convert", f"y of dtype {y.dtype}")


def probe_low_precision(bench: Bench) -> Answer:
    """A low x with parameters in float32; where y is float32, all of it low tells whether the parameters rule."""
    field, reason = "low_precision_output", ""
    for low in LOW:
        y, reason = _try_low(bench, f"mixed_{low}", low)
        if y is None:
            continue
        seen = f"y of dtype {y.dtype} for x of {low}"
        if str(y.dtype) == low:
            return Answer(field, "as x", seen)
        if str(y.dtype) != "float32":
            return Answer(field, seen=seen, needs="a low precision or float32")
        narrow, refused = _try_low(bench, low, low)
        if narrow is None:
            return Answer(field, seen=seen, needs=f"parameters in {low} too, which {refused}")
        return Answer(field, "promoted" if str(narrow.dtype) == low else "float32", seen)
    for low in LOW:
        y, _ = _try_low(bench, low, low)
        if y is not None:
            seen = f"y of dtype {y.dtype} where all is {low}; beside parameters in float32 it {reason}"
            return Answer(field, seen=seen, needs="a low x beside parameters in float32")
    return Answer(field, "refuse", reason)


def _try_low(bench: Bench, precision: str, dtype: str) -> tuple[Array | None, str]:
    """y, or why there is none."""
    try:
        layer: Layer = bench.make(dtype=precision)
        y = bench.run(layer, bench.batch(1, dtype=dtype))
    except SubjectError as error:
        return None, error.reason
    return y, ""


def _is_finite(state: State) -> bool:
    arrays: list[Any] = [state.running_mean, state.running_var]
    return all(a is None or bool(np.isfinite(a.astype(as_dtype("float64"))).all()) for a in arrays)

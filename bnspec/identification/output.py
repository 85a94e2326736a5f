"""What y of a training batch shows: by which statistics it was normalised, where eps stands and in which format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np

from bnspec.identification.answers import INSIDE, RUNNING, Answer, fit
from bnspec.identification.bench import Bench, Floats, rows, running
from bnspec.layers.protocol import Array, State, SubjectError, as_dtype

PLACES: Mapping[str, Callable[[Floats, float], Floats]] = {
    INSIDE: lambda var, eps: np.sqrt(var + eps),
    "outside the root": lambda var, eps: np.sqrt(var) + eps,
    "as a floor under the variance": lambda var, eps: np.sqrt(np.maximum(var, eps)),
    "as a floor under the deviation": lambda var, eps: np.maximum(np.sqrt(var), eps),
    "nowhere": lambda var, eps: np.sqrt(var),  # noqa: ARG005  # one of several alike
}
"""What xhat is divided by. All implementations that were met have eps inside; elsewhere it is a mistake."""


STALE = "running, before the update"
"""Of those that training changes: no dialect does so."""


class Statistics(NamedTuple):
    """A candidate for what normalised a batch."""

    statistics: str
    variance: str
    place: str
    constants: str


def probe_output(bench: Bench) -> list[Answer]:
    """normalises_with, training_statistics, constants (as eps shows them) and where eps stands."""
    fields = ("training_statistics", "normalises_with", "constants", "eps_place")
    try:
        x, y, before, after = _train(bench)
    except SubjectError as error:
        return [Answer(f, needs=f"a training pass, which {error.reason}") for f in fields]
    candidates = dict(list_candidates(bench, x, before, after))
    found = fit(rows(y) if y.shape == x.shape else np.zeros(0), candidates, bench.formats)
    if not found.keys:
        own = _find_own_eps(bench, x, y, before, after)
        if own is not None:
            return own
        needs = "a layer whose y is (x - mean)/sqrt(var + eps) by some mean and variance: `bnspec certify` says more"
        return [Answer(f, needs=needs, odd=True) for f in fields]
    seen = f"y of {rows(x).shape[1]} values a channel"
    statistics = found.told(lambda k: k.statistics)
    if {k.statistics for k in found.keys} == {RUNNING, STALE}:
        statistics = RUNNING  # nothing is stored
    told: dict[str, str | None] = {
        "training_statistics": statistics,
        "normalises_with": found.told(lambda k: k.variance) if statistics == "batch" else None,
        "constants": found.told(lambda k: k.constants),
        "eps_place": found.told(lambda k: k.place),
    }
    wanting = {
        "training_statistics": "running statistics that are not those of the batch",
        "normalises_with": "training that normalises with a variance of the batch",
        "constants": f"results in float64 that depend on eps: these have the accuracy of {found.format}",
        "eps_place": "an eps as large as a variance",
    }
    spoken = {"training_statistics": statistics != STALE}
    return [
        Answer(f, told[f], seen, spoken=spoken.get(f, True))
        if told[f] is not None
        else Answer(f, seen=seen, needs=wanting[f])
        for f in fields
    ]


def _train(bench: Bench) -> tuple[Array, Array, State, State]:
    """A batch, what came of it, and the state before and after: running statistics are of another batch's size."""
    layer, (x, loaded, first) = bench.make(), (_narrow(bench, draw) for draw in (1, 7, 2))
    if bench.offers("running_statistics"):
        dtype = as_dtype(bench.structure.parameters)
        other = rows(loaded)
        layer.load(State(running_mean=other.mean(1).astype(dtype), running_var=other.var(1).astype(dtype)))
        bench.run(layer, first)  # the first batch may replace what was there
    before = layer.state()
    y = bench.run(layer, x)
    return x, y, before, layer.state()


def _narrow(bench: Bench, draw: int) -> Array:
    """A batch of which the first of several channels has a deviation below eps, where a floor of eps under it shows."""
    x = bench.batch(draw)
    if x.shape[1] > 1:
        x[:, 0] *= bench.structure.eps**0.5
    return x


def _find_own_eps(bench: Bench, x: Array, y: Array, before: State, after: State) -> list[Answer] | None:
    """The answers for a layer that adds one number to a variance, another than the eps that it was asked for."""
    values, (gamma, beta) = rows(x), _read_parameters(x, before)
    for (statistics, variance), (mean, var) in _list_sources(x, before, after).items():
        with np.errstate(all="ignore"):
            slopes = gamma[:, None] * (values - mean[:, None]) / (rows(y) - beta[:, None]) if y.shape == x.shape else 0
            added = np.square(slopes) - var[:, None]
        if np.size(added) and np.ptp(added) < 1e-5 * np.abs(var).max() and added.min() > -1e-9:
            seen = f"y of {values.shape[1]} values a channel"
            place = f"inside the root as {np.median(added):.3g} where {bench.structure.eps:.3g} is asked for"
            told = {"training_statistics": statistics, "normalises_with": variance or None, "eps_place": place}
            answers = [Answer(f, value, seen, spoken=statistics != STALE) for f, value in told.items() if value]
            missing = "training that normalises with a variance of the batch"
            answers += [] if variance else [Answer("normalises_with", seen=seen, needs=missing)]
            return [*answers, Answer("constants", seen=seen, needs="an eps that is added as it is asked for")]
    return None


def _list_sources(x: Array, before: State, after: State) -> dict[tuple[str, str], tuple[Floats, Floats]]:
    """Mean and variance by whose they are and which."""
    values = rows(x)
    m = values.shape[1]
    sources = {
        ("batch", "biased"): (values.mean(1), values.var(1)),
        ("batch", "unbiased"): (values.mean(1), values.var(1) * m / (m - 1)),
    }
    for state in (before, after):
        buffers = running(state)
        if buffers is not None:
            sources[RUNNING if state is after else STALE, ""] = buffers
    return sources


def _read_parameters(x: Array, state: State) -> tuple[Floats, Floats]:
    """gamma and beta, (C,) each, 1 and 0 where there are none."""
    gamma, beta = (
        np.full(x.shape[1], missing) if p is None else p.reshape(-1).astype(np.float64)
        for p, missing in ((state.gamma, 1.0), (state.beta, 0.0))
    )
    return gamma, beta


def list_candidates(bench: Bench, x: Array, before: State, after: State) -> Iterator[tuple[Statistics, Floats]]:
    """y of a batch as (C, m), by each of the statistics and each place of eps."""
    values, eps = rows(x), bench.structure.eps
    sources, (gamma, beta) = _list_sources(x, before, after), _read_parameters(x, before)
    kept = {"native": eps, "float32": float(np.float32(eps))}
    for source, place, constants in product(sources, PLACES, kept):
        mean, var = sources[source]
        with np.errstate(all="ignore"):
            xhat = (values - mean[:, None]) / PLACES[place](var, kept[constants])[:, None]
        yield Statistics(source[0], source[1], place, constants), xhat * gamma[:, None] + beta[:, None]

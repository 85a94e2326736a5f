"""What normalises in evaluation. Every dialect says the running statistics: of a layer without any, something else."""

from __future__ import annotations

from itertools import product

import numpy as np

from bnspec.identification.answers import INSIDE, RUNNING, Answer, fit
from bnspec.identification.bench import Bench, rows, running
from bnspec.identification.output import PLACES, list_candidates
from bnspec.layers.protocol import SubjectError

FIELD = "evaluation"


def probe_evaluation(bench: Bench) -> Answer:
    """By the running statistics or by the batch, of a layer that has trained twice."""
    if not bench.offers("evaluation", "running_statistics"):
        return Answer(FIELD, "not offered", "there is no such mode, or there are no running statistics")
    x = bench.batch(5)
    try:
        layer = bench.make()
        for draw in (1, 2):
            bench.run(layer, bench.batch(draw))
        state = layer.state()
        y = layer.run(x, training=False).y
    except SubjectError as error:
        return Answer(FIELD, needs=f"an evaluation, which {error.reason}", odd=True)
    candidates = dict(list_candidates(bench, x, state, state))
    found = fit(rows(y) if y.shape == x.shape else np.zeros(0), candidates, bench.formats)
    value = found.told(lambda key: RUNNING if key.statistics != "batch" else "batch")
    places = {key.place for key in found.keys}
    if value is not None and INSIDE not in places:
        value = f"{value}, with eps {' or '.join(sorted(places))}"
    seen = f"y of {rows(x).shape[1]} values a channel after two training batches"
    needs = "" if value else "a y that is (x - mean)/sqrt(var + eps) by the running statistics or those of the batch"
    return Answer(FIELD, value, seen, needs, odd=value is None)


def probe_untracked(bench: Bench) -> Answer:
    """Evaluation by a layer without running statistics."""
    field, x = "eval_without_statistics", bench.batch(1)
    try:
        layer = bench.make(tracked=False)
        left_out = running(layer.state()) is None
        layer.run(x, training=True)
    except SubjectError:
        left_out = False
    if not left_out:
        return Answer(field, "not offered", "running statistics cannot be left out")
    try:
        y = layer.run(x, training=False).y
    except SubjectError as error:
        return Answer(field, "refuse", error.reason)
    batch = rows(x)
    m = batch.shape[1]
    xhat = {
        (place, k): (batch - batch.mean(1, keepdims=True))
        / PLACES[place](batch.var(1) * m / k, bench.structure.eps)[:, None]
        for place, k in product(PLACES, (m, m - 1))
    }
    found = fit(rows(y) if y.shape == x.shape else np.zeros(0), xhat, bench.formats)
    needs = "" if found.keys else "the statistics of the batch, or an error"
    return Answer(field, "batch" if found.keys else None, "y", needs)

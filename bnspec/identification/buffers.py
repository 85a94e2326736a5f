"""What three training batches leave in the running statistics: how much each weighs, and which variance is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from bnspec.identification.answers import Answer, fit
from bnspec.identification.bench import Bench, Floats, rows, running
from bnspec.layers.protocol import Array, State, SubjectError

BATCHES = 3
SIZE = 1.0
"""Of the batches: as large as what buffers start from, beside which those of the size of a small sqrt(eps) are lost."""


ALIKE, FIXED = 1e-2, 1e-6
"""Weights that differ by less from channel to channel are of one average; from batch to batch, of one momentum."""
FIELDS = ("stores", "momentum_weighs", "average", "constants", "weights")


class Average(NamedTuple):
    """A candidate for how the batches are averaged."""

    weighs: str
    average: str
    constants: str


AVERAGES: Mapping[str, Callable[[Floats, int], Floats]] = {
    "plain": lambda w, k: w,  # noqa: ARG005  # one of several alike
    "debiased": lambda w, k: w / (1 - (1 - w) ** (k + 1)),
    "first copied": lambda w, k: w if k else np.ones_like(w),
}
"""The weight of batch k, from 0 on, where one batch weighs w."""


class Trained(NamedTuple):
    """The batches that a new layer was trained on, and its states: before the first, and after each."""

    batches: list[Array]
    states: list[State]


def train(bench: Bench, momentum: float | None) -> Trained:
    """Train a new layer. Raises SubjectError."""
    layer = bench.make(momentum=momentum, untouched=True)
    batches, states = [bench.batch(draw, size=SIZE) for draw in range(BATCHES)], [layer.state()]
    for x in batches:
        bench.run(layer, x)
        states.append(layer.state())
    return Trained(batches, states)


def probe_buffers(bench: Bench) -> list[Answer]:
    """stores, momentum_weighs, average, constants (as momentum shows them), and the weights themselves."""
    try:
        trained = train(bench, bench.structure.momentum)
    except SubjectError as error:
        return [Answer(f, needs=f"training, which {error.reason}") for f in FIELDS]
    start = infer_start(trained)
    if start is not None and bench.offers("late_statistics"):
        start = _or_zero(start[0]), _or_zero(start[1])
    buffers = [start, *(running(state) for state in trained.states[1:])]
    if any(b is None for b in buffers):
        return _tell_nothing("there are no running statistics")
    if all(_same(b, buffers[0]) for b in buffers):
        if bench.implementation.promises.momentum in (0.0, 1.0):
            return [Answer(f, needs=f"another momentum than {bench.structure.momentum}") for f in FIELDS]
        return _tell_nothing(f"{BATCHES} batches change no buffer")
    means, variances = (np.array(each) for each in zip(*(b for b in buffers if b), strict=True))
    seen = weigh(means, np.array([rows(x).mean(1) for x in trained.batches]))
    apart = _tell_apart(seen, variances, trained.batches)
    if apart is not None:
        return apart
    stored = _tell_stored(bench, seen, variances, trained.batches)
    if np.ptp(seen, axis=1).max() > ALIKE:
        needs = "a running mean that blends each batch into what was there, channel by channel alike"
        return [stored, *(Answer(f, needs=needs, odd=True) for f in FIELDS[1:])]
    weights = Answer("weights", _list(seen), f"the running mean after {BATCHES} batches")
    return [stored, *_tell_average(bench, trained, seen), weights]


def _list(weights: Floats) -> str:
    return ", ".join(f"{weight:.4g}" for weight in weights.mean(1))


def _tell_apart(by_mean: Floats, variances: Floats, batches: list[Array]) -> list[Answer] | None:
    """The answers for a layer whose running variance is averaged in another way than its running mean."""
    m, biased = rows(batches[0]).shape[1], np.array([rows(x).var(1) for x in batches])
    if by_mean.shape[1] == 1:
        return None  # one channel agrees with itself, whatever variance is stored
    for variance, of_batch in (("biased", biased), ("unbiased", biased * m / (m - 1))):
        by_var = weigh(variances, of_batch)
        told = max(np.ptp(each, axis=1).max() for each in (by_mean, by_var)) < ALIKE
        if told and np.abs(by_var - by_mean).max() > ALIKE:
            stored = Answer("stores", variance, f"the running variance after batches of {m} values a channel")
            needs = (
                f"one average for both: the running mean weighs {BATCHES} batches {_list(by_mean)}, and the running"
                f" variance {_list(by_var)}"
            )
            return [stored, *(Answer(f, needs=needs, odd=True) for f in FIELDS[1:])]
    return None


def count_before(bench: Bench, trained: Trained, seen: Floats) -> int:
    """How many batches an instance has trained on: by its counter or, of a plain average, by the first weight."""
    if not bench.implementation.ready_made:
        return 0
    counted = trained.states[0].batches
    return round(1 / seen[0].mean()) - 1 if counted is None and np.all(seen[0] > 0) else counted or 0


def infer_start(trained: Trained) -> tuple[Floats, Floats] | None:
    """Running mean and variance of the new layer; where its first batch made them, what it must have met if it weighed
    as much as the second. Only one number for all channels is an answer then.
    """
    first, *others = (running(state) for state in trained.states)
    if first is not None or any(each is None for each in others):
        return first
    means, variances = (np.array(each) for each in zip(*(b for b in others if b), strict=True))
    batches = [rows(x) for x in trained.batches]
    weight = weigh(means, np.array([x.mean(1) for x in batches[1:]]))[0]
    with np.errstate(all="ignore"):
        bessel = (variances[0] + (variances[1] - variances[0]) / weight) / batches[1].var(1)
        mean = (means[0] - weight * batches[0].mean(1)) / (1 - weight)
        var = (variances[0] - weight * bessel * batches[0].var(1)) / (1 - weight)
    return np.round(mean, 6) + 0.0, np.round(var, 6) + 0.0


def _or_zero(start: Floats) -> Floats:
    return start if np.all(start == start[0]) else np.zeros_like(start)


def _tell_nothing(seen: str) -> list[Answer]:
    return [Answer("stores", "nothing", seen), *(Answer(f, needs="something stored") for f in FIELDS[1:])]


def _same(one: tuple[Floats, Floats] | None, other: tuple[Floats, Floats] | None) -> bool:
    return one is not None and other is not None and all(map(np.array_equal, one, other))


def weigh(kept: Floats, batch: Floats) -> Floats:
    """The weight that each batch got, (BATCHES, C), from running means (BATCHES + 1, C) and those of the batches."""
    with np.errstate(all="ignore"):
        return np.asarray((kept[1:] - kept[:-1]) / (batch - kept[:-1]))


def _tell_stored(bench: Bench, weights: Floats, kept: Floats, batches: list[Array]) -> Answer:
    """From the later batches: the first may meet an initial value that is treated in a way of its own."""
    later = range(1, BATCHES)
    with np.errstate(all="ignore"):
        seen = np.array([kept[k] + (kept[k + 1] - kept[k]) / weights[k] for k in later])
    biased = np.array([rows(batches[k]).var(1) for k in later])
    m = rows(batches[0]).shape[1]
    found = fit(seen, {"biased": biased, "unbiased": biased * m / (m - 1)}, bench.formats)
    words = f"the running variance after batches of {m} values a channel"
    value = found.told(str)
    needs = "" if value else "a running variance that blends in that of each batch"
    return Answer("stores", value, words, needs, odd=value is None)


def _tell_average(bench: Bench, trained: Trained, seen: Floats) -> Iterator[Answer]:
    momentum, promises = bench.structure.momentum, bench.implementation.promises
    absent = promises.momentum == "absent"
    words = f"the weights of {BATCHES} batches" + ("" if absent else f" at momentum {momentum}")
    if momentum is None:
        yield from (Answer(f, needs="a momentum that is a number") for f in ("momentum_weighs", "average", "constants"))
        return
    candidates = {key: np.broadcast_to(weights[:, None], seen.shape) for key, weights in _average(momentum)}
    found = fit(seen, {} if absent else candidates, bench.formats)
    if not found.keys and np.ptp(seen) < FIXED:
        weight = f"{seen.mean():.4g}"
        heeded = f"a momentum that is heeded: at {momentum} as well a batch weighs {weight}"
        declared = f"the momentum in use, bnspec_momentum = ...: a batch weighs {weight}"
        for field in ("momentum_weighs", "constants"):
            yield Answer(field, needs=declared if absent else heeded, odd=not absent)
        yield Answer("average", "plain", words)
        return
    other = "0.5, at which both weigh the same" if momentum == 0.5 else f"{momentum}"
    needs = {
        "momentum_weighs": f"another momentum than {other}",
        "average": f"another momentum than {momentum}",
        "constants": "results in float64" if found.format == "float32" else f"another momentum than {momentum}",
    }
    told = {
        "momentum_weighs": found.told(lambda key: key.weighs),
        "average": found.told(lambda key: key.average),
        "constants": found.told(lambda key: key.constants),
    }
    if told["average"] == "plain" and bench.implementation.ready_made and trained.states[0].batches != 0:
        told["average"], needs["average"] = None, "a new layer: an instance may have trained already"
    for field, value in told.items():
        yield Answer(field, value, words, "" if value else needs[field], odd=not found.keys)


def _average(momentum: float) -> Iterator[tuple[Average, Floats]]:
    """Momentum as it is, rounded to float32, or taken from 1 in float32."""
    single = np.float32(momentum)
    weights = {
        ("new", "native"): momentum, ("old", "native"): 1 - momentum, ("new", "float32"): float(single),
        ("old", "float32"): 1 - float(single), ("old", "formed in float32"): float(np.float32(1) - single),
    }  # fmt: skip
    for (weighs, constants), weight in weights.items():
        for average, of in AVERAGES.items():
            with np.errstate(all="ignore"):
                yield Average(weighs, average, constants), np.array([of(np.asarray(weight), k) for k in range(BATCHES)])

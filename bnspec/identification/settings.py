"""How a layer is made and what it starts with: defaults, initial buffers, axes, and what may be left out."""

from __future__ import annotations

from itertools import product

import numpy as np

from bnspec.identification.answers import Answer, fit
from bnspec.identification.bench import Bench, Floats, rows, running
from bnspec.identification.buffers import infer_start, train, weigh
from bnspec.identification.output import PLACES
from bnspec.layers.protocol import Array, SubjectError
from bnspec.spec.formats import FORMATS


def probe_settings(bench: Bench) -> list[Answer]:
    """The defaults, what new layers hold, momentum=None, and evaluation without running statistics."""
    return [
        *_read_defaults(bench),
        *_read_buffers(bench),
        _probe_channel_axis(bench),
        Answer("ranks", bench.implementation.promises.ranks, "batches of these ranks come back"),
        _probe_momentum_none(bench),
        _probe_untracked(bench),
    ]


def _read_defaults(bench: Bench) -> list[Answer]:
    found = bench.implementation.defaults
    return [
        Answer(f"{name}_default", found[name], "the signature")
        if name in found
        else Answer(f"{name}_default", needs="a default in the signature of a class or function")
        for name in ("momentum", "eps")
    ]


def _read_buffers(bench: Bench) -> list[Answer]:
    fields = ("initial_mean", "initial_var", "buffer_shape")
    try:
        state = bench.make().state()
        late = bench.offers("late_statistics")
        start = infer_start(train(bench, bench.structure.momentum)) if late else running(state)
    except SubjectError as error:
        return [Answer(f, needs=f"a layer, which {error.reason}") for f in fields]
    if start is None:
        none = Answer("buffer_shape", "none", "there are no buffers")
        return [*(Answer(f, needs="buffers") for f in fields[:2]), none]
    if not late and not bench.offers("initial_state"):
        return [Answer(f, needs="buffers of the layer's own, new ones") for f in fields]
    answers = []
    seen = "what the first batch meets: it makes the buffers" if late else "a new layer"
    for field, values in zip(fields, start, strict=False):
        same = bool(np.all(values == values[0]))
        needs = "" if same else "one number for all channels"
        answers.append(Answer(field, _name_value(bench, field, float(values[0])) if same else None, seen, needs))
    assert state.running_mean is not None  # `running` gave both
    shape = tell_shape(state.running_mean.shape, bench.structure.channels, bench.structure.rank)
    return [*answers, Answer("buffer_shape", shape, f"{state.running_mean.shape} in a new layer")]


def _name_value(bench: Bench, field: str, value: float) -> float | str:
    """A number, unless it is formed of eps, whose steps round in float32 where the layer was converted afterwards."""
    eps, u = bench.structure.eps, max(FORMATS[name].unit_roundoff for name in (bench.structure.parameters, "float32"))
    formed = field == "initial_var" and value != 1.0 and abs(value - (1 - eps)) <= 2 * u * (1 + 2 * eps)
    return "1 - eps" if formed else value


def tell_shape(shape: tuple[int, ...], channels: int, rank: int) -> str:
    """(C,), or with C for the channels and dots where there is a 1 for each axis of the batch."""
    letters = ["C" if length == channels else str(length) for length in shape]
    if len(shape) == rank > 2 and set(letters) == {"1", "C"}:
        at = letters.index("C")
        return "(1, ..., 1, C)" if at == rank - 1 else f"({', '.join(letters[: at + 1])}, 1, ..., 1)"
    return f"({', '.join(letters)}{',' if len(letters) == 1 else ''})"


def _probe_channel_axis(bench: Bench) -> Answer:
    """What adapters declare; else where the channel is in a batch that comes back normalised."""
    field, declared = "channel_axis", bench.implementation.channel_axis
    if declared is not None:
        return Answer(field, declared, "declared: batches are handed over so")
    if max(bench.implementation.promises.ranks) > 2:
        return Answer(field, 1, "batches (N, C, ...) are normalised")
    try:
        y = bench.run(bench.make(), _last(bench))
    except SubjectError as error:
        return Answer(field, needs=f"batches of more than rank 2, on which it {error.reason}")
    means = np.abs(y.reshape(-1, y.shape[-1]).mean(0)).max() if y.ndim == 3 else np.inf
    if means < 1e-3:
        return Answer(field, -1, "a batch (N, D, C) is normalised over N and D")
    return Answer(field, needs="batches of more than rank 2: in those of rank 2 axis 1 is the last")


def _last(bench: Bench) -> Array:
    """A batch (4, 5, C)."""
    x = np.random.RandomState(3).standard_normal((4, 5, bench.structure.channels))
    return np.asarray(x + 1).astype(bench.structure.storage)


def _probe_momentum_none(bench: Bench) -> Answer:
    """The weights of three batches, or what is raised."""
    field, momentum = "momentum_none", bench.implementation.promises.momentum
    if not bench.offers("running_statistics") or momentum not in ("free", "average"):
        return Answer(field, "not offered", "momentum cannot be chosen")
    try:
        trained = train(bench, None)
        means = np.array([running(s)[0] for s in trained.states])  # type: ignore[index]  # it has running statistics
        seen = weigh(means, np.array([rows(x).mean(1) for x in trained.batches]))
    except SubjectError as error:
        return Answer(field, "refused", error.reason)
    found = fit(seen, {"cumulative": _plain(seen)}, bench.formats)
    words = ", ".join(f"{weight:.4g}" for weight in seen.mean(1))
    if found.keys:
        return Answer(field, "cumulative", f"batches weigh {words}")
    return Answer(field, needs=f"the plain average, or an error: batches weigh {words}")


def _plain(like: Floats) -> Floats:
    """1, 1/2, 1/3."""
    return np.broadcast_to(1 / np.arange(1, len(like) + 1)[:, None], like.shape)


def _probe_untracked(bench: Bench) -> Answer:
    """Evaluation by a layer without running statistics."""
    field = "eval_without_statistics"
    tracked = bench.offers("running_statistics")
    if tracked and not bench.offers("untracked"):
        return Answer(field, "not offered", "running statistics cannot be left out")
    x = bench.batch(1)
    try:
        y = (bench.make(tracked=False) if tracked else bench.make()).run(x, training=False).y
    except SubjectError as error:
        return Answer(field, "refuse", error.reason)
    batch = rows(x)
    m = batch.shape[1]
    xhat = {
        (place, k): (batch - batch.mean(1, keepdims=True))
        / PLACES[place](batch.var(1) * m / k, bench.structure.eps)[:, None]
        for place, k in product(PLACES, (m, m - 1))
    }
    found = fit(rows(y), xhat, bench.formats)
    needs = "" if found.keys else "the statistics of the batch, or an error"
    return Answer(field, "batch" if found.keys else None, "y", needs)

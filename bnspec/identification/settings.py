"""How a layer is made and what it starts with: defaults, initial buffers, axes, and what may be left out."""

from __future__ import annotations

import numpy as np

from bnspec.identification.answers import Answer, fit
from bnspec.identification.bench import Bench, Floats, rows, running
from bnspec.identification.buffers import count_before, infer_start, train, weigh
from bnspec.layers.protocol import Array, SubjectError
from bnspec.spec.formats import FORMATS


def probe_settings(bench: Bench) -> list[Answer]:
    """The defaults, what new layers hold, the channel axis, the ranks, and momentum=None."""
    return [
        *_read_defaults(bench),
        *_read_buffers(bench),
        _probe_channel_axis(bench),
        Answer("ranks", bench.implementation.promises.ranks, "batches (N, C, ...) of these ranks come back"),
        _probe_momentum_none(bench),
    ]


def _read_defaults(bench: Bench) -> list[Answer]:
    found, answers = bench.implementation.defaults, []
    for name in ("momentum", "eps"):
        told, signature = found.get(name), "a number as its default in the signature of a class or function"
        needs = f"{signature}, which has None" if name in found else signature
        seen = "" if told is None else "the signature"
        answers.append(Answer(f"{name}_default", told, seen, "" if told is not None else needs))
    return answers


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
    assert state.running_mean is not None  # `running` gave both
    shape = tell_shape(state.running_mean.shape, bench.structure.channels, bench.structure.rank)
    told = Answer(fields[2], shape, f"{state.running_mean.shape}", "" if shape else "more than one channel")
    if not late and not bench.offers("initial_state"):
        own = "buffers of the layer's own, new ones"
        shaped = told if bench.implementation.ready_made else Answer(fields[2], needs=own)
        return [*(Answer(f, needs=own) for f in fields[:2]), shaped]
    answers = []
    seen = "what the first batch meets: it makes the buffers" if late else "a new layer"
    for field, values in zip(fields, start, strict=False):
        same = bool(np.all(values == values[0]))
        needs = "" if same else "one number for all channels"
        answers.append(Answer(field, _name_value(bench, field, float(values[0])) if same else None, seen, needs))
    return [*answers, told]


def _name_value(bench: Bench, field: str, value: float) -> float | str:
    """A number, unless it is formed of eps, whose steps round in float32 where the layer was converted afterwards."""
    eps, u = bench.structure.eps, max(FORMATS[name].unit_roundoff for name in (bench.structure.parameters, "float32"))
    formed = field == "initial_var" and value != 1.0 and abs(value - (1 - eps)) <= 2 * u * (1 + 2 * eps)
    return "1 - eps" if formed else value


def tell_shape(shape: tuple[int, ...], channels: int, rank: int) -> str | None:
    """(C,), or with C for the channels and dots where there is a 1 for each axis of the batch.

    None where one channel is like any other 1.
    """
    if channels == 1:
        return "(C,)" if len(shape) == 1 else None
    letters = ["C" if length == channels else str(length) for length in shape]
    if len(shape) == rank > 2 and set(letters) == {"1", "C"}:
        at = letters.index("C")
        return "(1, ..., 1, C)" if at == rank - 1 else f"({', '.join(letters[: at + 1])}, 1, ..., 1)"
    return f"({', '.join(letters)}{',' if len(letters) == 1 else ''})"


def _probe_channel_axis(bench: Bench) -> Answer:
    """What is declared; else where the channel is in a batch that comes back normalised."""
    field, declared = "channel_axis", bench.implementation.channel_axis
    if declared is not None:
        return Answer(field, declared, "declared: batches are handed over so")
    wanted = "batches of more than rank 2"
    needs = f"{wanted} that come back normalised channel by channel"
    for axis, x in ((1, bench.batch(1)), (-1, _last(bench))):
        if x.ndim == 2:
            continue
        try:
            y = bench.run(bench.make(), x)
        except SubjectError as error:
            needs = f"{wanted}, on which it {error.reason}" if bench.structure.rank == 2 else needs
            continue
        if y.shape == x.shape and _is_one_line(x, y, axis) and not _is_one_line(x, y, -1 if axis == 1 else 1):
            shape, over = ("(N, C, ...)", "all but C") if axis == 1 else ("(N, D, C)", "N and D")
            return Answer(field, axis, f"a batch {shape} is normalised over {over}")
    return Answer(field, needs=needs)


def _is_one_line(x: Array, y: Array, axis: int) -> bool:
    """Is y a x + b, with an a and a b for each place of the axis?"""
    pairs = zip(
        *(np.moveaxis(each, axis, 0).reshape(each.shape[axis], -1).astype(np.float64) for each in (x, y)), strict=True
    )
    with np.errstate(all="ignore"):
        return all(abs(np.corrcoef(*pair)[0, 1]) > 1 - 1e-4 for pair in pairs)


def _last(bench: Bench) -> Array:
    """A batch (4, 5, C)."""
    x = np.random.RandomState(3).standard_normal((4, 5, bench.structure.channels))
    return np.asarray(x + 1).astype(bench.structure.storage)


def _probe_momentum_none(bench: Bench) -> Answer:
    """The weights of three batches, or what is raised."""
    field, momentum = "momentum_none", bench.implementation.promises.momentum
    if not bench.offers("running_statistics"):
        return Answer(field, "not offered", "there are no running statistics")
    if momentum not in ("free", "average"):
        return Answer(field, "not offered", "momentum cannot be chosen")
    try:
        trained = train(bench, None)
        means = np.array([running(s)[0] for s in trained.states])  # type: ignore[index]  # it has running statistics
        seen = weigh(means, np.array([rows(x).mean(1) for x in trained.batches]))
    except SubjectError as error:
        return Answer(field, "refused", error.reason)
    found = fit(seen, {"cumulative": _plain(seen, count_before(bench, trained, seen))}, bench.formats)
    words = ", ".join(f"{weight:.4g}" for weight in seen.mean(1))
    if found.keys:
        return Answer(field, "cumulative", f"batches weigh {words}")
    return Answer(field, needs=f"the plain average, or an error: batches weigh {words}")


def _plain(like: Floats, before: int) -> Floats:
    """1, 1/2, 1/3 of a new layer."""
    return np.broadcast_to(1 / np.arange(before + 1, before + len(like) + 1)[:, None], like.shape)

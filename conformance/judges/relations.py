"""Families F and L of one batch told in several ways: each answer is compared with another answer of the same layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import Array

from ..acting import Played
from ..compare import VACUOUS, Judgement, compare, compare_bits, differs, worst_of
from ..experiments.relations import RelationsRecord, Twin

Floats = NDArray[np.float64]


def judge_f3(record: RelationsRecord) -> Judgement:
    """y(c x + o; c^2 eps) = beta + sign(c) (y(x; eps) - beta)."""
    scaled, shape = record.scaled, record.x.shape
    if scaled is None:
        return VACUOUS
    y, other = record.base.y.get(), scaled.played.y.get()
    if y.shape != shape:
        return VACUOUS
    if other.shape != shape:
        return differs("shape of y of c x + o", other.shape, shape)
    a = record.stage.terms.arithmetic
    beta = a.array(record.expected.magnitudes.beta)[:, None]
    wanted = beta + (a.array(channel_major(y)) - beta) * a.array(scaled.sign)[:, None]
    expected = record.expect(scaled.x, scaled.eps)
    bound = record.expected.e_y + expected.e_y
    telling = _telling(record) & expected.informative
    return compare("y of c x + o", channel_major(other), wanted, bound, a, informative=telling)


def judge_f4(record: RelationsRecord) -> Judgement:
    """Each channel in an order of its own: everything follows, or stays."""
    return _judge_twin(record, record.permuted, "of the values in another order")


def judge_f5(record: RelationsRecord) -> Judgement:
    """Channels beside others, and in other places."""
    return worst_of(
        _judge_twin(record, record.others, "beside other channels"),
        _judge_twin(record, record.rolled, "where the channels moved on"),
    )


def judge_f6(record: RelationsRecord) -> Judgement:
    """The same values in a batch of another rank."""
    rank = 0 if record.reshaped is None else len(record.reshaped.shape)
    return _judge_twin(record, record.reshaped, f"of the same values at rank {rank}")


def judge_f9(record: RelationsRecord) -> Judgement:
    """The batch followed by itself gives the output followed by itself."""
    if record.doubled is None or record.base.y.get().shape != record.x.shape:
        return VACUOUS
    twice = np.concatenate([record.x, record.x])
    y = record.doubled.y.get()
    if y.shape != twice.shape:
        return differs("shape of y of the batch written twice", y.shape, twice.shape)
    a, expected = record.stage.terms.arithmetic, record.expect(twice, record.stage.case.eps)
    wanted, bound = (np.tile(values, 2) for values in (channel_major(record.base.y.get()), record.expected.e_y))
    return compare("y of the batch written twice", channel_major(y), a.array(wanted), bound + expected.e_y, a,
                   informative=_telling(record) & expected.informative)  # fmt: skip


def judge_f12(record: RelationsRecord) -> Judgement:
    """The same run again gives the same bits, in everything."""
    first, again = (_read(record, played) for played in (record.base, record.again))
    return worst_of(*(compare_bits(f"{name} of the same run again", again[name], first[name]) for name in first))


def _telling(record: RelationsRecord) -> NDArray[np.bool_]:
    expected = record.expected
    return np.asarray(expected.informative & (expected.magnitudes.gamma != 0))


def _read(record: RelationsRecord, played: Played) -> dict[str, Array | None]:
    """What a pass gave, of what the subject offers, in native shapes."""
    offers = record.stage.subject.offers
    found: dict[str, Array | None] = {"y": played.y.get()}
    if offers("running_statistics", "loadable"):
        state = played.after_forward.get()
        found |= {"running_mean": state.running_mean, "running_var": state.running_var}
    if offers("gradients"):
        gradients = played.gradients.get()
        found |= {"dx": gradients.x}
        if offers("affine"):
            found |= {"dgamma": gradients.gamma, "dbeta": gradients.beta}
    return found


def _bound(record: RelationsRecord, name: str) -> Floats:
    if name == "y":
        return record.expected.e_y
    if name in ("running_mean", "running_var"):
        return record.buffers.e_mean if name == "running_mean" else record.buffers.e_var
    error = record.gradient_error
    return {"dx": error.x, "dgamma": error.gamma, "dbeta": error.beta}[name]


def _flat(values: Array | None, shape: tuple[int, ...], like: Floats) -> Array | None:
    """Channel-major as the bound is, or None where the shape is another one's: F7, R1 and G1 say so."""
    if values is None:
        return None
    if like.ndim == 2:
        return channel_major(values) if values.shape == shape else None
    return values.reshape(-1) if values.size == len(like) else None


def _judge_twin(record: RelationsRecord, twin: Twin | None, when: str) -> Judgement:
    """All answers of a twin against those of the base, carried to where the twin has them; both have one bound."""
    if twin is None:
        return VACUOUS
    a, checks = record.stage.terms.arithmetic, []
    base, other = _read(record, record.base), _read(record, twin.played)

    def carry(values: Array) -> Array:
        moved: Array = values[twin.sources]
        return moved if moved.ndim == 1 or twin.order is None else np.take_along_axis(moved, twin.order, axis=1)

    for name in base:
        bound = _bound(record, name)
        wanted, got = _flat(base[name], record.x.shape, bound), _flat(other[name], twin.shape, bound)
        if wanted is None:
            continue
        if got is None:
            found = other[name]
            seen = "nothing" if found is None else f"shape {found.shape}"
            checks.append(differs(f"{name} {when}", seen, "an array of the shape it has elsewhere"))
            continue
        axes = ("channel", "value")[: bound.ndim]
        checks.append(
            compare(f"{name} {when}", got[twin.channels], a.array(carry(wanted)), 2 * carry(bound), a,
                    informative=_telling(record)[twin.sources], axes=axes)
        )  # fmt: skip
    return worst_of(*checks)

"""Comparing what was observed with what is exact, in units of the bound."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.spec.measure import Measures
from bnspec.spec.precision import Arithmetic, Number

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """One number of an array as it came from the subject, or was formed of what did: what it is to be, and how nearly.

    `allowed` None asks for the same bits. Where `finite` is given, any number will do that is finite, or is not.
    """

    observed: Array
    index: tuple[int, ...]
    wanted: float
    allowed: float | None
    finite: bool | None = None


@dataclass(frozen=True)
class Fact:
    """A plain value, a shape say, and what it is to be."""

    got: object
    wanted: object


@dataclass(frozen=True)
class Judgement:
    """What a judge found in one record.

    `ratio` is the largest error in units of its bound (above 1: a failure; infinite where no bound can express it), or
    None where nothing was compared. `informative` is False where the exact answer is degenerate or the bound so wide
    that a wrong layer could hide. The texts say what was compared, got and wanted, and where. `crashed` where the
    subject raised or handed back no array, or ended its process; `timed_out` where it did not return; `refused` where
    it raised in the place of each answer and was allowed to; `waived` where it failed, and that is waived. `measures`
    is what a GRADE clause measured. `evidence` is the number, or the fact, that a failure was told by.
    """

    ratio: float | None
    informative: bool = True
    quantity: str = ""
    got: str = ""
    wanted: str = ""
    where: str = ""
    crashed: bool = False
    timed_out: bool = False
    refused: bool = False
    waived: bool = False
    measures: Measures = field(default_factory=dict)
    evidence: Evidence | Fact | None = None

    @property
    def failed(self) -> bool:
        return self.ratio is not None and not self.ratio <= 1.0


VACUOUS = Judgement(None, informative=False)
REFUSED = Judgement(None, informative=False, refused=True)


def compare(
    quantity: str,
    observed: Array | Number | None,
    exact: Number,
    bound: Floats,
    arithmetic: Arithmetic,
    *,
    informative: Any = True,
    axes: tuple[str, ...] = ("channel", "value"),
) -> Judgement:
    """Judge `observed` against `exact` (of `arithmetic`) within `bound`; elements whose bound is infinite are left out.

    `observed` is an array of any dtype, or what was formed of such arrays in `arithmetic`.
    `informative` tells, channel by channel or at once, where a wrong layer would show; it may be an array (C,).
    """
    shape = np.shape(bound)
    if observed is None:
        return Judgement(np.inf, True, quantity, "nothing", f"an array of shape {shape}")
    if observed.shape != shape:
        return Judgement(np.inf, True, quantity, f"shape {observed.shape}", f"shape {shape}")
    claimed = np.isfinite(bound)
    if not claimed.any():
        return VACUOUS
    everywhere = bool(claimed.all())
    with np.errstate(all="ignore"):
        error = arithmetic.float64(abs(arithmetic.array(observed) - exact))
        ratios = error / bound
    if not everywhere:
        ratios = np.where(claimed, ratios, -1.0)
    highest = int(ratios.argmax())  # NaN counts as highest
    if np.isnan(ratios.flat[highest]):
        ratios = np.where(np.isnan(ratios), np.where(error == 0, 0.0, np.inf), ratios)
        highest = int(ratios.argmax())
    ratio = float(ratios.flat[highest])
    if ratio <= 1.0:
        return Judgement(ratio, _tells(informative, None if everywhere else claimed), quantity)
    worst = np.unravel_index(highest, shape)
    place = ", ".join(f"{axis} {int(i)}" for axis, i in zip(axes, worst, strict=False))
    got, wanted = (float(arithmetic.float64(arithmetic.array(each))[worst]) for each in (observed, exact))
    allowed, index = float(bound[worst]), tuple(int(i) for i in worst)
    evidence = Evidence(observed, index, wanted, allowed) if isinstance(observed, np.ndarray) else None
    return Judgement(ratio, True, quantity, repr(got), f"{wanted!r} within {allowed:.3g}", place, evidence=evidence)


def _tells(informative: Any, claimed: NDArray[np.bool_] | None) -> bool:
    """Would a wrong layer show in one of the channels of which something is claimed? None claims all."""
    tells = np.asarray(informative)
    if claimed is not None and tells.ndim:
        tells = tells & claimed.reshape(len(claimed), -1).any(axis=1)
    return bool(tells.any())


def compare_bits(quantity: str, observed: Array | None, wanted: Array | None) -> Judgement:
    """Judge that two arrays hold the same bits (two NaN of any payload are the same)."""
    if observed is None or wanted is None:
        return differs(quantity, *("nothing" if each is None else "an array" for each in (observed, wanted)))
    if observed.shape != wanted.shape:
        return differs(f"shape of {quantity}", observed.shape, wanted.shape)
    if observed.dtype != wanted.dtype:
        return differs(f"dtype of {quantity}", observed.dtype.name, wanted.dtype.name)
    if observed.tobytes() == wanted.tobytes():
        return Judgement(0.0, True, quantity)
    different = (observed != wanted) & ~((observed != observed) & (wanted != wanted))
    different |= (observed == 0) & (np.signbit(observed) != np.signbit(wanted))
    if not different.any():
        return Judgement(0.0, True, quantity)
    place = tuple(int(i) for i in np.argwhere(different)[0])
    seen, right = float(observed[place]), float(wanted[place])
    words, evidence = f"{right!r}, bit for bit", Evidence(observed, place, right, None)
    return Judgement(np.inf, True, quantity, repr(seen), words, f"index {place}", evidence=evidence)


def worst_of(*judgements: Judgement) -> Judgement:
    """The judgement with the largest ratio; vacuous ones and refusals do not count, informative if any of them is."""
    told = [j for j in judgements if j.ratio is not None]
    if not told:
        return REFUSED if any(j.refused for j in judgements) else VACUOUS
    worst = max(told, key=lambda j: j.ratio if j.ratio is not None else -1.0)
    if worst.informative or not any(j.informative for j in told):
        return worst
    return replace(worst, informative=True)


def differs(quantity: str, got: object, wanted: object) -> Judgement:
    """Judge that two plain values (a dtype, a shape, a device) are equal."""
    ratio = 0.0 if got == wanted else np.inf
    return Judgement(ratio, True, quantity, str(got), str(wanted), evidence=Fact(got, wanted))


def want_finite(quantity: str, observed: Array, asked: NDArray[np.bool_], *, finite: bool = True) -> Judgement:
    """Judge that the values that are asked about are finite, or that none of them is."""
    off = asked & (np.isfinite(observed) != finite)
    if not off.any():
        return Judgement(0.0, True, quantity)
    place = tuple(int(i) for i in np.argwhere(off)[0])
    wanted = "a finite number" if finite else "none that is finite"
    evidence = Evidence(observed, place, 0.0, None, finite)
    return Judgement(np.inf, True, quantity, repr(float(observed[place])), wanted, f"index {place}", evidence=evidence)


def want_nan(quantity: str, observed: Array, asked: NDArray[np.bool_]) -> Judgement:
    """Judge that the values that are asked about are NaN."""
    off = asked & ~np.isnan(observed)
    if not off.any():
        return Judgement(0.0, True, quantity)
    place = tuple(int(i) for i in np.argwhere(off)[0])
    evidence = Evidence(observed, place, np.nan, None)
    return Judgement(np.inf, True, quantity, repr(float(observed[place])), "nan", f"index {place}", evidence=evidence)

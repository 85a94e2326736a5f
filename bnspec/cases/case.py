"""A case: every decision that Hypothesis drew, and nothing else. Its address reruns it alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from bnspec.spec.formats import PRECISIONS, Precision


class AddressError(ValueError):
    """The text is no case address."""


@dataclass(frozen=True)
class Case:
    """Structure (shape, dtype, eps, momentum, layout) and fill (what the values are like) of one case.

    `dtype` names a precision (`bnspec.spec.formats.PRECISIONS`).
    `shape` is (N, C, D1, ...). `momentum` None asks for the cumulative average. `steps` counts training batches;
    `training` is the mode; `fresh` leaves parameters and buffers as the constructor set them. `values`, where given,
    are the entries of x, channel by channel, as small integers. `parameters` is the kind of state (`PARAMETERS`),
    `setting` one of the framework's (`Framework.settings`), "plain" for the process as it is. `acts` are those of a
    random history (`bnspec.cases.acts`).
    """

    experiment: str
    dtype: str
    shape: tuple[int, ...]
    eps: float
    momentum: float | None
    fill: str = "spread"
    upstream: str = "drawn"
    layout: str = "contiguous"
    upstream_layout: str = "contiguous"
    training: bool = True
    fresh: bool = False
    steps: int = 1
    parameters: str = "drawn"
    setting: str = "plain"
    seed: int = 0
    values: tuple[int, ...] = ()
    acts: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        return self.shape[1]

    @property
    def count(self) -> int:
        """m, the values a channel holds."""
        return int(np.prod(self.shape)) // self.shape[1]

    @property
    def precision(self) -> Precision:
        return PRECISIONS[self.dtype]

    def address(self) -> str:
        """The case as text: experiment/dtype/shape/decisions that are not at their default."""
        return self._address

    @cached_property
    def _address(self) -> str:
        decisions = [f"eps={self.eps!r}", f"momentum={self.momentum!r}"]
        for field in fields(self)[5:]:
            value = getattr(self, field.name)
            if value != field.default:
                text = ".".join(map(str, value)) if isinstance(value, tuple) else str(value)
                decisions.append(f"{field.name}={text}")
        return "/".join([self.experiment, self.dtype, "x".join(map(str, self.shape)), ",".join(decisions)])

    def random(self, stream: str) -> np.random.RandomState:
        """A generator from a hash of all decisions: RandomState, whose methods NumPy has frozen (NEP 19).

        Over Philox, because Mersenne's twister takes longer to seed than most cases take to fill.
        """
        digest = hashlib.sha256(f"{self._address}#{stream}".encode()).digest()
        return np.random.RandomState(np.random.Philox(key=int.from_bytes(digest[:16])))


def _read_acts(text: str) -> tuple[str, ...]:
    from bnspec.cases.acts import split  # which tells the histories of cases

    acts = tuple(text.split("."))
    for written in acts:
        split(written)
    return acts


_PARSERS: dict[str, Callable[[str], Any]] = {
    "eps": float,
    "momentum": lambda text: None if text == "None" else float(text),
    "training": lambda text: {"True": True, "False": False}[text],
    "fresh": lambda text: {"True": True, "False": False}[text],
    "steps": int,
    "seed": int,
    "values": lambda text: tuple(map(int, text.split("."))),
    "acts": _read_acts,
}


def parse_address(text: str) -> Case:
    """The case of an address; raises AddressError with what is wrong in it."""
    try:
        experiment, dtype, shape, decisions = text.split("/")
        drawn = {}
        for decision in decisions.split(","):
            key, _, value = decision.partition("=")
            if key not in {field.name for field in fields(Case)[3:]}:
                raise ValueError(f"there is no decision named {key!r}")
            drawn[key] = _PARSERS.get(key, str)(value)
        return Case(experiment, dtype, tuple(map(int, shape.split("x"))), **drawn)
    except (ValueError, KeyError, TypeError) as error:
        raise AddressError(
            f"{text!r} is no case address ({error}): give one as a failure prints it,"
            " experiment/dtype/shape/eps=...,momentum=...,seed=..."
        ) from None

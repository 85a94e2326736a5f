"""Many ratios in little memory: the largest exactly, quantiles to half a per cent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

EDGES = np.concatenate([[0.0], np.geomspace(1e-12, 1e3, 7000), [np.inf]])


def say_where(where: str, ratios: NDArray[Any], place: int) -> str:
    return where if len(ratios) == 1 else f"{where} channel {place}"


@dataclass
class Spread:
    """How ratios are spread: `counts` between EDGES, the largest, and where it was met."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(EDGES) - 1, np.int64))
    largest: float = -1.0
    where: str = ""

    def add(self, ratios: NDArray[Any], where: str) -> None:
        """Ratios (C,) of one batch at `where`; those that are no numbers claim nothing."""
        told = np.isfinite(ratios) | np.isinf(ratios)
        if not told.any():
            return
        self.counts += np.histogram(np.minimum(ratios[told], 1e9), EDGES)[0]
        worst = int(np.argmax(np.where(told, ratios, -1.0)))
        if ratios[worst] > self.largest:
            self.largest, self.where = float(ratios[worst]), say_where(where, ratios, worst)

    def join(self, other: Spread) -> None:
        self.counts += other.counts
        if other.largest > self.largest:
            self.largest, self.where = other.largest, other.where

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    def quantile(self, share: float) -> float:
        """The upper edge under which so large a share of the ratios lies."""
        place = int(np.searchsorted(np.cumsum(self.counts), share * self.count))
        return min(float(EDGES[place + 1]) if place else 0.0, self.largest)


Key = tuple[str, ...]


class Tally:
    """Spreads by key, and what lay beyond its bound."""

    def __init__(self) -> None:
        self.spreads: dict[Key, Spread] = {}
        self.beyond: list[str] = []
        self.inputs: dict[str, int] = {}

    def add(self, key: Key, ratios: NDArray[Any], where: str) -> None:
        self.spreads.setdefault(key, Spread()).add(ratios, where)
        worst = float(np.nanmax(ratios, initial=0.0))
        if worst > 1:
            place = say_where(where, ratios, int(np.nanargmax(ratios)))
            self.beyond.append(f"{', '.join(key)}: {worst:.4g} bounds off at {place}")

    def count(self, precision: str, channels: int) -> None:
        """Channel inputs that were drawn."""
        self.inputs[precision] = self.inputs.get(precision, 0) + channels

    def join(self, other: Tally) -> None:
        for key, spread in other.spreads.items():
            self.spreads.setdefault(key, Spread()).join(spread)
        self.beyond += other.beyond
        for precision, channels in other.inputs.items():
            self.count(precision, channels)

    def select(self, *key: str | None) -> dict[Key, Spread]:
        """The spreads whose keys agree where `key` is not None."""
        return {k: s for k, s in self.spreads.items() if all(b in (None, a) for a, b in zip(k, key, strict=True))}

    def worst(self, *key: str | None) -> tuple[Key, Spread] | None:
        """The key and spread of the largest ratio among those selected."""
        return max(self.select(*key).items(), key=lambda each: each[1].largest, default=None)

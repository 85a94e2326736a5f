"""Where a target is probed: layers of one structure, and plain batches whose statistics all conventions show in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.layouts import channel_major
from bnspec.layers.implementation import Implementation
from bnspec.layers.promises import pick_momentum
from bnspec.layers.protocol import Array, Layer, State, Structure, as_dtype

Floats = NDArray[np.float64]
VALUES = 6
"""Values per channel: few, so that the biased and the unbiased variance differ by a fifth."""
EPS, MOMENTUM = 0.1, 0.28
"""Where they can be chosen. A batch is as large as sqrt(eps), so that eps shows; 1 - 0.28 is another number in float32
than what the float32 nearest to 0.28 leaves of 1."""
LARGEST_RANK = 4


@dataclass(frozen=True)
class Bench:
    """An implementation and the dtype in which most can be told."""

    implementation: Implementation

    @cached_property
    def structure(self) -> Structure:
        """What layers are made for, unless a probe asks for something else."""
        p = self.implementation.promises
        dtype = "float64" if "float64" in p.dtypes else p.dtypes[0]
        eps = p.pick_eps(EPS)
        device = self.implementation.devices()[0]
        rank = max([r for r in p.ranks if r <= LARGEST_RANK], default=p.ranks[0])
        return Structure(p.channels or 3, rank, dtype, device, eps, pick_momentum(p, p.pick_free_momentum(MOMENTUM)))

    @property
    def formats(self) -> tuple[str, ...]:
        """Those that results may have been computed in."""
        name = self.structure.parameters
        return (name, "float32") if name == "float64" else (name,)

    def offers(self, *abilities: str) -> bool:
        return self.implementation.promises.abilities.issuperset(abilities)

    def make(self, **changes: Any) -> Layer:
        """A new layer. Raises SubjectError."""
        return self.implementation.make(replace(self.structure, **changes))

    def batch(self, draw: int, *, values: int = VALUES, dtype: str | None = None, size: float | None = None) -> Array:
        """x (N, C, ...) of the size of sqrt(eps) if of no other, with a mean and a spread of each channel's own:
        variances below and above its square."""
        s, random = self.structure, np.random.RandomState(draw)
        n = values // 2 if s.rank > 2 and values > 3 else values
        shape = (n, s.channels) if s.rank == 2 else (n, s.channels, values // max(n, 1) or 1, *[1] * (s.rank - 3))
        place = np.arange(s.channels).reshape(1, -1, *[1] * (s.rank - 2))
        x: Floats = random.standard_normal(shape) * (1 + place % 3) / 2 + 2 * np.cos(place + draw)
        return np.asarray(x * (s.eps**0.5 if size is None else size)).astype(as_dtype(dtype or s.storage))

    def run(self, layer: Layer, x: Array) -> Array:
        """y of a training pass. Raises SubjectError."""
        return layer.run(x, training=True).y


def rows(x: Array) -> Floats:
    """A batch as (C, m), in float64."""
    return channel_major(x).astype(np.float64)


def flat(buffer: Array | None) -> Floats | None:
    """A buffer as (C,), in float64."""
    return None if buffer is None else buffer.reshape(-1).astype(np.float64)


def running(state: State) -> tuple[Floats, Floats] | None:
    """Running mean and variance (C,), None without them."""
    mean, var = flat(state.running_mean), flat(state.running_var)
    return None if mean is None or var is None else (mean, var)

"""The subject of a certificate: an implementation, the dialect it is judged by, and the scope that was agreed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bnspec.cases.case import Case
from bnspec.cases.strategies import MOMENTA, Scope
from bnspec.layers.implementation import Implementation
from bnspec.layers.promises import Promises, pick_momentum
from bnspec.layers.protocol import Layer, Structure, calling
from bnspec.spec.bounds import Rounding, rounding_for
from bnspec.spec.dialects import Dialect
from bnspec.spec.formats import FORMATS
from bnspec.spec.precision import Arithmetic, arithmetic_for

if TYPE_CHECKING:
    from bnspec.engine.plan import Request


@dataclass(frozen=True)
class Recipe:
    """How a fresh process comes to the same subject."""

    target: str
    arguments: dict[str, Any]
    request: Request

    def make(self) -> Subject:
        from bnspec.api import make_subject
        from bnspec.layers.target import load_target

        return make_subject(load_target(self.target).obj, self.request, self.arguments, self.target)[0]


@dataclass(frozen=True)
class Subject:
    """What is judged. `promises` are the implementation's, less what the user left out.

    `recipe` is None where no fresh process can come to the subject.
    """

    implementation: Implementation
    dialect: Dialect
    promises: Promises
    recipe: Recipe | None = None

    def make_layer(self, case: Case, device: str, **changes: object) -> Layer:
        """A new layer for a case; `changes` override fields of its structure. Raises SubjectError."""
        structure = Structure(case.channels, len(case.shape), case.dtype, device, case.eps, case.momentum)
        with calling("construction"):
            return self.implementation.make(replace(structure, **changes))  # type: ignore[arg-type]  # field names

    @property
    def abilities(self) -> frozenset[str]:
        positions = {"positions"} if max(self.promises.ranks) > 2 else set()
        positions |= {"images"} if {4, 5} & set(self.promises.ranks) else set()
        untold = set() if self.dialect.eval_without_statistics in ("batch", "refuse") else {"untracked"}
        coupled = {"batch_statistics"} if self.dialect.training_statistics == "batch" else set()
        return (self.promises.abilities | positions | coupled) - untold

    def offers(self, *abilities: str) -> bool:
        return self.abilities.issuperset(abilities)

    def arithmetic(self, dtype: str) -> Arithmetic:
        return arithmetic_for(FORMATS[dtype])

    def rounding(self, dtype: str, device: str) -> Rounding:
        """Formats of x and parameters; GPUs may flush subnormal numbers."""
        return rounding_for(FORMATS[dtype], FORMATS[dtype], flushes=device != "cpu")

    @property
    def algorithm(self) -> str:
        return self.promises.algorithm or "any"

    @property
    def scope(self) -> Scope:
        p = self.promises
        evaluation = self.offers("evaluation", "running_statistics")
        momenta = MOMENTA if self.frees_momentum else (pick_momentum(p, None),)
        return Scope(p.ranks, p.eps, momenta, p.channels, evaluation)

    @property
    def frees_momentum(self) -> bool:
        """Can momentum be chosen, or does none matter?"""
        return self.promises.momentum in ("free", "absent")

"""The subject of a certificate: an implementation, the dialect it is judged by, and the scope that was agreed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bnspec.cases.case import Case
from bnspec.cases.strategies import Scope
from bnspec.layers.implementation import Implementation
from bnspec.layers.promises import EPS, MOMENTA, Promises, pick_momentum
from bnspec.layers.protocol import Layer, Structure, calling
from bnspec.spec.bounds import Rounding, rounding_for
from bnspec.spec.dialects import Dialect, is_frozen
from bnspec.spec.formats import PRECISIONS
from bnspec.spec.precision import Arithmetic, arithmetic_for

if TYPE_CHECKING:
    from bnspec.engine.plan import Request
    from bnspec.waivers import Waiver


VISIBLE = 1e-8
"""Below it eps is lost in the rounding of most variances."""


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

    `recipe` is None where no fresh process can come to the subject; `waivers` are those of the request.
    """

    implementation: Implementation
    dialect: Dialect
    promises: Promises
    recipe: Recipe | None = None
    waivers: tuple[Waiver, ...] = ()

    def make_layer(self, case: Case, device: str, **changes: object) -> Layer:
        """A new layer for a case; `changes` override fields of its structure. Raises SubjectError."""
        structure = Structure(case.channels, len(case.shape), case.dtype, device, case.eps, case.momentum)
        with calling("construction"):
            return self.implementation.make(replace(structure, **changes))  # type: ignore[arg-type]  # field names

    @cached_property
    def abilities(self) -> frozenset[str]:
        """What the implementation promises, and what follows from that and from the dialect."""
        p, dialect = self.promises, self.dialect
        following = {
            "positions": max(p.ranks) > 2,
            "images": bool({4, 5} & set(p.ranks)) and p.channels != 1,
            "several_ranks": len(p.ranks) > 1,
            "several_channels": p.channels != 1,
            "free_eps": p.eps is None and set(p.epsilons) == set(EPS),
            "full_weight": p.momentum in ("free", "average")
            and not is_frozen(dialect)
            and self.may_weigh(self.replacing_momentum),
            "loadable": dialect.average == "plain",
            "visible_eps": p.eps is None or p.eps >= VISIBLE,
            "batch_statistics": dialect.training_statistics == "batch",
            "refuses_one_value": dialect.one_value == "refuse",
            "biased_normalisation": dialect.normalises_with == "biased",
        }
        barred = set() if self._fits_every_dtype() else {"converts"}
        answers = dialect.eval_without_statistics in ("batch", "refuse") and not is_frozen(dialect)
        barred |= set() if answers else {"untracked", "untracked_evaluation"}
        return (p.abilities | {ability for ability, follows in following.items() if follows}) - barred

    def _fits_every_dtype(self) -> bool:
        """Are float32 and float64 both promised, and a fixed eps within the range of either?"""
        eps, single = self.promises.eps, PRECISIONS["float32"].storage
        fits = eps is None or single.smallest_normal <= eps <= single.largest
        return fits and {"float32", "float64"} <= set(self.promises.dtypes)

    def offers(self, *abilities: str) -> bool:
        return self.abilities.issuperset(abilities)

    def arithmetic(self, dtype: str) -> Arithmetic:
        return arithmetic_for(PRECISIONS[dtype].storage)

    def rounding(self, dtype: str, device: str) -> Rounding:
        """Formats of x and parameters; GPUs may flush subnormal numbers."""
        precision = PRECISIONS[dtype]
        return rounding_for(precision.storage, precision.parameters, flushes=device != "cpu")

    @property
    def algorithm(self) -> str:
        return self.promises.algorithm or "any"

    def scope_of(self, block: int) -> Scope:
        """Within what the cases of a block are drawn; of a layer that compiles, two ranks, the second in turn."""
        p, ranks = self.promises, self.promises.ranks
        if self.implementation.compiles and len(ranks) > 2:
            ranks = (ranks[0], (*ranks[2:], ranks[1])[block % (len(ranks) - 1)])
        evaluation = self.offers("evaluation", "running_statistics")
        momenta = tuple(filter(self.may_weigh, MOMENTA)) if self.frees_momentum else (pick_momentum(p, None),)
        return Scope(ranks, p.epsilons if p.eps is None else (p.eps,), momenta, p.channels, evaluation, self.abilities)

    def may_weigh(self, momentum: float | None) -> bool:
        """Can momentum be set to this? A debiased average in which no batch weighs anything is 0/0."""
        idle = 0.0 if self.dialect.momentum_weighs == "new" else 1.0
        if momentum is None:
            return True
        taken = momentum in self.promises.momenta or momentum not in MOMENTA
        return self.frees_momentum and taken and (self.dialect.average != "debiased" or momentum != idle)

    @property
    def replacing_momentum(self) -> float | None:
        """The momentum at which a batch has the weight 1, where one has (`full_weight`); None averages one batch."""
        return pick_momentum(self.promises, 1.0 if self.dialect.momentum_weighs == "new" else 0.0)

    @property
    def frees_momentum(self) -> bool:
        """Can momentum be chosen, or does none matter?"""
        return self.promises.momentum in ("free", "absent")

"""The suite on trial: every wrong layer of the museum must be refused, and no right one.

A run leaves a wrong layer at its first failure, or goes on and prints the kill matrix, wrong layer by clause; then who
survived, who was refused by mistake, and the time.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches

from bnspec.api import certify
from bnspec.certificate.model import TargetReport
from bnspec.engine.profiles import PROFILES
from bnspec.layers.target import load_target
from bnspec.mutants.diagnoses import SAID
from bnspec.mutants.record import Mutant, RightLayer
from bnspec.mutants.table import MUTANTS, RIGHT_LAYERS
from bnspec.spec.clauses import CLAUSES

Layer = Mutant | RightLayer
FAILED = ("fail", "crashed", "timed-out")


@dataclass(frozen=True)
class Trial:
    """One layer of the museum before the suite, and what came of it."""

    layer: Layer
    report: TargetReport

    @property
    def failed(self) -> tuple[str, ...]:
        """The clauses that refuse the layer."""
        return tuple(clause.id for clause in self.report.clauses if clause.outcome in FAILED)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the certificate says of the failures: on the dialect, then clause by clause."""
        failures = (clause for clause in self.report.clauses if clause.id in self.failed)
        said = (": ".join(filter(None, ((c.why or "").partition(": got")[0], c.looks))) for c in failures)
        return (*self.report.notes, *said)

    @property
    def diagnosis(self) -> str | None:
        """The first sentence that says what is wrong with the layer, as `SAID` has it; None where none does."""
        said = SAID.get(self.layer.id)
        return None if said is None else next((each for each in self.sentences if said in each), None)

    @property
    def is_off(self) -> bool:
        """A wrong layer was not refused, or a right one does not conform."""
        wanted = "does not conform" if isinstance(self.layer, Mutant) else "conforms"
        return self.report.verdict != wanted


def breaks_shoulds_alone(mutant: Mutant) -> bool:
    """Does only a strict verdict refuse it?"""
    return all(CLAUSES[clause].level == "SHOULD" for clause in mutant.clauses)


def try_layer(layer: Layer, profile: str, seed: int, fail_fast: bool = False) -> Trial:
    """Judge a layer of the museum, a wrong one at the length that it takes.

    SHOULD clauses decide where a wrong layer breaks nothing else.
    """
    if isinstance(layer, Mutant):
        profile = max(profile, layer.profile, key=lambda name: PROFILES[name].blocks if name in PROFILES else math.inf)
    certificate = certify(
        load_target(layer.target).obj,
        dialect=layer.dialect,
        profile=profile,
        seed=seed,
        strict=isinstance(layer, Mutant) and breaks_shoulds_alone(layer),
        fail_fast=fail_fast and isinstance(layer, Mutant),
    )
    return Trial(layer, certificate.targets[0])


def try_layers(
    layers: Sequence[Layer], profile: str, seed: int, *, fail_fast: bool = False, workers: int = 1
) -> Iterator[Trial]:
    """Judge layers one after the other, or in so many processes; the trials come in the order of the layers."""
    judge = functools.partial(try_layer, profile=profile, seed=seed, fail_fast=fail_fast)
    if workers == 1:
        yield from map(judge, layers)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(judge, layers)
        finally:
            pool.shutdown(cancel_futures=True)


class UnknownLayer(ValueError):
    """The museum has no layer of this id; the message names close ones."""


def select_layers(names: Collection[str], kind: str | None = None) -> list[Layer]:
    """The layers of these ids, or all, or all of a kind, wrong or right. Raises UnknownLayer."""
    everything: dict[str, Layer] = {m.id: m for m in MUTANTS} | {layer.id: layer for layer in RIGHT_LAYERS}
    for name in names:
        if name not in everything:
            close = get_close_matches(name, everything, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else "`bnspec selftest` tries all"
            raise UnknownLayer(f"the museum has no layer {name!r}: {hint}")
    kinds = {"wrong": (Mutant,), "right": (RightLayer,), None: (Mutant, RightLayer)}[kind]
    chosen = [layer for name, layer in everything.items() if isinstance(layer, kinds) and (not names or name in names)]
    if not chosen:
        raise UnknownLayer(f"{' and '.join(names)}: no {kind} layer among these; leave --only out")
    return chosen


def run_selftest(
    layers: Sequence[Layer], profile: str, seed: int, tell: Callable[[str], None], *,
    fail_fast: bool = False, workers: int = 1,
) -> list[Trial]:  # fmt: skip
    """Tell the trials as they come, then the sum."""
    began, trials, kills = time.perf_counter(), [], Counter[str]()
    for trial in try_layers(layers, profile, seed, fail_fast=fail_fast, workers=workers):
        trials.append(trial)
        if isinstance(trial.layer, Mutant):
            kills.update(trial.failed)
        tell(render_trial(trial))
    wrong = [trial for trial in trials if isinstance(trial.layer, Mutant)]
    right = [trial for trial in trials if isinstance(trial.layer, RightLayer)]
    survivors, alarms = ([t.layer.id for t in group if t.is_off] for group in (wrong, right))
    tell("")
    if wrong and not fail_fast:
        for line in render_kills(kills):
            tell(line)
        tell(f"right diagnosis: {sum(t.diagnosis is not None for t in wrong)} of {len(wrong)}")
    tell(f"survivors: {', '.join(survivors) or 'none'}")
    tell(f"false alarms: {', '.join(alarms) or 'none'}")
    tell(
        f"{len(wrong) - len(survivors)} of {len(wrong)} wrong layers refused,"
        f" {len(right) - len(alarms)} of {len(right)} right ones conform:"
        f" {profile}, seed {seed}, {time.perf_counter() - began:.0f} s"
    )
    return trials


def render_trial(trial: Trial) -> str:
    """A row of the kill matrix."""
    clauses = " ".join(trial.failed) or "-"
    kind = "wrong" if isinstance(trial.layer, Mutant) else "right"
    mark = "OFF" if trial.is_off else "ok"
    return f"{mark:3} {kind} {trial.layer.id:34} {trial.report.duration_s:6.1f} s  {clauses}"


def render_kills(kills: Counter[str]) -> Iterator[str]:
    """How many wrong layers each clause refuses, and which clauses refuse none."""
    active = [clause for clause in CLAUSES.values() if clause.status != "planned"]
    yield "refused by " + ", ".join(f"{clause.id} {kills[clause.id]}" for clause in active if kills[clause.id])
    idle = [clause.id for clause in active if not kills[clause.id]]
    yield f"clauses that refused nobody: {' '.join(idle) or 'none'}"

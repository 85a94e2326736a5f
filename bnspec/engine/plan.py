"""What is asked of a run, and which blocks that makes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from bnspec.certificate.merge import Rule
from bnspec.engine.blocks import Block
from bnspec.engine.judging import blocks_in_haste, experiments
from bnspec.engine.profiles import PROFILES, Profile
from bnspec.engine.subject import Subject
from bnspec.layers.promises import ABILITIES
from bnspec.spec.clauses import CLAUSES, SPEC_VERSION, SPEC_VERSIONS, Clause
from bnspec.spec.formats import PRECISIONS

if TYPE_CHECKING:
    from bnspec.conformance.experiment import Experiment
    from bnspec.waivers import Waiver

DEFAULT_PROFILE = "standard"


class UsageError(ValueError):
    """What was asked for does not exist. The message is one line: what, why, how to mend it."""


@dataclass(frozen=True)
class Request:
    """What the user asked for. Empty collections mean everything there is."""

    dialect: str | None = None
    profile: str = DEFAULT_PROFILE
    seed: int = 0
    devices: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    clauses: tuple[str, ...] = ()
    strict: bool = False
    fail_fast: bool = False
    waivers: tuple[Waiver, ...] = ()
    spec: str = SPEC_VERSION


@dataclass(frozen=True)
class Plan:
    """The cells to judge and the clauses to judge them by; `absent` devices were promised and are not there.

    A failure of one of the clauses `ending` ends the run.
    """

    profile: Profile
    seed: int
    dtypes: tuple[str, ...]
    devices: tuple[str, ...]
    absent: tuple[str, ...]
    clauses: frozenset[str]
    ending: frozenset[str] = frozenset()

    def dtypes_of(self, clause: str) -> tuple[str, ...]:
        """The dtypes of the plan in which the clause is judged."""
        feeding = [experiment for experiment in experiments().values() if clause in experiment.judges]
        speaks = CLAUSES[clause].speaks_of
        return tuple(d for d in self.dtypes if speaks(d) and any(self.acts(experiment, d) for experiment in feeding))

    def acts(self, experiment: Experiment, dtype: str) -> bool:
        """Is the experiment acted in a dtype, in some block of the plan?

        Where a profile spares twins and float64 is there, what asks the same of both is not asked of float32: its
        bounds are wider, and hide what those of float64 show.
        """
        spared = experiment.alike and not self.profile.twins and dtype == "float32" and "float64" in self.dtypes
        return experiment.acts_in(dtype) and experiment.first < self.profile.blocks and not spared

    def blocks(self) -> list[Block]:
        """All blocks, those of one index together, so that what stops early has seen a bit of everything.

        Where a failure ends the run, the first blocks of all experiments come first, and of these the ones that refuse
        most wrong layers a second.
        """
        blocks = self._list_blocks()
        if not self.ending:
            return blocks
        turns = {pair: turn for turn, pair in enumerate(blocks_in_haste())}

        def wait(block: Block) -> tuple[int, int]:
            rounds = block.index - experiments()[block.experiment].first
            return rounds, turns.get((block.experiment, block.dtype), len(turns))

        return sorted(blocks, key=wait)

    def _list_blocks(self) -> list[Block]:
        return [
            Block(experiment.name, dtype, device, index)
            for index in range(self.profile.blocks)
            for experiment in experiments().values()
            if index == experiment.first or (experiment.cases and index > experiment.first)
            for dtype in self.dtypes
            if self.acts(experiment, dtype) and not experiment.absent
            if any(CLAUSES[clause].speaks_of(dtype) for clause in self.clauses & experiment.judges.keys())
            for device in self.devices
        ]


def is_judged(clause: str, dtype: str) -> bool:
    """Does the clause speak of a dtype, and does some experiment that feeds it act there?"""
    fed = any(clause in e.judges and e.acts_in(dtype) for e in experiments().values())
    return fed and CLAUSES[clause].speaks_of(dtype)


def is_reached(clause: str, profile: Profile) -> bool:
    """Does the profile run long enough for some experiment that feeds the clause?"""
    return any(clause in e.judges and e.first < profile.blocks for e in experiments().values())


def refuse_unknown(what: str, given: str, known: Collection[str]) -> UsageError:
    """The error for a name that is not in a table."""
    close = get_close_matches(given, list(known), n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
    return UsageError(f"there is no {what} {given!r}: {hint}")


def check_request(request: Request) -> Request:
    """The request, strict where it names clauses of which none would decide otherwise: they are what it asks for.

    Raises UsageError for a name that exists in no table.
    """
    if request.profile not in PROFILES:
        raise refuse_unknown("profile", request.profile, PROFILES)
    for dtype in request.dtypes:
        if dtype not in PRECISIONS:
            raise refuse_unknown("dtype", dtype, PRECISIONS)
    for ability in request.without:
        if ability not in ABILITIES:
            raise refuse_unknown("ability", ability, ABILITIES)
    for clause in request.clauses:
        if clause not in CLAUSES:
            raise refuse_unknown("clause", clause, CLAUSES)
        if CLAUSES[clause].status == "planned":
            raise UsageError(f"clause {clause} is planned and not checked yet: `bnspec spec` lists those that are")
    if request.spec not in SPEC_VERSIONS:
        raise UsageError(f"--spec {request.spec}: the versions of the specification are {', '.join(SPEC_VERSIONS)}")
    for device in request.devices:
        if device not in ("cpu", "cuda", "all") and not device.startswith("cuda:"):
            raise UsageError(f"there is no device {device!r}: write cpu, cuda, cuda:0 or all")
    if request.clauses and not any(CLAUSES[clause].level == "MUST" for clause in request.clauses):
        return replace(request, strict=True)
    return request


def make_plan(subject: Subject, request: Request) -> Plan:
    """What of the request the subject promises. Raises UsageError where nothing is left or a device is not there."""
    promised = subject.promises.dtypes
    unpromised = [dtype for dtype in request.dtypes if dtype not in promised]
    if unpromised:
        raise UsageError(
            f"the target does not promise {unpromised[0]}: it promises {', '.join(promised)}; leave --dtype out, or"
            " declare bnspec_dtypes on the target"
        )
    devices, absent = _choose_devices(subject, request)
    dtypes, profile = request.dtypes or promised, PROFILES[request.profile]
    selected = request.clauses or [c for c, clause in CLAUSES.items() if runs_by_itself(clause, profile)]
    clauses = frozenset(
        c
        for c in selected
        if subject.offers(*CLAUSES[c].needs)
        and _is_fed(subject, c)
        and is_reached(c, profile)
        and any(is_judged(c, dtype) for dtype in dtypes)
    )
    if request.clauses and not clauses:
        first = CLAUSES[request.clauses[0]]
        lacking = absent_modules(first.id)
        if lacking:
            raise UsageError(say_absent(first.id, lacking))
        lacks = "another dtype" if is_reached(first.id, profile) else "a longer profile"
        missing = ", ".join(_list_lacking(subject, first)) or lacks
        raise UsageError(f"the target has not what clause {first.id} needs: {missing}")
    rule = Rule(request.strict, request.spec)
    ending = frozenset(c for c in clauses if rule.decides(c)) if request.fail_fast else frozenset()
    return Plan(profile, request.seed, dtypes, devices, absent, clauses, ending)


def _list_lacking(subject: Subject, clause: Clause) -> list[str]:
    """The abilities that the clause asks for and the target has not; else those of the experiment that lacks fewest."""
    asked = [clause.needs, *(each.needs for each in experiments().values() if clause.id in each.judges)]
    own, *others = ([ability for ability in needs if not subject.offers(ability)] for needs in asked)
    return own or min(others, key=len, default=[])


def _is_fed(subject: Subject, clause: str) -> bool:
    """Whether some experiment that the subject can take part in has a judge for the clause."""
    return any(
        clause in experiment.judges and subject.offers(*experiment.needs) and not experiment.absent
        for experiment in experiments().values()
    )


def runs_by_itself(clause: Clause, profile: Profile) -> bool:
    """Is the clause judged in a profile where nobody names it?"""
    return clause.status != "planned" and clause.runs_in(profile.column)


def absent_modules(clause: str) -> tuple[str, ...]:
    """The extras' modules without which nothing can be said on a clause here; () where an experiment needs none."""
    feeding = [experiment.absent for experiment in experiments().values() if clause in experiment.judges]
    return min(feeding, key=len, default=())


def say_absent(clause: str, modules: Collection[str]) -> str:
    """Why a clause is not run, and how to mend it, in a line."""
    return f"{clause} needs {', '.join(modules)}, which is not installed: python -m pip install 'bnspec[claims]'"


def _choose_devices(subject: Subject, request: Request) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Devices to run on, and kinds of device that are promised but not there."""
    there = [d for d in subject.implementation.devices() if d.split(":")[0] in subject.promises.devices]
    absent = [kind for kind in subject.promises.devices if all(d.split(":")[0] != kind for d in there)]
    if not request.devices or "all" in request.devices:
        return tuple(there), tuple(absent)
    chosen: list[str] = []
    for asked in request.devices:
        matching = [d for d in there if d == asked or d.split(":")[0] == asked]
        if not matching:
            why = "there is none on this machine" if asked.split(":")[0] in absent else "the target does not promise it"
            raise UsageError(f"--device {asked}: {why}; the target runs on {', '.join(there)} here")
        chosen += matching
    return tuple(dict.fromkeys(chosen)), ()

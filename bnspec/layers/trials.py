"""Constructors tried out: which numbers of channels, and which eps and momenta, they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bnspec.layers.adapter import read_attribute
from bnspec.layers.construction import Source, Template
from bnspec.layers.declarations import read_number
from bnspec.layers.promises import EPS, MOMENTA, Promises
from bnspec.layers.protocol import Structure, SubjectError, calling
from bnspec.layers.target import TargetError

CHANNELS = (3, 4, 8, 16, 32, 64)
PLAIN = {"eps": 1e-5, "momentum": 0.1}
"""What is tried first where nothing is given, before the constructor's own defaults."""
EDGES: dict[str, tuple[float, ...]] = {"eps": (1.0, 1e-12), "momentum": (0.0, 1.0)}
"""The settings at the ends of what cases ask for."""


def build_trial(source: Source) -> tuple[Structure, Any, str]:
    """What a first layer of the subject's was built for, the layer, and which number of channels could not be had.

    Raises TargetError.
    """
    fixed, defaults = source.fixed, source.defaults
    eps, momentum = (read_number(n, fixed[n]) if fixed.get(n) is not None else v for n, v in PLAIN.items())
    own_eps, own_momentum = (defaults.get(n) or v for n, v in (("eps", eps), ("momentum", momentum)))
    first = ""
    for settings in dict.fromkeys([(eps, momentum), (own_eps, own_momentum)]):
        refused = ""
        for channels in (fixed["channels"],) if "channels" in fixed else CHANNELS:
            structure = Structure(channels, 2, "float32", "cpu", *settings)
            try:
                with calling("construction"):
                    return structure, source.build(structure), refused
            except (SubjectError, SystemExit) as error:
                refused = refused or _tell_refusal(source, structure, error)
        first = first or refused
    advice = "give the arguments that it needs, --arg NAME=VALUE"
    if isinstance(source, Template):
        advice = "an instance is judged by copies of it: name its class, or a function that makes one"
    raise TargetError(f"{first}; {advice}")


def keep_to_limits(
    source: Source, subject: Any, built: Structure, promises: Promises, refused: str
) -> tuple[Promises, str]:
    """The promises less what the constructor does not take or keep, and in words what is left out.

    `refused` says which number of channels could not be had, `subject` is the layer that was `built`.
    """
    limits = []
    if refused:
        promises = replace(promises, channels=built.channels)
        limits.append(f"a layer of {built.channels} channels alone, as {refused}")
    free = {"eps": promises.eps is None, "momentum": promises.momentum == "free"}
    defaults = {name: source.defaults.get(name) or getattr(built, name) for name in free}
    kept = {name: value for name, value in defaults.items() if free[name] and source.takes(name)}

    def refuse(setting: str, value: float) -> str:
        structure = replace(built, **{setting: value})  # type: ignore[arg-type]  # by the name of a number
        try:
            with calling("construction"):
                source.build(structure)
        except (SubjectError, SystemExit) as error:
            return _tell_refusal(source, structure, error)
        return ""

    promises, words = limit_settings(promises, refuse, kept)
    limits += [f"a layer of {each}" for each in words]
    if not _keeps_settings(source, subject, built):
        promises = replace(promises, abilities=promises.abilities - {"retunes"})
    return promises, "; ".join(limits)


def _tell_refusal(source: Source, structure: Structure, error: SubjectError | SystemExit) -> str:
    reason = error.reason if isinstance(error, SubjectError) else f"raised SystemExit: {error.code}"
    return f"{source.tell(structure)} cannot be called: it {reason}"


def limit_settings(
    promises: Promises, refuse: Callable[[str, float], str], kept: Mapping[str, float]
) -> tuple[Promises, list[str]]:
    """The promises less the eps and momenta that are refused, and words for each setting of which some are.

    `refuse` says of a setting and a value why it cannot be had, "" where it can; `kept` is what is left where none can.
    """
    words = []
    for setting, values in (("eps", EPS), ("momentum", MOMENTA)):
        if setting not in kept:
            continue
        why = next(filter(None, (refuse(setting, value) for value in EDGES[setting])), "")
        if not why:
            continue
        taken = tuple(value for value in values if not refuse(setting, value))
        changed: dict[str, Any] = {setting: kept[setting]}
        if taken:
            changed = {"epsilons" if setting == "eps" else "momenta": taken}
        promises = replace(promises, **changed, abilities=promises.abilities - {"retunes"})
        if setting == "momentum" and not taken:
            promises = replace(promises, abilities=promises.abilities - {"cumulative"})
        listed = ", ".join(map(str, sorted(set(taken) or {kept[setting]})))
        words.append(f"{setting} {listed} alone, as {why}")
    return promises, words


def _keeps_settings(source: Source, subject: Any, built: Structure) -> bool:
    """Do the attributes eps and momentum hold what the constructor was given?"""
    given = {
        name: getattr(built, name) for name in ("eps", "momentum") if source.takes(name) and name not in source.fixed
    }
    return all(read_attribute(subject, name, value) == value for name, value in given.items())

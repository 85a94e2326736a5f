"""Constructors tried out: which numbers of channels, and which eps and momenta, they take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bnspec.layers.adapter import read_attribute
from bnspec.layers.construction import Source, Template
from bnspec.layers.declarations import read_number
from bnspec.layers.promises import Promises
from bnspec.layers.protocol import Structure, SubjectError, calling
from bnspec.layers.target import TargetError

CHANNELS = (3, 4, 8)
EDGES: dict[str, tuple[float, ...]] = {"eps": (1.0, 1e-12), "momentum": (0.0, 1.0)}
"""The settings at the ends of what cases ask for."""


def build_trial(source: Source) -> tuple[Structure, Any, str]:
    """What a first layer of the subject's was built for, the layer, and which number of channels could not be had.

    Raises TargetError.
    """
    fixed = source.fixed
    eps = read_number("eps", fixed.get("eps", 1e-5))
    momentum = read_number("momentum", fixed["momentum"]) if fixed.get("momentum") is not None else 0.1
    first = ""
    for channels in (fixed["channels"],) if "channels" in fixed else CHANNELS:
        structure = Structure(channels, 2, "float32", "cpu", eps, momentum)
        try:
            with calling("construction"):
                return structure, source.build(structure), first
        except (SubjectError, SystemExit) as error:
            first = first or _tell_refusal(source, structure, error)
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
    for setting, value, why in _find_limits(source, built, promises):
        promises = replace(promises, **{setting: value})  # type: ignore[arg-type]  # eps or momentum, a number each
        if setting == "momentum":
            promises = replace(promises, abilities=promises.abilities - {"cumulative"})
        limits.append(f"a layer of {setting} {value} alone, as {why}")
    if not _keeps_settings(source, subject, built):
        promises = replace(promises, abilities=promises.abilities - {"retunes"})
    return promises, "; ".join(limits)


def _tell_refusal(source: Source, structure: Structure, error: SubjectError | SystemExit) -> str:
    reason = error.reason if isinstance(error, SubjectError) else f"raised SystemExit: {error.code}"
    return f"{source.tell(structure)} cannot be called: it {reason}"


def _find_limits(source: Source, built: Structure, promises: Promises) -> Iterator[tuple[str, float, str]]:
    """Which setting a constructor takes and does not let choose freely, the value to keep to, and what it said."""
    for setting, free in (("eps", promises.eps is None), ("momentum", promises.momentum == "free")):
        for value in EDGES[setting] if free and source.takes(setting) else ():
            structure = replace(built, **{setting: value})  # type: ignore[arg-type]  # by the name of a number
            try:
                with calling("construction"):
                    source.build(structure)
            except (SubjectError, SystemExit) as error:
                default = source.defaults.get(setting)
                kept = getattr(built, setting) if default is None else default
                yield setting, kept, _tell_refusal(source, structure, error)
                break


def _keeps_settings(source: Source, subject: Any, built: Structure) -> bool:
    """Do the attributes eps and momentum hold what the constructor was given?"""
    given = {
        name: getattr(built, name) for name in ("eps", "momentum") if source.takes(name) and name not in source.fixed
    }
    return all(read_attribute(subject, name, value) == value for name, value in given.items())

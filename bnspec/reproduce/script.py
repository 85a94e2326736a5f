"""A script that shows one failure: the user's own code, literal values, and what was got, wanted and allowed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bnspec.cases.case import Case, parse_address
from bnspec.engine.judging import judge_case
from bnspec.engine.subject import Subject
from bnspec.layers.objects import Maker
from bnspec.layers.target import find_reference
from bnspec.reproduce.endings import Text
from bnspec.reproduce.literals import COMPLEX, PACKED, READ_COMPLEX, READ_NUMBERS, READ_PACKED
from bnspec.reproduce.places import LOOKS, list_slices
from bnspec.reproduce.steps import Trace
from bnspec.reproduce.tracing import watch
from bnspec.reproduce.trying import shows
from bnspec.reproduce.ways import list_ways
from bnspec.spec.clauses import CLAUSES

if TYPE_CHECKING:
    from bnspec.conformance.compare import Judgement

TRIALS = 6
"""Most scripts that are tried for a failure."""


def write_script(subject: Subject, target: str, clause: str, address: str, again: str) -> str | None:
    """The script for the failure of a clause on the case of an address; None where it cannot be written.

    It ends with 1 while the failure is there and with 0 once it is mended; each was tried, and shows the failure. A
    number that is formed of several outputs is shown by one of these that is off. It cannot be written where none is,
    or where what was done is no step of a trace.
    """
    device, _, rest = address.partition("/")
    case, trace = parse_address(rest), Trace()
    implementation = subject.implementation
    traced = replace(
        subject, implementation=replace(implementation, maker=watch(implementation.maker, trace)), waivers=()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a subject warns of is its own affair
        judged: Judgement = judge_case(traced, case, device, (clause,))[clause]
        if case.experiment == "bad_input" and not judged.crashed:
            _call_again(traced, case, device, judged)
    if not judged.failed:
        return None
    settings, trials = implementation.framework.settings.get(case.setting, {}), 0
    for way in list_ways(subject, case, trace.steps, judged, CLAUSES[clause].family):
        for steps in list_slices(way.steps):
            text = _find_text(implementation.maker, target)
            if text is None or not all(text.knows(step) for step in steps):
                continue
            lines = chain(text.prepare(device, settings), way.ending(text, steps))
            script = _join(text, target, clause, (again, *way.remarks), lines)
            if shows(script, way.says, fork=device == "cpu" and case.setting == "plain"):
                return script
            trials += 1
            if trials == TRIALS:
                return None
    return None


def _call_again(subject: Subject, case: Case, device: str, judged: Judgement) -> None:
    """Trace the call that a failure is about: bad input is tried in a child."""
    from bnspec.conformance.acting import Stage
    from bnspec.conformance.experiments.bad_input import answer_call, list_calls

    stage = Stage(subject, case, device)
    for call in list_calls(stage):
        if str(call) in judged.quantity:
            answer_call(stage, call)
            return


def _find_text(maker: object, target: str) -> Text | None:
    name = _locate(target)[1]
    if isinstance(maker, Maker):
        if maker.late or maker.mode.last:
            return None
        if maker.adapter.framework.array is np.ndarray:
            from bnspec.reproduce.numpy_text import NumPyText

            return NumPyText(maker, name)
        from bnspec.reproduce.torch_text import ObjectText

        return ObjectText(maker, name)
    from bnspec.layers.torch_functions import Maker as FunctionMaker
    from bnspec.reproduce.torch_text import FunctionText

    if not isinstance(maker, FunctionMaker) or maker.signature.last:
        return None
    return FunctionText(maker, name)


def _join(text: Text, target: str, clause: str, remarks: tuple[str, ...], lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    packed = PACKED in body
    used = [module for module in ("copy", "gc", "pickle", "weakref") if f"{module}." in body]
    modules = sorted([*used, "sys", *(["base64", "zlib"] if packed else [])])
    title = f'"""{clause}: {CLAUSES[clause].title}. Ends with 1 while that fails."""'
    imports = [*(f"import {module}" for module in modules), "", "import numpy as np", *text.imports]
    read = READ_PACKED if packed else READ_COMPLEX if COMPLEX in body else READ_NUMBERS
    said = [f"# {remark}" for remark in remarks]
    parts = [title, "", *said, "", *imports, "", *_import(target), read, text.helpers, LOOKS, "", body, ""]
    return "\n".join(parts)


def _locate(target: str) -> tuple[str, str]:
    """The file or module of a target, and its name there."""
    location, _, name = target.rpartition(":")
    if location == "reference":
        location, _, name = find_reference(name).rpartition(":")
    return location, name


def _import(target: str) -> Iterator[str]:
    """How the script comes to the user's own code."""
    location, attribute = _locate(target)
    first = attribute.partition(".")[0]
    if location.endswith(".py"):
        path = Path(location).resolve()
        yield f"sys.path.insert(0, {str(path.parent)!r})"
        yield f"from {path.stem} import {first}"
    else:
        yield f"sys.path.append({str(Path.cwd())!r})"
        yield f"from {location} import {first}"

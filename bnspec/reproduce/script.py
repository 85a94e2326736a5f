"""A script that shows one failure: the user's own code, literal values, and what was got, wanted and allowed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bnspec.cases.case import parse_address
from bnspec.engine.judging import judge_case
from bnspec.engine.subject import Subject
from bnspec.layers.objects import Maker
from bnspec.layers.protocol import Array
from bnspec.reproduce.literals import PACKED, READ_NUMBERS, READ_PACKED
from bnspec.reproduce.tracing import Step, Trace
from bnspec.reproduce.trying import shows
from bnspec.spec.clauses import CLAUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bnspec.conformance.compare import Judgement


class Text(Protocol):
    """Writes the steps of a trace as lines of a framework."""

    @property
    def imports(self) -> tuple[str, ...]: ...

    @property
    def helpers(self) -> str: ...

    def knows(self, step: Step) -> bool: ...

    def write(self, step: Step) -> Iterator[str]: ...

    def tell(self, step: Step, found: str) -> str: ...


@dataclass(frozen=True)
class Place:
    """Where a number was found: the step, what it gave, and how the array is looked at."""

    step: int
    found: str
    view: str


VIEWS: dict[str, Callable[[Array], Array]] = {
    "": lambda a: a,
    "rows": lambda a: np.moveaxis(a, 1, 0).reshape(a.shape[1], -1),
    "flat": lambda a: a.reshape(-1),
}
ROWS = '''
def rows(values):
    """Channel by channel."""
    return np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)


def flat(values):
    return values.reshape(-1)
'''


def write_script(subject: Subject, target: str, clause: str, address: str, again: str) -> str | None:
    """The script for the failure of a clause on the case of an address; None where it cannot be written.

    It ends with 1 while the failure is there and with 0 once it is mended; each was tried, and shows the failure. It
    cannot be written where the number is formed of several outputs, or where what was done is no step of a trace.
    """
    device, _, rest = address.partition("/")
    case, trace = parse_address(rest), Trace()
    implementation = subject.implementation
    traced = replace(
        subject, implementation=replace(implementation, maker=trace.watch(implementation.maker)), waivers=()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a subject warns of is its own affair
        judged: Judgement = judge_case(traced, case, device, (clause,))[clause]
    if not judged.failed or case.setting != "plain" or device != "cpu":
        return None
    place = _find_place(trace.steps, judged)
    for steps in () if place is None else _list_slices(trace.steps, place.step):
        text = _find_text(implementation.maker, target)
        if text is None or place is None or not all(text.knows(step) for step in steps):
            continue
        lines = _tell_number(text, steps, place, judged) if judged.evidence else _tell_raised(text, steps)
        script = _join(text, target, clause, again, lines)
        if shows(script):
            return script
    return None


def _find_place(steps: list[Step], judged: Judgement) -> Place | None:
    if judged.crashed:
        return next((Place(n, "", "") for n, step in enumerate(steps) if step.raised), None)
    return None if judged.evidence is None else _find(steps, judged.evidence.observed)


def _list_slices(steps: list[Step], last: int) -> Iterator[list[Step]]:
    """Steps that may be enough to come to the last, the fewest first.

    Those of its layer since it was loaded, those of the layers that it came from, and all.
    """
    layer, whole = steps[last].layer, steps[: last + 1]
    needed, saves = {layer}, set[int]()
    for step in reversed(whole):
        if step.layer in needed and "of" in step.given:
            needed.add(step.given["of"])
        if step.layer in needed and step.verb == "restore":
            saves.add(step.given["number"])
        if step.verb == "save" and step.given["number"] in saves:
            needed.add(step.layer)
    own = [step for step in whole if step.layer in needed]
    loads = [number for number, step in enumerate(own) if step.verb == "load" and step.layer == layer]
    if loads:
        yield [step for number, step in enumerate(own) if step.verb == "make" or number >= loads[-1]]
    yield own
    if len(own) < len(whole):
        yield whole


def _find_text(maker: object, target: str) -> Text | None:
    name = target.rpartition(":")[2]
    if isinstance(maker, Maker):
        if maker.late:
            return None
        if maker.adapter.framework.array is np.ndarray:
            from bnspec.reproduce.numpy_text import NumPyText

            return NumPyText(maker, name)
        from bnspec.reproduce.torch_text import ObjectText

        return ObjectText(maker, name)
    from bnspec.layers.torch_functions import Maker as FunctionMaker
    from bnspec.reproduce.torch_text import FunctionText

    return FunctionText(maker, name) if isinstance(maker, FunctionMaker) else None


def _find(steps: list[Step], observed: Array) -> Place | None:
    """The last step that gave these very numbers, and how they are looked at."""
    for number in range(len(steps) - 1, -1, -1):
        for found, array in steps[number].found.items():
            for view, look in VIEWS.items():
                if array.ndim < 2 and view == "rows":
                    continue
                seen = look(array)
                if (
                    seen.shape == observed.shape
                    and seen.dtype == observed.dtype
                    and seen.tobytes() == observed.tobytes()
                ):
                    return Place(number, found, view)
    return None


def _tell_number(text: Text, steps: list[Step], place: Place, judged: Judgement) -> Iterator[str]:
    evidence, quantity = judged.evidence, judged.quantity
    assert evidence is not None  # that is what it is told by
    for step in steps:
        yield from text.write(step)
    seen = f"look({text.tell(steps[-1], place.found)})"
    seen = f"{place.view}({seen})" if place.view else seen
    index = ", ".join(map(str, evidence.index))
    yield ""
    yield f"got = float({seen}[{index}])" if index else f"got = float({seen})"
    yield f'wanted = float.fromhex("{evidence.wanted.hex()}")'
    if evidence.allowed is None:
        yield f'print({quantity!r}, f"got {{got!r}}, wanted {{wanted!r}}, bit for bit", sep=": ")'
        yield "sys.exit(got.hex() != wanted.hex())"
        return
    yield f'allowed = float.fromhex("{evidence.allowed.hex()}")'
    yield f'print({quantity!r}, f"got {{got!r}}, wanted {{wanted!r}} within {{allowed:.3g}}", sep=": ")'
    yield "sys.exit(not abs(got - wanted) <= allowed)"


def _tell_raised(text: Text, steps: list[Step]) -> Iterator[str]:
    for step in steps[:-1]:
        yield from text.write(step)
    yield "try:"
    for line in text.write(steps[-1]):
        yield from (f"    {part}" for part in line.splitlines())
    yield "except Exception as error:"
    yield '    print(f"got {type(error).__name__}: {error}, wanted an answer")'
    yield "    sys.exit(1)"
    yield 'print("it raises no more")'


def _join(text: Text, target: str, clause: str, again: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    packed = PACKED in body
    modules = ["base64", "copy", "pickle", "sys", "zlib"] if packed else ["copy", "pickle", "sys"]
    title = f'"""{clause}: {CLAUSES[clause].title}. Ends with 1 while that fails."""'
    imports = [*(f"import {module}" for module in modules), "", "import numpy as np", *text.imports]
    read = READ_PACKED if packed else READ_NUMBERS
    parts = [title, "", f"# {again}", "", *imports, "", *_import(target), read, text.helpers, ROWS, "", body, ""]
    return "\n".join(parts)


def _import(target: str) -> Iterator[str]:
    """How the script comes to the user's own code."""
    location, _, attribute = target.rpartition(":")
    first = attribute.partition(".")[0]
    if location.endswith(".py"):
        path = Path(location).resolve()
        yield f"sys.path.insert(0, {str(path.parent)!r})"
        yield f"from {path.stem} import {first}"
    else:
        yield f"sys.path.append({str(Path.cwd())!r})"
        yield f"from {location} import {first}"

"""How a script ends: what was got, wanted and allowed, and 1 as long as that is so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from bnspec.reproduce.steps import Step

if TYPE_CHECKING:
    from bnspec.conformance.compare import Evidence, Fact

Ending = Callable[["Text", list[Step]], Iterator[str]]
"""The lines of some steps and of what came of them."""


class Text(Protocol):
    """Writes the steps of a trace as lines of a framework."""

    @property
    def imports(self) -> tuple[str, ...]: ...

    @property
    def helpers(self) -> str: ...

    def prepare(self, device: str, settings: Mapping[str, Any]) -> Iterator[str]: ...

    def knows(self, step: Step) -> bool: ...

    def write(self, step: Step) -> Iterator[str]: ...

    def tell(self, step: Step, found: str) -> str: ...


def tell_number(quantity: str, found: str, view: str, evidence: Evidence) -> Ending:
    """A number that is off."""

    def write(text: Text, steps: list[Step]) -> Iterator[str]:
        yield from _do(text, steps)
        index = ", ".join(map(str, evidence.index))
        seen = view.format(text.tell(steps[-1], found))
        yield ""
        yield f"got = float({seen}[{index}])" if index else f"got = float({seen})"
        if evidence.finite is not None:
            wanted = "a finite number" if evidence.finite else "none that is finite"
            yield f'print({quantity!r}, f"got {{got!r}}, wanted {wanted}", sep=": ")'
            yield f"sys.exit(bool(np.isfinite(got)) != {evidence.finite})"
            return
        yield f'wanted = float.fromhex("{evidence.wanted.hex()}")'
        if evidence.allowed is None:
            yield f'print({quantity!r}, f"got {{got!r}}, wanted {{wanted!r}}, bit for bit", sep=": ")'
            yield "sys.exit(got.hex() != wanted.hex())"
            return
        yield f'allowed = float.fromhex("{evidence.allowed.hex()}")'
        yield f'print({quantity!r}, f"got {{got!r}}, wanted {{wanted!r}} within {{allowed:.3g}}", sep=": ")'
        yield "sys.exit(not abs(got - wanted) <= allowed)"

    return write


def tell_fact(quantity: str, found: str, view: str, wanted: object) -> Ending:
    """A plain value, a shape say, that is another."""

    def write(text: Text, steps: list[Step]) -> Iterator[str]:
        yield from _do(text, steps)
        yield ""
        yield f"got = {view.format(text.tell(steps[-1], found))}"
        yield f"wanted = {wanted!r}"
        yield f'print({quantity!r}, f"got {{got}}, wanted {{wanted}}", sep=": ")'
        yield "sys.exit(got != wanted)"

    return write


def tell_held(quantity: str, evidence: Fact) -> Ending:
    """The input of the first pass outlives it."""

    def write(text: Text, steps: list[Step]) -> Iterator[str]:
        first = next(step.forward for step in steps if step.verb == "watch") + 1
        yield from _do(text, steps)
        yield ""
        yield "gc.collect()"
        yield f"got = {evidence.wanted!r} if watched{first}() is None else {evidence.got!r}"
        yield f'print({quantity!r}, f"got {{got}}, wanted {evidence.wanted}", sep=": ")'
        yield f"sys.exit(got != {evidence.wanted!r})"

    return write


def tell_raised(text: Text, steps: list[Step]) -> Iterator[str]:
    """The last step raises, in the place of an answer."""
    yield from _try(text, steps)
    yield "except Exception as error:"
    yield '    print(f"got {type(error).__name__}: {error}, wanted an answer")'
    yield "    sys.exit(1)"
    yield 'print("it raises no more")'


def tell_answered(quantity: str) -> Ending:
    """The last step answers, in the place of an exception."""

    def write(text: Text, steps: list[Step]) -> Iterator[str]:
        yield from _try(text, steps)
        yield "except Exception as error:"
        yield '    print(f"refused: {type(error).__name__}: {error}")'
        yield "    sys.exit(0)"
        yield f'print({quantity!r}, "got an answer, wanted an exception", sep=": ")'
        yield "sys.exit(1)"

    return write


def _try(text: Text, steps: list[Step]) -> Iterator[str]:
    yield from _do(text, steps[:-1])
    yield "try:"
    yield from _indent(text.write(steps[-1]))


def _do(text: Text, steps: list[Step]) -> Iterator[str]:
    """The lines of steps, of which those that raised may."""
    for step in steps:
        if step.raised:
            yield "try:"
            yield from _indent(text.write(step))
            yield "except Exception as error:"
            yield '    print(f"meanwhile it raises {type(error).__name__}: {error}")'
        else:
            yield from text.write(step)


def _indent(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield from (f"    {part}" for part in line.splitlines())

"""What is done to layers while a case is acted out, step by step, with every number that goes in and comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bnspec.layers.numpy_teaching import copy_array
from bnspec.layers.protocol import NONE, Array, Description, Grad, Gradients, State, Structure, SubjectError

Verb = Literal[
    "make", "forward", "backward", "add_up", "twice", "look", "read", "load", "rebind", "switch",
    "copy", "travel", "convert", "retune", "reset", "save", "restore", "other",
]  # fmt: skip
STATE = ("gamma", "beta", "running_mean", "running_var")


@dataclass(frozen=True, eq=False)
class Step:
    """One call: of which layer, of which of its forwards, with what, and the arrays that came out, by their names.

    `raised` is what came instead.
    """

    verb: Verb
    layer: int
    forward: int = -1
    given: dict[str, Any] = field(default_factory=dict)
    found: dict[str, Array] = field(default_factory=dict)
    raised: str = ""


@dataclass
class Trace:
    """The steps of an act; what is done besides is a step of its own kind, "other", that nobody can write."""

    steps: list[Step] = field(default_factory=list)
    layers: int = 0
    forwards: int = 0
    saves: int = 0

    def watch(self, maker: Callable[[Structure], Any]) -> Callable[[Structure], Any]:
        """A maker of layers that are traced."""

        def make(structure: Structure) -> TracedLayer:
            self.layers += 1
            number = self.layers - 1
            layer = self.record(Step("make", number, given={"structure": structure}), lambda: (maker(structure), {}))
            return TracedLayer(layer, number, self)

        return make

    def record(self, step: Step, call: Callable[[], tuple[Any, dict[str, Array]]]) -> Any:
        """Do what a step says, and keep what came of it."""
        try:
            value, found = call()
        except SubjectError as error:
            self.steps.append(replace(step, raised=error.reason))
            raise
        self.steps.append(replace(step, found=found))
        return value

    def leave(self, layer: int, found: Any) -> Any:
        """Hand on what a layer, or a pass of it, has besides."""
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self.steps.append(Step("other", layer))
            return found(*map(_bare, arguments), **{key: _bare(each) for key, each in named.items()})

        return call


class TracedLayer:
    """A layer whose calls are steps of a trace."""

    def __init__(self, layer: Any, number: int, trace: Trace) -> None:
        self.bare, self._number, self._trace = layer, number, trace

    def run(self, x: Array, *, training: bool, grad: Grad = NONE) -> TracedPass:
        given = {"x": copy_array(x), "training": training, "grad": grad}
        return self._run(given, lambda: self.bare.run(x, training=training, grad=grad))

    def _run(self, given: dict[str, Any], run: Callable[[], Any]) -> TracedPass:
        self._trace.forwards += 1
        number = self._trace.forwards - 1

        def call() -> tuple[Any, dict[str, Array]]:
            passed = run()
            return passed, {"y": passed.y}

        passed = self._trace.record(Step("forward", self._number, number, given), call)
        return TracedPass(passed, self._number, number, self._trace)

    def state(self) -> State:
        def call() -> tuple[State, dict[str, Array]]:
            state = self.bare.state()
            return state, {name: getattr(state, name) for name in STATE if getattr(state, name) is not None}

        state: State = self._trace.record(Step("read", self._number), call)
        return state

    def load(self, state: State) -> None:
        self._trace.record(Step("load", self._number, given=_state(state)), lambda: (self.bare.load(state), {}))

    def rebind(self, state: State) -> None:
        self._trace.record(Step("rebind", self._number, given=_state(state)), lambda: (self.bare.rebind(state), {}))

    def switch(self, training: bool) -> None:
        step = Step("switch", self._number, given={"training": training})
        self._trace.record(step, lambda: (self.bare.switch(training), {}))

    def run_again(self, passed: TracedPass, *, training: bool, grad: Grad = NONE, x: Array | None = None) -> TracedPass:
        given = {"again": passed.number, "x": None if x is None else copy_array(x), "training": training, "grad": grad}
        return self._run(given, lambda: self.bare.run_again(passed.bare, training=training, grad=grad, x=x))

    def recompute(self, x: Array, grad: Grad) -> TracedPass:
        given = {"x": copy_array(x), "training": True, "grad": grad, "recompute": True}
        return self._run(given, lambda: self.bare.recompute(x, grad))

    def add_up(self, passes: Sequence[TracedPass], dys: Sequence[Array]) -> Sequence[Gradients]:
        numbers = [each.number for each in passes]

        def call() -> tuple[Sequence[Gradients], dict[str, Array]]:
            all_found = self.bare.add_up([each.bare for each in passes], dys)
            named: dict[str, Array] = {}
            for number, found in zip(numbers, all_found, strict=True):
                named |= _name_gradients(found, str(number + 1))
            return all_found, named

        given = {"forwards": numbers, "dys": [copy_array(dy) for dy in dys]}
        gradients: Sequence[Gradients] = self._trace.record(Step("add_up", self._number, given=given), call)
        return gradients

    def differentiate_twice(
        self, passed: TracedPass, dy: Array, along: Gradients, *, curved: bool = False
    ) -> Callable[[Any, bool], Array | None]:
        given = {"dy": copy_array(dy), "along": along, "curved": curved}
        step = Step("twice", self._number, passed.number, given)
        asked = self._trace.record(
            step, lambda: (self.bare.differentiate_twice(passed.bare, dy, along, curved=curved), {})
        )

        def ask(by: Any, may_lack: bool) -> Array | None:
            def call() -> tuple[Array | None, dict[str, Array]]:
                found = asked(by, may_lack)
                return found, {} if found is None else {f"by_{by}": found}

            question = replace(step, given={"by": by, "may_lack": may_lack})
            answer: Array | None = self._trace.record(question, call)
            return answer

        return ask

    def copy(self) -> TracedLayer:
        copied: TracedLayer = self._another("copy", self.bare.copy)
        return copied

    def travel(self) -> TracedLayer | None:
        copied: TracedLayer | None = self._another("travel", self.bare.travel)
        return copied

    def _another(self, verb: Verb, call: Callable[[], Any]) -> Any:
        self._trace.layers += 1
        number = self._trace.layers - 1
        layer = self._trace.record(Step(verb, number, given={"of": self._number}), lambda: (call(), {}))
        return None if layer is None else TracedLayer(layer, number, self._trace)

    def convert(self, dtype: str) -> None:
        self._tell("convert", {"dtype": dtype}, lambda: self.bare.convert(dtype))

    def retune(self, *, eps: float, momentum: float | None) -> None:
        self._tell("retune", {"eps": eps, "momentum": momentum}, lambda: self.bare.retune(eps=eps, momentum=momentum))

    def reset(self) -> None:
        self._tell("reset", {}, self.bare.reset)

    def save(self, *, within: bool = False) -> Saved:
        self._trace.saves += 1
        number = self._trace.saves
        saved = self._tell("save", {"number": number, "within": within}, lambda: self.bare.save(within=within))
        return Saved(saved, number)

    def restore(self, saved: Saved | None, *, within: bool = False) -> None:
        given = {"number": None if saved is None else saved.number, "within": within}
        bare = None if saved is None else saved.bare
        self._tell("restore", given, lambda: self.bare.restore(bare, within=within))

    def _tell(self, verb: Verb, given: dict[str, Any], call: Callable[[], Any]) -> Any:
        return self._trace.record(Step(verb, self._number, given=given), lambda: (call(), {}))

    def describe(self, what: Any) -> Description | None:
        description: Description | None = self.bare.describe(what)
        return description

    def __getattr__(self, name: str) -> Any:
        return self._trace.leave(self._number, getattr(self.bare, name))


class TracedPass:
    """A forward whose backward is a step of a trace."""

    def __init__(self, passed: Any, layer: int, number: int, trace: Trace) -> None:
        self.bare, self._layer, self.number, self._trace = passed, layer, number, trace

    @property
    def y(self) -> Array:
        y: Array = self.bare.y
        return y

    def backward(self, dy: Array) -> Gradients:
        def call() -> tuple[Gradients, dict[str, Array]]:
            found = self.bare.backward(dy)
            return found, _name_gradients(found, "")

        step = Step("backward", self._layer, self.number, {"dy": copy_array(dy)})
        gradients: Gradients = self._trace.record(step, call)
        return gradients

    def read(self, what: Any) -> Array:
        def call() -> tuple[Array, dict[str, Array]]:
            found = self.bare.read(what)
            return found, {what: found}

        read: Array = self._trace.record(Step("look", self._layer, self.number), call)
        return read

    def describe(self, what: Any = "y") -> Description:
        description: Description = self.bare.describe(what)
        return description

    def watch(self) -> Callable[[], object]:
        watched: Callable[[], object] = self.bare.watch()
        return watched

    def __getattr__(self, name: str) -> Any:
        return self._trace.leave(self._layer, getattr(self.bare, name))


@dataclass(frozen=True)
class Saved:
    """What a layer saved, by its number in the trace."""

    bare: Any
    number: int


def _name_gradients(found: Gradients, end: str) -> dict[str, Array]:
    pairs = {"dx": found.x, "dgamma": found.gamma, "dbeta": found.beta}
    return {f"{name}{end}": array for name, array in pairs.items() if array is not None}


def _bare(value: Any) -> Any:
    if isinstance(value, TracedLayer | TracedPass | Saved):
        return value.bare
    return [_bare(each) for each in value] if isinstance(value, list | tuple) and _holds_traced(value) else value


def _holds_traced(values: Any) -> bool:
    return any(isinstance(each, TracedLayer | TracedPass | Saved) for each in values)


def _state(state: State) -> dict[str, Any]:
    given = {name: getattr(state, name) for name in STATE}
    return {name: copy_array(array) for name, array in given.items() if array is not None} | {"batches": state.batches}

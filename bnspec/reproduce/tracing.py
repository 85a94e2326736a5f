"""Layers that are traced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bnspec.layers.numpy_teaching import copy_array
from bnspec.layers.protocol import NONE, Array, Description, Grad, Gradients, State, Structure, SubjectError
from bnspec.reproduce.steps import STATE, Step, Trace, Traced, Verb
from bnspec.reproduce.traced_pass import Saved, TracedPass, name_gradients


def watch(maker: Callable[[Structure], Any], trace: Trace) -> Callable[[Structure], TracedLayer]:
    """A maker of layers that are traced."""

    def make(structure: Structure) -> TracedLayer:
        trace.layers += 1
        number = trace.layers - 1
        layer = trace.record(Step("make", number, given={"structure": structure}), lambda: (maker(structure), {}))
        return TracedLayer(layer, number, trace)

    return make


class TracedLayer(Traced):
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
            given["before"] = _try_state(self.bare)
            passed = run()
            given["after"] = _try_state(self.bare)
            return passed, {"y": passed.y}

        passed = self._trace.record(Step("forward", self._number, number, given), call)
        return TracedPass(passed, self._number, number, self._trace)

    def state(self) -> State:
        def call() -> tuple[State, dict[str, Array]]:
            state = self.bare.state()
            found = {name: getattr(state, name) for name in STATE if getattr(state, name) is not None}
            return state, found if state.batches is None else {**found, "batches": np.asarray(state.batches)}

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
                named |= name_gradients(found, str(number + 1))
            return all_found, named

        given = {"forwards": numbers, "dys": [copy_array(dy) for dy in dys]}
        gradients: Sequence[Gradients] = self._trace.record(Step("add_up", self._number, given=given), call)
        return gradients

    def answer_twice(self, passed: TracedPass, dy: Array) -> tuple[Gradients, Callable[[], Gradients]]:
        given, bare = {"dy": copy_array(dy), "keep": True}, list[Callable[[], Gradients]]()

        def call() -> Gradients:
            first: Gradients
            first, again = self.bare.answer_twice(passed.bare, dy)
            bare.append(again)
            return first

        first = self._answer(Step("backward", self._number, passed.number, given), call)
        return first, lambda: self._answer(Step("backward", self._number, passed.number, given), bare[0])

    def accumulate(self, passed: TracedPass, dy: Array, there: Gradients) -> Gradients | None:
        step = Step("accumulate", self._number, passed.number, {"dy": copy_array(dy), "there": there})
        gradients: Gradients | None = self._answer(step, lambda: self.bare.accumulate(passed.bare, dy, there))
        return gradients

    def _answer(self, step: Step, call: Callable[[], Any]) -> Any:
        def answer() -> tuple[Any, dict[str, Array]]:
            found = call()
            return found, {} if found is None else name_gradients(found, "")

        return self._trace.record(step, answer)

    def push_forward(self, x: Array, along: Gradients, *, training: bool) -> tuple[Array, Array | None]:
        self._trace.forwards += 1
        given = {"x": copy_array(x), "along": along, "training": training}

        def call() -> tuple[tuple[Array, Array | None], dict[str, Array]]:
            y, moved = self.bare.push_forward(x, along, training=training)
            return (y, moved), {"y": y} if moved is None else {"y": y, "moved": moved}

        pushed: tuple[Array, Array | None] = self._trace.record(
            Step("push", self._number, self._trace.forwards - 1, given), call
        )
        return pushed

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

    def restore_parameters(self, saved: Saved) -> bool:
        return self._restore_some(saved, "parameters", self.bare.restore_parameters)

    def restore_older(self, saved: Saved) -> bool:
        return self._restore_some(saved, "all but the counter", self.bare.restore_older)

    def _restore_some(self, saved: Saved, only: str, restore: Callable[[Any], bool]) -> bool:
        given = {"number": saved.number, "only": only}
        done: bool = self._tell("restore", given, lambda: restore(saved.bare))
        if not done:
            self._trace.steps.pop()  # nothing was: the layer has no such save
        return done

    def _tell(self, verb: Verb, given: dict[str, Any], call: Callable[[], Any]) -> Any:
        return self._trace.record(Step(verb, self._number, given=given), lambda: (call(), {}))

    def describe(self, what: Any) -> Description | None:
        description: Description | None = self.bare.describe(what)
        given = {} if description is None else {"what": what, "description": description}
        self._trace.steps.append(Step("read", self._number, given=given))
        return description

    def __getattr__(self, name: str) -> Any:
        return self._trace.leave(self._number, getattr(self.bare, name))


def _try_state(layer: Any) -> State | None:
    try:
        state: State = layer.state()
    except SubjectError:
        return None
    return state


def _state(state: State) -> dict[str, Any]:
    given = {name: getattr(state, name) for name in STATE}
    return {name: copy_array(array) for name, array in given.items() if array is not None} | {"batches": state.batches}

"""Steps of a trace as lines of torch, for objects that hold their tensors and for functions that are given them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bnspec.layers.modes import Mode
from bnspec.layers.objects import Maker
from bnspec.layers.protocol import Grad, Structure
from bnspec.layers.returned import BUFFERS, Update, write_path
from bnspec.layers.torch_functions import Maker as FunctionMaker
from bnspec.layers.torch_tensors import THREADS, TORCH
from bnspec.reproduce.lines import Lines
from bnspec.reproduce.literals import write_array
from bnspec.reproduce.steps import STATE, Step
from bnspec.reproduce.torch_helpers import HELPERS, PUSH


class ObjectText(Lines):
    """Lines for layers that are objects; `name` is what the script calls the target by."""

    imports: tuple[str, ...] = ("import torch",)
    helpers = HELPERS

    def __init__(self, maker: Maker, name: str) -> None:
        super().__init__(name, maker.mode)
        self.maker = maker
        self.names = dict(zip(STATE, maker.adapter.names.arrays, strict=True))
        self.asked: dict[tuple[int, str], bool] = {}

    def prepare(self, device: str, settings: Mapping[str, Any]) -> Iterator[str]:
        """The lines that come first, on the device and the settings of the process."""
        if device != "cpu":
            yield f'torch.set_default_device("{device}")'
        if THREADS in settings:
            yield f"torch.set_num_threads({settings[THREADS]})"

    def knows(self, step: Step) -> bool:
        """Can the step be written?"""
        return super().knows(step) and not (step.verb == "push" and self.mode.parameter)

    def tell(self, step: Step, found: str) -> str:
        """The name of what a step gave."""
        if step.verb == "read":
            name = self.maker.adapter.names.batches if found == "batches" else self.names[found]
            return f"layer{step.layer + 1}.{name}"
        if step.verb in ("add_up", "twice"):
            return found
        return f"{found}{step.forward + 1}"

    def _make(self, step: Step, layer: str) -> Iterator[str]:
        structure: Structure = step.given["structure"]
        native: dict[str, Any] = {}
        source = self.maker.source
        if source.takes("dtype"):
            native["dtype"] = TORCH.native_dtype(structure.parameters)
        for setting, wanted in (
            ("track_running_stats", structure.tracked), ("affine", structure.affine), ("bias", structure.shifted),
            ("scale", structure.scaled),
        ):  # fmt: skip
            if not wanted:
                native[setting] = False
        called = source.tell(structure, **native)
        yield f"{layer} = {called.replace(source.name, self.name, 1)}"
        if "dtype" not in native:
            attributes = ", ".join(repr(name) for name in self.names.values())
            yield f"convert({layer}, torch.{structure.parameters}, {attributes})"

    def _load(self, step: Step, layer: str, anew: str = "") -> Iterator[str]:
        for state, name in self.names.items():
            if state in step.given:
                yield f'write({layer}, "{name}", tensor({write_array(step.given[state])}){anew})'
        batches, counter = step.given["batches"], self.maker.adapter.names.batches
        if batches is not None:
            yield f'if torch.is_tensor(getattr({layer}, "{counter}", None)):'
            yield f"    {layer}.{counter}.fill_({batches})"
            yield f'elif getattr({layer}, "{counter}", None) is not None:'
            yield f"    {layer}.{counter} = {batches}"

    def _forward(self, step: Step, layer: str) -> Iterator[str]:
        training, grad = step.given["training"], step.given["grad"]
        number = step.forward + 1
        yield from self._take(step)
        yield from self._ask(step, layer, grad)
        if self.told.get(step.layer) != training:
            self.told[step.layer] = training
            yield from self._tell_mode(layer, training)
        call = f"y{number} = {self.mode.write_call(layer, f'x{number}', training)}"
        if "recompute" in step.given:
            inner = self.mode.write_call(layer, "x", True)
            options = "use_reentrant=False, preserve_rng_state=False"
            call = f"y{number} = checkpoint(lambda x: {inner}, x{number}, {options})"
            yield "from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop"
            call = f"with set_checkpoint_early_stop(False):\n    {call}"
        yield call if grad.recording else f"with torch.no_grad():\n    {call}"

    def _take(self, step: Step) -> Iterator[str]:
        """The input of a forward: new, or that of an earlier one, overwritten where there are numbers for it."""
        number, x = step.forward + 1, step.given["x"]
        if "again" in step.given:
            earlier = f"x{step.given['again'] + 1}"
            if x is not None:
                yield f"with torch.no_grad():\n    {earlier}.detach().copy_(tensor({write_array(x)}))"
            yield f"x{number} = {earlier}"
            if step.given["grad"].x:
                yield f"if x{number}.is_leaf:\n    x{number} = torch.ops.aten.alias(x{number}.requires_grad_())"
            return
        yield f"x{number} = tensor({write_array(x)})"
        if step.given["grad"].x:
            yield f"x{number} = torch.ops.aten.alias(x{number}.requires_grad_())  # no leaf, as inside a network"

    def _parameters(self, layer: str) -> str:
        return ", ".join(f'getattr({layer}, "{self.names[state]}", None)' for state in ("gamma", "beta"))

    def _add_up(self, step: Step, layer: str) -> Iterator[str]:
        numbers = [number + 1 for number in step.given["forwards"]]
        for number, dy in zip(numbers, step.given["dys"], strict=True):
            yield f"dy{number} = tensor({write_array(dy)})"
        ys, dys, xs = (", ".join(f"{name}{number}" for number in numbers) for name in ("y", "dy", "x"))
        dxs = ", ".join(f"dx{number}" for number in numbers)
        yield f"{dxs}, dgamma, dbeta = backward([{ys}], [{dys}], {xs}, {self._parameters(layer)})"
        for number in numbers:
            yield f"dgamma{number}, dbeta{number} = dgamma, dbeta"

    def _twice(self, step: Step, layer: str) -> Iterator[str]:
        n = step.forward + 1
        if "by" not in step.given:
            along = step.given["along"]
            yield f"dy{n} = tensor({write_array(step.given['dy'])}).requires_grad_()"
            bent = f"dy{n} + (y{n} - y{n}.detach())" if step.given["curved"] else f"dy{n}"
            yield f"named = dict(zip(('x', 'gamma', 'beta'), (x{n}, {self._parameters(layer)})))"
            yield "named = {name: each for name, each in named.items() if each is not None and each.requires_grad}"
            yield f"first = torch.autograd.grad(y{n}, list(named.values()), {bent}, create_graph=True)"
            arrays = {name: getattr(along, name) for name in ("x", "gamma", "beta")}
            given = (f"'{name}': tensor({write_array(a)})" for name, a in arrays.items() if a is not None)
            yield f"along = {{{', '.join(given)}}}"
            yield "pairs = [(g, along[name].reshape(g.shape)) for name, g in zip(named, first) if name in along]"
            yield "moved = sum((g * direction).sum() for g, direction in pairs)"
            return
        by, lack = step.given["by"], step.given["may_lack"]
        asked = f"dy{n}" if by == "dy" else f"named['{by}']"
        yield f"(by_{by},) = torch.autograd.grad(moved, [{asked}], retain_graph=True, allow_unused={lack})"

    def _switch(self, step: Step, layer: str) -> Iterator[str]:
        self.told[step.layer] = step.given["training"]
        yield f"within = torch.nn.Sequential({layer}) if isinstance({layer}, torch.nn.Module) else {layer}"
        yield from self._tell_mode("within", step.given["training"])

    def _convert(self, step: Step, layer: str) -> Iterator[str]:
        yield f"with torch.no_grad():\n    {layer}.to(torch.{step.given['dtype']})"

    def _retune(self, step: Step, layer: str) -> Iterator[str]:
        yield f"{layer}.eps, {layer}.momentum = {step.given['eps']!r}, {step.given['momentum']!r}"

    def _reset(self, step: Step, layer: str) -> Iterator[str]:
        yield f"{layer}.reset_running_stats()"

    def _save(self, step: Step, layer: str) -> Iterator[str]:
        holder = f"torch.nn.Sequential({layer})" if step.given["within"] else layer
        yield f"saved{step.given['number']} = {holder}.state_dict()"

    def _restore(self, step: Step, layer: str) -> Iterator[str]:
        number = step.given["number"]
        if "only" in step.given:
            names = [self.names["gamma"], self.names["beta"]]
            counter = self.maker.adapter.names.batches
            kept = f"name in {names}" if step.given["only"] == "parameters" else f'name != "{counter}"'
            strict = step.given["only"] != "parameters"
            some = f"{{name: value for name, value in saved{number}.items() if {kept}}}"
            yield f"{layer}.load_state_dict({some}, strict={strict})"
            return
        holder = f"torch.nn.Sequential({layer})" if step.given["within"] else layer
        yield f"{holder}.load_state_dict({'{}, strict=False' if number is None else f'saved{number}'})"

    def _ask(self, step: Step, layer: str, grad: Grad) -> Iterator[str]:
        for state, wanted in (("gamma", grad.gamma), ("beta", grad.beta)):
            if self.asked.get((step.layer, state)) != wanted:
                self.asked[step.layer, state] = wanted
                yield f'ask({layer}, "{self.names[state]}", {wanted})'

    def _backward(self, step: Step, layer: str) -> Iterator[str]:
        n, keep = step.forward + 1, ", keep=True" if "keep" in step.given else ""
        yield f"dy{n} = tensor({write_array(step.given['dy'])})"
        yield f"dx{n}, dgamma{n}, dbeta{n} = backward(y{n}, dy{n}, x{n}, {self._parameters(layer)}{keep})"

    def _accumulate(self, step: Step, layer: str) -> Iterator[str]:
        n, there = step.forward + 1, step.given["there"]
        yield f"dy{n} = tensor({write_array(step.given['dy'])})"
        for state, array in (("gamma", there.gamma), ("beta", there.beta)):
            if array is not None:
                parameter = f"{layer}.{self.names[state]}"
                yield f"{parameter}.grad = tensor({write_array(array)}).reshape({parameter}.shape)"
        yield f"x{n}.retain_grad()"
        yield f"y{n}.backward(dy{n})"
        yield f"inputs = (x{n}, {self._parameters(layer)})"
        yield f"dx{n}, dgamma{n}, dbeta{n} = (None if each is None else each.grad for each in inputs)"

    def _push(self, step: Step, layer: str) -> Iterator[str]:
        n, along, training = step.forward + 1, step.given["along"], step.given["training"]
        yield from PUSH.strip().splitlines()
        yield f"x{n} = tensor({write_array(step.given['x'])})"
        self.told[step.layer] = training
        yield from self._tell_mode(layer, training)
        pairs = [(name, getattr(along, state)) for state, name in self.names.items() if state in ("gamma", "beta")]
        tangents = ", ".join(f"{name}=tensor({write_array(a)})" for name, a in pairs if a is not None)
        moved = "None" if along.x is None else f"tensor({write_array(along.x)})"
        names = tuple(name for name, _ in pairs)
        yield f"y{n}, moved{n} = push({layer}, x{n}, {moved}, {names}, dict({tangents}))"


class FunctionText(ObjectText):
    """Lines for a function; the parameters and buffers of each layer stand in a namespace of the script's."""

    imports = ("import torch", "from types import SimpleNamespace")

    def knows(self, step: Step) -> bool:
        """Can the step be written?"""
        return step.verb != "push" and super().knows(step)

    def __init__(self, maker: FunctionMaker, name: str) -> None:
        Lines.__init__(self, name, Mode())
        self.function = maker
        self.names = dict(zip(STATE, STATE, strict=True))
        self.asked = {}
        self.structures: dict[int, Structure] = {}

    def _make(self, step: Step, layer: str) -> Iterator[str]:
        structure: Structure = step.given["structure"]
        self.structures[step.layer] = structure
        shape = self.function.signature.shape(structure.channels, structure.rank)
        size = f"{shape if len(shape) > 1 else structure.channels}, dtype=torch.{structure.parameters}"
        ones, zeros = f"torch.ones({size})", f"torch.zeros({size})"
        gamma = ones if structure.affine and structure.scaled else "None"
        beta = zeros if structure.affine and structure.shifted else "None"
        mean, var = (zeros, ones) if structure.tracked else ("None", "None")
        yield f"{layer} = SimpleNamespace(gamma={gamma}, beta={beta}, running_mean={mean}, running_var={var})"

    def _load(self, step: Step, layer: str, anew: str = "") -> Iterator[str]:
        for state in STATE:
            if state in step.given:
                yield f'write({layer}, "{state}", tensor({write_array(step.given[state])}){anew})'

    def _forward(self, step: Step, layer: str) -> Iterator[str]:
        number, grad, structure = step.forward + 1, step.given["grad"], self.structures[step.layer]
        yield from self._take(step)
        yield from self._ask(step, layer, grad)
        values = {state: f"{layer}.{state}" for state in STATE}
        values |= {"x": f"x{number}", "training": repr(step.given["training"])}
        values |= {"eps": repr(structure.eps), "momentum": repr(structure.momentum)}
        signature, update = self.function.signature, self.function.update
        named = {name: values[role] for role, name in signature.roles.items() if name}
        named |= {name: repr(value) for name, value in signature.given.items()}
        positional = [named.pop(name) for name in signature.positional if name in named]
        given = ", ".join([*positional, *(f"{name}={value}" for name, value in named.items())])
        call = f"y{number} = {self.name}({given})"
        yield call if grad.recording else f"with torch.no_grad():\n    {call}"
        yield from _take(update, layer, f"y{number}", training=step.given["training"])


def _take(update: Update, layer: str, y: str, *, training: bool) -> Iterator[str]:
    """Take y and the new statistics out of what was returned, of which an evaluation may return y alone."""
    if not update.y:
        return
    begin = "" if training else "    "
    if not training:
        yield f"if not isinstance({y}, torch.Tensor):"
    for name, place in zip(BUFFERS, update.places or (), strict=False):
        yield f"{begin}{layer}.{name} = {y}{write_path(place)}.detach()"
    yield f"{begin}{y} = {y}{write_path(update.y)}"

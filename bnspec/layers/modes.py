"""How layers are called: what tells them to train and to evaluate, and where their batches have the channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bnspec.layers.construction import MODE_NAMES, read_parameters


@dataclass(frozen=True)
class Mode:
    """`states` are the lines that set a mode of the layer's own, for evaluation and for training, as they follow its
    name, "" where it has none; `call` follows it in a call, which tells the mode by `parameter`, "" if it does not.
    `last` where the layer has the channel on the last axis.
    """

    states: tuple[str, str] = ("", "")
    call: str = ""
    parameter: str = ""
    last: bool = False

    @property
    def is_there(self) -> bool:
        """Can the mode be chosen at all?"""
        return bool(self.parameter) or any(self.states)

    @property
    def is_kept(self) -> bool:
        """Is the mode a state of the layer's, which a call goes by?"""
        return any(self.states) and not self.parameter

    def set(self, subject: Any, training: bool) -> None:
        """Tell the layer, where it has a mode of its own."""
        state = self.states[training]
        if state:
            STATES[state](subject)

    def run(self, subject: Any, x: Any, training: bool) -> Any:
        """Call the layer, which is in the mode if that is its own."""
        call = subject.forward if self.call else subject
        told = {self.parameter: training} if self.parameter else {}
        return self.take(call(self.give(x), **told))

    def give(self, x: Any) -> Any:
        """A batch (N, C, ...) as the layer has it, on the same memory."""
        return to_last(x) if self.last else x

    def take(self, y: Any) -> Any:
        """What the layer gave, as (N, C, ...)."""
        return from_last(y) if self.last else y

    @property
    def words(self) -> str:
        """How a call tells the mode, for the reader of a certificate; "" where the layer has it as a state."""
        if not self.parameter:
            return ""
        also = f", after its own mode was set by {self.states[1].lstrip('.')}" if any(self.states) else ""
        return f"a layer that is called as layer{self.call}(x, {self.parameter}=...){also}"

    def write_call(self, layer: str, x: str, training: bool) -> str:
        """The same in Python."""
        told = f", {self.parameter}={training}" if self.parameter else ""
        return f"{layer}{self.call}({x}{told})"


def to_last(x: Any) -> Any:
    """(N, C, ...) as (N, ..., C), on the same memory; NumPy, JAX and torch alike."""
    return x.movedim(1, -1) if hasattr(x, "movedim") else x.transpose(0, *range(2, x.ndim), 1)


def from_last(y: Any) -> Any:
    """The other way round; what is no array of two axes stays, for whoever finds fault with it."""
    if getattr(y, "ndim", 0) < 2:
        return y
    return y.movedim(-1, 1) if hasattr(y, "movedim") else y.transpose(0, y.ndim - 1, *range(1, y.ndim - 1))


def _put(subject: Any, training: bool) -> None:
    subject.training = training


STATES: dict[str, Callable[[Any], object]] = {
    ".train()": lambda subject: subject.train(),
    ".eval()": lambda subject: subject.eval(),
    ".train(True)": lambda subject: subject.train(True),
    ".train(False)": lambda subject: subject.train(False),
    ".training = True": lambda subject: _put(subject, True),
    ".training = False": lambda subject: _put(subject, False),
}
"""By the line that does so."""


def find_mode(subject: Any) -> Mode:
    """How this layer is told. A parameter that is None where it is not given leaves the mode to the layer's own."""
    states, call = _find_states(subject), "" if callable(subject) else ".forward"
    own, forward = (read_parameters(each) or {} for each in (subject, _read(subject, "forward")))
    for parameters, at in ((own, ""), (forward, ".forward")):
        for name in MODE_NAMES:
            if name in parameters and not (parameters[name].default is None and any(states)):
                hands_over = any(p.kind is p.VAR_KEYWORD for p in own.values())
                return Mode(states, "" if hands_over else at, name)
    return Mode(states, call)


def _find_states(subject: Any) -> tuple[str, str]:
    train, evaluate = _read(subject, "train"), callable(_read(subject, "eval"))
    parameters = list((read_parameters(train) or {}).values()) if callable(train) else []
    told = evaluate or (parameters and parameters[0].name in ("mode", *MODE_NAMES))
    if callable(train) and told:
        wanted = bool(parameters) and parameters[0].default is parameters[0].empty
        wanted = wanted and parameters[0].kind is not parameters[0].VAR_POSITIONAL
        return ".eval()" if evaluate else ".train(False)", ".train(True)" if wanted else ".train()"
    return (".training = False", ".training = True") if isinstance(_read(subject, "training"), bool) else ("", "")


def _read(subject: Any, name: str) -> Any:
    try:
        return getattr(subject, name, None)
    except Exception:  # noqa: BLE001  (a property of the subject's own may raise anything; it then counts as absent)
        return None

"""What the lines of every framework have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bnspec.layers.modes import Mode
from bnspec.reproduce.steps import Step


class Lines:
    """Writes steps as lines of Python, each by the method of its verb; a step without one cannot be written."""

    def __init__(self, name: str, mode: Mode) -> None:
        self.name, self.mode = name, mode
        self.told: dict[int, bool] = {}

    def prepare(self, device: str, settings: Mapping[str, Any]) -> Iterator[str]:
        """The lines that come first, on the device and the settings of the process."""
        yield from ()

    def knows(self, step: Step) -> bool:
        """Can the step be written?"""
        return hasattr(self, f"_{step.verb}")

    def write(self, step: Step) -> Iterator[str]:
        """The lines of a step."""
        yield from getattr(self, f"_{step.verb}")(step, f"layer{step.layer + 1}")

    def _read(self, step: Step, layer: str) -> Iterator[str]:
        yield from ()

    _look = _read

    def _load(self, step: Step, layer: str, anew: str = "") -> Iterator[str]:
        raise NotImplementedError

    def _rebind(self, step: Step, layer: str) -> Iterator[str]:
        yield from self._load(step, layer, ", anew=True")

    def _switch(self, step: Step, layer: str) -> Iterator[str]:
        self.told[step.layer] = step.given["training"]
        yield from self._tell_mode(layer, step.given["training"])

    def _tell_mode(self, layer: str, training: bool) -> Iterator[str]:
        state = self.mode.states[training]
        if state:
            yield f"{layer}{state}"

    def _copy(self, step: Step, layer: str) -> Iterator[str]:
        yield f"{layer} = copy.deepcopy({self._tell_original(step)})"

    def _travel(self, step: Step, layer: str) -> Iterator[str]:
        yield f"{layer} = pickle.loads(pickle.dumps({self._tell_original(step)}))"

    def _watch(self, step: Step, layer: str) -> Iterator[str]:
        """The pass is dropped where its input is watched."""
        n = step.forward + 1
        yield f"watched{n} = weakref.ref(find_leaf(x{n}))"
        yield f"del x{n}, y{n}"

    def _tell_original(self, step: Step) -> str:
        """The layer that a copy is made of, whose mode it keeps."""
        original = step.given["of"]
        if original in self.told:
            self.told[step.layer] = self.told[original]
        return f"layer{original + 1}"

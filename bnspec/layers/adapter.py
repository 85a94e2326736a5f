"""What an adapter for objects consists of: the names of their attributes, their arrays, their promises."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bnspec.layers.modes import Mode, find_mode
from bnspec.layers.protocol import Layer


@dataclass(frozen=True)
class Names:
    """What a family of layers calls its parameters, buffers and batch counter."""

    gamma: str
    beta: str
    running_mean: str
    running_var: str
    batches: str

    @property
    def arrays(self) -> tuple[str, str, str, str]:
        return (self.gamma, self.beta, self.running_mean, self.running_var)


class Framework(Protocol):
    """The library whose arrays a layer takes. `array` is their type, `name` what users call it."""

    @property
    def array(self) -> type: ...

    @property
    def array_name(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        """Settings of the process under which a right layer answers as ever: what of `read_globals` each sets.

        "plain", where there is one, is what layers are tried out and judged under.
        """

    def native_dtype(self, name: str) -> Any: ...

    def name_dtype(self, native: Any) -> str: ...

    def convert(self, subject: Any, names: Names, dtype: str | None, device: str | None) -> Any:
        """The layer with its parameters and buffers in a dtype and on a device; None leaves what is there."""

    def devices(self) -> list[str]:
        """What this machine has: "cpu", "cuda:0", ..."""

    def environment(self) -> dict[str, str]:
        """Versions, threads and devices, for the certificate."""

    def read_globals(self) -> dict[str, Any]:
        """What all layers of a process share, by what it is in words: default dtype, random numbers, ..."""

    def write_globals(self, values: Mapping[str, Any]) -> None:
        """Put some of these back."""

    def enter_child(self) -> None:
        """Keep to one thread: in a forked child the others of a pool are not there, and waited for in vain."""


@dataclass(frozen=True)
class Adapter:
    """A family of layers, known by its attributes.

    `dtypes` are promised; `probed_dtypes` too where the constructor takes a dtype or a probe finds them; `low_dtypes`
    where a probe finds them. `ranks`, `cumulative` and `lifecycle` look at a layer; ranks of None ask for probing,
    `lifecycle` adds to `abilities`. `methods` names the methods that abilities stand on. `make_layer` wraps a layer
    whose arrays are on a device.
    """

    framework: Framework
    names: Names
    dialect: str | None
    dtypes: tuple[str, ...]
    probed_dtypes: tuple[str, ...]
    low_dtypes: tuple[str, ...]
    devices: tuple[str, ...]
    ranks: Callable[[Any], tuple[int, ...] | None]
    cumulative: Callable[[Any], bool]
    abilities: frozenset[str]
    lifecycle: Callable[[Any], frozenset[str]]
    methods: Mapping[str, str]
    make_layer: Callable[[Any, str, Mode], Layer]

    def find_missing(self, subject: Any, without: frozenset[str]) -> list[str]:
        """What the layer lacks for this family, less what belongs to abilities that are left out."""
        parts = {"affine": self.names.arrays[:2], "running_statistics": self.names.arrays[2:]}
        missing = []
        for ability, attributes in parts.items():
            for attribute in attributes if ability not in without else ():
                value = read_attribute(subject, attribute, ...)
                if value is ...:
                    missing.append(attribute)
                elif value is not None and not isinstance(value, self.framework.array):
                    missing.append(f"{attribute} as a {self.framework.array_name}, not a {type(value).__name__}")
        if not {"evaluation", "running_statistics"} & without and not find_mode(subject).is_there:
            missing.append("training, or train() and eval(), or training as a parameter of its call")
        if not callable(subject) and not has_method(subject, "forward"):
            missing.append("__call__ or forward")
        missing += [m for ability, m in self.methods.items() if ability not in without and not has_method(subject, m)]
        return missing

    def offered(self, subject: Any) -> frozenset[str]:
        """The abilities that the layer's attributes speak of, with those of the family."""
        gamma, beta, mean, var = (read_attribute(subject, name) is not None for name in self.names.arrays)
        abilities = {a for a in self.abilities if a not in self.methods or has_method(subject, self.methods[a])}
        abilities |= self.lifecycle(subject)
        abilities |= {ability for ability, has in (("gamma", gamma), ("beta", beta)) if has}
        abilities |= {"affine"} if gamma and beta else set()
        if mean and var:
            abilities |= {"running_statistics", "kept_statistics", "initial_state"}
            mode = find_mode(subject)
            abilities |= {"evaluation"} if mode.is_there else set()
            abilities |= {"switches"} if mode.is_kept else set()
            abilities |= {"counter"} if read_attribute(subject, self.names.batches) is not None else set()
        return frozenset(abilities)


def read_attribute(subject: Any, name: str, default: Any = None) -> Any:
    """An attribute of a layer, or the default where reading it raises anything at all."""
    try:
        return getattr(subject, name, default)
    except Exception:  # noqa: BLE001  (a property of the subject's own may raise anything; it then counts as absent)
        return default


def owns(subject: Any, name: str) -> bool:
    """Does setting the attribute reach the layer, and not only hide what a wrapper hands on from inside?"""
    found = getattr(type(subject), name, None)
    settable = found.fset is not None if isinstance(found, property) else hasattr(found, "__set__")
    return name in getattr(subject, "__dict__", ()) or settable


def put(subject: Any, name: str, value: Any) -> bool:
    """Set an attribute; False where the layer does not let it be set, as a frozen dataclass."""
    try:
        setattr(subject, name, value)
    except AttributeError:
        return False
    return True


def has_method(subject: Any, name: str) -> bool:
    """Has the layer a callable attribute of this name?"""
    return callable(read_attribute(subject, name))


def write_down(subject: Any) -> bytes | None:
    """The layer as pickled bytes; None where it cannot be written, as of classes inside functions."""
    try:
        return pickle.dumps(subject)
    except Exception:  # noqa: BLE001  (what cannot be written says so in many ways, and none of them is a fault)
        return None

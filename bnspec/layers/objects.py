"""Targets that are layers, or make layers: objects that hold their parameters and buffers as attributes."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import sys
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from bnspec.layers.adapter import Adapter, read_attribute
from bnspec.layers.construction import AFFINE, BIAS, SCALE, TRACKING, Construction, Source, Template, read_construction
from bnspec.layers.declarations import (
    Declarations,
    check_abilities,
    fix_eps,
    fix_momentum,
    read_declarations,
    read_number,
)
from bnspec.layers.implementation import Implementation, Unproven, complete, leave_out
from bnspec.layers.modes import Mode, find_mode
from bnspec.layers.probing import RANKS, plain_batch
from bnspec.layers.promises import Promises, pick_momentum
from bnspec.layers.protocol import Layer, Structure, SubjectError, calling
from bnspec.layers.target import TargetError
from bnspec.layers.trials import build_trial, keep_to_limits

LATE = frozenset({"running_statistics", "kept_statistics", "evaluation", "switches", "counter"})
"""What a layer may come to offer by its first batch, which makes its running statistics."""


@dataclass(frozen=True)
class Shape:
    """A known shape in words, the module that holds its `ADAPTER`, and the library without which it cannot occur."""

    module: str
    library: str
    words: str


SHAPES = (
    Shape(
        "bnspec.layers.torch_modules",
        "torch",
        "a torch layer with weight, bias, running_mean, running_var, as torch.nn.BatchNorm1d",
    ),
    Shape("bnspec.layers.torch_seed", "torch", "a torch layer with gamma, beta, running_mean, running_var"),
    Shape("bnspec.layers.numpy_teaching", "numpy", "a NumPy layer with these names, and backward(dy)"),
    Shape(
        "bnspec.layers.numpy_functional", "numpy", "a NumPy layer with these names, and vjp(x) that gives y, backward"
    ),
)
FUNCTION_SHAPE = "a function with the parameters of torch.nn.functional.batch_norm"


def resolve_object(obj: Any, arguments: dict[str, Any], without: frozenset[str]) -> Implementation:
    """An implementation from a class, a factory or an instance. Raises TargetError."""
    source = _find_source(obj, arguments)
    base, subject, refused = build_trial(source)
    declared = read_declarations(obj, subject)
    without = check_abilities(without, "--without") | set(declared.without)
    adapter = _find_adapter(source.name, subject, without)
    mode = replace(find_mode(subject), last=declared.channels_last)
    source = _without_native_dtype(source, adapter, base)
    if source.fixed.get("dtype") is not None:
        declared = replace(declared, dtypes=(adapter.framework.name_dtype(source.fixed["dtype"]),))
    promises = leave_out(_promise(source, adapter, subject, base, declared, mode), without)
    promises, limits = keep_to_limits(source, subject, base, promises, refused)
    base = Structure(
        promises.channels or base.channels,
        base.rank,
        base.dtype,
        base.device,
        promises.eps if promises.eps is not None else base.eps,
        pick_momentum(promises, base.momentum),
    )
    offers = promises.abilities
    maker = Maker(source, adapter, "late_statistics" in offers, mode)
    draft = Implementation(
        source.name,
        declared.dialect or adapter.dialect,
        "the target" if declared.dialect else "the adapter" if adapter.dialect else "",
        promises,
        maker,
        adapter.framework,
        declared.versions,
        declared.forks,
        declared.compiles,
        -1 if declared.channels_last else declared.channel_axis,
        source.defaults,
        "; ".join(filter(None, (mode.words, limits))),
        isinstance(source, Template),
    )
    free = promises.momentum == "free" and "running_statistics" in offers
    wide = () if source.takes("dtype") else adapter.probed_dtypes
    unproven = Unproven(
        () if declared.dtypes else (*wide, *adapter.low_dtypes),
        free and "cumulative" not in offers | without,
        moved=None if mode.last else replace(maker, mode=replace(mode, last=True)),
    )
    return complete(draft, base, unproven, source.tell)


@dataclass(frozen=True)
class Maker:
    """Builds the subject's layer and wraps it; what the constructor does not take is converted afterwards.

    `late` where its first batch makes its running statistics: a layer to be loaded has seen one.
    """

    source: Source
    adapter: Adapter
    late: bool = False
    mode: Mode = field(default_factory=Mode)

    def __call__(self, structure: Structure) -> Layer:
        layer = self.adapter.make_layer(self.build(structure), structure.device, self.mode)
        if self.late and structure.tracked and not structure.untouched:
            layer.run(plain_batch(structure), training=True)
        return layer

    def build(self, structure: Structure) -> Any:
        """The subject's own layer."""
        framework, native = self.adapter.framework, {}
        dtype: str | None = structure.parameters
        device: str | None = structure.device
        if self.source.takes("dtype"):
            native["dtype"], dtype = framework.native_dtype(structure.parameters), None
        if self.source.takes("device"):
            native["device"], device = structure.device, None
        if not structure.tracked and self.source.takes(TRACKING):
            native[TRACKING] = False
        if not structure.affine:
            native[AFFINE] = False
        if not structure.shifted:
            native[BIAS] = False
        if not structure.scaled:
            native[SCALE] = False
        subject = self.source.build(structure, **native)
        if dtype or device:
            subject = framework.convert(subject, self.adapter.names, dtype, device)
        return subject


def _find_source(obj: Any, arguments: dict[str, Any]) -> Source:
    if isinstance(obj, functools.partial):
        positional = dict(zip(inspect.signature(obj.func).parameters, obj.args, strict=False))
        return read_construction(obj.func, positional | obj.keywords | arguments)
    if inspect.isclass(obj) or inspect.isroutine(obj):
        return read_construction(obj, arguments)
    if arguments:
        kind = type(obj).__qualname__
        raise TargetError(f"an instance of {kind} takes no arguments: name its class, or leave out --arg")
    return Template(obj)


def _find_adapter(name: str, subject: Any, without: frozenset[str]) -> Adapter:
    """The adapter of the first shape that lacks nothing. Raises TargetError that names the nearest."""
    nearest: tuple[int, str] | None = None
    for shape in SHAPES:
        if shape.library in sys.modules:
            adapter: Adapter = importlib.import_module(shape.module).ADAPTER
            missing = adapter.find_missing(subject, without)
            if not missing:
                return adapter
            if nearest is None or len(missing) < nearest[0]:
                nearest = len(missing), f"the nearest is {shape.words}, and missing are: {', '.join(missing)}"
    known = "; ".join([*(shape.words for shape in SHAPES), FUNCTION_SHAPE])
    assert nearest is not None  # NumPy, for one, is loaded
    raise TargetError(
        f"{name} gives a {type(subject).__qualname__} and has no known shape of a batch norm: {nearest[1]}; add them,"
        f" or leave out abilities that the layer does not offer, --without ABILITY. Known are: {known}"
    )


def _promise(
    source: Source, adapter: Adapter, subject: Any, built: Structure, declared: Declarations, mode: Mode
) -> Promises:
    """What is declared, what the family promises and what the layer's attributes say. Ranks of () are unknown."""
    abilities, channels = adapter.offered(subject), _fix_channels(source, adapter, subject)
    later = abilities
    if "running_statistics" not in abilities:
        structure = replace(built, channels=channels or built.channels)
        later = _look_later(Maker(source, adapter, mode=mode), subject, declared, structure)
        abilities |= later & LATE | ({"late_statistics"} if "running_statistics" in later else set())
    takes, fixed, has_buffers = source.takes, source.fixed, "running_statistics" in abilities
    momentum = fix_momentum(fixed, declared, takes("momentum"), subject) if has_buffers else "free"
    if momentum == "average" or (momentum == "free" and has_buffers and adapter.cumulative(subject)):
        abilities |= {"cumulative"}
    if takes(TRACKING) or (later and not has_buffers and _lacks_buffers(adapter, subject)):
        abilities |= {"untracked", "untracked_evaluation"}
    if takes(AFFINE) and "affine" in abilities:
        abilities |= {"unscaled"}
    if takes(BIAS) and "affine" in abilities:
        abilities |= {"unshifted"}
    if takes(SCALE) and "affine" in abilities:
        abilities |= {"beta_alone"}
    if isinstance(source, Template):
        abilities -= {"initial_state"}  # an instance may have trained already
    certain = (*adapter.probed_dtypes, *adapter.dtypes) if source.takes("dtype") else adapter.dtypes
    return Promises(
        ranks=declared.ranks or adapter.ranks(subject) or (),
        dtypes=declared.dtypes or certain,
        devices=declared.devices or adapter.devices,
        abilities=abilities,
        eps=fix_eps(source.name, fixed, declared, takes("eps"), subject),
        momentum=momentum,
        channels=channels,
        algorithm=declared.algorithm,
        reproducible=declared.reproducible,
    )


def _lacks_buffers(adapter: Adapter, subject: Any) -> bool:
    """Has a layer with a mode running statistics of None? Those under other names would show in an evaluation."""
    return find_mode(subject).is_there and all(
        read_attribute(subject, n, ...) is None for n in adapter.names.arrays[2:]
    )


def _look_later(maker: Maker, subject: Any, declared: Declarations, built: Structure) -> frozenset[str]:
    """What another layer offers after training batches; nothing where none returns."""
    adapter = maker.adapter
    ranks = declared.ranks or adapter.ranks(subject) or RANKS
    for dtype, rank in product(declared.dtypes or adapter.dtypes, ranks):
        structure = replace(built, rank=rank, dtype=dtype)
        try:
            with calling("construction"):
                other = maker.build(structure)
            layer = adapter.make_layer(other, structure.device, maker.mode)
            for _ in range(2):  # the second may bring what the first should have
                layer.run(plain_batch(structure), training=True)
        except SubjectError:
            continue
        return adapter.offered(other)
    return frozenset()


def _without_native_dtype(source: Source, adapter: Adapter, base: Structure) -> Source:
    """The source, told no dtype where its parameter does nothing, or takes another kind of thing, a name say."""
    if not isinstance(source, Construction) or not source.takes("dtype") or "dtype" in source.arguments:
        return source
    try:
        source.build(base, dtype=adapter.framework.native_dtype(base.dtype))
    except Exception:  # noqa: BLE001  (a trial: whatever was raised, a layer that is converted afterwards will do)
        return source.without("dtype")
    wanted, framework = "float64", adapter.framework
    try:
        made = source.build(base, dtype=framework.native_dtype(wanted))
        arrays = [read_attribute(made, name) for name in adapter.names.arrays]
        heeded = {framework.name_dtype(array.dtype) for array in arrays if array is not None} <= {wanted}
    except Exception:  # noqa: BLE001  (a trial: another dtype may be none of the target's)
        return source
    return source if heeded else source.without("dtype")


def _fix_channels(source: Source, adapter: Adapter, subject: Any) -> int | None:
    if "channels" in source.fixed:
        return int(read_number("the number of channels", source.fixed["channels"]))
    if source.takes("channels"):
        return None
    arrays = (read_attribute(subject, name) for name in adapter.names.arrays)
    try:
        return next(int(math.prod(array.shape)) for array in arrays if array is not None)
    except (StopIteration, RuntimeError):
        raise TargetError(
            f"the number of channels of {source.name} cannot be read from its attributes:"
            " name a class or factory that takes it"
        ) from None

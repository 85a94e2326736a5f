"""All probes of one target, and what they come to."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bnspec.identification.algorithm import probe_algorithm
from bnspec.identification.answers import BESIDES, Answer
from bnspec.identification.bench import Bench, running
from bnspec.identification.buffers import probe_buffers
from bnspec.identification.edges import probe_edges
from bnspec.identification.evaluation import probe_evaluation
from bnspec.identification.naming import CONVENTIONS, Nearest, as_dialect, find_nearest, speak
from bnspec.identification.output import probe_output
from bnspec.identification.settings import probe_settings
from bnspec.layers.implementation import resolve
from bnspec.layers.protocol import SubjectError
from bnspec.layers.surroundings import preserving
from bnspec.layers.target import TargetError, load_target


@dataclass(frozen=True)
class Identity:
    """What a target is like. `answers` are in the order of a dialect's fields, then those of `BESIDES`."""

    target: str
    answers: Mapping[str, Answer]
    nearest: Nearest

    @property
    def sentence(self) -> str:
        return speak(self.nearest, self.answers)


def identify(
    obj: Any, *, arguments: Mapping[str, Any] | None = None, without: Collection[str] = (), target: str | None = None
) -> Identity:
    """Find out by probes which conventions a class, a function, a factory or a layer follows, or what a text names.

    Raises TargetError where it cannot be constructed or called, or answers no plain training batch.
    """
    if isinstance(obj, str):
        obj, target = load_target(obj).obj, target or obj
    bench = Bench(resolve(obj, dict(arguments or {}), frozenset(without)))
    with preserving(bench.implementation.framework), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a subject warns of is its own affair
        _check_plain(bench)
        answers = _probe(bench)
    return Identity(target or bench.implementation.name, answers, find_nearest(answers))


def _check_plain(bench: Bench) -> None:
    """An error of a layer that fails on any batch would else be taken for a refusal of each odd one."""
    name, eps, x = bench.implementation.name, bench.structure.eps, bench.batch(1)
    if not eps > 0:
        advice = "make it with another" if bench.implementation.ready_made else "give another, as --arg eps=1e-5"
        raise TargetError(f"eps is {eps}, and batch norm is specified for eps > 0: {advice}")
    bench.implementation.framework.write_globals(bench.implementation.framework.settings.get("plain", {}))
    try:
        layer = bench.make()
        bench.run(layer, x)
        buffers = running(layer.state())
    except SubjectError as error:
        raise TargetError(
            f"nothing can be told of {name}: for a {bench.structure.dtype} batch of shape {x.shape} in training it"
            f" {error.reason}"
        ) from error
    if buffers is not None and {buffer.size for buffer in buffers} != {bench.structure.channels}:
        raise TargetError(
            f"nothing can be told of {name}: after a {bench.structure.dtype} batch of shape {x.shape} its running"
            f" statistics have {buffers[0].size} and {buffers[1].size} values, not {bench.structure.channels}"
        )


def _probe(bench: Bench) -> dict[str, Answer]:
    output, buffers = ({a.field: a for a in probe(bench)} for probe in (probe_output, probe_buffers))
    found = output | buffers | {"constants": _join(output["constants"], buffers.get("constants"))}
    found |= {a.field: a for a in (*probe_settings(bench), *probe_edges(bench), probe_evaluation(bench))}
    averages = all(found[f].value is not None for f in ("stores", "momentum_weighs", "average"))
    found["algorithm"] = probe_algorithm(bench, as_dialect(find_nearest(found), found.values()), averages=averages)
    return {field: found[field] for field in (*CONVENTIONS, *BESIDES) if field in found}


def _join(by_eps: Answer, by_momentum: Answer | None) -> Answer:
    """eps shows its format in y, momentum its own in the buffers."""
    told = {answer.value: answer for answer in (by_eps, by_momentum) if answer is not None and answer.value is not None}
    if len(told) < 2:
        return next(iter(told.values()), by_eps)
    assert by_momentum is not None  # it told the second
    return replace(by_eps, value=f"{by_eps.value} for eps, {by_momentum.value} for momentum", spoken=False)

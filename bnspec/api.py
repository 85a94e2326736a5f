"""Certifying from Python: the same as the command line does, for any object."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bnspec.certificate.model import Certificate, TargetReport
from bnspec.engine.isolation import Isolated, find_ending
from bnspec.engine.plan import DEFAULT_PROFILE, Request, UsageError, check_request
from bnspec.engine.run import Watch, certify_subject
from bnspec.engine.subject import Recipe, Subject
from bnspec.layers.construction import MOMENTUM_NAMES
from bnspec.layers.implementation import resolve
from bnspec.layers.promises import Promises
from bnspec.layers.target import TargetError, load_target, names
from bnspec.spec.clauses import SPEC_VERSION
from bnspec.spec.dialects import Dialect, UnknownDialect, find_dialect, is_frozen, may_average
from bnspec.spec.formats import PRECISIONS, arithmetic_of
from bnspec.waivers import waive

DEFAULT_DIALECT = "torch"


def certify(
    obj: Any,
    *,
    dialect: str | None = None,
    profile: str = DEFAULT_PROFILE,
    seed: int = 0,
    arguments: Mapping[str, Any] | None = None,
    devices: Collection[str] = (),
    dtypes: Collection[str] = (),
    without: Collection[str] = (),
    clauses: Collection[str] = (),
    strict: bool = False,
    fail_fast: bool = False,
    isolate: bool = False,
    spec: str | None = None,
    waivers: str | Path | None = None,
    target: str | None = None,
) -> Certificate:
    """Certify a class, a function, a factory or a layer, or what a text names as on the command line.

    `arguments` go to its constructor; `dialect` defaults to the one that the object or its adapter declares, else
    torch; empty collections mean everything that is promised; `isolate` judges in a child process; `waivers` is a file
    of failures that are lived with; of clauses newer than `spec` none decides. Non-conformance is in the certificate
    and never raised.
    Raises TargetError where the object cannot be constructed or called, UsageError where a name does not exist.
    """
    request = check_request(Request(
        dialect, profile, seed, tuple(devices), tuple(dtypes), tuple(without), tuple(clauses), strict, fail_fast,
        spec=spec or SPEC_VERSION,
    ))  # fmt: skip
    if isinstance(obj, str):
        obj, target = load_target(obj).obj, target or obj
    name = target or name_of(obj)
    request = waive(request, name, None if waivers is None else Path(waivers))
    given, text = dict(arguments or {}), name if names(name, obj) else None
    if isolate:
        report = certify_isolated(obj, request, given, name, text)
    else:
        subject, source = make_subject(obj, request, given, text)
        report = certify_subject(subject, request, name, given, source)
    return Certificate((report,))


def name_of(obj: Any) -> str:
    """What an object is called in a certificate, where nobody named it."""
    return f"{getattr(obj, '__module__', '?')}:{getattr(obj, '__qualname__', type(obj).__name__)}"


def certify_isolated(
    obj: Any, request: Request, arguments: dict[str, Any], name: str, target: str | None, watch: Watch | None = None
) -> TargetReport:
    """As `certify`, in a child process from the first call of the object on. Raises what it raises."""
    isolated = Isolated()
    subject, source = make_subject_isolated(obj, request, arguments, name, target)
    return certify_subject(subject, request, name, arguments, source, isolated, isolated.attempt, watch)


def make_subject_isolated(
    obj: Any, request: Request, arguments: dict[str, Any], name: str, target: str | None
) -> tuple[Subject, str]:
    """As `make_subject`, tried out in a child process first. Raises what it raises, and TargetError where that ends."""
    ending = find_ending(lambda: make_subject(obj, request, arguments, target))
    if ending is not None:
        raise TargetError(f"{name} cannot be called: when it was tried out with a plain batch it {ending.words}")
    return make_subject(obj, request, arguments, target)


def make_subject(
    obj: Any, request: Request, arguments: Mapping[str, Any], target: str | None = None
) -> tuple[Subject, str]:
    """The subject that a request judges, and where its dialect came from. Raises TargetError or UsageError.

    `target` is the text by which a fresh process can load the object, None where it cannot.
    """
    implementation = resolve(obj, dict(arguments), frozenset(request.without))
    name, source = request.dialect, "asked for"
    if not name:
        name, source = implementation.dialect, implementation.dialect_source
    if not name:
        name, source = DEFAULT_DIALECT, "the default"
    try:
        chosen = find_dialect(name)
    except UnknownDialect as error:
        raise UsageError(str(error)) from None
    if chosen.training_statistics == "running" and not is_frozen(chosen):
        raise UsageError(
            f"dialect {name!r} normalises a training batch with the running statistics that it has just updated, which"
            " is not judged yet; name another dialect"
        )
    promises = implementation.promises
    if is_frozen(chosen) and "running_statistics" not in promises.abilities:
        raise UsageError(f"dialect {name!r} is that of frozen layers, and the target has no running statistics")
    if "late_statistics" in promises.abilities and chosen.average != "plain":
        raise UsageError(
            f"dialect {name!r} averages with what the buffers do not hold, and the target makes its buffers with the"
            " first batch, so that no state can be given to it: make them in the constructor, or name another dialect"
        )
    _check_fixed(promises, request, chosen, ready_made=implementation.ready_made)
    left_out = set(request.without) | (set() if may_average(chosen) else {"cumulative"})
    recipe = None if target is None else Recipe(target, dict(arguments), request)
    judged = replace(promises, abilities=promises.abilities - left_out)
    return Subject(implementation, chosen, judged, recipe, request.waivers), source


HEADROOM = 2.0**32
"""Cases hold variances up to about 2^30 times eps, which a buffer must be able to hold."""


def _check_fixed(promises: Promises, request: Request, dialect: Dialect, *, ready_made: bool) -> None:
    """Refuse an eps or momentum that the target fixes outside of what is specified."""
    eps, advice = promises.eps, "make it with another" if ready_made else "give another, as --arg eps=1e-5"
    if eps is not None and not eps > 0:
        raise UsageError(f"eps is {eps}, and batch norm is specified for eps > 0: {advice}")
    formats = [PRECISIONS[dtype].storage for dtype in request.dtypes or promises.dtypes]
    narrow = min((arithmetic_of(f) for f in formats), key=lambda f: f.emax)
    if eps is not None and not narrow.smallest_normal <= eps <= narrow.largest / HEADROOM:
        raise UsageError(
            f"eps is {eps}: for {narrow.name} arithmetic it is judged from {narrow.smallest_normal:.1e} to"
            f" {narrow.largest / HEADROOM:.0e}; {advice}"
        )
    if promises.momentum == "absent" and not is_frozen(dialect):
        raise UsageError(
            f"the target takes no momentum by the name {' or '.join(MOMENTUM_NAMES)}, and has no such attribute: name"
            " it so, or declare the value in use, bnspec_momentum = ..., on the class or function"
        )
    if promises.momentum == "average" and not may_average(dialect):
        raise UsageError(
            f"momentum is fixed at None, and dialect {dialect.name!r} has no plain average:"
            f" {'make it with a number' if ready_made else 'give a number, as --arg momentum=0.1'}, or name another"
            " --dialect"
        )

"""Certifying from Python: the same as the command line does, for any object."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from bnspec.certificate.model import Certificate
from bnspec.engine.plan import DEFAULT_PROFILE, Request, UsageError, check_request
from bnspec.engine.run import certify_subject
from bnspec.engine.subject import Subject
from bnspec.layers.implementation import resolve
from bnspec.spec.dialects import UnknownDialect, find_dialect

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
    target: str | None = None,
) -> Certificate:
    """Certify a class, a function, a factory or a layer.

    `arguments` go to its constructor; `dialect` defaults to the one that the object or its adapter declares, else
    torch; empty collections mean everything that is promised. Non-conformance is in the certificate and never raised.
    Raises TargetError where the object cannot be constructed or called, UsageError where a name does not exist.
    """
    request = Request(
        dialect, profile, seed, tuple(devices), tuple(dtypes), tuple(without), tuple(clauses), strict, fail_fast
    )
    check_request(request)
    subject, source = make_subject(obj, request, dict(arguments or {}))
    name = target or f"{getattr(obj, '__module__', '?')}:{getattr(obj, '__qualname__', type(obj).__name__)}"
    return Certificate((certify_subject(subject, request, name, dict(arguments or {}), source),))


def make_subject(obj: Any, request: Request, arguments: Mapping[str, Any]) -> tuple[Subject, str]:
    """The subject that a request judges, and where its dialect came from. Raises TargetError or UsageError."""
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
    if chosen.training_statistics != "batch":
        raise UsageError(
            f"dialect {name!r} normalises a training batch with running statistics, which is not judged yet;"
            " name another dialect"
        )
    promises = implementation.promises
    if promises.eps is not None and not promises.eps > 0:
        raise UsageError(
            f"eps is {promises.eps}, and batch norm is specified for eps > 0: give another, as --arg eps=1e-5"
        )
    left_out = set(request.without) | (set() if chosen.momentum_none == "cumulative" else {"cumulative"})
    return Subject(implementation, chosen, replace(promises, abilities=promises.abilities - left_out)), source

"""From the text that a user types to a Python object, and from `--arg` to constructor arguments."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

FRAMEWORKS = {"torch": "torch", "pytest": "pytest"}
"""Packages that an extra of bnspec brings, by the extra's name."""


class TargetError(Exception):
    """A target cannot be found, imported, constructed or called. The message is one line: what, why, how to mend it."""


@dataclass(frozen=True)
class Target:
    """What the user named, and the object it names."""

    text: str
    obj: Any


def load_target(text: str) -> Target:
    """Load `package.module:attribute`, `path/to/file.py:attribute` or `reference:NAME`. Raises TargetError."""
    place, colon, attribute = text.rpartition(":")
    if not colon or not place or not attribute:
        raise TargetError(
            f"{text!r} is no target: write package.module:attribute, path/to/file.py:attribute or reference:NAME"
        )
    if place == "reference":
        return Target(text, _load_reference(text, attribute))
    module = _load_file(text, Path(place)) if place.endswith(".py") else _import(text, place)
    return Target(text, _take_attribute(text, module, attribute))


def _load_reference(text: str, name: str) -> Any:
    table: dict[str, str] = importlib.import_module("bnspec.reference").REFERENCES
    if name not in table:
        raise TargetError(f"there is no reference {name!r}: there are {', '.join(sorted(table))}")
    return load_target(table[name]).obj


def _load_file(text: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise TargetError(f"{text!r} names the file {str(path)!r}, which does not exist: check the path")
    resolved = path.resolve()
    name = f"bnspec_target_{resolved.stem}_{hashlib.sha256(str(resolved).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    folder = str(resolved.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # a file may import its neighbours
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise TargetError(f"{str(path)!r} cannot be loaded as Python: name a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _explain_import(text, error) from error
    return module


def _import(text: str, name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)  # as `python -m` would find it; last, so that nothing installed is shadowed
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _explain_import(text, error) from error


def _explain_import(text: str, error: BaseException) -> TargetError:
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        missing = error.name.split(".")[0]
        if missing in FRAMEWORKS:
            mend = f'install it, for instance by pip install "bnspec[{FRAMEWORKS[missing]}]"'
        else:
            mend = "check the name, or install the package that holds it"
        return TargetError(f"{text!r} cannot be imported: there is no module {error.name!r}; {mend}")
    if isinstance(error, SyntaxError):
        place = f"{Path(error.filename or '?').name}, line {error.lineno}"
        return TargetError(f"{text!r} is not Python: {error.msg} in {place}; mend the file, or name another")
    return TargetError(
        f"{text!r} raised {_describe(error)} on import; import it by itself to see the traceback, and mend it"
    )


def _describe(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _take_attribute(text: str, module: ModuleType, attribute: str) -> Any:
    obj: Any = module
    for part in attribute.split("."):
        try:
            obj = getattr(obj, part)
        except AttributeError:
            close = get_close_matches(part, [name for name in dir(obj) if not name.startswith("_")], n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else "check its spelling"
            raise TargetError(f"{text!r}: there is no {part!r} in {attribute_owner(obj)}; {hint}") from None
    return obj


def attribute_owner(obj: Any) -> str:
    name = str(getattr(obj, "__name__", type(obj).__name__))
    return "the file" if name.startswith("bnspec_target_") else repr(name)


def parse_arguments(texts: Iterable[str]) -> dict[str, Any]:
    """Constructor arguments from `key=value`, each value a Python literal. Raises TargetError."""
    arguments: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise TargetError(f"--arg {text!r} is no key=value: write it like --arg unbiased=False")
        try:
            arguments[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise TargetError(
                f"--arg {key}: {value!r} is no Python literal; write a number, True, False, None, or a quoted string"
            ) from None
    return arguments

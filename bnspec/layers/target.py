"""From the text that a user writes to the object it names, and from `key=value` to a constructor's arguments."""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

FORMS = "path/to/file.py:Name, package.module:Name, reference:NAME or path/to/model.onnx[:node]"
PACKAGES = {
    "torch": "torch",
    "flax": "flax",
    "haiku": "dm-haiku jax",
    "equinox": "equinox",
    "keras": "keras",
    "tensorflow": "tensorflow-cpu",
    "paddle": "paddlepaddle",
    "mlx": "'mlx[cpu]'",
    "tinygrad": "tinygrad",
    "onnx": "onnx onnxruntime",
    "onnxruntime": "onnx onnxruntime",
}
"""What to install for the module of a framework; the extra of bnspec is named as the module is."""
EXTRAS = {"onnxruntime": "onnx"}
"""But for these."""


class TargetError(Exception):
    """A target that cannot be found, imported or called. The message is one line: what, why, how to mend it."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


@dataclass(frozen=True)
class Target:
    """What the user named: the text as written, the object, and the file it came from where a file was named."""

    text: str
    obj: Any
    path: Path | None = None


def load_target(text: str) -> Target:
    """Import what `text` names: one of `FORMS`, split at the last colon; the attribute may be dotted.

    A file's folder, or the working directory for a module, is put on `sys.path` and stays there, so that a file may
    import its neighbours at any time. Raises TargetError.
    """
    model = re.fullmatch(r"(.*\.onnx)(?::(.*))?", text.strip())
    if model and (model[2] is None or re.search(r"[/\\]", model[1]) or Path(model[1]).is_file()):
        path = _find_file(model[1], ".onnx")
        return Target(text, _load_onnx(path, model[2] or ""), path)
    location, _, attribute = text.strip().rpartition(":")
    if not location or attribute.endswith(".py") or not all(part.isidentifier() for part in attribute.split(".")):
        raise TargetError(f"{text!r} names no attribute of a file or module: write {FORMS}")
    if location == "reference":
        return Target(text, load_target(find_reference(attribute)).obj)
    file: Path | None = None
    if location.endswith(".py") or any(sign in location for sign in "/\\") or Path(location).is_file():
        file = _find_file(location)
        module = _import_file(file)
    else:
        module = _import_module(location)
    return Target(text, _find_attribute(module, attribute, location), file)


def _load_onnx(path: Path, node: str) -> Any:
    try:
        return importlib.import_module("bnspec.adapters.onnx_file").load_node(path, node)
    except ModuleNotFoundError as error:
        name = str(error.name)
        raise TargetError(f"{path} is read by {name!r}, which is not installed: {tell_install(name)}") from error


def make_importable(folder: Path) -> None:
    """Let modules of a folder be imported; it comes last, so that nothing installed is shadowed."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def names(text: str, obj: Any) -> bool:
    """Would a fresh process find this very object by the text?"""
    try:
        return not text.startswith("__main__:") and load_target(text).obj is obj
    except TargetError:
        return False


def parse_arguments(pairs: Iterable[str]) -> dict[str, Any]:
    """Constructor arguments from `key=value` texts, each value a Python literal. Raises TargetError."""
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        key = key.strip()
        if not sign or not key.isidentifier():
            raise TargetError(f"argument {pair!r} is not key=value: write for example --arg unbiased=False")
        if key in arguments:
            raise TargetError(f"argument {key!r} is given twice: give it once")
        try:
            arguments[key] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise TargetError(
                f"the value {value!r} of argument {key!r} is no Python literal: write for example --arg unbiased=False;"
                f""" strings need quotes of their own, --arg "{key}='text'" """
            ) from None
    return arguments


def suggest(name: str, known: Iterable[str]) -> str:
    """', did you mean ...?' with the known names close to `name`; else ', there is ...' with the first few of them."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f", did you mean {' or '.join(close)}?"
    return f", there is {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else ""


def tell_install(module: str) -> str:
    """How to install the package of a module."""
    root = module.partition(".")[0]
    if root not in PACKAGES:
        return f"pip install {root}"
    return f"pip install {PACKAGES[root]}, or pip install 'bnspec[{EXTRAS.get(root, root)}]'"


def find_reference(name: str) -> str:
    """Where a reference is, as package.module:Name. Raises TargetError."""
    table: dict[str, str] = importlib.import_module("bnspec.reference").REFERENCES
    if name not in table:
        raise TargetError(f"there is no reference named {name!r}{suggest(name, table)}")
    return table[name]


def _find_file(location: str, suffix: str = ".py") -> Path:
    path = Path(location).expanduser()
    if path.is_dir():
        raise TargetError(f"{location} is a folder: name a Python file in it, such as {path / 'layer.py'}:Name")
    if not path.is_file():
        neighbours = [p.name for p in path.parent.glob(f"*{suffix}")] if path.parent.is_dir() else []
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise TargetError(f"there is no file {location}{where}: check the path{suggest(path.name, neighbours)}")
    if path.suffix != suffix:
        raise TargetError(f"{location} is not a Python file: put the layer into a file whose name ends in .py")
    return path.resolve()


class _FromSource(importlib.machinery.SourceFileLoader):
    """Bytecode is known by the second and the size of its file, which may have changed within both."""

    def path_stats(self, path: str) -> NoReturn:
        raise OSError(path)


def _import_file(path: Path) -> ModuleType:
    """Execute a file as a module of a name of its own; the same file with the same content is executed once."""
    digest = hashlib.sha256(str(path).encode() + b"\0" + path.read_bytes()).hexdigest()[:12]
    name = f"bnspec_target_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # first, as for a script
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    assert spec is not None  # there is one wherever a loader is given
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _explain_import(str(path), str(path), error) from error
    return module


def _import_module(location: str) -> ModuleType:
    if not all(part.isidentifier() for part in location.split(".")):
        raise TargetError(f"{location!r} is neither a file nor the name of a module: write {FORMS}")
    make_importable(Path.cwd())
    try:
        return importlib.import_module(location)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{location}.".startswith(f"{missing}."):
            raise TargetError(
                f"there is no module {missing!r}, neither installed nor in {Path.cwd()}: {tell_install(missing)},"
                " or name the file, path/to/file.py:Name"
            ) from error
        spec = importlib.util.find_spec(location.partition(".")[0])
        raise _explain_import(location, str(spec.origin) if spec else location, error) from error


def _explain_import(location: str, file: str, error: BaseException) -> TargetError:
    if isinstance(error, SyntaxError):
        place = f"{error.filename or file}, line {error.lineno},"
        return TargetError(f"{place} is no valid Python: {error.msg}; mend the line")
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    place = f"{location}, line {lines[-1]}," if lines else location
    if isinstance(error, ModuleNotFoundError) and error.name:
        mend = f"install it ({tell_install(error.name)}), or put its file beside the target"
        return TargetError(f"{place} imports {error.name!r}, which is not installed: {mend}")
    if isinstance(error, SystemExit):
        mend = "put what is for scripts under if __name__ == '__main__'"
        return TargetError(f"{place} leaves Python while it is imported (SystemExit: {error.code}): {mend}")
    return TargetError(
        f"{place} raised {type(error).__name__}: {error} while it was imported; import it alone to see the traceback"
    )


def _find_attribute(module: ModuleType, attribute: str, location: str) -> Any:
    found: Any = module
    parts = attribute.split(".")
    for depth, part in enumerate(parts):
        try:
            found = getattr(found, part)
        except AttributeError:
            public = [name for name in dir(found) if not name.startswith("_")]
            inside = ".".join([location, *parts[:depth]])
            raise TargetError(f"{inside} has no attribute {part!r}: check the name{suggest(part, public)}") from None
        except Exception as error:
            raise TargetError(f"reading {attribute!r} of {location} raised {type(error).__name__}: {error}") from error
    return found

"""From the text of a target, and of its arguments, to an object, and what is said where that fails."""

from __future__ import annotations

import inspect
import pickle
import sys
from pathlib import Path

import pytest

from bnspec.layers.target import load_target, parse_arguments
from tests.target_samples import refusal

LAYER = """
from neighbour_of_layer import FACTOR

class Layer:
    class Inner:
        factor = FACTOR

def late():
    import late_neighbour
    return late_neighbour.VALUE
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; what loading puts on sys.path goes again."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_may_import_its_neighbours_while_and_after_it_is_loaded(folder: Path) -> None:
    inside = folder / "deep"
    inside.mkdir()
    (inside / "layer.py").write_text(LAYER)
    (inside / "neighbour_of_layer.py").write_text("FACTOR = 7")
    (inside / "late_neighbour.py").write_text("VALUE = 8")
    target = load_target("deep/layer.py:Layer.Inner")
    assert target.obj.factor == 7
    assert target.path == (inside / "layer.py").resolve()
    assert load_target(f"{inside / 'layer.py'}:late").obj() == 8


def test_a_file_inside_a_package_is_loaded_as_a_file(folder: Path) -> None:
    (folder / "__init__.py").write_text("raise RuntimeError('the package is none of our business')")
    (folder / "layer.py").write_text("Layer = 3")
    assert load_target("layer.py:Layer").obj == 3


def test_classes_of_a_file_pickle_and_show_their_source(folder: Path) -> None:
    (folder / "layer.py").write_text("class Layer:\n    pass\n")
    layer = load_target("layer.py:Layer").obj
    assert pickle.loads(pickle.dumps(layer)) is layer
    assert inspect.getsource(layer) == "class Layer:\n    pass\n"
    assert load_target("./layer.py:Layer").obj is layer


def test_a_changed_file_is_loaded_anew_and_two_of_one_name_do_not_meet(folder: Path) -> None:
    (folder / "layer.py").write_text("VALUE = 1")
    assert load_target("layer.py:VALUE").obj == 1
    (folder / "layer.py").write_text("VALUE = 2")
    assert load_target("layer.py:VALUE").obj == 2
    (folder / "other").mkdir()
    (folder / "other" / "layer.py").write_text("VALUE = 3")
    assert load_target("other/layer.py:VALUE").obj == 3


def test_a_module_is_found_by_its_name_and_in_the_working_directory(folder: Path) -> None:
    assert load_target("collections.abc:Callable").path is None
    (folder / "a_module_of_this_test.py").write_text("VALUE = 4")
    assert load_target("a_module_of_this_test:VALUE").obj == 4


@pytest.mark.parametrize("name", ["numpy", "torch", "seed"])
def test_each_reference_is_found(name: str) -> None:
    assert inspect.isclass(load_target(f"reference:{name}").obj)


@pytest.mark.usefixtures("folder")
def test_the_last_colon_splits_so_that_drives_keep_theirs() -> None:
    assert refusal(lambda: load_target(r"C:\layers\x.py:Name")).startswith(r"there is no file C:\layers\x.py")


FILES = {
    "layer.py": "class BatchNorm:\n    size = 3\n",
    "syntax.py": "x = 1\nx = = 2\n",
    "raises.py": "\nraise ValueError('not on\\na Tuesday')\n",
    "exits.py": "import sys\nsys.exit(3)\n",
    "wants.py": "import a_module_that_nobody_has\n",
    "lazy.py": "def __getattr__(name):\n    raise OSError('no disk')\n",
    "notes.txt": "no Python",
}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("layer.py", ["'layer.py' names no attribute", "path/to/file.py:Name"]),
        (r"C:\layer.py", ["names no attribute", "package.module:Name"]),
        ("layer.py:", ["names no attribute"]),
        (":BatchNorm", ["names no attribute"]),
        ("layr.py:BatchNorm", ["there is no file layr.py", "did you mean layer.py"]),
        ("nowhere/layer.py:BatchNorm", ["there is no file nowhere/layer.py", "check the path"]),
        ("./:BatchNorm", ["is a folder", "layer.py:Name"]),
        ("notes.txt:BatchNorm", ["notes.txt is not a Python file", "ends in .py"]),
        ("layer.py:BatchNrm", ["layer.py has no attribute 'BatchNrm'", "did you mean BatchNorm?"]),
        ("layer.py:BatchNorm.width", ["layer.py.BatchNorm has no attribute 'width'", "there is size"]),
        ("syntax.py:x", ["syntax.py, line 2", "is no valid Python", "invalid syntax"]),
        ("raises.py:x", ["raises.py, line 2", "ValueError: not on a Tuesday", "import it alone"]),
        ("exits.py:x", ["exits.py, line 2", "SystemExit: 3", "__main__"]),
        (
            "wants.py:x",
            ["wants.py, line 1", "imports 'a_module_that_nobody_has'", "pip install a_module_that_nobody_has"],
        ),
        ("lazy.py:x", ["reading 'x' of lazy.py raised OSError: no disk"]),
        (
            "no_such_package.deep:x",
            ["there is no module 'no_such_package'", "pip install no_such_package", "file.py:Name"],
        ),
        ("collections.nothing:x", ["there is no module 'collections.nothing'"]),
        ("raises:x", ["raises, line 2, raised ValueError"]),
        ("exits:x", ["SystemExit: 3"]),
        ("not a name:x", ["'not a name' is neither a file nor the name of a module"]),
        ("reference:numpi", ["no reference named 'numpi'", "did you mean numpy?"]),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(folder: Path, text: str, parts: list[str]) -> None:
    for name, content in FILES.items():
        (folder / name).write_text(content)
    message = refusal(lambda: load_target(text))
    assert [part for part in parts if part not in message] == [], message


def test_a_missing_framework_names_the_extra_that_brings_it(folder: Path) -> None:
    # A None in sys.modules makes an import fail as it does where nothing is installed.
    (folder / "wants.py").write_text("import torch.nowhere\n")
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "torch"}
    try:
        for name in kept:
            del sys.modules[name]
        sys.modules["torch"] = None  # type: ignore[assignment]  # as the import system documents it
        message = refusal(lambda: load_target("wants.py:x"))
    finally:
        del sys.modules["torch"]
        sys.modules.update(kept)
    assert "pip install torch" in message
    assert "bnspec[torch]" in message


def test_a_file_that_failed_leaves_no_module_behind(folder: Path) -> None:
    (folder / "raises.py").write_text(FILES["raises.py"])
    before = set(sys.modules)
    refusal(lambda: load_target("raises.py:x"))
    assert not [name for name in set(sys.modules) - before if "raises" in name]


def test_arguments_are_python_literals() -> None:
    pairs = ["eps=1e-3", "unbiased=False", "momentum=None", "mode='a=b'", " sizes = (1, 2)"]
    assert parse_arguments(pairs) == {
        "eps": 1e-3, "unbiased": False, "momentum": None, "mode": "a=b", "sizes": (1, 2),
    }  # fmt: skip
    assert parse_arguments([]) == {}


@pytest.mark.parametrize(
    ("pairs", "parts"),
    [
        (["eps"], ["'eps' is not key=value", "--arg unbiased=False"]),
        (["=3"], ["'=3' is not key=value"]),
        (["not a name=3"], ["is not key=value"]),
        (["mode=same"], ["'same'", "no Python literal", "--arg unbiased=False", "\"mode='text'\""]),
        (["eps="], ["no Python literal"]),
        (["eps=__import__('os')"], ["no Python literal"]),
        (["eps=1", "eps=2"], ["'eps' is given twice"]),
    ],
)
def test_an_argument_that_cannot_be_read_says_how_to_write_it(pairs: list[str], parts: list[str]) -> None:
    message = refusal(lambda: parse_arguments(pairs))
    assert [part for part in parts if part not in message] == [], message

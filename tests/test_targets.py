"""From the text of a target to an implementation and its promises, and what is said where that fails."""

from __future__ import annotations

import functools
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from torch import nn

from bnspec.layers.implementation import resolve
from bnspec.layers.promises import PROMISED
from bnspec.layers.protocol import Array, Structure, SubjectError
from bnspec.layers.target import TargetError, load_target, parse_arguments
from bnspec.spec.formats import PRECISIONS


def load_samples(name: str, attribute: str) -> Any:
    """The module that one of the files beside this one becomes as a target."""
    obj = load_target(f"{Path(__file__).parent / 'targets' / name}:{attribute}").obj
    return sys.modules[obj.__module__]


RIGHT = load_samples("right_layers.py", "PlainTorch")
SPIES = load_samples("spying_layers.py", "Spy")
REFUSED = load_samples("refused_targets.py", "NoEps")
SEED, REFERENCE, TEACHING = (load_target(f"reference:{name}").obj for name in ("seed", "torch", "numpy"))
OPEN = Structure(channels=3, rank=2, dtype="float64", device="cpu", eps=1e-3, momentum=0.25)

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


def refusal(load: Callable[[], object]) -> str:
    """The message of a TargetError, which must be one line."""
    with pytest.raises(TargetError) as raised:
        load()
    message = str(raised.value)
    assert message == " ".join(message.split())
    return message


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


# ---- promises
ALL_DTYPES = tuple(PRECISIONS)
PURE_DTYPES = ALL_DTYPES[:4]  # with float32 parameters the seed's output is float32, whatever x is
TORCH_ABILITIES = frozenset(PROMISED)
OBJECT_ABILITIES = TORCH_ABILITIES - {
    "saves", "converts", "resets", "recomputation", "untracked", "unscaled", "retunes",
}  # fmt: skip
NUMPY_ABILITIES = OBJECT_ABILITIES - {"gradient_subsets", "reentrance", "memory_formats"}
FUNCTION_ABILITIES = OBJECT_ABILITIES - {"initial_state", "cumulative", "copies", "switches", "counter"}


@pytest.mark.parametrize(
    ("subject", "ranks", "dtypes", "abilities"),
    [
        (nn.BatchNorm1d, (2, 3), ALL_DTYPES, TORCH_ABILITIES),
        (nn.BatchNorm2d, (4,), ALL_DTYPES, TORCH_ABILITIES),
        (nn.BatchNorm3d, (5,), ALL_DTYPES, TORCH_ABILITIES),
        (nn.SyncBatchNorm, (2, 3, 4, 5), ALL_DTYPES, TORCH_ABILITIES),
        (RIGHT.HandsOn, (2, 3), ALL_DTYPES, TORCH_ABILITIES),
        (RIGHT.PlainTorch, (2, 3, 4, 5), ALL_DTYPES, OBJECT_ABILITIES - {"cumulative"}),
        (F.batch_norm, (2, 3, 4, 5), ALL_DTYPES, FUNCTION_ABILITIES | {"unscaled"}),
        (SEED, (2,), PURE_DTYPES, OBJECT_ABILITIES - {"cumulative", "counter"}),
        (REFERENCE, (2, 3, 4, 5), ALL_DTYPES, OBJECT_ABILITIES),
        (TEACHING, (2, 3, 4, 5), ("float32", "float64", "float16"), NUMPY_ABILITIES),
        (RIGHT.ForwardOnly, (2, 3, 4, 5), ("float32", "float64"), NUMPY_ABILITIES - {"counter"}),
    ],
)
def test_promises(subject: Any, ranks: tuple[int, ...], dtypes: tuple[str, ...], abilities: frozenset[str]) -> None:
    promises = resolve(subject).promises
    assert (promises.ranks, promises.dtypes, promises.abilities) == (ranks, dtypes, abilities)
    assert promises.devices == (("cpu",) if "gradient_subsets" not in abilities else ("cpu", "cuda"))
    assert (promises.eps, promises.momentum, promises.channels) == (None, "free", None)


@pytest.mark.parametrize(
    ("subject", "arguments", "fixed"),
    [
        (nn.BatchNorm1d, {"eps": 0.5}, (0.5, "free", None)),
        (nn.BatchNorm1d, {"momentum": 1, "num_features": 4}, (None, 1.0, 4)),
        (RIGHT.factory, {"epsilon": 0.5}, (0.5, "free", None)),
        (functools.partial(nn.BatchNorm1d, 7, eps=0.5), {"momentum": 0.5}, (0.5, 0.5, 7)),
        (nn.BatchNorm1d(5, eps=0.5, momentum=0.5), {}, (0.5, 0.5, 5)),
        (lambda: nn.BatchNorm1d(6), {}, (1e-5, 0.1, 6)),
        (F.batch_norm, {"momentum": 0.5}, (None, 0.5, None)),
        (functools.partial(F.batch_norm, eps=0.5), {}, (0.5, "free", None)),
        (RIGHT.functional, {}, (None, 0.25, None)),
        (RIGHT.without_momentum, {}, (None, 0.1, None)),
        (nn.BatchNorm1d, {"track_running_stats": False}, (None, "free", None)),
        (nn.BatchNorm1d, {"momentum": None}, (None, "average", None)),
        (nn.BatchNorm1d(3, momentum=None), {}, (1e-5, "average", 3)),
    ],
)
def test_what_cannot_be_chosen_is_fixed(subject: Any, arguments: dict[str, Any], fixed: tuple[object, ...]) -> None:
    promises = resolve(subject, arguments).promises
    assert (promises.eps, promises.momentum, promises.channels) == fixed


def test_an_argument_reaches_every_layer() -> None:
    layer = resolve(nn.BatchNorm1d, {"eps": 3.0}).make(OPEN)
    y = layer.run(np.full((2, 3), 4.0), training=False).y
    np.testing.assert_allclose(y, 4 / np.sqrt(1 + 3), rtol=1e-12)


def test_declarations_are_honoured_on_classes_functions_and_instances() -> None:
    class Declares(nn.BatchNorm1d):
        bnspec_dialect = "makemore"
        bnspec_ranks = (3,)
        bnspec_dtypes = ("float16", "float32")
        bnspec_devices = ("cpu",)
        bnspec_eps = 0.5
        bnspec_momentum = 0.5
        bnspec_algorithm = "twopass"
        bnspec_without = ("cumulative", "gradient_subsets")

    def make_one(size: int) -> nn.Module:
        return Declares(size)

    for subject in (Declares, Declares(3), make_one):
        found = resolve(subject)
        promises = found.promises
        assert (found.dialect, found.dialect_source) == ("makemore", "the target")
        assert (promises.ranks, promises.dtypes, promises.devices) == ((3,), ("float32", "float16"), ("cpu",))
        assert (promises.eps, promises.momentum, promises.algorithm) == (0.5, 0.5, "twopass")
        assert not promises.abilities & {"cumulative", "gradient_subsets"}


def test_dialects_come_from_the_target_or_the_adapter_or_nobody() -> None:
    sources = [
        (found.dialect, found.dialect_source)
        for found in map(resolve, (nn.BatchNorm1d, SEED, RIGHT.PlainTorch, SPIES.Spy))
    ]
    assert sources == [("torch", "the adapter"), ("makemore", "the target"), ("torch", "the adapter"), (None, "")]


@pytest.mark.parametrize(
    ("without", "gone"),
    [
        ("gradients", {"gradients"}),
        ("running_statistics", {"running_statistics", "evaluation", "switches", "cumulative", "initial_state"}),
        ("affine", {"affine", "gamma", "beta"}),
    ],
)
def test_what_is_left_out_need_not_exist(without: str, gone: set[str]) -> None:
    class Lacks:
        eps = 1e-5

        def __init__(self, dim: int) -> None:
            self.training, self.momentum = True, 0.1
            if without != "affine":
                self.gamma, self.beta = np.ones(dim), np.zeros(dim)
            if without != "running_statistics":
                self.running_mean, self.running_var = np.zeros(dim), np.ones(dim)
            if without != "gradients":
                self.backward = lambda dy: (dy, dy[0], dy[0])

        def __call__(self, x: Array) -> Array:
            return x + 1

    assert "--without" in refusal(lambda: resolve(Lacks))
    state = {"running_statistics", "evaluation", "switches", "initial_state", "copies"}
    everything = {"gradients", "affine", "gamma", "beta"} | state
    assert resolve(Lacks, without=frozenset({without})).promises.abilities == everything - gone


def test_what_stands_on_running_statistics_goes_with_them() -> None:
    left = resolve(nn.BatchNorm1d, without=frozenset({"running_statistics"})).promises.abilities
    kept = {"reentrance", "recomputation", "saves", "copies", "converts", "memory_formats", "unscaled"}
    assert left == {"gradients", "gradient_subsets", "affine", "gamma", "beta"} | kept


def test_positions_are_left_out_by_rank() -> None:
    assert resolve(nn.BatchNorm1d, without=frozenset({"positions"})).promises.ranks == (2,)
    assert resolve(REFERENCE, without=frozenset({"positions"})).promises.ranks == (2,)
    assert "nothing is left without positions" in refusal(
        lambda: resolve(nn.BatchNorm2d, without=frozenset({"positions"}))
    )


def test_probes_find_the_dtypes_that_numpy_layers_keep() -> None:
    assert resolve(load_samples("probed_layers.py", "AlwaysDouble").AlwaysDouble).promises.dtypes == ("float64",)


def test_probes_survive_whatever_a_subject_does() -> None:
    assert resolve(load_samples("probed_layers.py", "Hostile").Hostile).promises.ranks == (2,)


def test_a_layer_that_never_trains_is_probed_in_evaluation() -> None:
    assert resolve(load_samples("probed_layers.py", "NeverTrains").NeverTrains).promises.ranks == (2, 4)


def test_one_call_that_returns_anything_is_enough() -> None:
    implementation = resolve(load_samples("probed_layers.py", "Returns").Returns)
    assert implementation.promises.ranks == (4,)
    with pytest.raises(SubjectError, match=r"returned a NoneType, wanted a torch\.Tensor"):
        implementation.make(OPEN).run(np.ones((2, 3, 2, 2)), training=False)


def test_devices_and_environment() -> None:
    numpy, native = resolve(TEACHING), resolve(nn.BatchNorm1d)
    assert numpy.devices() == ["cpu"]
    assert numpy.environment() == {"numpy": np.__version__}
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    assert native.devices() == ["cpu", *cuda]
    assert native.environment()["torch"] == torch.__version__
    assert native.environment()["torch threads"] == str(torch.get_num_threads())


def test_a_numpy_layer_is_resolved_without_torch() -> None:
    program = (
        "import sys; from bnspec.layers.implementation import resolve; from bnspec.layers.target import load_target;"
        "resolve(load_target('reference:numpy').obj); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# ---- what cannot be resolved is a TargetError
def declaring(**declarations: Any) -> type:
    return type("Declaring", (RIGHT.PlainTorch,), {f"bnspec_{name}": value for name, value in declarations.items()})


@pytest.mark.parametrize(
    ("subject", "arguments", "parts"),
    [
        (
            nn.Linear,
            {"out_features": 3},
            ["nn.BatchNorm1d", "missing are: running_mean, running_var", "Known are", "backward(dy)"],
        ),
        (REFUSED.WithoutBackward, {}, ["nearest is a NumPy layer", "missing are: backward", "--without"]),
        (3, {}, ["int gives a int", "Known are"]),
        (RIGHT.PlainTorch(3), {"eps": 1.0}, ["instance of PlainTorch takes no arguments", "name its class"]),
        (RIGHT.PlainTorch, {"epz": 1.0}, ["PlainTorch has no parameter 'epz'", "did you mean eps?"]),
        (F.batch_norm, {"epz": 1.0}, ["batch_norm has no parameter 'epz'", "did you mean eps?"]),
        (REFUSED.Depends, {}, ["Depends needs a value for 'num_dims'", "--arg num_dims=VALUE"]),
        (REFUSED.wants_more, {}, ["wants_more needs a value for 'mode'", "--arg mode=VALUE"]),
        (REFUSED.lacks_training, {}, ["lacks_training has no parameter training"]),
        (REFUSED.NoEps, {}, ["NoEps takes no eps", "attribute eps or epsilon", "bnspec_eps = ..."]),
        (F.batch_norm, {"momentum": "much"}, ["momentum is 'much': a number is wanted"]),
        (
            REFUSED.NeverConstructs,
            {},
            ["NeverConstructs(num_features=3) cannot be called", "ValueError: no kernel for this machine"],
        ),
        (
            REFUSED.NeverReturns,
            {},
            ["float32 batch of shape (4, 3) in training", "ValueError: no kernel for this dtype", "(N, C, ...)"],
        ),
        (REFUSED.leaves, {}, ["leaves(_=3) cannot be called: it raised SystemExit: 3"]),
        (torch.batch_norm, {}, ["no signature that Python can read", "wrap it"]),
        (nn.LazyBatchNorm1d, {}, ["number of channels of LazyBatchNorm1d cannot be read"]),
        (F.batch_norm, {"momentum": None}, ["momentum of batch_norm is fixed at None", "no count of batches"]),
        (declaring(dialect="tourch"), {}, ["bnspec_dialect is 'tourch'", "did you mean torch"]),
        (declaring(ranks=(1,)), {}, ["bnspec_ranks is (1,)", "from 2 on"]),
        (declaring(dtypes="float32"), {}, ["bnspec_dtypes is 'float32'", "a tuple of names"]),
        (declaring(dtypes=("float31",)), {}, ["names 'float31'", "did you mean float32"]),
        (declaring(devices=("tpu",)), {}, ["names 'tpu'", "did you mean cpu?"]),
        (declaring(eps="small"), {}, ["bnspec_eps is 'small': a number is wanted"]),
        (declaring(algorithm="welford"), {}, ["bnspec_algorithm is 'welford'", "there is any"]),
        (declaring(without=("gradient",)), {}, ["bnspec_without names 'gradient'", "did you mean gradients"]),
    ],
)
def test_a_target_that_cannot_be_resolved_says_why_and_what_mends_it(
    subject: Any, arguments: dict[str, Any], parts: list[str]
) -> None:
    message = refusal(lambda: resolve(subject, arguments))
    assert [part for part in parts if part not in message] == [], message


def test_an_ability_that_does_not_exist_is_refused() -> None:
    message = refusal(lambda: resolve(nn.BatchNorm1d, without=frozenset({"gradent"})))
    assert "names no ability by 'gradent', did you mean gradients" in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is said where there is no GPU")
def test_a_target_for_a_device_that_is_not_here_is_refused() -> None:
    assert "declares the devices ('cuda',): this machine has none" in refusal(
        lambda: resolve(declaring(devices=("cuda",)))
    )

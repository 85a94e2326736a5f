"""What is installed: the two top-level folders inside the package, whole; and ranges, pins, versions that agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import bnspec

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGED = {"bnspec": "bnspec", "conformance": "bnspec/conformance", "reference": "bnspec/reference"}
GPU_LIBRARIES = ("cuda-", "nvidia-", "triton")


FRAMEWORKS = ("equinox", "flax", "haiku", "keras", "mlx", "onnx", "paddle", "tensorflow", "tinygrad")
"""Extras of adapters, which are tried in environments of their own."""


def requirements(*extras: str) -> list[Requirement]:
    """The extras', without their references to each other; without any, the core's and those of all but adapters."""
    offered = PROJECT["optional-dependencies"]
    chosen = extras or [extra for extra in offered if extra not in FRAMEWORKS]
    texts = [*(() if extras else PROJECT["dependencies"]), *(text for extra in chosen for text in offered[extra])]
    return [r for r in map(Requirement, texts) if r.name != PROJECT["name"]]


def pins(file: str = "constraints.txt") -> dict[str, Version]:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pinned = [line.partition("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, _, version in pinned}


def drawn_in(wanted: list[Requirement]) -> set[str]:
    """Names of all that an install of `wanted` brings here, read from what is installed."""
    names: set[str] = set()
    queue = list(wanted)
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        if name not in names and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            names.add(name)
            queue += map(Requirement, metadata.requires(name) or [])
    return names


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def unpacked(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it lies in site-packages."""
    site = tmp_path_factory.mktemp("site")
    (wheel,) = distributions.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def files(folder: Path) -> set[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if "__pycache__" not in path.parts}


def test_wheel_holds_the_three_folders_whole_and_nothing_else(unpacked: Path) -> None:
    wanted = {f"{inside}/{file}" for outside, inside in PACKAGED.items() for file in files(ROOT / outside)}
    assert {file for file in files(unpacked) if ".dist-info/" not in file} == wanted
    assert "bnspec/py.typed" in wanted


def test_sdist_holds_what_its_tests_need(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {"pyproject.toml", "constraints.txt", "CHANGELOG.md", "LICENSE", ".ci/run", "tests/conftest.py"}


def test_installed_commands_ignore_modules_of_the_same_names(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "reference.py").write_text("raise SystemExit('the reference.py of the user')")
    (tmp_path / "conformance").mkdir()
    (tmp_path / "conformance/__init__.py").write_text("raise SystemExit('the conformance/ of the user')")
    script = (
        "import bnspec.conformance, bnspec.reference, sys\n"
        "from bnspec.cli import main\n"
        "print(bnspec.conformance.__file__, bnspec.reference.__file__, flush=True)\n"
        "sys.argv = ['bnspec', 'spec', 'F3']\n"
        "sys.exit(main())\n"
    )
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    places, _, clause = done.stdout.partition("\n")
    package = unpacked / "bnspec"
    assert places.split() == [str(package / "conformance/__init__.py"), str(package / "reference/__init__.py")]
    assert "F3" in clause


@pytest.mark.slow  # mypy reads the types of NumPy and torch anew where its cache is empty
def test_wheel_is_typed_under_its_installed_names(unpacked: Path, pytestconfig: pytest.Config) -> None:
    cache = pytestconfig.rootpath / ".mypy_cache/installed"
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(cache), "-p", "bnspec"]
    command = [sys.executable, "-m", "mypy", *options]
    checked = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_range_admits_the_certified_version(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("requirement", requirements(*FRAMEWORKS), ids=str)
def test_range_admits_the_version_that_an_adapter_was_tried_with(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins("constraints-frameworks.txt")[canonicalize_name(requirement.name)])


def test_each_pin_is_drawn_in_and_what_is_drawn_in_is_pinned() -> None:
    drawn = {name for name in drawn_in(requirements()) if not name.startswith(GPU_LIBRARIES)}
    assert drawn == set(pins())


def test_versions_agree(unpacked: Path) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == bnspec.__version__
    assert (unpacked / f"bnspec-{bnspec.__version__}.dist-info").is_dir()


def test_ci_runs_what_the_readme_says() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^[ $]*(python -m pip install [^#\n]+)", readme, re.MULTILINE)[:2]
    steps = {step.strip() for line in lines for step in line.split("&&")}
    assert len(lines) == 2, "the README no longer begins with two installs: one to certify with, one to work on bnspec"
    # The gate shares the tests out to its two cores, which changes no verdict.
    run = [line.removesuffix(" -n 2") for line in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()]
    assert steps <= set(run)

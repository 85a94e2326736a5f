"""The pytest plugin. Where nobody asks it adds its options, does nothing, and imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir
from typing import Any

import pytest

CHOICES = "see `bnspec certify --help`"
MANY = ("arg", "device", "dtype", "without", "clause")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options, all of them named --bn or --bn-*."""
    group = parser.getgroup("bnspec", "certify a batch normalization")
    group.addoption("--bn", action="append", default=[], metavar="TARGET", help="a target to certify; may be repeated")
    group.addoption("--bn-dialect", metavar="NAME", help=CHOICES)
    group.addoption("--bn-profile", default="standard", metavar="PROFILE", help="smoke, standard or thorough")
    group.addoption("--bn-seed", type=int, default=0, metavar="N", help="another seed draws other cases")
    for name in MANY:
        group.addoption(
            f"--bn-{name}", action="append", default=[], metavar=name.upper(), help=f"may be repeated; {CHOICES}"
        )
    group.addoption("--bn-spec", default=None, metavar="VERSION", help="clauses newer than that decide nothing")
    group.addoption("--bn-strict", action="store_true", help="SHOULD clauses decide too")
    group.addoption("--bn-isolate", action="store_true", help="judge in a child process, which may crash or hang")
    group.addoption("--bn-waivers", metavar="FILE", help="failures that are known and lived with, as TOML")
    group.addoption("--bn-json", metavar="FILE", help="write the certificate as JSON")
    parser.addini(
        "bnspec",
        "certify the targets of [tool.bnspec] where pytest is called without a path",
        type="bool",
        default=False,
    )


FOLDER, GATES = "bnspec_folder", "bnspec_gates"
"""What a worker of pytest-xdist is told by these names: where the session keeps its blocks, and `_gates`."""
BLOCKS: list[Path] = []
"""Where the sessions of this process keep blocks, the innermost last; a folder is made by who has any to keep."""


def pytest_configure(config: pytest.Config) -> None:
    """Set up the desk where a target is given, or where the project asks for its own."""
    told = getattr(config, "workerinput", {FOLDER: str(Path(gettempdir(), f"bnspec-{os.urandom(8).hex()}"))})
    folder = Path(told[FOLDER])
    BLOCKS.append(folder)
    config.add_cleanup(lambda: BLOCKS.remove(folder))
    gates = told[GATES] if GATES in told else _gates(config)
    if not hasattr(config, "workerinput"):
        config.add_cleanup(lambda: rmtree(folder, ignore_errors=True))
        config.pluginmanager.register(_Controller(folder, gates), "bnspec-controller")
    if config.getoption("bn") or gates:
        from bnspec.plugin_desk import Desk

        config.pluginmanager.register(Desk(config, folder, gates=gates), "bnspec-desk")


def _gates(config: pytest.Config) -> bool:
    """Is pytest called without a path or a target, in a project that asks for its own items?"""
    named = config.args_source is config.ArgsSource.ARGS
    return not named and not config.getoption("bn") and bool(config.getini("bnspec"))


class _Controller:
    """Tells the workers of pytest-xdist what they cannot see."""

    def __init__(self, folder: Path, gates: bool) -> None:
        self.folder, self.gates = folder, gates

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Before a worker starts."""
        node.workerinput[FOLDER], node.workerinput[GATES] = str(self.folder), self.gates


def pytest_generate_tests(metafunc: Any) -> None:
    """Ask for a target where the suite's own items are collected without one."""
    if "bn_item" in metafunc.fixturenames and not metafunc.config.getoption("bn"):
        raise pytest.UsageError(
            "the conformance suite needs a target: add --bn TARGET, such as --bn torch.nn:BatchNorm1d"
        )

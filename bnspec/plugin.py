"""The pytest plugin. Without `--bn TARGET` it adds its options and does nothing, and imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    group.addoption("--bn-strict", action="store_true", help="SHOULD clauses decide too")
    group.addoption("--bn-isolate", action="store_true", help="judge in a child process, which may crash or hang")
    group.addoption("--bn-json", metavar="FILE", help="write the certificate as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Set up the desk where a target is given."""
    if config.getoption("bn"):
        from bnspec.plugin_desk import Desk

        config.pluginmanager.register(Desk(config), "bnspec-desk")


def pytest_generate_tests(metafunc: Any) -> None:
    """Ask for a target where the suite's own items are collected without one."""
    asked = {"bn_clause", "bn_verdict"} & set(metafunc.fixturenames)
    if asked and not metafunc.config.getoption("bn"):
        import pytest

        raise pytest.UsageError(
            "the conformance suite needs a target: add --bn TARGET, such as --bn torch.nn:BatchNorm1d"
        )

"""The frameworks that adapters wrap, each certified in an environment of its own.

nox -l                          lists them
nox -s "frameworks(flax)"       certifies those of one at the profile standard
nox -s small -- smoke           those that install and run in seconds
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import nox

nox.options.sessions = ["small"]
TABLE = tomllib.loads((Path(__file__).parent / "tests/frameworks.toml").read_text(encoding="utf-8"))


def certify(session: nox.Session, name: str) -> None:
    """Install the framework, and compare what is certified with the table."""
    session.install("-c", "constraints-frameworks.txt", *TABLE[name]["install"])
    session.run("python", "-m", "tests.frameworks", name, *session.posargs, env=TABLE[name].get("variables", {}))


@nox.session(venv_backend="venv")
@nox.parametrize("name", list(TABLE), ids=list(TABLE))
def frameworks(session: nox.Session, name: str) -> None:
    """One framework of the table."""
    certify(session, name)


@nox.session(venv_backend="venv")
def small(session: nox.Session) -> None:
    """The small ones, in one environment; says which are left out. CI runs it at the profile smoke."""
    for name, row in TABLE.items():
        if row.get("small"):
            certify(session, name)
        else:
            session.log(f'left out, as it is large or slow: {name} (nox -s "frameworks({name})")')

"""bnspec: is this batch normalization right?

A formal specification of batch norm, a property-based suite that checks it, and references. Public names:
`certify` and `identify`, the commands of the same names, and `parametrize_with_checks` for test files of one's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnspec.api import certify as certify
    from bnspec.checks import parametrize_with_checks as parametrize_with_checks
    from bnspec.identification.identity import identify as identify

__version__ = "0.1.0"
__all__ = ["__version__", "certify", "identify", "parametrize_with_checks"]

# In a checkout `conformance/` and `reference/` lie beside this folder; a wheel holds them inside it.
if not (Path(__file__).parent / "conformance").is_dir():
    __path__.append(str(Path(__file__).parents[1]))


def __getattr__(name: str) -> Any:
    if name == "certify":
        from bnspec.api import certify

        return certify
    if name == "identify":
        from bnspec.identification.identity import identify

        return identify
    if name == "parametrize_with_checks":
        from bnspec.checks import parametrize_with_checks

        return parametrize_with_checks
    raise AttributeError(f"module 'bnspec' has no attribute {name!r}")

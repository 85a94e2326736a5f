"""Binary number formats: the constants that every rounding bound is made of.

Source: IEEE 754-2019, table 3.5; bfloat16 as in the BFLOAT16 Hardware Numerics Definition (Intel, 2018).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """A binary floating-point format.

    `precision` counts the significand's bits with the hidden one; `emin` and `emax` are the exponents of the smallest
    and of the largest normal number, in powers of two.
    """

    name: str
    precision: int
    emin: int
    emax: int

    @property
    def unit_roundoff(self) -> float:
        """Largest relative error of one rounding to nearest: 2**-precision."""
        return 2.0**-self.precision

    @property
    def smallest_subnormal(self) -> float:
        return 2.0 ** (self.emin - self.precision + 1)

    @property
    def smallest_normal(self) -> float:
        return 2.0**self.emin

    @property
    def largest(self) -> float:
        return (2.0 - 2.0 ** (1 - self.precision)) * 2.0**self.emax


FLOAT16 = Format("float16", 11, -14, 15)
BFLOAT16 = Format("bfloat16", 8, -126, 127)
FLOAT32 = Format("float32", 24, -126, 127)
FLOAT64 = Format("float64", 53, -1022, 1023)

FORMATS: dict[str, Format] = {f.name: f for f in (FLOAT16, BFLOAT16, FLOAT32, FLOAT64)}


def arithmetic_of(storage: Format) -> Format:
    """The format in which a layer is entitled to compute: float32 for half precision, else the storage format (N3)."""
    return FLOAT32 if storage.precision < FLOAT32.precision else storage


@dataclass(frozen=True)
class Precision:
    """The formats of a layer: `storage` of x, y and their gradients, `parameters` of gamma, beta and the buffers."""

    name: str
    storage: Format
    parameters: Format

    @property
    def is_low(self) -> bool:
        return self.storage.precision < FLOAT32.precision


PRECISIONS: dict[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision("float32", FLOAT32, FLOAT32),
        Precision("float64", FLOAT64, FLOAT64),
        Precision("float16", FLOAT16, FLOAT16),
        Precision("bfloat16", BFLOAT16, BFLOAT16),
        Precision("mixed_float16", FLOAT16, FLOAT32),
        Precision("mixed_bfloat16", BFLOAT16, FLOAT32),
    )
}
"""What `--dtype` names. The mixed ones are called as Keras calls its policies: low x, parameters in float32."""

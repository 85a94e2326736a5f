"""Arrays as text that any Python reads: hexadecimal numbers, to the last bit, and where they lie in memory."""

from __future__ import annotations

import base64
import textwrap
import zlib

import numpy as np

from bnspec.layers.protocol import Array
from bnspec.layers.strides import copy_layout

LONG = 2000
"""More numbers are packed: nobody reads them."""
WIDTH = 96
PACKED = '"""packed'
"""How a literal of packed numbers begins."""
COMPLEX = '"complex '
"""How one of complex numbers begins; these are few."""


def write_numbers(values: Array) -> str:
    """A literal of numbers in the order of memory, for `numbers` of `READ_NUMBERS`."""
    if values.dtype.kind == "c":
        pairs = zip(values.real.reshape(-1).tolist(), values.imag.reshape(-1).tolist(), strict=True)
        return f'{COMPLEX}{" ".join(f"{write_number(a)},{write_number(b)}" for a, b in pairs)}"'
    flat = values.reshape(-1).astype(np.float64)
    if flat.size <= LONG:
        lines = textwrap.wrap(" ".join(map(write_number, flat.tolist())), WIDTH)
        return f'"{lines[0] if lines else ""}"' if len(lines) < 2 else '"""\n' + "\n".join(lines) + '\n"""'
    packed = base64.b85encode(zlib.compress(flat.tobytes(), 9)).decode()
    return PACKED + "\n" + "\n".join(textwrap.wrap(packed, WIDTH)) + '\n"""'


def write_number(number: float) -> str:
    """A number in hexadecimal, without the zeros at its end."""
    mantissa, sign, exponent = number.hex().partition("p")
    return f"{mantissa.rstrip('0').rstrip('.')}{sign}{exponent}" if "." in mantissa else number.hex()


def write_array(values: Array) -> str:
    """The arguments of a call that makes the array: dtype, shape and numbers, then strides and offset if need be."""
    told = f'"{values.dtype.name}", {values.shape}'
    laid = copy_layout(values)
    if values.flags.c_contiguous and laid.buffer.size == values.size:
        return f"{told}, {write_numbers(laid.buffer)}"
    return f"{told}, {write_numbers(laid.buffer)}, {laid.strides}, {laid.offset}"


READ_NUMBERS = '''
def numbers(text):
    """float64 numbers, written in hexadecimal."""
    return np.array([float.fromhex(word) for word in text.split()])
'''
READ_COMPLEX = '''
def numbers(text):
    """float64 or complex numbers, written in hexadecimal."""
    words = [[float.fromhex(part) for part in word.split(",")] for word in text.removeprefix("complex ").split()]
    return np.array([complex(*word) if len(word) == 2 else word[0] for word in words])
'''
READ_PACKED = '''
def numbers(text):
    """float64 numbers, written in hexadecimal or, where they are many, packed."""
    if text.startswith("packed"):
        return np.frombuffer(zlib.decompress(base64.b85decode("".join(text.split()[1:]))))
    return np.array([float.fromhex(word) for word in text.split()])
'''

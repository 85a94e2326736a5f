#!/bin/sh
# clang for tinygrad where there is none: the one that the package ziglang brings.
exec python -m ziglang clang "$@"

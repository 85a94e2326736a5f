"""How much is run: a profile is a number of blocks, so that each is a part of the next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """`column` picks the entry of `Clause.informative` that belongs to the profile; `twins` tells whether what asks the
    same of float32 and of float64 is acted in both."""

    name: str
    blocks: int
    column: int
    twins: bool


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("smoke", 1, 0, twins=False),
        Profile("standard", 8, 1, twins=True),
        Profile("thorough", 64, 2, twins=True),
    )
}

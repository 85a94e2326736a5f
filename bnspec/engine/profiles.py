"""How much is run: a profile is a number of blocks, so that each is a part of the next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """`column` picks the entry of `Clause.informative` that belongs to the profile."""

    name: str
    blocks: int
    column: int


PROFILES: dict[str, Profile] = {
    profile.name: profile for profile in (Profile("smoke", 1, 0), Profile("standard", 8, 1), Profile("thorough", 64, 2))
}

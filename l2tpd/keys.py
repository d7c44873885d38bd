"""Enumerations whose members are keys of the tables that each message and packet is looked up in."""

from __future__ import annotations

import enum


class Key(enum.Enum):
    """An enumeration that hashes a member as the single object that it is; `enum.Enum` hashes its name, anew and in Python.

    A session that is set up makes some fifty such look-ups, which took a tenth of the time.
    """

    __hash__ = object.__hash__

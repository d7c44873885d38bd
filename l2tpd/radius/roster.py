"""The subscribers that are up, by account, and by what a server may call them (RFC 5176 3). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from l2tpd.ppp.accountant import Subscriber

ACCOUNT: Final = "account"
"""Stands among the facts of a `Match` for the account's name, which is the Acct-Session-Id."""

Match = Mapping[str, Any]
"""Which subscribers are meant: all whose facts are these, by the names that `Subscriber` gives them."""

_INDEXED: Final = ("user", "address")


class Roster:
    """Those who are up."""

    def __init__(self) -> None:
        """Begin empty."""
        self._by_account: dict[str, Subscriber] = {}
        self._index: dict[tuple[str, Any], dict[str, None]] = {}

    def __len__(self) -> int:
        """Count them."""
        return len(self._by_account)

    def __iter__(self) -> Iterator[tuple[str, Subscriber]]:
        """Yield account and subscriber."""
        return iter(self._by_account.items())

    def get(self, account: str) -> Subscriber | None:
        """Return who has an account."""
        return self._by_account.get(account)

    def add(self, account: str, subscriber: Subscriber) -> None:
        """Take somebody in."""
        self._by_account[account] = subscriber
        for name in _INDEXED:
            self._index.setdefault((name, getattr(subscriber, name)), {})[account] = None

    def remove(self, account: str) -> Subscriber | None:
        """Let somebody go; None if nobody has this account."""
        subscriber = self._by_account.pop(account, None)
        if subscriber is not None:
            for name in _INDEXED:
                entry = name, getattr(subscriber, name)
                del self._index[entry][account]
                if not self._index[entry]:
                    del self._index[entry]
        return subscriber

    def find(self, match: Match) -> list[tuple[str, Subscriber]]:
        """Return all who are meant: by an index where one serves, else by looking at each."""
        return [
            (account, self._by_account[account])
            for account in tuple(self._candidates(match))
            if _fits(account, self._by_account[account], match)
        ]

    def _candidates(self, match: Match) -> Iterator[str]:
        if ACCOUNT in match:
            return iter((match[ACCOUNT],) if match[ACCOUNT] in self._by_account else ())
        for name in _INDEXED:
            if name in match:
                return iter(self._index.get((name, match[name]), ()))
        return iter(self._by_account)


def _fits(account: str, subscriber: Subscriber, match: Match) -> bool:
    return all(
        account == value if name == ACCOUNT else getattr(subscriber, name) == value for name, value in match.items()
    )

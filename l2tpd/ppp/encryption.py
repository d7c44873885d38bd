"""The encryption of one link, between authentication and the network protocols (RFC 3078). Pure.

Theory of operation. Where the settings want it and the authentication has left keys, the outside is asked who encrypts; then CCP is negotiated, and when it
has opened, or has failed and need not, the network protocols begin. From then on their packets pass encrypted or not at all, until LCP falls: also while
CCP is negotiated anew, which leaves the network protocols as they are. A CCP that has been Opened and is given up ends the link, required or not: nobody
shall find that what he believed to be hidden is so no longer.

Who loses some thousands of packets in a row has another key than the peer, and no count tells: where hardly anything can be read here for some seconds,
CCP is negotiated anew.
"""

from __future__ import annotations

from typing import Final, Protocol

import attrs

from l2tpd.errors import Malformed
from l2tpd.ppp.automaton import Event as Input
from l2tpd.ppp.ccp import Ccp
from l2tpd.ppp.control import Carrier, Control
from l2tpd.ppp.events import EncryptionNeeded, EncryptionOver, Event
from l2tpd.ppp.frame import parse_frame
from l2tpd.ppp.mppe import Keys
from l2tpd.ppp.numbers import BY_US, Disconnect
from l2tpd.ppp.numbers import Protocol as Number
from l2tpd.ppp.settings import LinkSettings
from l2tpd.wire.values import DisconnectCause

_PATIENCE: Final = 5.0  # seconds in which hardly anything can be read, until CCP is negotiated anew
_MANY: Final = 16  # packets that cannot be read, for each that can and one more

_NO_KEYS = "encryption is required, and not to be had with this profile or by this way to prove who one is"


class Encrypted(Carrier, Protocol):
    """What encryption may ask of its link."""

    def tell(self, event: Event) -> None:
        """Tell the outside what has happened."""

    def end(self, cause: DisconnectCause, now: float) -> None:
        """End the link."""

    def start(self, control: Control, now: float) -> None:
        """Let a protocol begin, and hear what has waited for it."""

    def start_networks(self, now: float) -> None:
        """Let the network protocols begin."""


@attrs.define(eq=False)
class Encryption:
    """The encryption of one link."""

    _settings: LinkSettings
    ccp: Ccp | None = None
    passing: tuple[int, ...] = ()
    """Network protocols whose packets may pass encrypted."""
    _keys: Keys | None = None
    _since: float = 0.0  # when the first of these came
    _unread: int = 0
    _read: int = 0  # since then

    @property
    def on(self) -> bool:
        """Whether packets pass encrypted, if at all."""
        return self._keys is not None

    @property
    def up(self) -> bool:
        """Whether packets pass encrypted now: CCP is Opened."""
        return self.ccp is not None and self.ccp.opened

    def awaits(self, keys: Keys) -> bool:
        """Tell whether it is still waited for that somebody encrypts with these keys: LCP may have fallen since, and left others. See `EncryptionNeeded`."""
        return self._keys is keys and self.ccp is None

    def begin(self, keys: Keys | None, link: Encrypted, now: float) -> None:
        """See to encryption, with what the authentication has left, and then let the network protocols begin; or end the link."""
        if keys is not None and self._settings.encryption is not None:
            self._keys = keys
            link.tell(EncryptionNeeded(keys=keys, required=self._required(keys)))
        elif self._required(keys):
            link.end(_fault(_NO_KEYS), now)
        else:
            link.start_networks(now)

    def agree(self, strengths: frozenset[int], link: Encrypted, now: float, *, inside: bool) -> None:
        """Encrypt packets with one of these strengths (in bits), if the peer agrees: here (`inside`), or outside. See `EncryptionNeeded`."""
        wanted, keys = self._settings.encryption, self._keys
        if wanted is None or keys is None or self.ccp is not None:
            return
        usable = strengths & wanted.strengths & keys.strengths
        if not usable:
            self.forgo("no strength of encryption is both allowed and possible", link, now)
            return
        limits = self._settings.limits
        self.ccp = Ccp(limits, keys=keys, strengths=usable, stateful=wanted.stateful, inside=inside)
        self.ccp.feed(Input.OPEN, link, now)
        link.start(self.ccp, now)

    def forgo(self, text: str, link: Encrypted, now: float) -> None:
        """Go on without encryption, or end the link where it is required; `text` says why. See `EncryptionNeeded`."""
        keys, self._keys, self.ccp = self._keys, None, None
        if self._required(keys):
            link.end(_fault(text), now)
        elif keys is not None:
            link.tell(EncryptionOver())
            link.start_networks(now)

    def opened(self, ccp: Ccp, link: Encrypted, now: float) -> None:
        """Go on: CCP is Opened."""
        resumed, up = ccp.begun, ccp.begin()
        self._unread = 0
        if up is None:
            self.give_up(ccp.unencrypted(), link, now)
            return
        link.tell(attrs.evolve(up, resumed=resumed))
        if not resumed:
            link.start_networks(now)

    def finished(self, ccp: Ccp, link: Encrypted, now: float) -> None:
        """Do without CCP, which will do nothing more, if that may be."""
        cause = ccp.cause or ccp.unencrypted()
        if ccp.begun or self._required(self._keys):
            link.end(cause, now)
        else:
            self.forgo(cause.message, link, now)

    def give_up(self, cause: DisconnectCause, link: Encrypted, now: float) -> None:
        """Close CCP; what that means for the link is said when it has finished."""
        if self.ccp is not None:
            self.ccp.blame(cause)
            self.ccp.close(link, now, cause.message)

    def drop(self, link: Encrypted) -> None:
        """Forget everything: LCP is Opened no longer."""
        if self.on:
            link.tell(EncryptionOver())
        self._keys = self.ccp = None

    # --- packets --------------------------------------------------------------------------------------------------------------------

    def seal(self, protocol: int, packet: bytes | memoryview) -> bytes | None:
        """Return the information field of protocol 0x00FD for a packet of a network protocol, None while none may pass."""
        return self.ccp.seal(protocol, packet) if self.ccp is not None and protocol in self.passing else None

    def unseal(self, information: bytes, link: Encrypted, now: float) -> tuple[int, bytes]:
        """Return protocol and octets of the packet in such an information field. Raises `Malformed` where there is none that may pass."""
        try:
            content = self._open(information, link, now)
        except Malformed:
            self._miss(link, now)
            raise
        self._read += 1
        return content

    def _open(self, information: bytes, link: Encrypted, now: float) -> tuple[int, bytes]:
        frame = self.ccp.unseal(information, link, now) if self.ccp is not None else None
        protocol, packet = parse_frame(frame or b"")
        if protocol not in self.passing:
            raise Malformed("no packet that may pass")
        return protocol, packet

    def _miss(self, link: Encrypted, now: float) -> None:
        """Count a packet that cannot be read, and negotiate anew where there are hardly any others. What the kernel reads, nobody tells here."""
        ccp = self.ccp
        if ccp is None or not (ccp.opened and ccp.inside):
            return
        if not self._unread:
            self._since, self._read = now, 0
        self._unread += 1
        if now < self._since + _PATIENCE:
            return
        apart, self._unread = self._unread >= _MANY * (self._read + 1), 0
        if apart:
            ccp.feed(Input.DOWN, link, now)
            ccp.feed(Input.UP, link, now)

    def _required(self, keys: Keys | None) -> bool:
        wanted = self._settings.encryption
        return (wanted is not None and wanted.required) or (keys is not None and keys.required)


def _fault(text: str) -> DisconnectCause:
    return DisconnectCause(Disconnect.NO_ENCRYPTION, Number.CCP, BY_US, text)

"""Encryption by a PPP unit of the kernel's (ppp_mppe): keys by ioctl, everything else by letting the unit read along what CCP says.

Theory of operation. A Configure-Ack of CCP that passes through a unit, out or in, starts its cipher for that direction with the option in it, provided that
the key is there and packets do not pass already; a Configure-Request or a Terminate stops one or both. So CCP's packets are sent through the unit, with
the key said anew right before each that begins something, since a cipher cannot go back to its beginning. A request that is only repeated goes past the
unit, by the channel: its answer may have started the cipher already.

What the kernel leaves to be desired: when a request or a Terminate of the peer comes in, it sends packets unencrypted until we have heard of it and shut the
interface, and it takes packets that come unencrypted. Who negotiates with us can bring about the former, who forges frames the latter.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from typing import Final

from l2tpd.errors import PlaneError
from l2tpd.ppp.mppe import Keys
from l2tpd.ppp.numbers import CcpOption, Code
from l2tpd.ppp.numbers import Protocol as Number

STRENGTHS: Final = frozenset({40, 128})  # bits; the kernel has no keys of 56

# linux/ppp-ioctl.h
_SCOMPRESS, _SFLAGS, _GFLAGS, _SNPMODE = 0x4010744D, 0x40047459, 0x8004745A, 0x4008744B
_OPEN, _UP, _MUST = 0x40, 0x80, 0x400000
_OPTION: Final = struct.Struct("@PIi")  # ppp_option_data: pointer, length, whether it is for what we send
_INT: Final = struct.Struct("=i")
_NPIOCTL: Final = struct.Struct("=Ii")
_PASS, _DROP = 0, 1
_NETWORKS: Final = (Number.IPV4, Number.IPV6)

_HEAD: Final = bytes((CcpOption.MPPE, 6)) + bytes(4)  # what the kernel wants before a key; the bits it learns from CCP
_STOPS: Final = frozenset({Code.CONFIGURE_REQUEST, Code.TERMINATE_REQUEST, Code.TERMINATE_ACK})


class UnitCipher:
    """Encryption of one unit; blocks no longer than an ioctl that allocates."""

    def __init__(self, unit: int, keys: Keys, *, must: bool) -> None:
        """Have the unit watch CCP. Raises `PlaneError` when the kernel has no MPPE."""
        self._unit, self._keys, self._must = unit, keys, must
        self.passing = False
        """CCP is Opened: whatever the unit is given leaves it encrypted. Before, it would leave as it is."""
        self._networks: set[int] = set()
        self._asked = b""  # our last Configure-Request
        try:
            self._set_key(keys.receive, sending=False)
            self._set_key(keys.send, sending=True)
            self._set_flags(0)
        except OSError as error:
            text = "the kernel has no MPPE (ppp_mppe)" if error.errno in {errno.EINVAL, errno.ENOBUFS} else ""
            raise PlaneError(error.errno or 0, text or f"the kernel does not encrypt: {error.strerror}") from error

    def send(self, packet: bytes, channel: int) -> None:
        """Send a packet of CCP, from its protocol field on. Raises `OSError`."""
        code = packet[2]
        if code == Code.CONFIGURE_REQUEST and packet == self._asked:
            os.write(channel, packet)
            return
        if code in _STOPS:
            self._stop()
        if code == Code.CONFIGURE_REQUEST:
            self._asked = packet
            self._set_key(self._keys.receive, sending=False)
        elif code == Code.CONFIGURE_ACK:
            self._set_key(self._keys.send, sending=True)
        os.write(self._unit, packet)

    def start(self) -> None:
        """Let packets pass, for CCP is Opened. Raises `OSError`."""
        self.passing = True
        self._set_flags(_UP)
        for network in self._networks:
            self._set_mode(network, _PASS)

    def admit(self, network: int) -> None:
        """Take note that packets of a network protocol, which the unit lets pass now, may. Raises `OSError`."""
        self._networks.add(network)
        if not self.passing:
            self._set_mode(network, _DROP)

    def _stop(self) -> None:
        self.passing = False
        for network in _NETWORKS:
            self._set_mode(network, _DROP)
        self._set_flags(0)

    def _set_mode(self, network: int, mode: int) -> None:
        fcntl.ioctl(self._unit, _SNPMODE, _NPIOCTL.pack(network, mode))

    def _set_flags(self, up: int) -> None:
        (flags,) = _INT.unpack(fcntl.ioctl(self._unit, _GFLAGS, bytes(_INT.size)))
        flags = flags & ~(_UP | _MUST) | _OPEN | up | (_MUST if self._must else 0)
        fcntl.ioctl(self._unit, _SFLAGS, _INT.pack(flags))

    def _set_key(self, key: bytes, *, sending: bool) -> None:
        option = ctypes.create_string_buffer(_HEAD + key, len(_HEAD) + len(key))
        fcntl.ioctl(self._unit, _SCOMPRESS, _OPTION.pack(ctypes.addressof(option), len(option), sending))

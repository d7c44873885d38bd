"""The messages of version 3: their digests, and that our daemon takes them."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import packets, run, server
from bench.packets3 import ACK, NONCE, REQUIRED, Signer, Version3, u32

SECRET = b"sesame"
SCCRP = packets.avp(packets.MESSAGE_TYPE, packets.U16.pack(packets.SCCRP))

TYPE = range(packets.HEADER_LENGTH, packets.HEADER_LENGTH + 8)
"""The Message Type AVP, which is read before the digest is."""


def test_an_sccrq_is_signed_without_nonces() -> None:
    """RFC 3931 5.4.1: the nonce that an SCCRQ brings is not used for its digest, so that its receiver can verify it."""
    ours = Signer(SECRET)
    sent = ours.seal(Version3(signed=True).sccrq(7, 1, ours.nonce))
    assert Signer(SECRET).believes(bytes(sent))
    assert not Signer(b"another").believes(bytes(sent))
    assert ours.nonce == packets.avps(bytes(sent), packets.SCCRQ)[NONCE]


def test_a_digest_is_of_the_whole_message() -> None:
    """Any octet that changes on the way, a number in the header included, makes a message worthless."""
    ours, theirs = Signer(SECRET), Signer(SECRET)
    ours.meet(theirs.nonce)
    theirs.meet(ours.nonce)
    sent = bytes(ours.seal(Version3(signed=True).icrq(1, 2, 3)))
    assert theirs.believes(sent)
    assert not ours.believes(sent)  # a reflection
    for index in range(len(sent)):
        if index not in TYPE:
            assert not theirs.believes(sent[:index] + bytes((sent[index] ^ 1,)) + sent[index + 1 :])


@pytest.mark.parametrize("signed", [False, True])
def test_ids(signed: bool) -> None:
    """Each id stands where its AVP is, with or without room for a digest."""
    wire = Version3(signed=signed)
    icrq = packets.avps(bytes(wire.icrq(9, 0x11111111, 0x22222222)), packets.ICRQ)
    assert (0x11111111, 0) == (wire.session_of(icrq), wire.our_session(icrq, 5))
    assert 0x22222222 == u32(icrq[packets.CALL_SERIAL_NUMBER])
    iccn = packets.avps(bytes(wire.iccn(9, 0x33333333, 0x11111111)), packets.ICCN)
    assert (0x11111111, 0x33333333) == (wire.session_of(iccn), wire.our_session(iccn, 5))
    stopccn = bytes(wire.stopccn(0x44444444, 0x55555555))
    assert 0x55555555 == wire.tunnel_of(wire.avps(stopccn, packets.STOPCCN))
    assert (0x44444444, 0) == wire.ids(*packets.HEADER.unpack_from(stopccn)[2:4])


def test_acknowledgements() -> None:
    """An ACK takes no number, and nothing else is one."""
    wire = Version3(signed=True)
    ack = bytes(wire.zlb(1, 2, 3))
    assert wire.only_acknowledges(ack)
    assert ACK == packets.message_type(ack)
    assert not wire.only_acknowledges(bytes(wire.hello(1)))


def test_what_is_missing_is_told() -> None:
    """A reply without one of its mandatory AVPs is malformed."""
    bare = packets.HEADER.pack(0xC803, packets.HEADER_LENGTH + len(SCCRP), 0, 0, 0, 0) + SCCRP
    with pytest.raises(packets.MalformedError, match=f"without AVP {REQUIRED[packets.SCCRP][0]}"):
        Version3(signed=False).avps(bare, packets.SCCRP)


@pytest.mark.parametrize("secret", ["", "sesame"])
def test_our_daemon(secret: str, tmp_path: Path) -> None:
    """The storm in version 3 sets up what it is asked for, unsigned and signed, and leaves nothing behind."""
    target = server.start(tmp_path, cpu=0, secret=secret)
    arguments = ["--version", "3", "--tunnels", "10", "--sessions", "3", "--secret", secret, "--json"]
    command = [sys.executable, str(run.STORM), f"127.0.0.1:{target.port}", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        left = target.left_over()
    finally:
        target.stop()
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert '"sessions_up": 30' in done.stdout
    assert {"tunnel": 0, "session": 0} == left
    assert (0, 0) == (target.exit_status, target.tracebacks())

"""What RFC 3931 demands in sections 3, 4, 5 and 7, and no dialogue here shows: why, and where it is looked after instead.

Every other MUST and SHOULD of these sections that concerns an endpoint like ours has a test in this folder that quotes it.
"""

from __future__ import annotations

from typing import NamedTuple


class Exempt(NamedTuple):
    """One requirement without a test here; `elsewhere` is a file of the tests, from their root, empty where there is none."""

    section: str
    demand: str
    reason: str
    elsewhere: str = ""


EXCEPTIONS: tuple[Exempt, ...] = (
    # kept by other parts of the product, and tested there
    Exempt("3.2.2", "The Session Header MUST provide a method of distinguishing", "data", "wire/test_data3.py"),
    Exempt("4.1", "MUST support L2TP over IP and SHOULD support L2TP over UDP", "sockets", "tunnel/test_ipsock.py"),
    Exempt("4.1", "The Cookie MUST be set to the configured or signaled random value", "data", "wire/test_data3.py"),
    Exempt("4.1.2.1", "All reserved values MUST be set to 0 on outgoing messages", "data", "wire/test_data3.py"),
    Exempt(
        "4.1.2.2", "control messages MUST be sent ... using the registered UDP port 1701", "ports", "test_dialer.py"
    ),
    Exempt("4.1.2.3", "UDP checksums MUST be enabled for L2TP control messages", "the default", "tunnel/test_port.py"),
    Exempt("4.2", "a recommended default is 1 second but SHOULD be configurable", "channel", "tunnel/test_channel.py"),
    Exempt("4.2", "a slow start and congestion avoidance window adjustment", "channel", "tunnel/test_channel.py"),
    Exempt("4.5", "invalid Session IDs or associated Cookie values MUST be dropped", "data", "wire/test_data3.py"),
    Exempt("4.6", "the Sequence Number contents are undefined and MUST be ignored", "data", "wire/test_data3.py"),
    Exempt(
        "5.1", "Vendor ID, Attribute Type, reserved bits, hiding", "octets", "conformance/rfc3931/test_section_5.py"
    ),
    # done otherwise, on purpose
    Exempt(
        "7.2",
        "idle, Receive SCCRP or SCCCN: Send StopCCN",
        "strangers are answered by nothing but the answer to an SCCRQ: every other packet could be forged to reflect",
        "tunnel/test_endpoint.py",
    ),
    Exempt(
        "4.2",
        "a recommended default is 10 [retransmissions], but MUST be configurable",
        "the default is that of version 2, five; `max_retries` configures it",
        "tunnel/test_channel.py",
    ),
    Exempt(
        "5.4.2",
        "9 - Try another directed: The Error Message MUST contain a comma-separated list of addresses",
        "we suggest no other router, and then error 7 is the one to use",
    ),
    Exempt(
        "5.4.3",
        "the language in which human-readable messages it sends SHOULD be composed",
        "our messages are in the default language, which MUST be used where another is not supported",
    ),
    Exempt(
        "5.4.3",
        "For L2TP over IP, [identity for tie breaking] MUST be accomplished via the Router ID AVP",
        "whom we call has told us no Router ID yet when its own request comes, and were one known, anybody who claims it could end our call: "
        "a tie is with the address that we call; for peers that do it otherwise, ours is in each SCCRQ",
        "conformance/rfc3931/test_section_5_4_3.py",
    ),
    # left to the operator, or to the system
    Exempt("4.1.3", "IPsec MUST be made available to secure the L2TP traffic", "the system's IPsec does"),
    Exempt(
        "4.1.4", "MUST implement at least one of the methods for managing mismatched MTUs", "the interface has an MTU"
    ),
)

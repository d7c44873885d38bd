"""Single values: exact types, and one canonical form of every address, prefix, range and name."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.config import scalars
from l2tpd.config.model import Address, HostPort


@pytest.mark.parametrize(
    ("check", "value", "expected"),
    [
        (scalars.exact_bool, True, True),
        (scalars.exact_int, 7, 7),
        (scalars.exact_float, 7, 7.0),
        (scalars.exact_float, 0.5, 0.5),
        (scalars.exact_str, "é", "é"),
        (scalars.address, "192.0.2.1:1702", Address("192.0.2.1", 1702)),
        (scalars.address, "192.0.2.1", Address("192.0.2.1", 0)),
        (scalars.address, "[2001:DB8:0::1]:1701", Address("2001:db8::1", 1701)),
        (scalars.address, "[::]", Address("::", 0)),
        (scalars.host_port, "192.0.2.1:1", HostPort("192.0.2.1", 1)),
        (scalars.host_port, "lns.example", HostPort("lns.example", 0)),
        (scalars.host_port, "lns_1.example.:65535", HostPort("lns_1.example.", 65535)),
        (scalars.host_port, "[2001:db8::1]", HostPort("2001:db8::1", 0)),
        (scalars.prefix, "203.0.113.0/24", "203.0.113.0/24"),
        (scalars.prefix, "2001:DB8::/32", "2001:db8::/32"),
        (scalars.prefix, "192.0.2.1", "192.0.2.1/32"),
        (scalars.address_range, "10.0.0.2 - 10.0.0.9", "10.0.0.2-10.0.0.9"),
        (scalars.address_range, "10.0.0.0/30", "10.0.0.0/30"),
        (scalars.file_mode, "0660", 0o660),
        (scalars.file_mode, "600", 0o600),
        (scalars.file_mode, 0o600, 0o600),
        (scalars.instance_name, "hq-1.é/x", "hq-1.é/x"),
    ],
)
def test_accepted(check: Callable[[object], object], value: object, expected: object) -> None:
    """A good value comes back in its canonical form and of its exact type."""
    found = check(value)
    assert expected == found
    assert type(expected) is type(found)


@pytest.mark.parametrize(
    ("check", "value", "expected"),
    [
        (scalars.exact_bool, 1, "must be `true` or `false`, not the integer 1"),
        (scalars.exact_bool, "false", "must be `true` or `false`, not the string `false`"),
        (scalars.exact_int, True, "must be an integer, not the boolean `true`"),
        (scalars.exact_int, 7.0, "must be an integer, not the float 7.0"),
        (scalars.exact_int, "7", "must be an integer, not the string `7`"),
        (scalars.exact_float, True, "must be a number, not the boolean `true`"),
        (scalars.exact_float, float("inf"), "must be a finite number, not the float inf"),
        (scalars.exact_float, 10**400, "must be a finite number, not a huge integer"),
        (scalars.exact_str, 1, "must be a string, not the integer 1"),
        (scalars.exact_str, None, "must be a string, not null"),
        (scalars.exact_str, {}, "must be a string, not a table"),
        (scalars.exact_str, "a\0", "must not hold a NUL"),
        (scalars.exact_str, "\ud800", "must be valid Unicode: it holds half of a surrogate pair"),
        (scalars.path, "", "must name a file"),
        (scalars.address, "localhost", "`localhost` is not an IPv4 or IPv6 address"),
        (scalars.address, "192.0.2.1:0", "`0` is not a port from 1 to 65535"),
        (scalars.address, "192.0.2.1:65536", "`65536` is not a port from 1 to 65535"),
        (scalars.address, "192.0.2.1:", "`` is not a port from 1 to 65535"),
        (scalars.address, "192.0.2.1:١", "`١` is not a port from 1 to 65535"),
        (
            scalars.address,
            "2001:db8::1:1701",
            "`2001:db8::1:1701`: an IPv6 address needs brackets, such as `[2001:db8::1]:1701`",
        ),
        (scalars.address, "[192.0.2.1]:1701", "`[192.0.2.1]:1701` is not of the form `[2001:db8::1]:1701`"),
        (scalars.address, "[::1]1701", "`[::1]1701` is not of the form `[2001:db8::1]:1701`"),
        (scalars.address, "[fe80::1%eth0]", "`fe80::1%eth0`: an interface name inside an address is not supported"),
        (scalars.interface_address, "0.0.0.0/8", "`0.0.0.0/8` is no address of an interface"),
        (scalars.interface_address, "ff02::1", "`ff02::1` is no address of an interface"),
        (scalars.interface_address, "192.0.2.1/", "`192.0.2.1/` has no prefix length from 0 to 32"),
        (
            scalars.interface_address,
            "192.0.2.1/255.255.255.0",
            "`192.0.2.1/255.255.255.0` has no prefix length from 0 to 32",
        ),
        (scalars.interface_address, "::1/129", "`::1/129` has no prefix length from 0 to 128"),
        (scalars.octets, "0x0", "must consist of hexadecimal digits, two an octet, without separators"),
        (scalars.octets, "٠٠", "must consist of hexadecimal digits, two an octet, without separators"),
        (scalars.host_port, "300.0.0.1", "`300.0.0.1` is not an IPv4 or IPv6 address"),
        (scalars.host_port, "[::]", "`[::]` is no address of a single peer"),
        (scalars.host_port, "224.0.0.1:1701", "`224.0.0.1:1701` is no address of a single peer"),
        (scalars.host_port, "", "`` is neither an address nor a DNS name"),
        (scalars.host_port, "-a.example", "`-a.example` is neither an address nor a DNS name"),
        (scalars.host_port, "a..b", "`a..b` is neither an address nor a DNS name"),
        (scalars.host_port, "bücher.example", "`bücher.example`: write a name outside ASCII in its `xn--` form"),
        (
            scalars.prefix,
            "203.0.113.7/24",
            "`203.0.113.7/24` has bits set beyond its prefix length: is `203.0.113.0/24` meant, or the one address `203.0.113.7`?",
        ),
        (scalars.prefix, "203.0.113.0/33", "`203.0.113.0/33` is not an address or a prefix such as `203.0.113.0/24`"),
        (scalars.prefix, "fe80::%1/64", "`fe80::%1/64`: an interface name inside an address is not supported"),
        (scalars.address_range, "10.0.0.9-10.0.0.2", "`10.0.0.9-10.0.0.2` ends before it begins"),
        (scalars.address_range, "10.0.0.1-::1", "`10.0.0.1-::1` mixes IPv4 and IPv6"),
        (
            scalars.file_mode,
            660,
            'must let the owner read and write and nobody execute, such as "0660" or 0o660, not the integer 660',
        ),
        (
            scalars.file_mode,
            "0770",
            'must let the owner read and write and nobody execute, such as "0660" or 0o660, not the string `0770`',
        ),
        (scalars.file_mode, "rw", 'must be an access mode such as "0660" or 0o660, not the string `rw`'),
        (scalars.file_mode, True, 'must be an access mode such as "0660" or 0o660, not the boolean `true`'),
        (scalars.instance_name, "", "a name has 1 to 128 characters"),
        (scalars.instance_name, "a b", "a name consists of printable characters without spaces and quotes"),
        (scalars.instance_name, "-x", "a name may not begin with `-`"),
    ],
)
def test_refused(check: Callable[[object], object], value: object, expected: str) -> None:
    """A wrong value is refused with a sentence that says what it is and what it should be."""
    with pytest.raises(ValueError) as caught:
        check(value)
    assert expected == str(caught.value)


def test_a_long_or_unprintable_value_is_shown_tamed() -> None:
    """A message quotes at most sixty characters and no control characters."""
    assert "`" + "x" * 60 + "…`" == scalars.quoted("x" * 1000)
    assert "`\\x1b[2J`" == scalars.quoted("\x1b[2J")


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.binary(min_size=1, max_size=20).map(lambda some: f"0x{some.hex()}")
)
def test_an_identifier_is_shown_as_it_can_be_said(said: str) -> None:
    """Whatever octets an identifier has, its text can be printed and means the same octets."""
    try:
        identifier = scalars.end_id(said)
    except ValueError:
        assert said.startswith("0x")
        return
    shown = scalars.end_id_as_said(identifier)
    assert shown.isprintable()
    assert identifier == scalars.end_id(shown)


def test_a_suggestion_is_made_only_where_it_is_cheap() -> None:
    """A slip is answered with the word that was meant; a word without likeness, a huge word and a huge vocabulary are not."""
    assert "; did you mean `persist`?" == scalars.suggestion("presist", ["peer", "persist"])
    assert "" == scalars.suggestion("zzz", ["peer", "persist"])
    assert "" == scalars.suggestion("persist" * 100, ["persist" * 100])
    assert "" == scalars.suggestion("name1", [f"name{index}" for index in range(1000)])


@given(st.text(max_size=40) | st.from_regex(r"[\[\]0-9a-f:./%-]{1,30}", fullmatch=True))
def test_any_string_is_parsed_or_refused(text: str) -> None:
    """Whatever the string is, each grammar gives its canonical form, which parses to itself, or a `ValueError`."""
    for check in (
        scalars.numeric_host,
        scalars.interface_address,
        scalars.prefix,
        scalars.address_range,
        scalars.dns_name,
        scalars.instance_name,
    ):
        try:
            found = check(text)
        except ValueError:
            continue
        assert found == check(found)
    for parse in (scalars.address, scalars.host_port):
        try:
            found_pair = parse(text)
        except ValueError:
            continue
        shown = str(Address(*found_pair))
        assert found_pair == parse(shown)

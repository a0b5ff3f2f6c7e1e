"""Which addresses the gateway may call (docs/wire.md, 3.6), held against a table and the standard library."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_contracts.egress import VARIABLE, Address, EgressAllow, meant

NOTHING = EgressAllow()
LOCAL = EgressAllow.parse(["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"])
EVERYTHING = EgressAllow.parse(["0.0.0.0/0", "::/0"])
V4 = ipaddress.IPv4Network
CALLED_RESERVED = [V4("192.88.99.0/24"), V4("192.0.0.0/24"), V4("168.63.129.16/32")]
"""Of IPv4, what the standard library calls global and the guard does not let through."""


def refusal(allow: EgressAllow, address: str, host: str = "name.test") -> str | None:
    return allow.refusal(ipaddress.ip_address(address), host)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "223.255.255.255", "192.0.1.1", "2606:4700::1", "2a00::1",
        "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
    ],
)  # fmt: skip
def test_public_addresses_need_no_entry(address: str) -> None:
    assert refusal(NOTHING, address) is None


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"), ("127.255.255.254", "loopback"), ("::1", "loopback"),
        ("0.0.0.0", "unspecified"), ("0.1.2.3", "unspecified"), ("::", "unspecified"),
        ("10.0.0.1", "private"), ("172.16.0.1", "private"), ("172.31.255.255", "private"),
        ("192.168.255.255", "private"), ("100.64.0.1", "private"), ("100.127.255.255", "private"),
        ("fc00::1", "private"), ("fdff::1", "private"), ("fec0::1", "private"),
        ("169.254.0.1", "link-local"), ("169.254.169.254", "cloud metadata"), ("169.254.170.2", "cloud metadata"),
        ("fe80::1", "link-local"), ("fe80::a9fe:a9fe", "cloud metadata"), ("fe80::1%eth0", "link-local"),
        ("100.100.100.200", "cloud metadata"), ("168.63.129.16", "cloud metadata"), ("192.0.0.192", "cloud metadata"),
        ("fd00:ec2::254", "cloud metadata"), ("fd00:ec2::23", "cloud metadata"), ("fd20:ce::254", "cloud metadata"),
        ("fd00:c1::a9fe:a9fe", "cloud metadata"), ("fd00:42::42", "cloud metadata"),
        ("fd00:a9fe:a9fe::1", "cloud metadata"), ("fd00:100::100:200", "cloud metadata"),
        ("224.0.0.1", "multicast"), ("239.255.255.255", "multicast"), ("ff02::1", "multicast"),
        ("240.0.0.1", "reserved"), ("255.255.255.255", "reserved"), ("192.0.0.8", "reserved"),
        ("192.0.2.1", "reserved"), ("192.88.99.1", "reserved"), ("198.18.0.1", "reserved"), ("198.19.0.1", "reserved"),
        ("198.51.100.1", "reserved"), ("203.0.113.1", "reserved"), ("2001:db8::1", "reserved"), ("3fff::1", "reserved"),
        ("2001:10::1", "reserved"), ("100::1", "reserved"), ("400::1", "reserved"), ("5f00::1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"), ("::ffff:10.1.2.3", "private"), ("::ffff:169.254.169.254", "link-local"),
        ("::ffff:0.0.0.0", "unspecified"), ("::ffff:224.0.0.1", "multicast"),
        ("64:ff9b::127.0.0.1", "loopback"), ("64:ff9b::a9fe:a9fe", "link-local"), ("64:ff9b::10.0.0.1", "private"),
        # where the IPv4 address stands depends on the translator: all of these are refused, whatever they carry
        ("64:ff9b:1::127.0.0.1", "stands for another"), ("64:ff9b:1:a9fe:a9:fe00::", "stands for another"),
        ("64:ff9b:1::8.8.8.8", "stands for another"), ("::127.0.0.1", "stands for another"),
        ("::a9fe:a9fe", "stands for another"), ("::ffff:0:10.0.0.1", "stands for another"),
        ("2002:7f00:1::", "stands for another"), ("2002:a9fe:a9fe::1", "stands for another"),
        ("2001:0:4136:e378:8000:63bf:f5ff:fffe", "stands for another"), ("2001::1", "stands for another"),
    ],
)  # fmt: skip
def test_all_others_are_refused_in_words_a_user_understands(address: str, kind: str) -> None:
    told = refusal(NOTHING, address)
    assert told is not None
    assert kind in told
    given, plain = ipaddress.ip_address(address), meant(ipaddress.ip_address(address))
    assert told.startswith(f"{given} is a" if given == plain else f"{given} ({plain}) is a")
    assert f"add {plain} or name.test to the setting {VARIABLE}" in told
    assert "\n" not in told


def test_a_literal_address_has_no_name_that_could_be_allowed() -> None:
    told = refusal(NOTHING, "::ffff:10.0.0.1", "::ffff:10.0.0.1")
    assert told is not None
    assert "::ffff:a00:1 (10.0.0.1) is a private address; if it is to be called, add 10.0.0.1 to" in told


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "10.9.9.9", "192.168.1.1", "fd12::1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "8.8.8.8"],
)
def test_what_an_entry_holds_is_called(address: str) -> None:
    assert refusal(LOCAL, address) is None


METADATA = [
    "169.254.169.254", "169.254.170.2", "fe80::a9fe:a9fe", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200",
    "168.63.129.16", "192.0.0.192", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
]  # fmt: skip
TUNNELS = ["64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254", "::ffff:0:a9fe:a9fe", "2001::1"]


@pytest.mark.parametrize("address", METADATA + TUNNELS)
@pytest.mark.parametrize("allow", [LOCAL, EVERYTHING, EgressAllow.parse(["100.64.0.0/10"])])
def test_no_wider_entry_opens_a_clouds_metadata(allow: EgressAllow, address: str) -> None:
    assert refusal(allow, address)


@pytest.mark.parametrize("address", METADATA)
def test_an_entry_of_its_own_opens_a_clouds_metadata(address: str) -> None:
    plain = meant(ipaddress.ip_address(address))
    assert refusal(EgressAllow.parse([str(plain)]), address) is None
    assert refusal(EgressAllow.parse(["metadata.test"]), address, "metadata.test") is None


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "fd00::1", "0.0.0.0", "::", "255.255.255.255"])
def test_a_wide_entry_opens_what_is_in_it(address: str) -> None:
    assert refusal(EVERYTHING, address) is None


def test_a_name_is_called_wherever_it_is() -> None:
    allow = EgressAllow.parse(["Ollama.Internal.", "localhost"])
    for spelling in ("ollama.internal", "OLLAMA.internal", "ollama.internal."):
        assert refusal(allow, "10.0.0.1", spelling) is None
    for other in ("a.ollama.internal", "internal", "ollama.internal.evil.test", "10.0.0.1"):
        assert refusal(allow, "10.0.0.1", other)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("10.0.0.1/8", "host bits"),
        ("10.0.0.0/33", "no network"),
        ("http://10.0.0.1", "no network"),
        ("10.0.0.1:80", "no address, network"),
        ("localhost:80", "no address, network"),
        ("127.1", "ends in a number"),
        ("2130706433", "ends in a number"),
        ("*.internal", "no address, network"),
        ("fe80::1%eth0", "neither encoded characters nor an IPv6 zone"),
        ("::ffff:10.0.0.0/104", "stands for IPv4 addresses; write those"),
        ("64:ff9b::a9fe:a9fe", "stands for IPv4 addresses; write those"),
        ("", "must name a host"),
    ],
)
def test_an_entry_that_is_none_is_quoted(entry: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"is no|stands for") as caught:
        EgressAllow.parse(["10.0.0.0/8", entry])
    assert repr(entry) in str(caught.value)
    assert told in str(caught.value)


def test_urls_are_judged_where_they_name_an_address() -> None:
    for url in ("http://127.0.0.1:11434/v1", "http://[::1]/", "https://[::ffff:10.0.0.1]:1", "http://169.254.169.254"):
        assert NOTHING.url_refusal(url)
    for url in ("https://api.openai.com/v1", "http://localhost", "https://8.8.8.8", "https://[2606:4700::1]"):
        assert NOTHING.url_refusal(url) is None
    assert LOCAL.url_refusal("http://127.0.0.1:11434/v1") is None


def is_public(address: Address) -> bool:
    """What the standard library thinks of it."""
    return address.is_global and not address.is_multicast and not address.is_reserved and not address.is_unspecified


@given(st.ip_addresses(v=4))
def test_ipv4_is_refused_just_where_the_library_says_it_is_not_global(address: ipaddress.IPv4Address) -> None:
    is_stricter = any(address in network for network in CALLED_RESERVED)
    assert (NOTHING.refusal(address, "x") is None) == (is_public(address) and not is_stricter)


@given(st.ip_addresses(v=6) | st.ip_addresses(v=6, network="2000::/3") | st.ip_addresses(v=6, network="::/64"))
def test_ipv6_is_refused_wherever_the_library_says_it_is_not_global(address: ipaddress.IPv6Address) -> None:
    if meant(address) == address and not is_public(address):
        assert NOTHING.refusal(address, "x")


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:0:0", "64:ff9b::"]))
def test_what_is_carried_is_judged_like_itself(address: ipaddress.IPv4Address, prefix: str) -> None:
    carrier = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + int(address))
    assert meant(carrier) == address
    for allow in (NOTHING, LOCAL, EVERYTHING):
        assert (allow.refusal(carrier, "x") is None) == (allow.refusal(address, "x") is None)


@given(st.ip_addresses(), st.integers(0, 32))
def test_entries_only_add(address: Address, prefix: int) -> None:
    allow = EgressAllow((ipaddress.ip_network(f"{meant(address)}/{prefix}", strict=False),))
    if NOTHING.refusal(address, "x") is None:
        assert allow.refusal(address, "x") is None, "no entry takes anything away"
    assert EgressAllow.parse([str(meant(address))]).refusal(address, "x") is None, (
        "the address itself is always an entry"
    )

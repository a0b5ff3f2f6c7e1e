"""Which addresses the gateway may call (docs/wire.md, 3.6). Pure: names are resolved where connections are made.

Public addresses may be called. The others are in a table here, and need an entry in the operator's list.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

from modelport_contracts.urls import host_of, host_problem

VARIABLE = "MODELPORT_EGRESS_ALLOW"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class _Special(NamedTuple):
    """A network that is not public. `wants_own_entry`: an entry that is wider than the network does not open it."""

    network: Network
    kind: str
    wants_own_entry: bool


def _rows(kind: str, *networks: str, wants_own_entry: bool = False) -> list[_Special]:
    return [_Special(ipaddress.ip_network(network), kind, wants_own_entry) for network in networks]


# Those of clouds that lie within private or even public networks; most clouds use 169.254.169.254.
_METADATA_4 = ("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")
_METADATA_6 = (
    "fd00:ec2::/32", "fd20:ce::254/128", "fd00:c1::a9fe:a9fe/128", "fd00:42::42/128", "fd00:a9fe:a9fe::1/128",
    "fd00:100::100:200/128",
)  # fmt: skip

_SPECIAL = [
    *_rows("a cloud metadata address", *_METADATA_4, *_METADATA_6, wants_own_entry=True),
    *_rows("a link-local address (cloud metadata is there)", "169.254.0.0/16", "fe80::/10", wants_own_entry=True),
    *_rows("a loopback address", "127.0.0.0/8", "::1/128"),
    *_rows("an unspecified address", "0.0.0.0/8", "::/128"),
    *_rows("a private address", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
    *_rows("a private address", "fc00::/7", "fec0::/10"),
    *_rows("a multicast address", "224.0.0.0/4", "ff00::/8"),
    # An IPv4 address may stand in these, where in them only the translator knows: local NAT64 (RFC 8215),
    # IPv4-translated, IPv4-compatible, Teredo, 6to4. No provider has one.
    *_rows(
        "an address that stands for another", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96", "2001::/32", "2002::/16",
        wants_own_entry=True,
    ),
    *_rows("a reserved address", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24"),
    *_rows("a reserved address", "203.0.113.0/24", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "3fff::/20"),
    # All of IPv6 that is handed out to anybody begins with the bits 001.
    *_rows("a reserved address", "::/3", "4000::/2", "8000::/1"),
]  # fmt: skip
_SPECIAL_4 = tuple(row for row in _SPECIAL if row.network.version == 4)
_SPECIAL_6 = tuple(row for row in _SPECIAL if row.network.version == 6)

_CARRIERS = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))
"""IPv4-mapped, and NAT64 of the well-known prefix: their last 32 bits are the IPv4 address that is meant."""


def meant(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one carries, else the address itself. A zone is dropped."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    bits = int(address)
    if any(bits >> 32 == int(carrier.network_address) >> 32 for carrier in _CARRIERS):
        return ipaddress.IPv4Address(bits & 0xFFFFFFFF)
    return ipaddress.IPv6Address(bits)


@dataclass(frozen=True, slots=True)
class EgressAllow:
    """What the operator lets the gateway call beside public addresses: networks, and hosts wherever they are."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """Read addresses, networks in CIDR notation and host names. Raises ValueError that quotes what is neither."""
        networks, names = [], set()
        for entry in entries:
            network = _network(entry)
            if network is not None:
                networks.append(network)
            elif problem := host_problem(entry):
                raise ValueError(f"{entry!r} is no address, network (10.0.0.0/8) or host name: it {problem}")
            else:
                names.add(_same_name(entry))
        return cls(tuple(networks), frozenset(names))

    def refusal(self, address: Address, host: str) -> str | None:
        """Say why `address` may not be called, to which `host` (a name, or the address itself) has led; None: it may.

        The text is for the user: one line that names the address, and what would allow it.
        """
        plain = meant(address)
        special = _special(plain)
        if special is None or _same_name(host) in self.names:
            return None
        if any(plain in network and _opens(network, special) for network in self.networks):
            return None
        shown = str(address) if plain == address else f"{address} ({plain})"
        entry = f"{plain} or {_same_name(host)}" if _address(host) is None else str(plain)
        return (
            f"{shown} is {special.kind}; if it is to be called, add {entry} to the setting {VARIABLE} of gateways "
            "and models service and restart them"
        )

    def url_refusal(self, url: str) -> str | None:
        """Say the same of a URL whose host is an address; None for names, which are judged when they are resolved."""
        host = host_of(url)
        address = _address(host)
        return None if address is None else self.refusal(address, host)


def _special(address: Address) -> _Special | None:
    rows = _SPECIAL_4 if address.version == 4 else _SPECIAL_6
    return next((row for row in rows if address in row.network), None)


def _opens(entry: Network, special: _Special) -> bool:
    # Of one version: both hold the address. The longer prefix lies within the shorter.
    return not special.wants_own_entry or entry.prefixlen >= special.network.prefixlen


def _network(entry: str) -> Network | None:
    """Return the network that an entry of the list names, an address being a network of one; None for a name."""
    if "%" in entry or ("/" not in entry and _address(entry) is None):
        return None
    try:
        network = ipaddress.ip_network(entry)
    except ValueError as error:
        raise ValueError(f"{entry!r} is no network: {error}; write one like 10.0.0.0/8 or fd00::/8") from None
    if isinstance(network, ipaddress.IPv6Network) and any(map(network.subnet_of, _CARRIERS)):
        raise ValueError(f"{entry!r} stands for IPv4 addresses; write those")
    return network


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _same_name(host: str) -> str:
    return host.lower().removesuffix(".")

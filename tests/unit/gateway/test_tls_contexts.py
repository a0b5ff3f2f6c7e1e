"""What connections to providers are made with: nothing that does not verify, and sessions that do not last for ever."""

import ssl
import warnings
from pathlib import Path

import pytest

from modelport_gateway.prepare.ca import Ca, PinnedCa, read_ca
from modelport_gateway.send.tls import ClientTls, ResumingContext, pinned_context, system_context
from modelport_testing.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_contexts_verify(authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(authority.pem)
    for context in (system_context(), system_context(file), pinned_context(read_ca(authority.pem))):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert len(system_context(file).get_ca_certs()) == 1
    assert len(pinned_context(read_ca(authority.pem)).get_ca_certs()) == 1


def test_a_context_that_is_used_directly_believes_nobody(authority: Authority) -> None:
    context = ClientTls(authority.trusting()).context("localhost", 443, None)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.get_ca_certs() == []


def test_what_is_read_of_a_bundle(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Another").pem
    both = read_ca(f"# comment ű\n{authority.pem}\nissuer: x\n{other}")
    assert both == read_ca(f"{authority.pem}{other}")
    assert both != read_ca(authority.pem)
    assert len(pinned_context(both).get_ca_certs()) == 2
    assert read_ca(authority.pem.replace("\n", "\r\n")).pem.startswith("-----BEGIN")
    assert "BEGIN" not in repr(both)
    for wrong in ("", "sk-key", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"):
        with pytest.raises(ValueError, match="certificate"):
            read_ca(wrong)


def test_contexts_are_kept_for_each_host_and_ca(authority: Authority, tmp_path: Path) -> None:
    tls = ClientTls(authority.trusting())
    one, other = read_ca(authority.pem), read_ca(Authority(tmp_path, "Another").pem)
    keys: list[tuple[str, int, Ca | None]] = [
        ("a", 1, None), ("a", 2, None), ("b", 1, None), ("a", 1, one), ("a", 1, other)
    ]  # fmt: skip
    made = [tls.context(*key) for key in keys]
    assert len({id(context) for context in made}) == len(keys)
    assert [tls.context(*key) for key in keys] == made
    for number in range(300):
        tls.context(f"host-{number}", 1, None)
    assert tls.context("a", 1, None) is not made[0], "the least recently used is forgotten"


def shake_hands(context: ResumingContext, server: ssl.SSLContext) -> ssl.SSLObject:
    """Connect in memory, with a reply so that tickets arrive; return the client's side."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname="localhost")
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    done = {client: False, serving: False}
    while not all(done.values()):
        for side in (client, serving):
            try:
                side.do_handshake()
                done[side] = True
            except ssl.SSLWantReadError:
                continue
    serving.write(b"hi")
    assert client.read(2) == b"hi"
    return client


@pytest.mark.parametrize("pinned", [False, True])
def test_no_hand_is_shaken_below_tls_12(authority: Authority, pinned: bool) -> None:
    old, lenient = authority.server(), authority.trusting()
    ours = pinned_context(read_ca(authority.pem)) if pinned else system_context()
    ours.load_verify_locations(cadata=authority.pem)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        for context in (old, lenient):
            context.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    for context in (old, lenient, ours):
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # OpenSSL 3 has no TLS 1.1 above that level
    agreed = shake_hands(ClientTls(lenient).context("localhost", 1, None), old)
    assert agreed.version() == "TLSv1.1", "another client can call this server"
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol"):
        shake_hands(ClientTls(ours).context("localhost", 1, None), old)


def test_a_session_is_offered_for_an_hour_after_a_whole_handshake(authority: Authority) -> None:
    now = 1000.0
    context = ClientTls(authority.trusting(), clock=lambda: now).context("localhost", 1, None)
    server = authority.server()

    def connect() -> bool:
        connection = shake_hands(context, server)
        context.keep_session(connection)
        return bool(connection.session_reused)

    assert not context.offers_session
    assert not connect()
    now += 3000
    assert connect()
    now += 599  # counted from the whole handshake, not from the resumed one
    assert connect()
    now += 2
    assert not context.offers_session
    assert not connect()
    assert connect()
    context.forget_session()
    assert not connect()


def test_a_pinned_ca_forgets() -> None:
    pinned = PinnedCa("ws", "ca")
    assert pinned.secret_key == "secret/ws/ca"
    for version, ca in ((3, Ca("f", "p")), (4, Ca("g", "q"))):
        pinned.secret_version, pinned.ca = version, ca
        pinned.drop_secret()
        assert (pinned.secret_version, repr(pinned.ca)) == (-1, "None")

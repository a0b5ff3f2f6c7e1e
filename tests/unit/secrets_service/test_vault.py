"""Vault as keeper of the key-encryption key: over a real connection, and what is said of its every no."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelport_kit.errors import AwayError
from modelport_secrets.keyring import KeyRefusedError, Keyring
from modelport_secrets.local_key import LocalKey
from modelport_secrets.sealing import UnsealError, WrappedKey
from modelport_secrets.vault import VaultAccess, VaultKey
from modelport_testing.polling import eventually
from modelport_testing.transit import TransitServer, start_transit


@pytest.fixture
def vault() -> Iterator[TransitServer]:
    with start_transit() as running:
        yield running


@pytest.fixture
def access(vault: TransitServer, tmp_path: Path) -> VaultAccess:
    token = tmp_path / "token"
    token.write_text(vault.token + "\n")
    return VaultAccess(vault.url, token, "modelport")


@pytest.fixture
async def key(access: VaultAccess) -> AsyncIterator[VaultKey]:
    made = VaultKey(access)
    yield made
    await made.close()


async def test_a_data_key_there_and_back(key: VaultKey, vault: TransitServer) -> None:
    clear = os.urandom(32)
    wrapped = await key.wrap(clear)
    assert wrapped.kek_id == await key.newest() == "vault:transit/modelport:v1"
    assert wrapped.wrapped.startswith(b"vault:v1:")
    assert await key.unwrap(wrapped) == clear
    assert vault.asked == ["encrypt", "keys", "decrypt"]
    assert clear.hex() not in repr(vars(key)) + repr(wrapped)


async def test_ids_name_the_key_and_its_version(key: VaultKey) -> None:
    assert key.holds("vault:transit/modelport:v1")
    assert key.holds("vault:transit/modelport:v23")
    for other in (
        "vault:transit/other:v1",
        "vault:kv/modelport:v1",
        "vault:transit/modelport:v0",
        "v1",
        "0123456789abcdef",
    ):
        assert not key.holds(other)


async def test_after_a_rotation_in_vault(key: VaultKey, vault: TransitServer) -> None:
    clear = os.urandom(32)
    first = await key.wrap(clear)
    vault.keys["modelport"].rotate()
    assert await key.unwrap(first) == clear, "former versions still open"
    vault.asked.clear()
    renewed = await Keyring([key]).rewrap(first)
    assert vault.asked == ["rewrap"], "the key did not leave Vault"
    assert renewed.kek_id == await key.newest() == "vault:transit/modelport:v2"
    vault.keys["modelport"].min_decryption_version = 2
    assert await key.unwrap(renewed) == clear
    with pytest.raises(UnsealError, match="too old"):
        await key.unwrap(first)


async def test_from_a_file_into_vault_and_back(key: VaultKey) -> None:
    local = LocalKey(os.urandom(32), "a test")
    made = await Keyring([local]).new_data_key()
    moved = await Keyring([key, local]).rewrap(made.stored)
    assert moved.kek_id == "vault:transit/modelport:v1"
    back = await Keyring([local, key]).rewrap(moved)
    assert back.kek_id == local.kek_id
    assert await local.unwrap(back) == made.clear


async def test_another_mount_and_a_namespace(tmp_path: Path) -> None:
    with start_transit("kms/one", "team") as vault:
        (tmp_path / "token").write_text(vault.token)
        access = VaultAccess(vault.url, tmp_path / "token", "modelport", "kms/one", "team")
        key = VaultKey(access)
        assert await key.newest() == "vault:kms/one/modelport:v1"
        await key.close()
        other = VaultKey(replace(access, namespace="another"))
        with pytest.raises(KeyRefusedError, match=r"404 .no handler for route.*_NAMESPACE"):
            await other.newest()
        await other.close()


def seal_it(vault: TransitServer) -> None:
    vault.is_sealed = True


def answer_with(status: int) -> Callable[[TransitServer], None]:
    def change(vault: TransitServer) -> None:
        vault.answers_with = status

    return change


def forbid(vault: TransitServer) -> None:
    vault.may.clear()


def revoke(vault: TransitServer) -> None:
    vault.token = "another"


TROUBLES: list[tuple[Callable[[TransitServer], None], str, str]] = [
    (TransitServer.stop, "vault_away", "cannot be reached .ConnectError"),
    (seal_it, "vault_away", "503 .Vault is sealed"),
    (answer_with(429), "vault_away", "429"),
    (answer_with(307), "vault_away", "307"),
    (answer_with(500), "vault_away", "500"),
    (forbid, "vault_refuses", "403 .1 error occurred: . permission denied.*policy"),
    (revoke, "vault_refuses", "403 .1 error occurred: . permission denied.*the token .*has expired"),
]


@pytest.mark.parametrize(("trouble", "code", "words"), TROUBLES, ids=[words[:3] for _, _, words in TROUBLES])
async def test_trouble_is_never_an_unreadable_value(
    key: VaultKey, vault: TransitServer, trouble: Callable[[TransitServer], None], code: str, words: str
) -> None:
    wrapped = await key.wrap(os.urandom(32))
    trouble(vault)
    for ask in (key.newest, lambda: key.wrap(bytes(32)), lambda: key.unwrap(wrapped), lambda: key.rewrap(wrapped)):
        with pytest.raises(AwayError, match=words) as caught:
            await ask()
        assert (caught.value.status, caught.value.code) == (503, code)
        assert "retry-after" in caught.value.headers
        assert isinstance(caught.value, KeyRefusedError) == (code == "vault_refuses")
        assert vault.token not in caught.value.message
        assert str(vault.port) not in caught.value.message
        assert "\n" not in caught.value.message
    if trouble is TransitServer.stop:
        vault.start()


async def test_a_key_that_is_not_there(access: VaultAccess, vault: TransitServer) -> None:
    key = VaultKey(replace(access, key="nothing"))
    with pytest.raises(KeyRefusedError, match=r"vault:transit/nothing .*404.*MODELPORT_VAULT_TRANSIT_KEY"):
        await key.newest()
    await key.close()
    assert set(vault.keys) == {"modelport"}, "to encrypt would have made it"


@pytest.mark.parametrize(
    ("wrapped", "words"),
    [(b"vault:v1:AAAA", "authentication failed"), (b"vault:v9:AAAA", "too new"), (b"\xff\x00", "no prefix")],
)
async def test_an_altered_key_is_unreadable(key: VaultKey, wrapped: bytes, words: str) -> None:
    for ask in (key.unwrap, key.rewrap):
        with pytest.raises(UnsealError, match=words):
            await ask(WrappedKey("vault:transit/modelport:v1", wrapped))


async def test_a_token_that_an_agent_renews(key: VaultKey, vault: TransitServer, access: VaultAccess) -> None:
    vault.token = "renewed"
    with pytest.raises(KeyRefusedError):
        await key.newest()
    access.token_file.write_text("renewed")
    await key.newest()
    for broken in (None, "", "two\nlines", "schlüssel"):
        access.token_file.unlink(missing_ok=True)
        if broken is not None:
            access.token_file.write_text(broken)
        with pytest.raises(AwayError, match="MODELPORT_VAULT_TOKEN_FILE") as caught:
            await key.newest()
        assert broken is None or broken not in caught.value.message or not broken


async def test_who_asks_at_once_shares_an_answer(key: VaultKey, vault: TransitServer) -> None:
    clear = os.urandom(32)
    wrapped = await key.wrap(clear)
    vault.asked.clear()
    vault.gate.clear()
    asking = [asyncio.ensure_future(key.unwrap(wrapped)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    vault.gate.set()
    assert await asyncio.gather(*asking[1:]) == [clear] * 4
    assert vault.asked == ["decrypt"]
    assert await key.unwrap(wrapped) == clear
    assert vault.asked == ["decrypt"] * 2, "no clear key is kept"
    await eventually(lambda: not key._opening, 5)


async def test_a_vault_that_hangs(key: VaultKey, vault: TransitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelport_secrets.vault.TIMEOUT_S", 0.05)
    vault.gate.clear()
    with pytest.raises(AwayError, match="cannot be reached") as caught:
        await key.newest()
    assert caught.value.code == "vault_away"
    vault.gate.set()


async def test_what_is_not_vault(access: VaultAccess, monkeypatch: pytest.MonkeyPatch, vault: TransitServer) -> None:
    key = VaultKey(access)
    wrapped = WrappedKey("vault:transit/modelport:v1", b"vault:v1:AAAA")
    for answer in ({"data": None}, {"data": {"latest_version": "v1", "ciphertext": "x", "plaintext": "?"}}, {}):
        monkeypatch.setattr(vault, "answer", lambda *_, answer=answer: answer)
        for ask in (key.newest, lambda: key.wrap(bytes(32)), lambda: key.unwrap(wrapped), lambda: key.rewrap(wrapped)):
            with pytest.raises(AwayError, match="does not answer as Vault does"):
                await ask()
    await key.close()


async def test_a_key_that_cannot_wrap(key: VaultKey, vault: TransitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    signs_only = {"data": {"latest_version": 1, "supports_encryption": False}}
    monkeypatch.setattr(vault, "answer", lambda *_: signs_only)
    with pytest.raises(KeyRefusedError, match="must be of type aes256-gcm96"):
        await key.newest()

"""The key-encryption keys at hand: the first wraps new data keys, the others only open what they wrapped before.

Where a key is kept is its provider's affair: here (local_key.py), or in Vault, which never gives it out (vault.py).
"""

from collections.abc import Sequence
from typing import Protocol

from modelport_kit.errors import AwayError
from modelport_secrets.sealing import DataKey, UnsealError, WrappedKey, new_clear_key


class KeyRefusedError(AwayError):
    """503: whoever keeps the key answers, and refuses its use. Waiting alone does not help."""


class KeyProvider(Protocol):
    """Keeps a key-encryption key, in one version or several.

    One that asks somebody else raises AwayError where there is no answer, KeyRefusedError where that is a refusal.
    """

    @property
    def label(self) -> str:
        """Name the key and where it is from, for the operator."""

    @property
    def id_is_proof(self) -> bool:
        """Say whether an id that it holds cannot but mean this very key, and not another of its name."""

    def holds(self, kek_id: str) -> bool:
        """Say whether an id means this key."""

    async def newest(self) -> str:
        """Return the id under which `wrap` wraps now."""

    async def wrap(self, clear: bytes) -> WrappedKey:
        """Wrap a data key."""

    async def unwrap(self, key: WrappedKey) -> bytes:
        """Open a data key that this key wrapped, in whatever version. Raises UnsealError."""

    async def rewrap(self, key: WrappedKey) -> WrappedKey:
        """Wrap a data key of this key's under its newest version. Raises UnsealError."""

    async def close(self) -> None:
        """Close what was opened."""


class Keyring:
    """All of them, in the order given."""

    def __init__(self, providers: Sequence[KeyProvider]) -> None:
        self._first = providers[0]
        self._providers = list(providers)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(one.label for one in self._providers)})"

    @property
    def labels(self) -> list[str]:
        """Name every key."""
        return [one.label for one in self._providers]

    def holds(self, kek_id: str) -> bool:
        """Say whether what this key wrapped can be opened."""
        return self._holder(kek_id) is not None

    def is_sure_of(self, kek_id: str) -> bool:
        """Say whether what this key wrapped can certainly be opened, unless it was altered."""
        holder = self._holder(kek_id)
        return holder is not None and holder.id_is_proof

    async def newest(self) -> str:
        """Return the id of the key that wraps new data keys."""
        return await self._first.newest()

    async def new_data_key(self) -> DataKey:
        """Make and wrap a data key."""
        clear = new_clear_key()
        return DataKey(clear, await self._first.wrap(clear))

    async def unwrap(self, key: WrappedKey) -> bytes:
        """Open a data key. Raises UnsealError."""
        return await self._opener(key).unwrap(key)

    async def rewrap(self, key: WrappedKey) -> WrappedKey:
        """Wrap a data key under the newest key instead. Raises UnsealError."""
        opener = self._opener(key)
        if opener is self._first:
            return await opener.rewrap(key)
        return await self._first.wrap(await opener.unwrap(key))

    async def answers(self) -> bool:
        """Return True once every key's keeper has answered. Raises AwayError."""
        for one in self._providers:
            await one.newest()
        return True

    async def close(self) -> None:
        """Close every provider."""
        for one in self._providers:
            await one.close()

    def _opener(self, key: WrappedKey) -> KeyProvider:
        holder = self._holder(key.kek_id)
        if holder is None:
            raise UnsealError(
                f"it was sealed under key-encryption key {key.kek_id}; this service has {', '.join(self.labels)}"
            )
        return holder

    def _holder(self, kek_id: str) -> KeyProvider | None:
        return next((one for one in self._providers if one.holds(kek_id)), None)

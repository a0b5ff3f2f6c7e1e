"""Key-encryption keys and what is stored: are all there that are needed, and wrapping everything under the newest."""

import asyncio
import time
from collections.abc import Callable

import structlog

from modelport_contracts.resources.secrets import KeyRotation
from modelport_kit.errors import AwayError
from modelport_kit.settings import SettingsError
from modelport_secrets.keyring import KeyRefusedError, Keyring
from modelport_secrets.sealing import UnsealError, WrappedKey
from modelport_secrets.wrapped_keys import StoredKey, WrappedKeys

logger = structlog.get_logger(__name__)

BATCH = 50
"""Keys in one transaction, and questions to Vault at a time."""
AT_MOST_S = 15.0
"""What one call takes; callers that are passed on by the front door are waited for no longer than 30 s."""
SAMPLES = 5
ASK_AGAIN_S = 1.0


async def check(keys: WrappedKeys, keyring: Keyring) -> None:
    """See that the keys are there that stored secrets need. Raises SettingsError, or AwayError where nobody can say.

    An id of Vault's is but a name, so a few data keys are opened too. One that opens will do: that somebody altered
    the others is no reason to refuse all.
    """
    try:
        await keyring.newest()
        stored = await keys.kek_ids()
        missing = [kek_id for kek_id in stored if not keyring.holds(kek_id)]
        if missing:
            raise _lacks(missing, keyring, "give it as well")
        unsure = [kek_id for kek_id in stored if not keyring.is_sure_of(kek_id)]
        for kek_id in unsure:
            if await _opens(keys, keyring, kek_id):
                return
        if unsure:
            raise _lacks(unsure, keyring, "the key of this name opens none of them, so it is another: restore it")
    except KeyRefusedError as error:
        raise SettingsError(error.message) from None


def _lacks(kek_ids: list[str], keyring: Keyring, advice: str) -> SettingsError:
    return SettingsError(
        f"stored secrets need the key-encryption key {' and '.join(kek_ids)}; what is given is"
        f" {', '.join(keyring.labels)}: {advice} (docs/encryption.md)"
    )


async def _opens(keys: WrappedKeys, keyring: Keyring, kek_id: str) -> bool:
    for stored in await keys.under(kek_id, SAMPLES):
        try:
            await keyring.unwrap(stored.key)
        except UnsealError:
            continue
        return True
    return False


async def wait_until_checked(keys: WrappedKeys, keyring: Keyring) -> None:
    """Check, again and again while what must be asked is away. Raises SettingsError."""
    while True:
        try:
            return await check(keys, keyring)
        except AwayError as error:
            logger.warning("cannot start yet, waiting", reason=error.message)
        await asyncio.sleep(ASK_AGAIN_S)


async def rotate(keys: WrappedKeys, keyring: Keyring, clock: Callable[[], float] = time.monotonic) -> KeyRotation:
    """Wrap under the newest key whatever is not; return how many keys were, and whether that is all.

    It may be cut off anywhere, called again, and run in several replicas at once: a batch is a transaction, and only
    what is still as it was read is replaced. Raises AwayError where nothing could be done.
    """
    newest = await keyring.newest()
    until = clock() + AT_MOST_S
    rotated, after = 0, ""
    while clock() < until and (batch := await keys.not_under(newest, after, BATCH)):
        after = batch[-1].secret_id
        renewed, away = await _renew(keyring, batch)
        rotated += await keys.replace(renewed)
        if away is None:
            continue
        if not rotated:
            raise away
        logger.warning("the rotation of encryption keys stops early", reason=away.message)
        break
    success = not await keys.not_under(newest, "", 1)
    logger.info("rotated encryption keys", kek_id=newest, rotated=rotated, complete=success)
    return KeyRotation(rotated_secrets=rotated, success=success)


async def _renew(
    keyring: Keyring, batch: list[StoredKey]
) -> tuple[list[tuple[StoredKey, WrappedKey]], AwayError | None]:
    """Wrap each anew. What cannot be opened is left out; so is what could not be asked for, and that is told."""
    renewed, away = [], None
    outcomes = await asyncio.gather(*(keyring.rewrap(stored.key) for stored in batch), return_exceptions=True)
    for stored, outcome in zip(batch, outcomes, strict=True):
        if isinstance(outcome, WrappedKey):
            renewed.append((stored, outcome))
        elif isinstance(outcome, AwayError):
            away = outcome
        elif isinstance(outcome, UnsealError):
            logger.error("a secret cannot be opened", secret_name=stored.place, reason=str(outcome))
        else:
            raise outcome
    return renewed, away

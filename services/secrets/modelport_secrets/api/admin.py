"""`/apis/secrets/v2/rotate-encryption-keys`: what concerns the secrets of all workspaces."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends

from modelport_contracts.resources.secrets import KeyRotation
from modelport_kit.http import require
from modelport_kit.service_tokens import TrustedCallers


def admin_router(trusted: TrustedCallers, rotate: Callable[[], Awaitable[KeyRotation]]) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/apis/secrets/v2", tags=["secrets"], dependencies=[Depends(require(trusted, "api"))])

    @router.post(
        "/rotate-encryption-keys", status_code=202, summary="Wrap all data keys under the newest key-encryption key"
    )
    async def rotate_encryption_keys() -> KeyRotation:
        return await rotate()

    return router

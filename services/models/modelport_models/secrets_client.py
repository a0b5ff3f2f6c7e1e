"""What the models service asks the secrets service: whether a secret exists, never what it holds."""

import httpx

from modelport_kit.errors import AwayError, BadRequestError


class SecretsClient:
    """Asks over HTTP with this service's own token, which cannot reveal."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def check_exists(self, workspace: str, name: str, field: str) -> None:
        """Raises BadRequestError where the secret that `field` names is missing, AwayError where nobody can say."""
        try:
            reply = await self._client.get(f"/apis/secrets/v2/workspaces/{workspace}/secrets/{name}")
        except httpx.HTTPError as error:
            raise AwayError("the secrets service, which knows whether the secret exists, cannot be reached") from error
        if reply.status_code == 404:
            raise BadRequestError(
                f"secret {workspace}/{name} does not exist; store it first, then name it as {field}",
                code="secret_missing",
            )
        if reply.status_code != 200:
            raise AwayError(f"the secrets service answered {reply.status_code} when asked whether the secret exists")

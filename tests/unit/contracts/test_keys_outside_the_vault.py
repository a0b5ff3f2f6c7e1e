"""Keys that a user puts where they would not be encrypted are refused, and not repeated."""

import pytest
from pydantic import ValidationError

from modelport_contracts.resources.models import ModelCreate
from modelport_contracts.resources.providers import ProviderCreate

CANARY = "canary-key-value"


def test_a_model_cannot_hold_a_key() -> None:
    with pytest.raises(ValidationError) as caught:
        ModelCreate.model_validate({"name": "mine", "api_endpoint": {"url": "http://x", "api_key": CANARY}})
    (problem,) = caught.value.errors(include_input=False)
    assert "store it as a secret" in problem["msg"]
    assert CANARY not in str(problem)


@pytest.mark.parametrize("name", ["X-Goog-Api-Key", "Ocp-Apim-Subscription-Key", "api-key", "Cookie"])
def test_an_extra_header_cannot_hold_a_key(name: str) -> None:
    body = ProviderCreate.model_validate(
        {"name": "p1", "host_url": "http://x", "default_extra_headers": {name: CANARY}}
    )
    (problem,) = body.forbidden_headers()
    assert "auth_header_format" in problem
    assert CANARY not in problem

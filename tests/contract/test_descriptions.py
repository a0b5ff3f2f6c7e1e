"""Each service describes itself: every operation, and errors of the one shape (docs/wire.md, 2)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from modelport_contracts.errors import error_body
from modelport_kit.http import describe
from modelport_testing.services import KINDS, build_app, make_keys

ROOT = Path(__file__).parents[2]
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(params=KINDS)
def description(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    return describe(build_app(request.param, make_keys(tmp_path)))


def operations(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method} {path}": operation
        for path, item in description["paths"].items()
        for method, operation in item.items()
    }


def test_every_operation_is_summed_up(description: dict[str, Any]) -> None:
    found = operations(description)
    assert len(found) > 6
    for name, operation in found.items():
        assert name.partition(" ")[0] in METHODS
        assert operation["summary"][0].isupper(), name
        assert not operation["summary"].endswith("."), name
        assert operation["tags"], name
    summaries = [operation["summary"] for operation in found.values()]
    assert len(set(summaries)) == len(summaries)
    ids = [operation["operationId"] for operation in found.values()]
    assert len(set(ids)) == len(ids)


def test_operation_ids_are_short_and_unique_over_all_services() -> None:
    """Generated clients name their methods by them; the page is checked against the services' own descriptions."""
    whole = json.loads((ROOT / "docs/openapi.json").read_text())
    ids = [
        operation["operationId"]
        for item in whole["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+){1,3}", one) or one == "status" for one in ids), ids
    assert {"list_providers", "get_virtual_model", "create_secret", "forward_openai_post", "health_live"} <= set(ids)


def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    references = set(re.findall(r"'\$ref': '([^']+)'", str(description)))
    assert references
    assert {reference.rpartition("/")[2] for reference in references} <= set(schemas)
    assert all(reference.startswith("#/components/schemas/") for reference in references)


def test_what_is_internal_is_not_described(description: dict[str, Any]) -> None:
    assert not [path for path in description["paths"] if "internal" in path or "openapi" in path]


def test_errors_are_described_as_they_are(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    assert "HTTPValidationError" not in schemas, "FastAPI's own error body is never sent"
    error = schemas["Error"]
    body = error_body(404, "not_found", "there is no such thing")
    assert set(error["properties"]) == set(body)
    assert set(schemas["ErrorInfo"]["properties"]) == set(body["error"])
    for name, operation in operations(description).items():
        for status, answer in operation["responses"].items():
            if status == "default" or status.startswith(("4", "5")):
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Error"}, (name, status)


def test_a_secrets_value_is_asked_for_and_never_shown(tmp_path: Path) -> None:
    schemas = describe(build_app("secrets", make_keys(tmp_path)))["components"]["schemas"]
    assert "value" in schemas["SecretCreate"]["properties"]
    assert "value" not in schemas["Secret"]["properties"]

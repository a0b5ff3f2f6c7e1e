"""Writes docs/openapi.json and docs/http.md from the services' own descriptions; `--check` says if they are old.

Only descriptions are built: nothing is started and nothing connects.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from modelport_gateway.api.inference_paths import inference_description
from modelport_gateway.api.ready import ready_router
from modelport_gateway.front_door.platform import merge_descriptions, platform_router
from modelport_kit.http import describe, operation_id
from modelport_models.app import build_app as build_models
from modelport_models.settings import ModelsSettings
from modelport_secrets.app import build_app as build_secrets
from modelport_secrets.settings import SecretsSettings

DOCS = Path(__file__).resolve().parents[1] / "docs"
HEAD = """# The HTTP interface, operation by operation

Generated from the services' OpenAPI descriptions (`python tools/http_reference.py`); the whole description is
[openapi.json](openapi.json), and a running platform shows it at `/docs`. The rules behind it, which no schema can
say, are in [wire.md](wire.md).
"""


def description() -> dict[str, Any]:
    """Build the description that the front door serves."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "token").write_text("described")
        (folder / "trust").write_text("[]")
        common: dict[str, Any] = {
            "database_url": f"sqlite:///{folder}/none.db",
            "nats_url": "nats://127.0.0.1:1",
            "service_token_file": folder / "token",
            "service_trust_file": folder / "trust",
        }
        nowhere = "http://127.0.0.1:1"
        models = build_models(ModelsSettings(**common, secrets_url=nowhere, gateway_url=nowhere))
        secrets = build_secrets(SecretsSettings(**common, models_url=nowhere, kek="A" * 43 + "="))
    gateway = FastAPI(title="Modelport", generate_unique_id_function=operation_id)
    gateway.include_router(platform_router())
    gateway.include_router(ready_router())
    merged = merge_descriptions(describe(gateway), [describe(models), describe(secrets), inference_description()])
    merged["info"]["version"] = "2"
    return merged


def page(whole: dict[str, Any]) -> str:
    """Put the operations into Markdown, by tag."""
    by_tag: dict[str, list[str]] = {}
    for path, item in whole["paths"].items():
        shown: set[str] = set()
        for method, operation in item.items():
            if not isinstance(operation, dict):
                continue
            tag = operation.get("tags", ["platform"])[0]
            if operation["summary"] in shown:
                continue  # a forwarding route says the same of every method
            same = [
                name
                for name, other in item.items()
                if isinstance(other, dict) and other["summary"] == operation["summary"]
            ]
            shown.add(operation["summary"])
            by_tag.setdefault(tag, []).append(_operation(path, same or [method], item, operation))
    parts = [HEAD]
    for tag in sorted(by_tag):
        parts += [f"\n## {tag[:1].upper()}{tag[1:]}\n", *by_tag[tag]]
    return "\n".join(parts)


def _operation(path: str, methods: list[str], item: dict[str, Any], operation: dict[str, Any]) -> str:
    lines = [f"### {operation['summary']}\n", f"`{' '.join(method.upper() for method in methods)} {path}`\n"]
    if operation.get("description"):
        lines.append(f"{operation['description']}\n")
    queries = [
        entry for entry in (*item.get("parameters", ()), *operation.get("parameters", ())) if entry["in"] == "query"
    ]
    if queries:
        lines.append("Query: " + ", ".join(f"`{entry['name']}`" for entry in queries) + "\n")
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        lines.append(f"Body: {_schema(body)}\n")
    answers = [
        f"{status} {_schema(schema)}" if schema else status
        for status, reply in operation["responses"].items()
        if status.startswith("2")
        for schema in [reply.get("content", {}).get("application/json", {}).get("schema")]
    ]
    if answers:
        lines.append("Replies: " + ", ".join(answers) + "\n")
    return "\n".join(lines)


def _schema(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    return f"`{schema.get('title') or schema.get('type', 'object')}`"


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    whole = description()
    wanted = {
        DOCS / "openapi.json": json.dumps(whole, indent=1, sort_keys=True) + "\n",
        DOCS / "http.md": page(whole),
    }
    old = [path.name for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if check and old:
        print(f"out of date: {', '.join(old)}; run python tools/http_reference.py", file=sys.stderr)
        return 1
    if not check:
        for path, text in wanted.items():
            path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

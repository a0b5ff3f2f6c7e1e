"""Nothing that Modelport ships can be told to believe any certificate: no setting, no option, no line of code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelport_contracts.records import UpstreamOptions
from modelport_contracts.resources.providers import ProviderCreate
from modelport_gateway.settings import GatewaySettings
from modelport_models.settings import ModelsSettings
from modelport_secrets.settings import SecretsSettings

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [path for folder in ("libs", "services", "deploy", "tools") for path in (ROOT / folder).rglob("*.py")]
LAX_NAMES = {"CERT_NONE", "CERT_OPTIONAL", "VERIFY_NONE", "_create_unverified_context", "_create_stdlib_context"}
SWITCHES = {"verify", "ssl", "check_hostname", "verify_mode"}
TURNS_OFF = re.compile(r"verif|insecure|skip|unsafe|check|tls|ssl")


def lax_lines(source: str) -> Iterator[int]:
    """Find where code turns verification off, or might."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name) if name in LAX_NAMES:
                yield node.lineno
            case ast.keyword(arg=name, value=ast.Constant(value=False)) if name in SWITCHES:
                yield node.lineno
            case ast.Assign(targets=[ast.Attribute(attr=name)]) if name in SWITCHES:
                yield node.lineno


def test_no_code_turns_verification_off() -> None:
    assert len(SHIPPED) > 200
    found = [f"{path}:{line}" for path in SHIPPED for line in lax_lines(path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "context.verify_mode = ssl.CERT_NONE",
        "context.check_hostname = False",
        "from ssl import CERT_NONE",
        "httpx.get(url, verify=False)",
        "connector(ssl=False)",
        "ssl._create_unverified_context()",
    ],
)
def test_it_would_be_found(code: str) -> None:
    assert list(lax_lines(code)) != []


@pytest.mark.parametrize("model", [GatewaySettings, ModelsSettings, SecretsSettings, UpstreamOptions, ProviderCreate])
def test_no_setting_and_no_option_turns_it_off(model: type) -> None:
    assert [name for name in model.model_fields if TURNS_OFF.search(name)] == []  # type: ignore[attr-defined]

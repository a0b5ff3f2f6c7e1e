"""The sequences that the documentation promises, with the addresses of simulated providers in place of real ones."""

import re
from collections.abc import Mapping
from pathlib import Path

from modelport_testing.providers import Style
from modelport_testing.upstreams import Upstream

WIRE = Path(__file__).parents[3] / "docs" / "wire.md"

_HOSTS = {
    Style.NVIDIA: "https://integrate.api.nvidia.com",
    Style.OPENAI: "https://api.openai.com/v1",
    Style.ANTHROPIC: "https://api.anthropic.com",
}
_KEYS = {Style.NVIDIA: "NVIDIA_API_KEY", Style.OPENAI: "OPENAI_API_KEY", Style.ANTHROPIC: "ANTHROPIC_API_KEY"}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sequences(upstreams: Mapping[Style, Upstream]) -> tuple[str, str]:
    """Return the shell script and the Python script of docs/wire.md, 6, as they stand there but for the hosts."""
    _, found, section = WIRE.read_text().partition("\n## 6.")
    assert found, f"{WIRE} has no section 6"
    blocks = dict(_BLOCK.findall(section.partition("\n## ")[0]))
    return _to_simulated(blocks[""], upstreams), _to_simulated(blocks["python"], upstreams)


def key_variables(upstreams: Mapping[Style, Upstream]) -> dict[str, str]:
    """Return the environment variables that the sequences take the providers' keys from."""
    return {_KEYS[style]: upstream.key or "" for style, upstream in upstreams.items()}


def _to_simulated(text: str, upstreams: Mapping[Style, Upstream]) -> str:
    for style, upstream in upstreams.items():
        text = text.replace(_HOSTS[style], upstream.host_url)
    assert not re.search(r"https://", text), "a sequence names a host that has no simulated provider"
    return text

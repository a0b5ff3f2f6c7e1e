"""What a command works with: the global flags, the client and the output."""

import logging
import sys
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelport import Modelport
    from modelport.config import Connection


class OutputFormat(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    RAW = "raw"


@dataclass(frozen=True)
class GlobalFlags:
    """The flags that stand before or after any command; None where not given."""

    base_url: str | None = None
    workspace: str | None = None
    output_format: OutputFormat | None = None
    verbose: bool = False

    def overridden_by(self, later: "GlobalFlags") -> "GlobalFlags":
        """Return these flags with those that stand after the command laid over them."""
        return GlobalFlags(
            base_url=later.base_url or self.base_url,
            workspace=later.workspace or self.workspace,
            output_format=later.output_format or self.output_format,
            verbose=later.verbose or self.verbose,
        )


class Session:
    """One run of one command. Nothing is imported, read or opened before a command asks for it."""

    def __init__(self, flags: GlobalFlags, change_command: str | None = None) -> None:
        self.flags = flags
        self.change_command = change_command
        """The command that changes what the running one found to exist, where there is one."""
        if flags.verbose:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
            logger = logging.getLogger("modelport")
            logger.addHandler(handler)
            logger.setLevel(logging.DEBUG)

    @cached_property
    def connection(self) -> "Connection":
        """Where the platform is, from flags, environment and configuration file."""
        from modelport import config

        if not self.flags.base_url:
            return config.resolve(workspace=self.checked_workspace)
        found = config.resolve(base_url=self.checked_base_url, workspace=self.checked_workspace)
        return replace(found, origin="--base-url")

    @property
    def checked_base_url(self) -> str | None:
        """What --base-url says, None without it. Raises ConfigError, which names the flag."""
        from modelport.config import check_base_url

        return check_base_url(self.flags.base_url, "--base-url") if self.flags.base_url else None

    @property
    def checked_workspace(self) -> str | None:
        """What --workspace says, None without it. Raises ConfigError, which names the flag."""
        from modelport.config import check_workspace

        return check_workspace(self.flags.workspace, "--workspace") if self.flags.workspace else None

    @cached_property
    def client(self) -> "Modelport":
        """The SDK's client."""
        return self.client_with()

    def client_with(self, **options: Any) -> "Modelport":
        """Make a client of other patience; it lives until the command ends."""
        from modelport import Modelport

        found = self.connection
        made = Modelport(found.base_url, found.workspace, found.token, **options)
        self._clients.append(made)
        return made

    @cached_property
    def _clients(self) -> "list[Modelport]":
        return []

    @property
    def output_format(self) -> OutputFormat:
        """The format asked for; without one, a table for people and JSON for programs."""
        if self.flags.output_format is not None:
            return self.flags.output_format
        return OutputFormat.TABLE if sys.stdout.isatty() else OutputFormat.JSON

    def close(self) -> None:
        """Close what was opened."""
        for client in self._clients:
            client.close()

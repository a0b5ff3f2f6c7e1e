"""Where the platform is and who asks: arguments, environment, configuration file (docs/wire.md, 4).

The file is shared with other clients of the same interface, so whatever it holds besides is kept when it is
written. An argument goes before the environment, that before the file's current context, that before the default.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelport.errors import ConfigError
from modelport_contracts.urls import url_problem

DEFAULT_BASE_URL = "http://localhost:8080"
DEFAULT_WORKSPACE = "default"
DEFAULT_CONTEXT = "default"
BASE_URL_VARIABLE = "NMP_BASE_URL"
WORKSPACE_VARIABLE = "NMP_WORKSPACE"
TOKEN_VARIABLE = "NMP_ACCESS_TOKEN"  # noqa: S105 (a variable's name)
FILE_VARIABLE = "NMP_CONFIG_FILE"
MASK = "********"

_TOKEN = re.compile(r"[!-~]+")
_USERINFO = re.compile(r"//[^/?#]*@")
_MAY_HOLD_SECRETS = frozenset("@?#")
_SHOWN_LENGTH = 200


@dataclass(frozen=True)
class Connection:
    """What a client needs to know, and where its address came from, for messages."""

    base_url: str
    workspace: str
    token: str | None = field(default=None, repr=False)
    origin: str = "the default"


def config_path(environ: Mapping[str, str]) -> Path:
    """Return where the configuration file is, whether or not it exists."""
    if environ.get(FILE_VARIABLE):
        return Path(environ[FILE_VARIABLE]).expanduser()
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "nmp" / "config.yaml"


def resolve(
    *,
    base_url: str | None = None,
    workspace: str | None = None,
    token: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Connection:
    """Find address, workspace and token. Raises ConfigError for one that cannot be used, and for such a file."""
    variables = os.environ if environ is None else environ
    path = config_path(variables)
    current = ConfigFile.load(path).current()
    addresses = [
        (base_url, "base_url"),
        (variables.get(BASE_URL_VARIABLE), BASE_URL_VARIABLE),
        (current.base_url, str(path)),
        (DEFAULT_BASE_URL, "the default"),
    ]
    workspaces = [
        (workspace, "workspace"),
        (variables.get(WORKSPACE_VARIABLE), WORKSPACE_VARIABLE),
        (current.workspace, str(path)),
        (DEFAULT_WORKSPACE, "the default"),
    ]
    tokens = [(token, "api_key"), (variables.get(TOKEN_VARIABLE), TOKEN_VARIABLE), (current.token, str(path))]
    chosen, origin = _first(addresses)
    chosen_token, token_origin = _first(tokens)
    assert chosen is not None
    return Connection(
        base_url=check_base_url(chosen, origin),
        workspace=check_workspace(*_first(workspaces)),
        token=None if chosen_token is None else check_token(chosen_token, token_origin),
        origin=origin,
    )


def _first(sources: list[tuple[str | None, str]]) -> tuple[Any, str]:
    """Return the first value that is there, and where it is from; None where there is none."""
    return next(((value, origin) for value, origin in sources if value), (None, ""))


def check_token(text: str, origin: str) -> str:
    """Return a token without the white space around it, such as a file's line end.

    Raises ConfigError, which names where the token is from and never the token, unless it is one word of visible
    ASCII: nothing else can be in a header (RFC 6750, 2.1).
    """
    token = text.strip(" \t\r\n")
    if not token:
        raise ConfigError(f"the token is empty (it is from {origin})")
    if not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"the token holds characters that no token has (it is from {origin})",
            hint="A token is one word of letters, digits and signs, without spaces or line ends in it",
        )
    return token


def check_workspace(text: str, origin: str) -> str:
    """Return a workspace's name. Raises ConfigError unless it is one, or `-`, which stands for all in lists."""
    from modelport_contracts.names import ANY_WORKSPACE, NAME_RULE, is_name

    if text != ANY_WORKSPACE and not is_name(text):
        raise ConfigError(f"the workspace (it is from {origin}) is not a valid name", hint=f"A name has {NAME_RULE}")
    return text


def check_base_url(text: str, origin: str = "base_url") -> str:
    """Return the address without a slash at its end. Raises ConfigError unless it is http(s) with a host alone.

    An address that may hold a password or a key is not repeated in the error.
    """
    address = text.strip()
    if _USERINFO.search(address):
        raise ConfigError(
            f"the address (from {origin}) must not hold a user name or password",
            hint="A token is set with `nemo config set --access-token -` or NMP_ACCESS_TOKEN",
        )
    problem = url_problem(address)
    if problem:
        quotable = len(text) <= _SHOWN_LENGTH and not _MAY_HOLD_SECRETS.intersection(text)
        raise ConfigError(
            f"{repr(text) if quotable else 'the address'} (from {origin}) is no address of a platform",
            hint=f"It {problem}. It looks like {DEFAULT_BASE_URL}",
        )
    return address.rstrip("/")


@dataclass(frozen=True)
class Context:
    """A context of the file with its cluster and user looked up."""

    name: str
    base_url: str | None = None
    workspace: str | None = None
    token: str | None = field(default=None, repr=False)


class ConfigFile:
    """The configuration file: `current_context`, `clusters`, `users` and `contexts`, each found by name."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path = path
        self.content = content

    @classmethod
    def load(cls, path: Path) -> "ConfigFile":
        """Read the file; one that does not exist is empty. Raises ConfigError for a damaged one."""
        from modelport.documents import DocumentError, parse_yaml

        try:
            content = parse_yaml(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return cls(path, {})
        except DocumentError as error:
            raise ConfigError(f"the configuration file {path} {error}", hint=_MEND) from None
        except UnicodeDecodeError:
            raise ConfigError(f"the configuration file {path} is no text (UTF-8)", hint=_MEND) from None
        except OSError as error:
            raise ConfigError(f"cannot read the configuration file {path}: {error.strerror}") from error
        file = cls(path, {} if content is None else content)
        file._check()
        return file

    def save(self) -> None:
        """Write the file with mode 0600, in one step. Raises ConfigError."""
        import yaml

        text = yaml.safe_dump(self.content, sort_keys=False, allow_unicode=True)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A dotfiles link stays a link; its target is replaced.
            target = self.path.resolve()
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".config-")  # made with 0600
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                Path(temporary).replace(target)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()
                raise
        except OSError as error:
            raise ConfigError(f"cannot write the configuration file {self.path}: {error}") from error

    @property
    def current_context(self) -> str | None:
        """The name of the context in use."""
        name = self.content.get("current_context")
        return name if isinstance(name, str) else None

    @property
    def context_names(self) -> list[str]:
        """The names of all contexts."""
        return [entry["name"] for entry in self.entries("contexts")]

    def current(self) -> Context:
        """Return the context in use; an empty one where the file names none."""
        name = self.current_context
        if name is None:
            return Context(DEFAULT_CONTEXT)
        entry = self._find("contexts", name)
        if entry is None:
            raise ConfigError(
                f"{self.path} has no context {name!r}, which it calls the current one",
                hint="`nemo config use-context` chooses another",
            )
        cluster = self._find("clusters", entry.get("cluster")) or {}
        user = self._find("users", entry.get("user")) or {}
        return Context(
            name,
            base_url=cluster.get("base_url"),
            workspace=entry.get("workspace"),
            token=user.get("token"),
        )

    def use(self, name: str) -> None:
        """Make a context the current one. Raises ConfigError if there is none of that name."""
        if self._find("contexts", name) is None:
            known = ", ".join(self.context_names) or "none"
            raise ConfigError(f"{self.path} has no context {name!r}", hint=f"It has: {known}")
        self.content["current_context"] = name

    def set(
        self,
        name: str,
        *,
        base_url: str | None = None,
        workspace: str | None = None,
        token: str | None = None,
    ) -> None:
        """Change what is named of a context, which is made if need be, with a cluster and a user of its own."""
        context = self._find("contexts", name)
        if context is None:
            context = {"name": name, "cluster": name, "user": name}
            self.entries("contexts").append(context)
        cluster = self._find_or_add("clusters", context.setdefault("cluster", name))
        cluster.setdefault("base_url", DEFAULT_BASE_URL)
        user = self._find_or_add("users", context.setdefault("user", name))
        user.setdefault("type", "no-auth")
        if base_url is not None:
            cluster["base_url"] = check_base_url(base_url)
        if workspace is not None:
            context["workspace"] = workspace
        if token is not None:
            user.update(type="token", token=token)
        if self.current_context is None:
            self.content["current_context"] = name

    def entries(self, section: str) -> list[dict[str, Any]]:
        """Return the entries of `clusters`, `users` or `contexts`, as they stand in the file."""
        if self.content.get(section) is None:
            self.content[section] = []
        entries: list[dict[str, Any]] = self.content[section]
        return entries

    def masked(self) -> dict[str, Any]:
        """Return the content with every token masked, and what an address holds of a password, for display."""
        users = [
            {key: MASK if "token" in key and value else value for key, value in user.items()}
            for user in self.entries("users")
        ]
        clusters = [
            {**cluster, "base_url": _USERINFO.sub(f"//{MASK}@", cluster["base_url"])}
            if isinstance(cluster.get("base_url"), str)
            else cluster
            for cluster in self.entries("clusters")
        ]
        return {**self.content, "clusters": clusters, "users": users}

    def _find(self, section: str, name: Any) -> dict[str, Any] | None:
        return next((entry for entry in self.entries(section) if entry["name"] == name), None)

    def _find_or_add(self, section: str, name: str) -> dict[str, Any]:
        entry = self._find(section, name)
        if entry is None:
            entry = {"name": name}
            self.entries(section).append(entry)
        return entry

    def _check(self) -> None:
        """Raise ConfigError unless the shape is the one this class relies on; it never quotes the file."""
        sound = isinstance(self.content, dict)
        for section in ("clusters", "users", "contexts") if sound else ():
            entries = self.content.get(section) or []
            sound = sound and isinstance(entries, list)
            sound = sound and all(isinstance(e, dict) and isinstance(e.get("name"), str) for e in entries)
        if not sound:
            raise ConfigError(
                f"the configuration file {self.path} is not as expected: clusters, users and contexts are lists of "
                "entries with a name",
                hint=_MEND,
            )
        for section, members in _TEXTS.items():
            for number, entry in enumerate(self.content.get(section) or [], 1):
                for member in members:
                    if not isinstance(entry.get(member), str | None):
                        raise ConfigError(
                            f"the configuration file {self.path} is not as expected: {member} of entry {number} of "
                            f"{section} must be text",
                            hint="Put it in quotes",
                        )


_MEND = "Mend it, or move it away and use `nemo config set`"
_TEXTS = {
    "clusters": ("base_url",),
    "users": ("type", "token"),
    "contexts": ("cluster", "user", "workspace"),
}
"""What must be text where it is there, besides the names."""

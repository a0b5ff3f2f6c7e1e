"""What calls take from their client, and the paths made of it. Imports next to nothing: the CLI is to start quickly."""

from modelport import paths


class Scope:
    """What calls take from their client: the default workspace and the platform's address."""

    def __init__(self, base_url: str, workspace: str) -> None:
        self.base_url = base_url
        self.workspace = workspace
        self.revisions: dict[tuple[str, str], str] = {}
        """(workspace, provider) -> revision of this client's last write, which waiting asks the gateways for.

        Opaque: it is passed on as it came (docs/propagation.md, rule 3).
        """

    def in_workspace(self, service: str, workspace: str | None, *parts: str) -> str:
        """Return the path of something in a workspace; `parts` are encoded already."""
        chosen = self.workspace if workspace is None else workspace
        return paths.join(service, "workspaces", paths.segment(chosen, "workspace"), *parts)


def member(name: str) -> str:
    """Encode a resource's name as the end of a path."""
    return paths.segment(name, "name")

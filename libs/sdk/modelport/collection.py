"""What every kind of resource has in common: where it is, and the calls that make, show, list, change and delete it.

The modules of `resources` say which fields each kind has; how they travel stands here once (docs/wire.md, 3.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from modelport import paths
from modelport.calls import Call, Filter, json_body, list_query, parse_as, parse_nothing
from modelport.pages import ListCall, page_of
from modelport.scope import Scope, member

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Collection(Generic[M]):
    """All resources of one kind. A `workspace` of None is the client's."""

    item: type[M]
    service: str
    """The path of the service that keeps them."""
    name: str | None
    """What the collection is called within a workspace; None for workspaces themselves, which are in none."""

    def path(self, scope: Scope, workspace: str | None, *name: str) -> str:
        """Return the path of the collection or, by its name, of one in it."""
        if self.name is None:
            return paths.join(self.service, *map(member, name))
        return scope.in_workspace(self.service, workspace, self.name, *map(member, name))

    def create(
        self, scope: Scope, workspace: str | None, members: Mapping[str, Any], *, exist_ok: bool = False
    ) -> Call[M]:
        """Make one; None in `members` is left out. With `exist_ok` one of that name is returned as it is."""
        return Call(
            "POST",
            self.path(scope, workspace),
            parse_as(self.item),
            body=json_body(members),
            existing=self.retrieve(scope, workspace, members["name"]) if exist_ok else None,
        )

    def retrieve(self, scope: Scope, workspace: str | None, name: str) -> Call[M]:
        """Return one."""
        return Call("GET", self.path(scope, workspace, name), parse_as(self.item))

    def list(
        self,
        scope: Scope,
        workspace: str | None,
        *,
        filter: Filter | None,  # noqa: A002 (the parameter's name on the wire)
        sort: str | None,
        page: int | None,
        page_size: int | None,
        **flags: bool | None,
    ) -> ListCall[M]:
        """List them, page by page."""
        path = self.path(scope, workspace)

        def of_page(number: int | None) -> Call[Any]:
            query = list_query(page=number or page, page_size=page_size, sort=sort, filter=filter, **flags)
            return Call("GET", paths.with_query(path, query), page_of(self.item))

        return of_page

    def replace(self, scope: Scope, workspace: str | None, name: str, members: Mapping[str, Any]) -> Call[M]:
        """Replace one; None in `members` is left out, and so becomes empty."""
        return Call("PUT", self.path(scope, workspace, name), parse_as(self.item), body=json_body(members))

    def patch(self, scope: Scope, workspace: str | None, name: str, members: Mapping[str, Any]) -> Call[M]:
        """Change what is named: UNSET in `members` is left out, None empties."""
        body = json_body(members, drop="unset")
        return Call("PATCH", self.path(scope, workspace, name), parse_as(self.item), body=body)

    def delete(self, scope: Scope, workspace: str | None, name: str) -> Call[None]:
        """Delete one."""
        return Call("DELETE", self.path(scope, workspace, name), parse_nothing)

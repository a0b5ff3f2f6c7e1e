"""The audit trail: who changed or revealed what, and when (docs/audit.md).

Each service keeps its own part; what is listed here is all of them as one list, in the order of time.
"""

import heapq
from collections.abc import Iterator
from itertools import islice

from modelport import paths
from modelport.calls import Call, Filter, list_query
from modelport.errors import ArgumentError
from modelport.flows import Flow, Policy, perform
from modelport.methods import AsyncResource, Resource, async_flow_list_method, flow_list_method
from modelport.pages import ListCall, PageFlow, page_of
from modelport.scope import Scope
from modelport_contracts.pages import DEFAULT_PAGE_SIZE, Page, pagination
from modelport_contracts.resources.audit import AuditEvent

_SERVICES = {"models": paths.MODELS, "secrets": paths.SECRETS}
_NEWEST_FIRST = "-created_at"
_SORTS = (_NEWEST_FIRST, "created_at")


def list_(
    scope: Scope,
    /,
    *,
    service: str | None = None,
    workspace: str | None = None,
    filter: Filter | None = None,  # noqa: A002 (the parameter's name on the wire)
    sort: str | None = None,
    page: int | None = None,
    page_size: int | None = None,
) -> PageFlow[AuditEvent]:
    """List events of all workspaces, or of one, newest first; `sort="created_at"` begins with the oldest.

    `service` asks one service alone, "models" or "secrets"; then any field may be sorted by. A page far from the
    beginning of the list of both takes as many requests as there are pages before it.
    """
    if service is not None and service not in _SERVICES:
        raise ArgumentError(f"service must be one of {', '.join(_SERVICES)}")
    if service is None and sort is not None and sort not in _SORTS:
        raise ArgumentError(f"both services' events are sorted by time: sort must be {' or '.join(_SORTS)}; name one")
    if page is not None and page < 1:
        raise ArgumentError("pages count from 1")

    def part(root: str) -> ListCall[AuditEvent]:
        def of_page(number: int | None) -> Call[Page[AuditEvent]]:
            query = list_query(page=number or page, page_size=page_size, sort=sort, filter=filter)
            if workspace is not None and workspace != "-":
                query.append(("filter[workspace]", workspace))
            return Call("GET", paths.with_query(f"{root}/audit", query), page_of(AuditEvent))

        return of_page

    if service is not None:
        only = part(_SERVICES[service])
        return lambda number, policy: perform(only(number), policy)
    parts = tuple(part(root) for root in _SERVICES.values())
    merged = _Merged(parts, page_size or DEFAULT_PAGE_SIZE, newest_first=sort != "created_at")
    return lambda number, policy: merged.page(number or page or 1, policy)


class _Merged:
    """Lists in the order of time as one such list, without reading more of them than a page needs."""

    def __init__(self, parts: tuple[ListCall[AuditEvent], ...], size: int, *, newest_first: bool) -> None:
        self._parts = parts
        self._size = size
        self._newest_first = newest_first
        self._starts = {1: (0,) * len(parts)}
        """By page: how many events of each part come before it."""
        self._read: dict[tuple[int, int], Page[AuditEvent]] = {}
        """The last pages that were read, by part and number: the next page mostly begins within them."""

    def page(self, number: int, policy: Policy) -> Flow[Page[AuditEvent]]:
        """Merge up to a page and return it."""
        for before in range(max(known for known in self._starts if known <= number), number):
            yield from self._merge(before, policy)
        return (yield from self._merge(number, policy))

    def _merge(self, number: int, policy: Policy) -> Flow[Page[AuditEvent]]:
        starts, total, heads = self._starts[number], 0, []
        needed: dict[tuple[int, int], Page[AuditEvent]] = {}
        for position, start in enumerate(starts):
            first, skipped = divmod(start, self._size)
            events: list[AuditEvent] = []
            for one in (first + 1, first + 2)[: 2 if skipped else 1]:
                read = self._read.get((position, one)) or (yield from perform(self._parts[position](one), policy))
                needed[position, one] = read
                events += read.data
            total += needed[position, first + 1].pagination.total_results
            heads.append([(position, event) for event in events[skipped:]])
        self._read = needed
        taken = list(islice(self._in_order(heads), self._size))
        counts = [sum(position == one for position, _ in taken) for one in range(len(starts))]
        self._starts[number + 1] = tuple(start + count for start, count in zip(starts, counts, strict=True))
        here = pagination(number, self._size, len(taken), total)
        return Page[AuditEvent](data=[event for _, event in taken], pagination=here)

    def _in_order(self, heads: list[list[tuple[int, AuditEvent]]]) -> Iterator[tuple[int, AuditEvent]]:
        return heapq.merge(*heads, key=lambda one: one[1].created_at, reverse=self._newest_first)


class Audit(Resource):
    """`client.audit`: who changed or revealed what, and when."""

    list = flow_list_method(list_)


class AsyncAudit(AsyncResource):
    """`client.audit` of the asynchronous client."""

    list = async_flow_list_method(list_)

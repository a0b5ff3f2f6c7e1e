"""The data plane's numbers as metric families; names, labels and meanings are in docs/metrics.md."""

from collections.abc import Callable, Iterable

from prometheus_client.core import Metric

from modelport_gateway.account.access_log import AccessLog
from modelport_gateway.account.metrics import ROUTES, DataPlaneMetrics, PlaneState, ProviderCounts, outcomes
from modelport_kit.metrics.families import counter, gauge, histogram

_OUTCOMES = outcomes()


class DataPlaneFamilies:
    """Shows what the data plane has counted, and what `state` says stands now."""

    def __init__(self, metrics: DataPlaneMetrics, state: Callable[[], PlaneState], access_log: AccessLog) -> None:
        self._metrics = metrics
        self._state = state
        self._access_log = access_log

    def collect(self) -> Iterable[Metric]:
        """Make the families; runs in the scrape's thread."""
        # Copied first: the event loop may add a provider meanwhile.
        providers = list(self._metrics.providers.items())
        yield from self._requests(providers)
        yield from self._durations(providers)
        yield from self._levels()

    def _requests(self, providers: list[tuple[str, ProviderCounts]]) -> Iterable[Metric]:
        yield counter(
            "modelport_gateway_requests_total",
            "Inference requests that ended.",
            ("provider", "route", "status", "error_origin"),
            [
                ((provider, *names), number)
                for provider, counts in providers
                for names, number in zip(_OUTCOMES, counts.requests, strict=True)
                if number
            ],
        )
        yield counter(
            "modelport_gateway_errors_total",
            "Requests that ended with an error of the gateway or left by their client, by code.",
            ("code",),
            [((code,), number) for code, number in list(self._metrics.errors.items())],
        )
        yield counter(
            "modelport_gateway_request_body_bytes_total",
            "Bytes of bodies that came from clients.",
            ("provider",),
            [((provider,), counts.bytes_in) for provider, counts in providers],
        )
        yield counter(
            "modelport_gateway_response_body_bytes_total",
            "Bytes of bodies that went to clients.",
            ("provider",),
            [((provider,), counts.bytes_out) for provider, counts in providers],
        )
        yield counter(
            "modelport_gateway_retries_total",
            "Requests sent once more, on a fresh connection.",
            (),
            [((), self._metrics.retries)],
        )
        yield counter(
            "modelport_gateway_route_lookups_total",
            "Requests whose route was known here, and those for which Redis was asked.",
            ("result",),
            [(("known",), self._metrics.routes_known), (("asked",), self._metrics.routes_asked)],
        )

    def _durations(self, providers: list[tuple[str, ProviderCounts]]) -> Iterable[Metric]:
        yield histogram(
            "modelport_gateway_request_duration_seconds",
            "From the request's head to the end of the reply.",
            ("provider",),
            [((provider,), counts.total) for provider, counts in providers],
        )
        yield histogram(
            "modelport_gateway_first_byte_duration_seconds",
            "From sending the request to the head of the provider's reply.",
            ("provider",),
            [((provider,), counts.first_byte) for provider, counts in providers],
        )
        yield histogram(
            "modelport_gateway_queue_duration_seconds",
            "Wait for one of the provider's slots, of requests that had to wait.",
            ("provider",),
            [((provider,), counts.queue) for provider, counts in providers if counts.queue is not None],
        )
        yield histogram(
            "modelport_gateway_connect_duration_seconds",
            "Wait for a new connection to a provider, of requests that found none idle.",
            (),
            [((), self._metrics.connect)],
        )
        yield histogram(
            "modelport_gateway_overhead_duration_seconds",
            "The gateway's own time on the way in: from the request's head to sending it, without waits.",
            ("route",),
            [((route,), overhead) for route, overhead in zip(ROUTES, self._metrics.overhead, strict=True)],
        )

    def _levels(self) -> Iterable[Metric]:
        state = self._state()
        yield gauge(
            "modelport_gateway_requests_in_flight", "Inference requests under way.", (), [((), state.in_flight)]
        )
        yield gauge(
            "modelport_gateway_client_connections",
            "Connections of clients.",
            (),
            [((), state.client_connections)],
        )
        yield gauge(
            "modelport_gateway_pool_connections",
            "Connections to providers, in use and idle.",
            ("state",),
            [
                (("in_use",), max(state.connections_open - state.connections_idle, 0)),
                (("idle",), state.connections_idle),
            ],
        )
        yield counter(
            "modelport_gateway_pool_takes_total",
            "Connections that requests got: opened for them, or used again.",
            ("source",),
            [(("new",), state.connections_opened), (("reused",), state.connections_reused)],
        )
        yield gauge("modelport_gateway_secrets_held", "Secret values in memory.", (), [((), state.secrets_held)])
        yield counter(
            "modelport_gateway_access_log_lost_total",
            "Records of the access log that could not be written.",
            (),
            [((), self._access_log.lost)],
        )

"""`MqttFigures`: what came and went over MQTT, counted, and how Prometheus reads it."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from skilld.transports.mqtt.reply import Body

UNREADABLE = "UNREADABLE"  # dropped by the connection: no MQTT library takes it apart


class MqttFigures:
    """See the module docstring. Owned by the event loop.

    Attributes:
        num_connections: to the broker, since the start.
        num_requests: that could be read as far as who asks, repeats and refused ones included.
        repeats: requests that had come before, by what became of them: "remembered" were answered
            from memory, "joined" got the answer of the one that still ran.
        replies: that ended a request, by status: "ok", "abstain" or "error".
        refused: requests that ended with an error, by its reason.
    """

    def __init__(self) -> None:
        self.num_connections = 0
        self.num_requests = 0
        self.repeats: collections.Counter[str] = collections.Counter()
        self.replies: collections.Counter[str] = collections.Counter()
        self.refused: collections.Counter[str] = collections.Counter()

    def replied(self, body: Body) -> None:
        """Count a reply that ends a request."""
        user = dict(body.user)
        self.replies[user["status"]] += 1
        if user["status"] == "error":
            self.refused[user["reason"]] += 1

    def metrics(
        self,
        *,
        is_connected: bool,
        num_running: int,
        num_waiting: int,
        dropped: Mapping[str, int],
    ) -> Iterator[Metric]:
        """All of it, with what is so at this moment.

        Args:
            is_connected: to the broker.
            num_running: calls being carried out.
            num_waiting: calls waiting for their turn.
            dropped: messages whose sender could not be told, by reason.
        """
        for name, text, value in (
            ("skilld_mqtt_connected", "Whether there is a broker.", is_connected),
            ("skilld_mqtt_running_calls", "Calls being carried out.", num_running),
            ("skilld_mqtt_waiting_calls", "Calls waiting for their turn.", num_waiting),
        ):
            yield GaugeMetricFamily(name, text, float(value))
        yield CounterMetricFamily(
            "skilld_mqtt_reconnects",
            "Connections to the broker after the first.",
            max(0, self.num_connections - 1),
        )
        yield CounterMetricFamily("skilld_mqtt_requests", "Requests.", self.num_requests)
        yield _counter("skilld_mqtt_repeats", "Requests that came again.", "how", self.repeats)
        yield _counter("skilld_mqtt_replies", "Replies, but for events.", "status", self.replies)
        yield _counter("skilld_mqtt_refused", "Replies that are errors.", "reason", self.refused)
        yield _counter(
            "skilld_mqtt_dropped", "Messages nobody could be told about.", "reason", dropped
        )


def _counter(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, count in counts.items():
        family.add_metric([value], count)
    return family

"""`depot`: releases over MQTT. A depot answers for ranges of files; a box asks for them.

    protocol       a request, its answer, a refusal
    server         `Depot`: a repository folder, served
    request_queue  whose request is answered next: bounded, in turns
    token_bucket   no faster than so many bytes per second
    mqtt_source    `MqttSource`: the other side, a `BlobSource`
    window         what it waits for, and when it asks again: pure
    round_trip     how long to wait for an answer: pure

Files of metadata are asked for like blobs. Kept by the broker instead, they could not say that a
file does *not* exist, which a box asks at every look for a newer root; they would outlive the
repository; and every box would be sent all of them at every connect.
"""

from skilld.updates.depot.mqtt_source import MqttSource
from skilld.updates.depot.server import Depot, DepotLimits

__all__ = ["Depot", "DepotLimits", "MqttSource"]

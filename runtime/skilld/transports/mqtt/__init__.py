"""Skill calls over MQTT, for robots and controllers that speak to a broker. See `bridge`."""

from skilld.transports.mqtt.bridge import MqttBridge

__all__ = ["MqttBridge"]

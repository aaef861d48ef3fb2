from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mqtt_caller import MqttCaller, broker, broker_kind


def test_without_mosquitto_there_is_no_broker_and_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with broker(tmp_path) as port:
        assert port is None


def test_a_message_comes_back_through_the_broker(tmp_path: Path) -> None:
    with broker(tmp_path) as port:
        assert port is not None, "apt-get install mosquitto"
        caller = MqttCaller(port)
        assert caller.call(broker_kind()) == broker_kind().payload
        caller.close()

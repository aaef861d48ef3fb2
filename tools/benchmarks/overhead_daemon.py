"""The daemon that `overhead_bench` measures: all of skilld, on an engine that computes nothing.

Tokenizer and manifest are those of a shipped engine; its weights are replaced by a script
(`skilld.engine.fake`), so that what is left is what skilld adds to a call.

    python -m benchmarks.overhead_daemon SOCKET [--mqtt ADDRESS] [--trace FILE] [--profile FILE]

serves until SIGTERM; `--mqtt` takes calls from a broker, too. `--trace` writes when each call
passed which point, `--profile` what both threads spent their time in; both slow the daemon down, so
neither is on when calls are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import io
import json
import pstats
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mqtt_caller import BOX

from skilld.app import Box
from skilld.config import Config, EngineConfig, GrpcConfig, MemoryConfig, MqttConfig
from skilld.core.batch import Batch
from skilld.core.manifest import MANIFEST_NAME, EngineManifest
from skilld.engine import Engine
from skilld.engine.base import StepOutput
from skilld.engine.fake import FakeEngine, Rule, answering
from skilld.service import SkillService
from skilld.skills.tokenizer import Tokenizer
from skilld.transports.grpc_server import GrpcServer, SkillServicer
from skilld.transports.mqtt import MqttBridge

SHIPPED = Path("engines/plc-triage/engine")
TEXT_SKILL, JSON_SKILL = "one-token", "triage"
JSON_ANSWER = (
    '{"fault_code":"EX33","subsystem":"drive","severity":"alarm","first_line":1,'
    '"action":"reset","needs_human":false}'
)
# In the order in which a call passes them.
POINTS = (
    *("arrived", "read", "submitted", "step begins", "step ends"),
    *("delivered", "dispatched", "answered", "written"),
)

_BLOCK_TOKENS = 32
_KV_BUDGET_BYTES = 64 << 20
# Special tokens of the shipped tokenizer.
_OPEN_MARK, _ANSWER_MARK = "<|plc-triage|>", "<|output|>"
_SHOWN_FUNCTIONS = 30

_TEXT_SKILL_TOML = f"""
id = "{TEXT_SKILL}"
version = "1"
description = "Answers with the first token of its input."
prompt = "{{text}}{_ANSWER_MARK}"
timeout_s = 10.0
decoding = {{ max_tokens = 1, format = "text" }}
[input_schema]
type = "object"
required = ["text"]
additionalProperties = false
properties.text = {{ type = "string" }}
[output_schema]
type = "string"
"""

_JSON_SKILL_TOML = f"""
id = "{JSON_SKILL}"
version = "1"
description = "Names the cause of a fault, always the same."
prompt = "{_OPEN_MARK}{{lines}}{_ANSWER_MARK}"
timeout_s = 10.0
[decoding]
max_tokens = 96
[abstain]
reasons = ["not_a_log", "no_fault"]
[input_schema]
type = "object"
required = ["lines"]
additionalProperties = false
properties.lines = {{ type = "array", maxItems = 8, items = {{ type = "string" }} }}
[output_schema]
type = "object"
required = ["fault_code", "subsystem", "severity", "first_line", "action", "needs_human"]
additionalProperties = false
[output_schema.properties]
fault_code = {{ type = "string", minLength = 1, maxLength = 24 }}
subsystem = {{ enum = ["drive", "hydraulics", "safety", "sensor", "network", "power"] }}
severity = {{ enum = ["info", "warning", "alarm", "critical"] }}
first_line = {{ type = "integer", minimum = 1, maximum = 8 }}
action = {{ enum = ["reset", "inspect", "replace", "stop_line", "check_wiring", "monitor"] }}
needs_human = {{ type = "boolean" }}
"""


class _Trace:
    """When a call passed which point, for callers that call one at a time."""

    def __init__(self) -> None:
        self.calls: list[dict[str, float]] = []

    def mark(self, point: str, *, first: bool = False) -> None:
        if point == POINTS[0]:
            self.calls.append({})
        elif not self.calls or (first and point in self.calls[-1]):
            return
        self.calls[-1][point] = time.perf_counter()

    def before(self, point: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def marked(*args: Any, **kwargs: Any) -> Any:
            self.mark(point, first=True)
            return function(*args, **kwargs)

        return marked

    def install(self) -> None:
        """Watch the points between the transport and the engine thread."""
        invoke, service_invoke = SkillServicer.Invoke, SkillService.invoke

        async def traced_invoke(servicer: SkillServicer, request: Any, context: Any) -> Any:
            self.mark("arrived")
            response = await invoke(servicer, request, context)
            self.mark("written")
            return response

        async def traced_service_invoke(service: SkillService, call: Any) -> Any:
            self.mark("read")
            outcome = await service_invoke(service, call)
            self.mark("answered")
            return outcome

        setattr(SkillServicer, "Invoke", traced_invoke)  # noqa: B010 - a method, to the type checker
        setattr(SkillService, "invoke", traced_service_invoke)  # noqa: B010
        for name, point in (("deliver", "delivered"), ("_dispatch", "dispatched")):
            setattr(SkillService, name, self.before(point, getattr(SkillService, name)))


class _TracedEngine(FakeEngine):
    def __init__(self, trace: _Trace, vocab_size: int, rule: Rule) -> None:
        super().__init__(vocab_size, rule=rule, block_tokens=_BLOCK_TOKENS)
        self._trace = trace

    def step(self, batch: Batch) -> StepOutput:
        self._trace.mark("step begins", first=True)
        output = super().step(batch)
        self._trace.mark("step ends")
        return output


def write_engine(folder: Path) -> Rule:
    """An engine folder with the two skills; returns what its fake engine shall answer."""
    (folder / "skills").mkdir(parents=True)
    for name in (MANIFEST_NAME, "tokenizer.json"):
        shutil.copy(SHIPPED / name, folder / name)
    for name, text in ((TEXT_SKILL, _TEXT_SKILL_TOML), (JSON_SKILL, _JSON_SKILL_TOML)):
        (folder / "skills" / f"{name}.toml").write_text(text, encoding="utf-8")
    tokenizer = Tokenizer(folder / "tokenizer.json")
    (open_mark,) = tokenizer.encode_template(_OPEN_MARK)
    (answer_mark,) = tokenizer.encode_template(_ANSWER_MARK)
    json_answer = tokenizer.encode_value(JSON_ANSWER)

    def reply(prompt: Sequence[int]) -> Sequence[int]:
        return json_answer if prompt[0] == open_mark else prompt[:1]

    return answering(answer_mark, reply, end_id=0)


async def _serve(options: argparse.Namespace, folder: Path) -> None:
    rule = write_engine(folder)
    trace = _Trace()
    if options.trace is not None:
        trace.install()

    def open_engine(_: Path, manifest: EngineManifest) -> Engine:
        if options.trace is not None:
            return _TracedEngine(trace, manifest.vocabulary.size, rule)
        return FakeEngine(manifest.vocabulary.size, rule=rule, block_tokens=_BLOCK_TOKENS)

    config = Config(
        engines=(folder,),
        memory=MemoryConfig(kv_budget_bytes=_KV_BUDGET_BYTES),
        engine=EngineConfig(max_num_seqs=64),
        grpc=GrpcConfig(socket_path=options.socket),
        mqtt=MqttConfig(broker=options.mqtt, box=BOX),
    )
    box = Box(config, open_engine_fn=open_engine)
    if options.trace is not None:
        submit = box.engine_loop.submit
        box.engine_loop.submit = trace.before("submitted", submit)  # type: ignore[method-assign]
    server = GrpcServer(box.service, config.grpc, status=box.status)
    mqtt = MqttBridge(box.service, config.mqtt)
    box.start()
    await server.start()
    mqtt.start()
    profiles = (cProfile.Profile(), cProfile.Profile())
    if options.profile is not None:
        box.engine_loop.call(profiles[1].enable)
        profiles[0].enable()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    if options.profile is not None:
        profiles[0].disable()
        ended = threading.Event()
        box.engine_loop.call(lambda: (profiles[1].disable(), ended.set()))  # type: ignore[arg-type, func-returns-value]
        await asyncio.to_thread(ended.wait)
        names = ("event loop thread", "engine thread")
        text = "".join(map(_table, names, profiles))
        options.profile.write_text(text, encoding="utf-8")
    if options.trace is not None:
        options.trace.write_text(json.dumps(trace.calls), encoding="utf-8")
    await mqtt.stop()
    await server.stop(0.0)
    await box.stop()


def _table(name: str, profile: cProfile.Profile) -> str:
    text = io.StringIO()
    stats = pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime")
    stats.print_stats(_SHOWN_FUNCTIONS)
    return f"--- {name} ---\n{text.getvalue()}"


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("socket", type=Path)
    parser.add_argument("--mqtt")
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--profile", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skilld-bench-") as folder:
        asyncio.run(_serve(options, Path(folder) / "engine"))


if __name__ == "__main__":
    main()

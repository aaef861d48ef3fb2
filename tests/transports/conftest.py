"""A whole daemon on a fake engine, served on a unix socket of its own.

Every daemon a test opens must have given everything back at the end.

Skills: `echo` answers with its input, `triage` with whatever JSON the input asks for.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2_grpc
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as HfTokenizer

from skilld.app import Box
from skilld.config import Config, EngineConfig, GrpcConfig, MemoryConfig, SchedulerConfig
from skilld.core.batch import Batch
from skilld.core.manifest import (
    BuildHost,
    CacheLayout,
    EngineManifest,
    Geometry,
    Precision,
    Source,
    Vocabulary,
    verify_files,
    write_manifest,
)
from skilld.engine import Engine
from skilld.engine.fake import FakeEngine, answering
from skilld.skills.pointing.marks import MARKS_PER_KIND, mark_at
from skilld.transports.grpc_server import GrpcServer
from skilld.v1 import skill_service_pb2 as v1
from skilld.v1 import skill_service_pb2_grpc as v1_grpc

DetailT = TypeVar("DetailT", bound=Message)

CONTEXT_LIMIT = 2048
PATIENCE_S = 60.0
ANSWER = "<|answer|>"
END = "<|end|>"

ECHO = """
id = "echo"
version = "1.2.0"
description = "Answers with its input."
prompt = "echo:{text}<|answer|>"
timeout_s = 30.0
[decoding]
format = "text"
max_tokens = 1000
[input_schema]
type = "object"
required = ["text"]
additionalProperties = false
[input_schema.properties.text]
type = "string"
[output_schema]
type = "string"
"""

TRIAGE = """
id = "triage"
version = "2.0.0"
description = "Says whether it is a fault."
prompt = "triage:{want}<|answer|>"
timeout_s = 30.0
class = "batch"
[decoding]
max_tokens = 64
[abstain]
reasons = ["unclear"]
[input_schema]
type = "object"
required = ["want"]
additionalProperties = false
[input_schema.properties.want]
type = "string"
[input_schema.properties.lines]
type = "array"
items = {type = "integer"}
[output_schema]
type = "object"
required = ["label", "count"]
[output_schema.properties.label]
enum = ["ok", "fault"]
[output_schema.properties.count]
type = "integer"
"""


class Gate:
    """Holds every engine step back until the test lets it go.

    Attributes:
        num_held: steps that came to the gate, those it let go included.
    """

    def __init__(self) -> None:
        self.num_held = 0
        self._is_open = False
        self._permits = threading.Semaphore(0)

    def __call__(self, batch: Batch) -> None:
        if self._is_open or batch.rows[0].request_id == "warm-up":
            return
        self.num_held += 1
        self._permits.acquire()

    def let(self, num_steps: int) -> None:
        """Let some steps go."""
        self._permits.release(num_steps)

    def open(self) -> None:
        """Let all steps go from now on."""
        self._is_open = True
        self._permits.release()


def slow_step(batch: Batch) -> None:
    """A step as long as that of a real model, so that a call of 1000 tokens outlasts a test."""
    threading.Event().wait(0.003)


async def until(fact: Callable[[], bool]) -> None:
    """Let the daemon run until something inside it is true.

    Between two looks it sleeps: a loop that only spins keeps the daemon's own threads waiting.
    """
    async with asyncio.timeout(PATIENCE_S):
        while not fact():  # noqa: ASYNC110 - there is no event for what tests alone ask about
            await asyncio.sleep(0.001)


@dataclass(frozen=True)
class Daemon:
    """A running daemon and a connection to its first listener."""

    box: Box
    server: GrpcServer
    channel: grpc.aio.Channel

    @property
    def target(self) -> str:
        return self.server.addresses[0]

    @property
    def stub(self) -> v1_grpc.SkillServiceStub:
        return v1_grpc.SkillServiceStub(self.channel)

    @property
    def health(self) -> Any:  # Any: the stub's types leave its methods out
        return health_pb2_grpc.HealthStub(self.channel)

    @property
    def num_calls(self) -> int:
        """Calls that the service works on."""
        return len(self.box.service._inboxes)

    async def left_alone(self) -> None:
        """Wait until the service knows that all callers are gone."""
        async with asyncio.timeout(PATIENCE_S):
            await self.box.service._idle.wait()

    async def ended(self) -> dict[str, int]:
        """How calls ended, by reason."""
        (figures,) = await self.box.service.snapshot()
        return dict(figures["ended"])

    async def settled(self) -> None:
        """Wait until no call is left, then prove that everything came back."""
        await self.left_alone()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[int, int]] = loop.create_future()
        ledger = self.box.ledger

        def prove() -> None:
            try:
                self.box.engine_loop.check()
            except AssertionError as error:
                loop.call_soon_threadsafe(answer.set_exception, error)
            else:
                held = ledger.reserved_bytes, ledger.used_bytes
                loop.call_soon_threadsafe(answer.set_result, held)

        self.box.engine_loop.call(prove)
        assert await answer == (0, 0)


class OpenDaemon(Protocol):
    """Opens a daemon; sections of the configuration may be given."""

    def __call__(
        self,
        *,
        engines: Sequence[Path] = (),
        engine: EngineConfig | None = None,
        scheduler: SchedulerConfig | None = None,
        grpc_config: GrpcConfig | None = None,
        kv_budget_bytes: int = 16 << 20,
        before_step: Callable[[Batch], None] | None = None,
    ) -> contextlib.AbstractAsyncContextManager[Daemon]: ...


@pytest.fixture(scope="session")
def tokenizer() -> HfTokenizer:
    """Bytes, the marks of a kind of spans, and the words the prompts and answers end with."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    hf = HfTokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    hf.decoder = decoders.ByteLevel()
    hf.add_special_tokens([AddedToken(ANSWER, special=True), AddedToken(END, special=True)])
    marks = [mark_at(0, i) for i in range(MARKS_PER_KIND)]
    hf.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in marks])
    hf.encode_special_tokens = True  # the script has no special words, only text like them
    return hf


@pytest.fixture(scope="session")
def engine_dir(tokenizer: HfTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine folder with both skills."""
    folder = tmp_path_factory.mktemp("engines") / "fake"
    _write_engine(folder, tokenizer, {"echo": ECHO, "triage": TRIAGE})
    return folder


WriteEngine = Callable[[str, Mapping[str, str]], Path]


@pytest.fixture
def write_engine(tokenizer: HfTokenizer, tmp_path: Path) -> WriteEngine:
    """Writes further engine folders: a name, and the text of its skills by id."""

    def write(name: str, skills: Mapping[str, str]) -> Path:
        _write_engine(tmp_path / "engines" / name, tokenizer, skills)
        return tmp_path / "engines" / name

    return write


def _write_engine(folder: Path, tokenizer: HfTokenizer, skills: Mapping[str, str]) -> None:
    (folder / "skills").mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, text in skills.items():
        (folder / "skills" / f"{name}.toml").write_text(text)
    manifest = EngineManifest(
        name=folder.name,
        version="0.1.0",
        runtime="openvino",
        family="fake",
        precision=Precision.INT8,
        context_limit=CONTEXT_LIMIT,
        source=Source(name="none", sha256="0" * 64, licence="Apache-2.0"),
        geometry=Geometry(
            num_layers=1,
            hidden_size=1,
            num_heads=1,
            num_kv_heads=1,
            head_dim=1,
            vocab_size=tokenizer.get_vocab_size(),
            num_parameters=1,
        ),
        cache=CacheLayout(block_tokens=4, kv_bytes_per_token=8),
        vocabulary=Vocabulary(size=tokenizer.get_vocab_size(), eos_ids=(_id_of(tokenizer, END),)),
        build_host=BuildHost(cpu="none", cpu_features=(), num_threads=1, tool_versions={}),
        files={},
    )
    write_manifest(folder, manifest)


def _id_of(tokenizer: HfTokenizer, word: str) -> int:
    token_id = tokenizer.token_to_id(word)
    assert token_id is not None
    return int(token_id)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A closed gate; opened at the end whatever happens, or the engine thread would hang."""
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def on_socket(tmp_path: Path) -> GrpcConfig:
    """A unix socket and nothing else."""
    return GrpcConfig(socket_path=tmp_path / "s")


@pytest.fixture
def open_daemon(tokenizer: HfTokenizer, engine_dir: Path, on_socket: GrpcConfig) -> OpenDaemon:
    """Opens daemons whose fake engine answers `echo` and `triage`."""

    @functools.lru_cache(maxsize=64)
    def reply_to(prompt: tuple[int, ...]) -> list[int]:
        _, _, wanted = tokenizer.decode(prompt).partition(":")
        ids: list[int] = tokenizer.encode(wanted).ids
        return ids

    rule = answering(
        _id_of(tokenizer, ANSWER),
        lambda prompt: reply_to(tuple(prompt)),
        end_id=_id_of(tokenizer, END),
    )

    @contextlib.asynccontextmanager
    async def opened(
        *,
        engines: Sequence[Path] = (),
        engine: EngineConfig | None = None,
        scheduler: SchedulerConfig | None = None,
        grpc_config: GrpcConfig | None = None,
        kv_budget_bytes: int = 16 << 20,
        before_step: Callable[[Batch], None] | None = None,
    ) -> AsyncIterator[Daemon]:
        def open_engine(path: Path, manifest: EngineManifest) -> Engine:
            verify_files(path, manifest)
            return FakeEngine(manifest.vocabulary.size, rule=rule, before_step=before_step)

        config = Config(
            engines=tuple(engines) or (engine_dir,),
            memory=MemoryConfig(kv_budget_bytes=kv_budget_bytes),
            engine=engine or EngineConfig(),
            scheduler=scheduler or SchedulerConfig(),
            grpc=grpc_config or on_socket,
        )
        box = Box(config, open_engine_fn=open_engine)
        box.start()
        server = GrpcServer(box.service, config.grpc, status=box.status)
        await server.start()
        try:
            async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
                daemon = Daemon(box, server, channel)
                yield daemon
                await daemon.settled()
        finally:
            await server.stop(0.0)
            if isinstance(before_step, Gate):
                before_step.open()
            await box.stop()

    return opened


def detail_of(error: grpc.RpcError, kind: type[DetailT]) -> DetailT | None:
    """The `google.rpc` detail of one kind that an error carries."""
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            assert status.code == error.code().value[0]
            for packed in status.details:
                detail = kind()
                if packed.Unpack(detail):
                    return detail
    return None


async def rest_of(stream: grpc.aio.UnaryStreamCall[Any, Any]) -> list[v1.InvokeStreamResponse]:
    """The events that a started stream still gives."""
    events: list[v1.InvokeStreamResponse] = []
    while (event := await stream.read()) is not grpc.aio.EOF:
        assert isinstance(event, v1.InvokeStreamResponse)
        events.append(event)
    return events


def reason_of(error: grpc.RpcError) -> str:
    """The machine-readable reason of an error."""
    info = detail_of(error, error_details_pb2.ErrorInfo)
    assert info is not None, error
    assert info.domain == "skilld"
    return str(info.reason)


@pytest.fixture
def blocking_target(open_daemon: OpenDaemon) -> Iterator[str]:
    """A daemon on an event loop of its own thread, for clients that block."""
    started: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event, str]] = (
        queue.SimpleQueue()
    )

    async def serve() -> None:
        stop = asyncio.Event()
        async with open_daemon() as daemon:
            started.put((asyncio.get_running_loop(), stop, daemon.target))
            await stop.wait()

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        served = thread.submit(asyncio.run, serve())
        loop, stop, target = started.get(timeout=10)
        yield target
        loop.call_soon_threadsafe(stop.set)
        served.result(timeout=10)


@pytest.fixture
async def daemon(open_daemon: OpenDaemon) -> AsyncIterator[Daemon]:
    """A daemon as it comes."""
    async with open_daemon() as daemon:
        yield daemon

import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("version", "pid", "uptime", "resident_bytes", "draining", "kv", "engines", "refused", "kv_limit_bytes")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    KV_FIELD_NUMBER: _ClassVar[int]
    ENGINES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    KV_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    version: str
    pid: int
    uptime: _duration_pb2.Duration
    resident_bytes: int
    draining: bool
    kv: KvLedgerStatus
    engines: _containers.RepeatedCompositeFieldContainer[EngineStatus]
    refused: _containers.RepeatedCompositeFieldContainer[RefusedEngine]
    kv_limit_bytes: int
    def __init__(self, version: _Optional[str] = ..., pid: _Optional[int] = ..., uptime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., resident_bytes: _Optional[int] = ..., draining: _Optional[bool] = ..., kv: _Optional[_Union[KvLedgerStatus, _Mapping]] = ..., engines: _Optional[_Iterable[_Union[EngineStatus, _Mapping]]] = ..., refused: _Optional[_Iterable[_Union[RefusedEngine, _Mapping]]] = ..., kv_limit_bytes: _Optional[int] = ...) -> None: ...

class KvLedgerStatus(_message.Message):
    __slots__ = ("budget_bytes", "reserved_bytes", "used_bytes", "resident_bytes", "firm_bytes", "revocable_bytes", "cached_bytes", "pinned_bytes")
    BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    FIRM_BYTES_FIELD_NUMBER: _ClassVar[int]
    REVOCABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CACHED_BYTES_FIELD_NUMBER: _ClassVar[int]
    PINNED_BYTES_FIELD_NUMBER: _ClassVar[int]
    budget_bytes: int
    reserved_bytes: int
    used_bytes: int
    resident_bytes: int
    firm_bytes: int
    revocable_bytes: int
    cached_bytes: int
    pinned_bytes: int
    def __init__(self, budget_bytes: _Optional[int] = ..., reserved_bytes: _Optional[int] = ..., used_bytes: _Optional[int] = ..., resident_bytes: _Optional[int] = ..., firm_bytes: _Optional[int] = ..., revocable_bytes: _Optional[int] = ..., cached_bytes: _Optional[int] = ..., pinned_bytes: _Optional[int] = ...) -> None: ...

class EngineStatus(_message.Message):
    __slots__ = ("name", "version", "digest", "precision", "path", "skills", "load_duration", "kv", "kv_min_bytes", "running", "waiting", "step_ms", "tokens_per_s", "mean_batch", "num_steps", "num_output_tokens", "busy_ms", "ended", "weight", "device_ms", "num_prompt_tokens", "num_prefix_tokens", "num_draft_tokens", "num_accepted_tokens", "num_deadline_refusals", "num_deadline_misses", "num_preemptions", "num_recomputed_tokens")
    class EndedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SKILLS_FIELD_NUMBER: _ClassVar[int]
    LOAD_DURATION_FIELD_NUMBER: _ClassVar[int]
    KV_FIELD_NUMBER: _ClassVar[int]
    KV_MIN_BYTES_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    STEP_MS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_S_FIELD_NUMBER: _ClassVar[int]
    MEAN_BATCH_FIELD_NUMBER: _ClassVar[int]
    NUM_STEPS_FIELD_NUMBER: _ClassVar[int]
    NUM_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    BUSY_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MS_FIELD_NUMBER: _ClassVar[int]
    NUM_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NUM_PREFIX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NUM_DRAFT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NUM_ACCEPTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NUM_DEADLINE_REFUSALS_FIELD_NUMBER: _ClassVar[int]
    NUM_DEADLINE_MISSES_FIELD_NUMBER: _ClassVar[int]
    NUM_PREEMPTIONS_FIELD_NUMBER: _ClassVar[int]
    NUM_RECOMPUTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    digest: str
    precision: str
    path: str
    skills: _containers.RepeatedScalarFieldContainer[str]
    load_duration: _duration_pb2.Duration
    kv: KvLedgerStatus
    kv_min_bytes: int
    running: int
    waiting: int
    step_ms: float
    tokens_per_s: float
    mean_batch: float
    num_steps: int
    num_output_tokens: int
    busy_ms: float
    ended: _containers.ScalarMap[str, int]
    weight: float
    device_ms: float
    num_prompt_tokens: int
    num_prefix_tokens: int
    num_draft_tokens: int
    num_accepted_tokens: int
    num_deadline_refusals: int
    num_deadline_misses: int
    num_preemptions: int
    num_recomputed_tokens: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., precision: _Optional[str] = ..., path: _Optional[str] = ..., skills: _Optional[_Iterable[str]] = ..., load_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., kv: _Optional[_Union[KvLedgerStatus, _Mapping]] = ..., kv_min_bytes: _Optional[int] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., step_ms: _Optional[float] = ..., tokens_per_s: _Optional[float] = ..., mean_batch: _Optional[float] = ..., num_steps: _Optional[int] = ..., num_output_tokens: _Optional[int] = ..., busy_ms: _Optional[float] = ..., ended: _Optional[_Mapping[str, int]] = ..., weight: _Optional[float] = ..., device_ms: _Optional[float] = ..., num_prompt_tokens: _Optional[int] = ..., num_prefix_tokens: _Optional[int] = ..., num_draft_tokens: _Optional[int] = ..., num_accepted_tokens: _Optional[int] = ..., num_deadline_refusals: _Optional[int] = ..., num_deadline_misses: _Optional[int] = ..., num_preemptions: _Optional[int] = ..., num_recomputed_tokens: _Optional[int] = ...) -> None: ...

class RefusedEngine(_message.Message):
    __slots__ = ("path", "skills", "reason", "message")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SKILLS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    path: str
    skills: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    message: str
    def __init__(self, path: _Optional[str] = ..., skills: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

"""`Skill`: a typed contract on an engine, read from `skills/<id>.toml` in the engine folder."""

from __future__ import annotations

import functools
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from skilld.core.errors import ArtefactError, InvalidRequestError
from skilld.core.request import RequestClass, SamplingParams
from skilld.core.toml_record import read_toml
from skilld.skills.answerable import answerable
from skilld.skills.pointing import MarkedInput, SpanRules
from skilld.skills.pointing.checks import SpanRulesError, check_spans
from skilld.skills.pointing.schemas import marked_schema
from skilld.skills.prompt import Prompt, PromptError
from skilld.skills.schema_profile import check_input_schema, check_output_schema, public_schema

NOTHING_TO_POINT_AT = "nothing_to_point_at"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DecodingLimits(_Record):
    """How an answer is decoded; the names are those of `SamplingParams`.

    Attributes:
        format: "json" decodes under the output schema; "text" decodes freely, the output schema
            must then be of a string.
    """

    max_tokens: int = Field(ge=1, le=8192)
    format: Literal["json", "text"] = "json"
    temperature: float = Field(default=0.0, ge=0.0, le=10.0)
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    min_p: float = Field(default=0.0, ge=0.0, lt=1.0)
    stop: tuple[str, ...] = ()

    def sampling_params(self, *, seed: int = 0) -> SamplingParams:
        """These limits as the sampler takes them."""
        return SamplingParams(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            seed=seed,
            stop=self.stop,
        )


class AbstainRule(_Record):
    """When the skill declines to answer, which is an answer of its own.

    Attributes:
        reasons: words the model may give, as `{"abstain": "<reason>"}` instead of the output.
        min_confidence: an answer in which some freely chosen token was less likely than this
            (0..1, among the tokens the schema allowed) becomes an abstention with reason
            `low_confidence`.
    """

    reasons: tuple[str, ...] = ()
    min_confidence: float = Field(default=0.0, ge=0.0, le=1.0)


class Skill(_Record):
    """See the module docstring. Schemas are JSON Schema (draft 2020-12) written as TOML.

    Attributes:
        spans: what answers point at instead of spelling it; None when they spell everything.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str
    description: str
    prompt: str
    timeout_s: float = Field(gt=0.0, le=600.0)
    class_name: Literal["deadline", "interactive", "batch"] = Field(
        default="interactive", alias="class"
    )
    decoding: DecodingLimits
    abstain: AbstainRule = AbstainRule()
    input_schema: dict[str, Any]  # Any: a JSON Schema is arbitrary JSON
    output_schema: dict[str, Any]
    spans: SpanRules | None = None

    @property
    def request_class(self) -> RequestClass:
        """What the scheduler promises by default."""
        return RequestClass[self.class_name.upper()]

    @property
    def decoding_schema(self) -> dict[str, Any]:
        """What the model may write: the output, or an abstention; pieces of the input as marks."""
        return self.decoding_schema_for(self.span_kinds)

    @property
    def span_kinds(self) -> frozenset[str]:
        """Names of everything an answer may point at."""
        return frozenset(() if self.spans is None else (kind.name for kind in self.spans.kind))

    @property
    def public_output_schema(self) -> dict[str, Any]:
        """What callers get, abstentions aside."""
        return public_schema(self.output_schema)

    @functools.cached_property
    def _closed_schema(self) -> dict[str, Any]:
        return check_output_schema(self.output_schema, has_spans=self.spans is not None)

    def decoding_schema_for(
        self, kinds: Collection[str], *, marked: MarkedInput | None = None
    ) -> dict[str, Any]:
        """What the model may write when the input has something of these kinds, and no others.

        With an input that brings tools, also no calls but those its tools allow.

        Fields that cannot be answered then are null or left out. Where neither is allowed, the
        model can only abstain, for one of the skill's reasons or for `NOTHING_TO_POINT_AT`.
        """
        narrow = answerable(self._closed_schema, kinds)
        if narrow is None:
            return _abstention(self.abstain.reasons or (NOTHING_TO_POINT_AT,))
        output = marked_schema(narrow, self.spans, marked=marked)
        if not self.abstain.reasons:
            return output
        definitions = output.pop("$defs", None)
        abstention = _abstention(self.abstain.reasons)
        union: dict[str, Any] = {"anyOf": [output, abstention]}
        if definitions is not None:
            union["$defs"] = definitions
        return union


def _abstention(reasons: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"abstain": {"enum": list(reasons)}},
        "required": ["abstain"],
        "additionalProperties": False,
    }


def read_skill(path: Path) -> Skill:
    """Read one skill file and check everything that can be checked without its engine.

    Raises:
        ArtefactError: reason BAD_SKILL; names the file, and the key or the JSON path.
    """
    skill = read_toml(path, Skill, reason="BAD_SKILL")
    key = "input_schema"
    try:
        check_input_schema(skill.input_schema)
        key = "output_schema"
        check_output_schema(skill.output_schema, has_spans=skill.spans is not None)
    except InvalidRequestError as error:
        raise ArtefactError(error.message, path=path, key=key, reason="BAD_SKILL") from error
    if skill.decoding.format == "text" and skill.output_schema.get("type") != "string":
        raise ArtefactError(
            'must be {type = "string"} when decoding.format is "text"',
            path=path,
            key="output_schema",
            reason="BAD_SKILL",
        )
    try:
        Prompt(skill.prompt, fields=skill.input_schema.get("properties", {}))
    except PromptError as error:
        raise ArtefactError(str(error), path=path, key="prompt", reason="BAD_SKILL") from error
    if skill.spans is not None:
        try:
            check_spans(
                skill.spans,
                prompt=skill.prompt,
                input_schema=skill.input_schema,
                output_schema=skill.output_schema,
            )
        except SpanRulesError as error:
            raise ArtefactError(
                error.message, path=path, key=error.key, reason="BAD_SKILL"
            ) from error
        if skill.decoding.format != "json":
            raise ArtefactError(
                '[spans] needs "json": marks in free text are not read',
                path=path,
                key="decoding.format",
                reason="BAD_SKILL",
            )
    return skill

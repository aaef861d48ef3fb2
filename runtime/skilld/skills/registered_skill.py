"""`RegisteredSkill`: a skill on its engine, with everything a call needs compiled."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skilld.core.manifest import EngineManifest
from skilld.skills.constraint import Constraint, ConstraintCompiler, ConstraintState
from skilld.skills.decoding import Decoding
from skilld.skills.drafting import MAX_DRAFT, AnswerMemory, Drafter
from skilld.skills.pointing import MarkedInput
from skilld.skills.pointing.mark_tokens import MarkTokens
from skilld.skills.pointing.marks import MARKS, kind_of
from skilld.skills.prompt import Prompt, Segment, as_text
from skilld.skills.schema_profile import check_input_schema, check_output_schema
from skilld.skills.schema_validator import SchemaValidator
from skilld.skills.skill import Skill
from skilld.skills.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """An input as its engine gets it.

    Attributes:
        prompt: token ids.
        marked: what the marks in the prompt stand for; None when the skill has no spans.
    """

    prompt: list[int]
    marked: MarkedInput | None = None

    @property
    def span_kinds(self) -> frozenset[str]:
        """Of which kinds the input has something to point at."""
        if self.marked is None:
            return frozenset()
        kinds = self.marked.rules.kind
        found = {kind_of(mark) for mark in self.marked.present}
        return frozenset(kind.name for k, kind in enumerate(kinds) if k in found)


@dataclass(frozen=True)
class RegisteredSkill:
    """See the module docstring.

    Attributes:
        skill: as read.
        manifest: of the engine that runs it.
        tokenizer: of that engine, shared by its skills.
        constraints: the compiled decoding schema, by the kinds of spans an input has something
            of; empty for free text.
        mark_tokens: of the spans; None when the skill has none.
        compiler: of that engine's vocabulary. A skill whose inputs bring tools has a schema for
            each call. None where nothing is decoded.
        lane: what the engine is called inside the box, where two versions of one engine may be
            loaded; None for its own name.
    """

    skill: Skill
    manifest: EngineManifest
    tokenizer: Tokenizer
    constraints: Mapping[frozenset[str], Constraint]
    mark_tokens: MarkTokens | None = None
    compiler: ConstraintCompiler | None = None
    lane: str | None = None

    @property
    def runs_on(self) -> str:
        """Of the engines in the box, the one that runs it."""
        return self.lane or self.manifest.name

    @functools.cached_property
    def input_validator(self) -> SchemaValidator:
        """Of the caller's input."""
        return check_input_schema(self.skill.input_schema)

    @functools.cached_property
    def output_validator(self) -> SchemaValidator:
        """Of the model's answer, abstentions aside."""
        return SchemaValidator(check_output_schema(self.skill.public_output_schema))

    @functools.cached_property
    def prompt(self) -> Prompt:
        """The parsed template."""
        return Prompt(self.skill.prompt, fields=self.skill.input_schema.get("properties", {}))

    @functools.cached_property
    def engine_digest(self) -> str:
        """Digest of the engine; kept, because it goes out with every answer."""
        return self.manifest.digest

    @functools.cached_property
    def _memory(self) -> AnswerMemory:
        return AnswerMemory()

    @functools.cached_property
    def _template_ids(self) -> dict[str, list[int]]:
        return {text: self.tokenizer.encode_template(text) for text in self.prompt.literals}

    @functools.cached_property
    def prefix(self) -> list[int]:
        """Tokens every prompt of this skill begins with: the template up to its first value."""
        return self.encode(self.prompt.prefix)

    def prepare(self, values: Mapping[str, Any]) -> PreparedCall:
        """Mark and tokenize an input.

        Args:
            values: valid under the input schema.

        Raises:
            InvalidRequestError: the tools of the input cannot be called, or a text is many times
                as long in NFKC; says why and where.
        """
        spans = self.skill.spans
        if spans is None:
            return PreparedCall(self.encode(self.prompt.render(values)))
        marked = spans.mark(values)
        mine = {*spans.fields, spans.tools}
        shown = {  # marks that a caller wrote elsewhere would be taken for ours
            name: value if name in mine else MARKS.sub("\ufffd", as_text(value))
            for name, value in marked.values.items()
        }
        return PreparedCall(self.encode(self.prompt.render(shown)), marked)

    def encode(self, segments: Sequence[Segment]) -> list[int]:
        """Token ids of a rendered prompt; values are tokenized apart from the template."""
        ids: list[int] = []
        for segment in segments:
            if segment.is_value:
                ids += self.tokenizer.encode_value(segment.text)
            else:
                ids += self._template_ids[segment.text]
        return ids

    def decoding(
        self,
        call: PreparedCall,
        *,
        seed: int = 0,
        max_tokens: int | None = None,
        jump_forward: bool = True,
        max_draft: int = MAX_DRAFT,
        constrained: bool = True,
        exact_confidence: bool = False,
    ) -> Decoding:
        """Decoding state for one call.

        Args:
            call: the input; drafts copy from its prompt.
            seed: of sampling.
            max_tokens: a limit below the skill's; None for the skill's.
            jump_forward: take forced tokens several at a time.
            max_draft: longest draft, 0 for none. Engines with recurrent state get none: their
                state cannot be taken back behind a wrong guess.
            constrained: False leaves the schema to the model, to measure what it adds.
            exact_confidence: measure `min_probability` exactly, to choose a threshold by it.
        """
        limits = self.skill.decoding
        if max_tokens is not None:
            limits = limits.model_copy(update={"max_tokens": min(max_tokens, limits.max_tokens)})
        return Decoding(
            limits.sampling_params(seed=seed),
            self.manifest.vocabulary.eos_ids,
            constraint=self._constraint(call) if self.constraints and constrained else None,
            detokenizer=self.tokenizer.stream() if limits.stop else None,
            jump_forward=jump_forward,
            drafter=self._drafter(call.prompt, max_draft),
            min_confidence=1.0 if exact_confidence else self.skill.abstain.min_confidence,
        )

    def _constraint(self, call: PreparedCall) -> ConstraintState:
        has_tools = self.skill.spans is not None and self.skill.spans.tools is not None
        if has_tools and call.marked is not None:
            assert self.compiler is not None
            schema = self.skill.decoding_schema_for(call.span_kinds, marked=call.marked)
            constraint = self.compiler.compile_once(schema)
        else:
            constraint = self.constraints[call.span_kinds]
        if self.mark_tokens is None or call.marked is None:
            return constraint.start()
        return constraint.start(self.mark_tokens.open_for(call.marked.present))

    def _drafter(self, prompt: Sequence[int], max_tokens: int) -> Drafter | None:
        if max_tokens == 0 or self.manifest.cache.state_bytes_per_sequence > 0:
            return None
        return Drafter(prompt, self._memory, max_tokens=max_tokens)

"""`Catalog`: every skill of the box, compiled and ready, by id."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from skilld.core.errors import ArtefactError, InvalidRequestError, NotFoundError
from skilld.core.manifest import EngineManifest
from skilld.skills.constraint import Constraint, ConstraintCompiler, ConstraintState
from skilld.skills.decoding import Decoding
from skilld.skills.drafting import MAX_DRAFT, AnswerMemory, Drafter
from skilld.skills.pointing import MarkedInput
from skilld.skills.pointing.mark_tokens import MarkTokens
from skilld.skills.pointing.marks import MARKS, SpanError, kind_of
from skilld.skills.prompt import Prompt, Segment, as_text
from skilld.skills.schema_profile import check_input_schema, check_output_schema
from skilld.skills.skill import Skill, read_skill
from skilld.skills.tokenizer import Tokenizer

SKILLS_DIR = "skills"
TOKENIZER_NAME = "tokenizer.json"


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
    """A skill bound to its engine, with everything a call needs compiled.

    Attributes:
        skill: as read.
        manifest: of the engine that runs it.
        tokenizer: of that engine, shared by its skills.
        constraints: the compiled decoding schema, by the kinds of spans an input has something
            of; empty for free text.
        mark_tokens: of the spans; None when the skill has none.
        compiler: of that engine, for a skill whose inputs bring tools: each call has a schema of
            its own.
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
    def input_validator(self) -> Draft202012Validator:
        """Of the caller's input."""
        return check_input_schema(self.skill.input_schema)

    @functools.cached_property
    def output_validator(self) -> Draft202012Validator:
        """Of the model's answer, abstentions aside."""
        return Draft202012Validator(check_output_schema(self.skill.public_output_schema))

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
        if self.compiler is not None and call.marked is not None:
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


class Catalog:
    """Skills by id. Engines come and go; read from the event loop thread at any time."""

    def __init__(self) -> None:
        self._skills: dict[str, RegisteredSkill] = {}

    def register_engine(self, engine_dir: Path, manifest: EngineManifest) -> list[RegisteredSkill]:
        """Read, compile and offer all skills of an engine folder; all of them or none.

        Raises:
            ArtefactError: as `compile_engine`, or a skill of that id is already offered.
        """
        fresh = compile_engine(engine_dir, manifest)
        self.check_free(fresh, engine_dir)
        self.offer(fresh)
        return fresh

    def check_free(
        self, entries: Sequence[RegisteredSkill], engine_dir: Path, *, but_of: str | None = None
    ) -> None:
        """Check that nobody offers these skills yet.

        Args:
            entries: to be offered.
            engine_dir: whose they are.
            but_of: an engine whose skills they are to replace.

        Raises:
            ArtefactError: reason BAD_SKILL; a skill of that id is already offered.
        """
        for entry in entries:
            other = self._skills.get(entry.skill.id)
            if other is not None and other.manifest.name != but_of:
                raise ArtefactError(
                    f"skill {entry.skill.id!r} is already offered by engine "
                    f"{other.manifest.name!r}",
                    path=engine_dir / SKILLS_DIR / f"{entry.skill.id}.toml",
                    key="id",
                    reason="BAD_SKILL",
                )

    def offer(self, entries: Sequence[RegisteredSkill]) -> None:
        """Offer the skills of an engine, all at once, in the place of those of that name."""
        names = {entry.manifest.name for entry in entries}
        kept = {id_: e for id_, e in self._skills.items() if e.manifest.name not in names}
        # A new dict: others may be walking through the old one on their thread.
        self._skills = {**kept, **{entry.skill.id: entry for entry in entries}}

    def remove_engine(self, engine: str) -> list[RegisteredSkill]:
        """Forget the skills that an engine runs, and return them."""
        gone = [entry for entry in self if entry.runs_on == engine]
        self._skills = {id_: e for id_, e in self._skills.items() if e.runs_on != engine}
        return gone

    def get(self, skill_id: str) -> RegisteredSkill:
        """Look a skill up.

        Raises:
            NotFoundError: there is none; the message lists what there is.
        """
        try:
            return self._skills[skill_id]
        except KeyError:
            known = ", ".join(sorted(self._skills)) or "none"
            raise NotFoundError(
                f"no skill {skill_id!r} on this box (known: {known})", skill=skill_id
            ) from None

    def __iter__(self) -> Iterator[RegisteredSkill]:
        return iter(self._skills.values())


def compile_engine(
    engine_dir: Path, manifest: EngineManifest, *, lane: str | None = None
) -> list[RegisteredSkill]:
    """Read and compile all skills of an engine folder; nobody can call them yet.

    Args:
        engine_dir: the folder.
        manifest: its own.
        lane: what the engine is called inside the box; None for its own name.

    Raises:
        ArtefactError: a skill file or the tokenizer is wrong, the engine has no skill, or two
            of one id.
    """
    tokenizer = Tokenizer(engine_dir / TOKENIZER_NAME)
    compiler = ConstraintCompiler(tokenizer.json_text, manifest.vocabulary)
    paths = sorted((engine_dir / SKILLS_DIR).glob("*.toml"))
    if not paths:
        raise ArtefactError(
            "the engine has no skill",
            path=engine_dir / SKILLS_DIR,
            hint="add one `<id>.toml`",
            reason="BAD_SKILL",
        )
    fresh: dict[str, RegisteredSkill] = {}
    for path in paths:
        skill = read_skill(path)
        if skill.id in fresh:
            raise ArtefactError(
                f"skill {skill.id!r} is already offered by engine {manifest.name!r}",
                path=path,
                key="id",
                reason="BAD_SKILL",
            )
        fresh[skill.id] = _compile(skill, path, manifest, tokenizer, compiler, lane=lane)
    return list(fresh.values())


def _compile(
    skill: Skill,
    path: Path,
    manifest: EngineManifest,
    tokenizer: Tokenizer,
    compiler: ConstraintCompiler,
    *,
    lane: str | None,
) -> RegisteredSkill:
    if skill.decoding.max_tokens >= manifest.context_limit:
        raise ArtefactError(
            f"{skill.decoding.max_tokens} leaves no room for a prompt in a context of "
            f"{manifest.context_limit} tokens",
            path=path,
            key="decoding.max_tokens",
            reason="BAD_SKILL",
        )
    constraints: dict[frozenset[str], Constraint] = {}
    if skill.decoding.format == "json":
        try:
            constraints = {
                kinds: compiler.compile(skill.decoding_schema_for(kinds))
                for kinds in _subsets(skill.span_kinds)
            }
        except InvalidRequestError as error:
            raise ArtefactError(
                error.message, path=path, key="output_schema", reason="BAD_SKILL"
            ) from error
    entry = RegisteredSkill(
        skill=skill,
        manifest=manifest,
        tokenizer=tokenizer,
        constraints=constraints,
        mark_tokens=_mark_tokens(skill, path, manifest, tokenizer, compiler),
        compiler=compiler if skill.spans is not None and skill.spans.tools is not None else None,
        lane=lane,
    )
    entry.encode(entry.prompt.render({}))  # the template's tokens, before the first call
    return entry


def _subsets(kinds: frozenset[str]) -> list[frozenset[str]]:
    return [
        frozenset(chosen)
        for size in range(len(kinds) + 1)
        for chosen in itertools.combinations(sorted(kinds), size)
    ]


def _mark_tokens(
    skill: Skill,
    path: Path,
    manifest: EngineManifest,
    tokenizer: Tokenizer,
    compiler: ConstraintCompiler,
) -> MarkTokens | None:
    if skill.spans is None:
        return None
    try:
        return MarkTokens(
            skill.spans.marks(),
            tokenizer=tokenizer,
            spell=compiler.spelling,
            vocab_size=manifest.vocabulary.size,
        )
    except SpanError as error:
        raise ArtefactError(
            f"{error} of the engine's tokenizer",
            path=path,
            key="spans",
            hint="the model must be trained with a tokenizer that has every mark as an added "
            "token that is not special",
            reason="BAD_SKILL",
        ) from error

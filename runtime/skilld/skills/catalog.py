"""`Catalog`: every skill of the box, compiled and ready, by id."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonschema import Draft202012Validator

from skilld.core.errors import ArtefactError, InvalidRequestError, NotFoundError
from skilld.core.manifest import EngineManifest
from skilld.skills.constraint import Constraint, ConstraintCompiler
from skilld.skills.decoding import Decoding
from skilld.skills.drafting import MAX_DRAFT, AnswerMemory, Drafter
from skilld.skills.prompt import Prompt, Segment
from skilld.skills.schema_profile import check_input_schema, check_output_schema
from skilld.skills.skill import Skill, read_skill
from skilld.skills.tokenizer import Tokenizer

SKILLS_DIR = "skills"
TOKENIZER_NAME = "tokenizer.json"


@dataclass(frozen=True)
class RegisteredSkill:
    """A skill bound to its engine, with everything a call needs compiled.

    Attributes:
        skill: as read.
        manifest: of the engine that runs it.
        tokenizer: of that engine, shared by its skills.
        constraint: the compiled decoding schema; None for free text.
    """

    skill: Skill
    manifest: EngineManifest
    tokenizer: Tokenizer
    constraint: Constraint | None

    @functools.cached_property
    def input_validator(self) -> Draft202012Validator:
        """Of the caller's input."""
        return check_input_schema(self.skill.input_schema)

    @functools.cached_property
    def output_validator(self) -> Draft202012Validator:
        """Of the model's answer, abstentions aside."""
        return Draft202012Validator(check_output_schema(self.skill.output_schema))

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
        *,
        prompt: Sequence[int] = (),
        seed: int = 0,
        max_tokens: int | None = None,
        jump_forward: bool = True,
        max_draft: int = MAX_DRAFT,
        constrained: bool = True,
        exact_confidence: bool = False,
    ) -> Decoding:
        """Decoding state for one call.

        Args:
            prompt: tokens of the call, from which drafts copy.
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
            constraint=self.constraint.start() if self.constraint and constrained else None,
            detokenizer=self.tokenizer.stream() if limits.stop else None,
            jump_forward=jump_forward,
            drafter=self._drafter(prompt, max_draft),
            min_confidence=1.0 if exact_confidence else self.skill.abstain.min_confidence,
        )

    def _drafter(self, prompt: Sequence[int], max_tokens: int) -> Drafter | None:
        if max_tokens == 0 or self.manifest.cache.state_bytes_per_sequence > 0:
            return None
        return Drafter(prompt, self._memory, max_tokens=max_tokens)


class Catalog:
    """Skills by id. Engines come and go; read from the event loop thread at any time."""

    def __init__(self) -> None:
        self._skills: dict[str, RegisteredSkill] = {}

    def register_engine(self, engine_dir: Path, manifest: EngineManifest) -> list[RegisteredSkill]:
        """Read and compile all skills of an engine folder; all of them or none.

        Raises:
            ArtefactError: a skill file or the tokenizer is wrong, the engine has no skill, or a
                skill of that id is already registered.
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
            other = self._skills.get(skill.id) or fresh.get(skill.id)
            if other is not None:
                raise ArtefactError(
                    f"skill {skill.id!r} is already offered by engine {other.manifest.name!r}",
                    path=path,
                    key="id",
                    reason="BAD_SKILL",
                )
            fresh[skill.id] = _compile(skill, path, manifest, tokenizer, compiler)
        # A new dict: others may be walking through the old one on their thread.
        self._skills = {**self._skills, **fresh}
        return list(fresh.values())

    def remove_engine(self, engine: str) -> None:
        """Forget the skills of an engine."""
        self._skills = {
            id_: entry for id_, entry in self._skills.items() if entry.manifest.name != engine
        }

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


def _compile(
    skill: Skill,
    path: Path,
    manifest: EngineManifest,
    tokenizer: Tokenizer,
    compiler: ConstraintCompiler,
) -> RegisteredSkill:
    if skill.decoding.max_tokens >= manifest.context_limit:
        raise ArtefactError(
            f"{skill.decoding.max_tokens} leaves no room for a prompt in a context of "
            f"{manifest.context_limit} tokens",
            path=path,
            key="decoding.max_tokens",
            reason="BAD_SKILL",
        )
    constraint = None
    if skill.decoding.format == "json":
        try:
            constraint = compiler.compile(skill.decoding_schema)
        except InvalidRequestError as error:
            raise ArtefactError(
                error.message, path=path, key="output_schema", reason="BAD_SKILL"
            ) from error
    entry = RegisteredSkill(
        skill=skill, manifest=manifest, tokenizer=tokenizer, constraint=constraint
    )
    entry.encode(entry.prompt.render({}))  # the template's tokens, before the first call
    return entry

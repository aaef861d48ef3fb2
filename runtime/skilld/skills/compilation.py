"""`compile_engine`: the skill files of an engine folder become skills that can be called."""

from __future__ import annotations

import itertools
import threading
import weakref
from pathlib import Path

from skilld.core.errors import ArtefactError, InvalidRequestError
from skilld.core.manifest import EngineManifest
from skilld.skills.constraint import Constraint, ConstraintCompiler
from skilld.skills.pointing.mark_tokens import MarkTokens
from skilld.skills.pointing.marks import SpanError
from skilld.skills.registered_skill import RegisteredSkill
from skilld.skills.skill import Skill, read_skill
from skilld.skills.tokenizer import Tokenizer

SKILLS_DIR = "skills"
TOKENIZER_NAME = "tokenizer.json"

# Of all engines whose skills are in use, by tokenizer.
_compilers: weakref.WeakValueDictionary[tuple[str, int, tuple[int, ...]], ConstraintCompiler] = (
    weakref.WeakValueDictionary()
)
_compilers_lock = threading.Lock()


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
    compiler = _compiler_of(tokenizer, manifest)
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


def _compiler_of(tokenizer: Tokenizer, manifest: EngineManifest) -> ConstraintCompiler:
    """The one for this vocabulary.

    Versions of an engine share theirs: to make one takes tens of milliseconds in which nothing else
    of the interpreter runs, and that would be felt by the calls that the old version answers
    meanwhile.
    """
    vocabulary = manifest.vocabulary
    key = (tokenizer.json_text, vocabulary.size, vocabulary.eos_ids)
    with _compilers_lock:
        compiler = _compilers.get(key)
        if compiler is None:
            compiler = _compilers[key] = ConstraintCompiler(tokenizer.json_text, vocabulary)
        return compiler


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
        compiler=compiler,
        lane=lane,
    )
    # What the first call would make else, while all others wait for it.
    entry.encode(entry.prompt.render({}))
    _ = entry.input_validator, entry.output_validator
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

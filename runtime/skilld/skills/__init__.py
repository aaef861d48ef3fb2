"""The text world: typed contracts, prompts, tokens, constraints. Knows nothing of batches."""

from skilld.skills.catalog import Catalog
from skilld.skills.compilation import compile_engine
from skilld.skills.decoding import Decoding
from skilld.skills.registered_skill import PreparedCall, RegisteredSkill
from skilld.skills.skill import Skill, read_skill

__all__ = [
    "Catalog",
    "Decoding",
    "PreparedCall",
    "RegisteredSkill",
    "Skill",
    "compile_engine",
    "read_skill",
]

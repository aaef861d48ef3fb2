"""Golden cases: inputs whose answers are known, one JSON object per line of `golden.jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from skilld.core.errors import ArtefactError

GOLDEN_NAME = "golden.jsonl"


class GoldenCase(BaseModel):
    """One line of the file: an input, and the output or the abstention that is right.

    Attributes:
        skill: id of the skill.
        input: valid under its input schema.
        output: the right answer; absent when the skill should abstain.
        abstain: the right reason to abstain; absent when it should answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    skill: str
    input: dict[str, Any]
    output: Any = None
    abstain: str | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if ("output" in self.model_fields_set) == ("abstain" in self.model_fields_set):
            raise ValueError("exactly one of `output` and `abstain` must be given")
        return self


def read_golden(path: Path) -> list[GoldenCase]:
    """Read a golden file; a missing one is an empty one.

    Raises:
        ArtefactError: reason BAD_GOLDEN; names the line.
    """
    if not path.is_file():
        return []
    cases = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            cases.append(GoldenCase.model_validate_json(line))
        except ValidationError as error:
            raise ArtefactError(
                str(error.errors()[0]["msg"]), path=path, key=f"line {number}", reason="BAD_GOLDEN"
            ) from error
    return cases

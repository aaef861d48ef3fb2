"""Put what `skilld eval` found into the pages that show it; see tools/accuracy.

Reads engines/<name>/report.json and rewrites what stands between the two marks in the engine's
README.md, and the table of all engines in the README.md of the repository.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
BEGIN: Final = "<!-- accuracy: written by tools/accuracy -->"
END: Final = "<!-- /accuracy -->"
ENGINE: Final = "engine"
SPLITS: Final = {
    "same": "same families",
    "held_families": "held-out families",
    "held_values": "held-out values",
    "held_combinations": "held-out combinations",
    "noise": "heavy noise",
    "out_of_scope": "out of scope",
    "handmade": "hand-written",
}
_CONFIDENT: Final = [
    f"`{ENGINE}` counts every answer; `confident` those that are sure enough for the skill's "
    "`min_confidence`. Others are served as `low_confidence`."
]
Json = Any  # a parsed JSON value


def main() -> None:
    """Rewrite the pages of all engines that have a report."""
    argparse.ArgumentParser(prog="tools/accuracy", description=__doc__).parse_args()
    reports: dict[str, Json] = {}
    for path in sorted(ROOT.glob("engines/*/report.json")):
        report = reports[path.parent.name] = json.loads(path.read_text(encoding="utf-8"))
        replace(path.with_name("README.md"), page(report))
    replace(ROOT / "README.md", overview(reports))


def page(report: Json) -> str:
    """The tables of one engine."""
    splits = {name: report["splits"][name] for name in SPLITS if name in report["splits"]}
    first = next(iter(splits.values()))
    others = [name for name in first if name != ENGINE]
    has_text = first[ENGINE]["chrf"] is not None
    engine = report["engine"]
    lines = [
        f"Of the {engine['precision']} engine as it is served (digest `{engine['digest'][:12]}`), "
        f"data of version {report['generator_version']}.",
        "Exact match on canonical JSON in %, with bootstrap 95 % intervals: every field must be "
        "right.",
        *(_CONFIDENT if any("confident" in name for name in others) else []),
        "",
        row("split", "n", ENGINE, *others, *(["chrF"] if has_text else []), "abstain P / R"),
        "|---|" + "---:|" * (3 + len(others) + has_text),
    ]
    for name, scores in splits.items():
        mine = scores[ENGINE]
        lines.append(
            row(
                SPLITS[name],
                mine["num_examples"],
                exact(mine, bold=True),
                *(exact(scores[other]) if other in scores else "" for other in others),
                *([decimal(mine["chrf"])] if has_text else []),
                f"{percent(mine['abstain_precision'])} / {percent(mine['abstain_recall'])}",
            )
        )
    fields = [name for name in first[ENGINE]["fields"] if name]
    lines += [
        "",
        "F1 per field in %, and the cost of an answer (ms of single calls through service and "
        "engine loop):",
        "",
        row("split", *fields, "prompt tokens", "answer tokens", "p50 ms", "p95 ms"),
        "|---|" + "---:|" * (len(fields) + 4),
    ]
    for name, scores in splits.items():
        mine = scores[ENGINE]
        cost = mine["cost"] or {}
        lines.append(
            row(
                SPLITS[name],
                *(percent(mine["fields"].get(field)) for field in fields),
                *(
                    f"{cost[key]:.{digits}f}" if cost.get(key) is not None else ""
                    for key, digits in (
                        ("prompt_tokens", 0),
                        ("answer_tokens", 0),
                        ("p50_ms", 1),
                        ("p95_ms", 1),
                    )
                ),
            )
        )
    return "\n".join(lines)


def overview(reports: dict[str, Json]) -> str:
    """One row for each engine."""
    lines = [
        row("engine", *SPLITS.values(), "best baseline, held-out families", "p50 ms"),
        "|---|" + "---:|" * (len(SPLITS) + 2),
    ]
    for name, report in reports.items():
        splits = report["splits"]
        held = splits["held_families"]
        best = max((s["exact_match"] for other, s in held.items() if is_baseline(other)), default=0)
        cost = splits["same"][ENGINE]["cost"] or {}
        lines.append(
            row(
                f"[{name}](engines/{name}/README.md)",
                *(
                    percent(splits[split][ENGINE]["exact_match"]) if split in splits else ""
                    for split in SPLITS
                ),
                percent(best),
                f"{cost['p50_ms']:.1f}" if cost.get("p50_ms") is not None else "",
            )
        )
    return "\n".join(lines)


def is_baseline(answerer: str) -> bool:
    """Whether a row of a report is of something that is no model."""
    return answerer in ("rules", "nearest neighbour")


def exact(score: Json, *, bold: bool = False) -> str:
    """Exact match with its interval."""
    low, high = score["intervals"]["exact_match"]
    share = percent(score["exact_match"])
    return f"**{share}** ({percent(low)}-{percent(high)})" if bold else share


def percent(share: float | None) -> str:
    """A share in %; a dash for None."""
    return decimal(None if share is None else 100 * share)


def decimal(number: float | None) -> str:
    """A number with one decimal; a dash for None."""
    return "-" if number is None else f"{number:.1f}"


def row(*cells: object) -> str:
    """A line of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def replace(path: Path, text: str) -> None:
    """Rewrite what stands between the marks of a file; one without them is left alone."""
    content = path.read_text(encoding="utf-8")
    if BEGIN not in content or END not in content:
        print(f"{path}: has no {BEGIN}")
        return
    before, rest = content.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()

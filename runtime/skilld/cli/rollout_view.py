"""What people and scripts see of a rollout: a table that lives, lines, or JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from skilld.cli.console import byte_bar, err, out, plain, print_json
from skilld.updates.fleet.report import Report
from skilld.updates.fleet.rollout import BoxProgress, Ending, Rollout, Stage

_COLOURS = {
    Stage.WAITING: "dim",
    Stage.COMMITTED: "green",
    Stage.FAILED: "red",
    Stage.CANCELED: "magenta",
    Stage.STUCK: "yellow",
}
_REDRAW_S = 0.1  # a change that comes sooner is shown with the next


class RolloutView(Protocol):
    """Who shows a rollout."""

    def show(self, rollout: Rollout) -> None:
        """Something may have changed."""

    def say(self, line: str) -> None:
        """Something is to be known."""

    def end(self, rollout: Rollout, ending: Ending | None) -> None:
        """That was all; None when it goes on without this command."""

    def close(self) -> None:
        """Show nothing more, whatever happened."""


class LiveView:
    """A row for each box, redrawn in place."""

    def __init__(self) -> None:
        self._live = Live(console=out, auto_refresh=False)
        self._drawn_s = 0.0

    def show(self, rollout: Rollout) -> None:
        """See `RolloutView`."""
        self._live.start()  # the first time
        if time.monotonic() - self._drawn_s >= _REDRAW_S:
            self._live.update(table_of(rollout), refresh=True)
            self._drawn_s = time.monotonic()

    def say(self, line: str) -> None:
        """See `RolloutView`."""
        self._live.console.print(Text(plain(line), "yellow"))

    def end(self, rollout: Rollout, ending: Ending | None) -> None:
        """See `RolloutView`."""
        self._live.update(table_of(rollout), refresh=True)
        self.close()
        if ending is not None:
            out.print(_summary(rollout, ending))

    def close(self) -> None:
        """See `RolloutView`."""
        self._live.stop()


class LineView:
    """A line for each change."""

    def __init__(self) -> None:
        self._seen: dict[str, BoxProgress] = {}
        self._shown: dict[str, str] = {}

    def show(self, rollout: Rollout) -> None:
        """See `RolloutView`."""
        for box in _changed(rollout, self._seen):
            words = (str(box.stage), *_words(rollout, box), box.reason, box.message)
            line = " ".join(word for word in dict.fromkeys(words) if word)
            if box.stage is not Stage.WAITING and self._shown.get(box.box) != line:
                self._shown[box.box] = line
                wave = f"[{box.wave + 1}/{len(rollout.plan.waves)}]"
                print(plain(f"{wave} {box.box} {line}"), flush=True)

    def say(self, line: str) -> None:
        """See `RolloutView`."""
        err.print(plain(line), markup=False, highlight=False, soft_wrap=True)

    def end(self, rollout: Rollout, ending: Ending | None) -> None:
        """See `RolloutView`."""
        if ending is not None:
            out.print(_summary(rollout, ending), soft_wrap=True)

    def close(self) -> None:
        """See `RolloutView`."""


class JsonView:
    """JSON for scripts.

    Args:
        has_lines: a line for each change, and one in the end; else one document in the end.
    """

    def __init__(self, *, has_lines: bool) -> None:
        self._has_lines = has_lines
        self._seen: dict[str, BoxProgress] = {}

    def show(self, rollout: Rollout) -> None:
        """See `RolloutView`."""
        if not self._has_lines:
            return
        for box in _changed(rollout, self._seen):
            self._print({"event": "box", **_fields(rollout, box)})

    def say(self, line: str) -> None:
        """See `RolloutView`."""
        if self._has_lines:
            self._print({"event": "problem", "message": line})
        else:
            err.print(plain(line), markup=False, highlight=False, soft_wrap=True)

    def end(self, rollout: Rollout, ending: Ending | None) -> None:
        """See `RolloutView`."""
        plan = rollout.plan
        document = {
            "job": plan.job,
            "release": plan.release,
            "seq": plan.seq,
            "ending": ending,
            "stopped_because": rollout.stopped_because,
            "boxes": [_fields(rollout, box) for box in rollout.boxes],
        }
        if self._has_lines:
            self._print({"event": "end", **document})
        else:
            print_json(document)

    def close(self) -> None:
        """See `RolloutView`."""

    def _print(self, value: dict[str, Any]) -> None:
        print(json.dumps(value, ensure_ascii=False), flush=True)


def table_of(rollout: Rollout) -> RenderableType:
    """All boxes, and a line that sums them up."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("box", "wave", "state", "progress", "outcome", "why"):
        table.add_column(column, overflow="fold")
    for box in rollout.boxes:
        told = told_of(rollout, box)
        words = _words(rollout, box)
        state = words[0] if words else str(box.stage)
        table.add_row(
            box.box,
            str(box.wave + 1),
            Text(state, _COLOURS.get(box.stage, "cyan")),
            byte_bar(told.held_bytes, told.total_bytes) if told else "",
            str((told and told.outcome) or ""),
            Text(plain(f"{box.reason} {box.message}".strip())),
        )
    return Group(table, Text(_counts(rollout), "dim"))


def told_of(rollout: Rollout, box: BoxProgress) -> Report | None:
    """What a box says of this job as its current one; None when it does not."""
    is_ours = box.report is not None and box.report.job == rollout.plan.job
    return box.report if is_ours else None


def _changed(rollout: Rollout, seen: dict[str, BoxProgress]) -> list[BoxProgress]:
    """Boxes that are not as they were seen last; they are now."""
    changed = [box for box in rollout.boxes if seen.get(box.box) is not box]
    seen.update((box.box, box) for box in changed)
    return changed


def _words(rollout: Rollout, box: BoxProgress) -> list[str]:
    """Step, status and outcome, as far as they are told, the most telling first."""
    told = told_of(rollout, box)
    if told is None or box.stage is Stage.STUCK:
        return []
    return [str(word) for word in (told.step, told.status, told.outcome) if word]


def _fields(rollout: Rollout, box: BoxProgress) -> dict[str, Any]:
    told = told_of(rollout, box)
    return {
        "box": box.box,
        "wave": box.wave + 1,
        "stage": box.stage,
        "status": told and told.status,
        "step": told and told.step,
        "outcome": told and told.outcome,
        "reason": box.reason,
        "message": box.message,
        "held_bytes": told.held_bytes if told else 0,
        "total_bytes": told.total_bytes if told else 0,
    }


def _counts(rollout: Rollout) -> str:
    plan, boxes = rollout.plan, rollout.boxes
    parts = [f"{plan.release} {plan.seq}: wave {rollout.wave + 1} of {len(plan.waves)}"]
    for stage in Stage:
        if number := sum(box.stage is stage for box in boxes):
            parts.append(f"{number} {stage.lower().replace('_', ' ')}")
    parts.append(f"{len(boxes)} in all, {plan.max_failures} may fail")
    if rollout.stopped_because:
        parts.append(f"stopped: {rollout.stopped_because}")
    return ", ".join(parts)


def _summary(rollout: Rollout, ending: Ending) -> Text:
    colour = {Ending.COMMITTED: "green", Ending.INCOMPLETE: "yellow", Ending.STOPPED: "red"}
    return Text(plain(f"{ending}: {_counts(rollout)}"), colour[ending])


def view_of(*, watches: bool, as_json: bool) -> Callable[[], RolloutView]:
    """What fits whoever is looking."""
    if as_json:
        return lambda: JsonView(has_lines=watches)
    return LiveView if watches and out.is_terminal else LineView

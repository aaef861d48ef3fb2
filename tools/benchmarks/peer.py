"""llama.cpp on the same machine, the same shape and the same workload, tuned for its best."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import run
from benchmarks.workload import WARM_UP_TOKENS, Figures, Workload

BENCH = "llama-bench"
BATCHED_BENCH = "llama-batched-bench"
_REPEATS = 3
_TUNING_TOKENS = 16
_LOWER_IS_BETTER = frozenset({"start", "resident"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run llama.cpp.

    Attributes:
        num_threads: of it.
        waits_passively: idle OpenMP threads sleep and do not spin.
    """

    num_threads: int
    waits_passively: bool

    def __str__(self) -> str:
        threads = "1 thread" if self.num_threads == 1 else f"{self.num_threads} threads"
        return f"{threads}, passive waiting" if self.waits_passively else threads


class LlamaCpp:
    """The peer for one GGUF file.

    Args:
        binaries: folder of `llama-bench` and `llama-batched-bench`.
        gguf: the weights.
        workload: what is measured.
    """

    def __init__(self, binaries: Path, gguf: Path, workload: Workload) -> None:
        self._binaries = binaries
        self._gguf = gguf
        self._workload = workload
        self.settings: tuple[Setting, ...] = ()

    def tune(self) -> None:
        """Try every setting once and keep those that are best at something."""
        tried: dict[Setting, Figures] = {}
        short = dataclasses.replace(self._workload, generated=_TUNING_TOKENS)
        for setting in _all_settings(short.num_threads):
            tried[setting] = self._measure(setting, short)
        names = next(iter(tried.values())).keys() - _LOWER_IS_BETTER
        scores = [{s: figures[name] for s, figures in tried.items()} for name in names]
        winners = {max(score, key=score.__getitem__) for score in scores}
        self.settings = tuple(setting for setting in tried if setting in winners)

    def measure(self) -> Figures:
        """Run every kept setting; each figure is the best of them."""
        runs = [self._measure(setting, self._workload) for setting in self.settings]
        return {
            name: (min if name in _LOWER_IS_BETTER else max)(figures[name] for figures in runs)
            for name in runs[0]
        }

    def version(self) -> str:
        """As its tools say."""
        finished = run([str(self._binaries / BENCH), "--version"])
        return " ".join((finished.stdout + finished.stderr).split()).removeprefix("version: ")

    def _measure(self, setting: Setting, workload: Workload) -> Figures:
        environment = {"OMP_WAIT_POLICY": "passive"} if setting.waits_passively else {}
        weights = ["-m", str(self._gguf), "-t", str(setting.num_threads)]
        bench = [str(self._binaries / BENCH), *weights, "-n", "0"]
        started = run(
            [*bench, "-p", str(WARM_UP_TOKENS), "-r", "1", "--no-warmup"], environment=environment
        )
        prefilled = run(
            [*bench, "-p", _commas(workload.prefills), "-r", str(_REPEATS), "-o", "json"],
            environment=environment,
        )
        # Its log thread may lose the last line at the end: one more row, which may go missing.
        batches = (*workload.batches, 1)
        num_tokens = workload.max_sequences * (workload.context + workload.generated)
        decoded = run(
            [
                *(str(self._binaries / BATCHED_BENCH), *weights, "-c", str(num_tokens)),
                *("-npp", str(workload.context), "-ntg", str(workload.generated)),
                # A shared prompt is computed once and copied: decoding costs the same.
                *("-npl", _commas(batches), "-pps", "--output-format", "jsonl"),
            ],
            environment=environment,
        )
        lines = [line for line in decoded.stdout.splitlines() if line.startswith("{")]
        rows = [json.loads(line) for line in lines[: len(workload.batches)]]
        if [row["pl"] for row in rows] != list(workload.batches):
            raise RuntimeError(f"cannot read what {BATCHED_BENCH} printed:\n{decoded.stdout}")
        return {
            **{f"decode_{row['pl']}": row["speed_tg"] for row in rows},
            **{f"prefill_{r['n_prompt']}": r["avg_ts"] for r in json.loads(prefilled.stdout)},
            "start": started.elapsed_s,
            "resident": decoded.resident_bytes,
        }


def _all_settings(num_threads: int) -> list[Setting]:
    settings = [Setting(1, waits_passively=False)]
    if num_threads > 1:
        settings += [Setting(num_threads, waits_passively=waits) for waits in (False, True)]
    return settings


def _commas(values: Iterable[int]) -> str:
    return ",".join(map(str, values))

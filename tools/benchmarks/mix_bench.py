"""`tools/bench mix`: three resident models, twelve streams; skilld, llama.cpp, openvino-genai.

Every contender starts, warms up, is measured for a window and stops, one after the other, in
rounds; every second round goes backwards. A ratio is taken within a round.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks.checkpoint import SHAPES, num_parameters, text_skill
from benchmarks.closed_loop import Answer, Pace, Stream, Window, run_streams
from benchmarks.daemon import daemon
from benchmarks.genai_contender import Job
from benchmarks.mix_report import Results, write_report
from benchmarks.models import DEFAULT_WORK_DIR, Model, model, prepare, prepare_genai, prepare_gguf
from benchmarks.peer_server import (
    SERVER,
    LlamaClient,
    ServerSetting,
    check_has_server,
    llama_server,
    server_version,
)
from benchmarks.process import child
from benchmarks.report import circumstances, new_console, progress
from benchmarks.words import Prose
from skilld.transports.grpc_client import SkillClient

_STREAMS = 4  # of each model
_PROMPT_TOKENS = 128
_OUTPUT_TOKENS = 32
_SLOT_TOKENS = 512
_TYPICAL = Answer(_PROMPT_TOKENS, _OUTPUT_TOKENS)
_CALL_TIMEOUT_S = 300.0
_GENAI_START_S = 12.0
_OURS, _LLAMA, _LLAMA_DEFAULTS = "skilld", "llama-server, tuned", "llama-server, defaults"
_GENAI, _GENAI_DEFAULTS = "openvino-genai, tuned", "openvino-genai, defaults"
_ONCE = (_LLAMA_DEFAULTS, _GENAI_DEFAULTS)  # only in the first round: nothing hangs on them
_GOALS = (((_LLAMA, _LLAMA_DEFAULTS), 2.0), ((_GENAI, _GENAI_DEFAULTS), 1.1))


@dataclass(frozen=True, slots=True)
class GenaiSetting:
    """One way to run the pipelines.

    Attributes:
        num_threads: of each; None leaves all settings to openvino-genai.
        driven: "in turns" by one thread, "at once" by a thread each, or "apart" in a process each.
    """

    num_threads: int | None
    driven: str

    def __str__(self) -> str:
        if self.num_threads is None:
            return f"pipelines stepped {self.driven}, its defaults"
        threads = "1 thread" if self.num_threads == 1 else f"{self.num_threads} threads"
        return f"pipelines stepped {self.driven}, {threads} each"


Setting = ServerSetting | GenaiSetting
Measure = Callable[[int], Window]  # takes the seed of the prompts


@dataclass(frozen=True, slots=True)
class Bench:
    """What all contenders share.

    Attributes:
        models: resident together.
        pace: of a window.
        num_threads: CPU threads we and the peers may use.
        llama_dir: folder with the server, or None.
        config: configuration file of skilld, or None.
    """

    models: Sequence[Model]
    pace: Pace
    num_threads: int | None
    llama_dir: Path | None
    config: Path | None

    def skilld(self, seed: int) -> Window:
        """One daemon with all models; every stream has a connection."""
        with ExitStack() as stack:
            engines = [model.engine for model in self.models]
            address = stack.enter_context(
                daemon(engines, num_threads=self.num_threads, config=self.config)
            )
            streams = []
            for each, prose in self._prose(seed):
                for _ in range(_STREAMS):
                    client = stack.enter_context(SkillClient(address))
                    streams.append(Stream(each.name, partial(_ask_skilld, client, each, prose)))
            return run_streams(streams, self.pace, typical=_TYPICAL)

    def llama(self, setting: ServerSetting, seed: int) -> Window:
        """A server for each model; every stream has a connection."""
        assert self.llama_dir is not None
        with ExitStack() as stack:
            streams = []
            for each, prose in self._prose(seed):
                port = stack.enter_context(llama_server(self.llama_dir, each.gguf, setting))
                for _ in range(_STREAMS):
                    client = stack.enter_context(LlamaClient(port))
                    streams.append(Stream(each.name, partial(_ask_llama, client, prose)))
            return run_streams(streams, self.pace, typical=_TYPICAL)

    def genai(self, setting: GenaiSetting, seed: int) -> Window:
        """A pipeline for each model."""
        job = Job(
            models={each.name: (str(each.genai), str(each.tokenizer)) for each in self.models},
            streams=_STREAMS,
            prompt_tokens=_PROMPT_TOKENS,
            output_tokens=_OUTPUT_TOKENS,
            num_threads=setting.num_threads,
            takes_turns=setting.driven == "in turns",
            seed=seed,
            pace=self.pace,
        )
        jobs = [job]
        if setting.driven == "apart":
            opens_s = time.monotonic() + _GENAI_START_S + self.pace.patience_s
            jobs = [
                replace(job, models={name: paths}, opens_s=opens_s, seed=seed + index)
                for index, (name, paths) in enumerate(job.models.items())
            ]
        return _run_genai(jobs)

    def _prose(self, seed: int) -> list[tuple[Model, Prose]]:
        return [
            (each, Prose(each.tokenizer, seed=seed + index))
            for index, each in enumerate(self.models)
        ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--llama-dir", type=Path, help=f"folder with {SERVER}; without it llama.cpp is left out"
    )
    parser.add_argument("--no-genai", action="store_true", help="leave openvino-genai out")
    parser.add_argument("--rounds", type=int, default=3, help="how often all contenders run")
    parser.add_argument("--window-s", type=float, default=10.0, help="measured in each round")
    parser.add_argument("--num-threads", type=int, default=2, help="CPU threads of each step")
    parser.add_argument(
        "--config", type=Path, help="configuration file of skilld; its defaults without"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round of untuned peers, to try it out"
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=DEFAULT_WORK_DIR,
        help="where weights and engines are kept for the next time",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every request here")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/bench"), help="where the report goes"
    )


def main(options: argparse.Namespace) -> int:
    """Run the bench; returns the exit code, which says nothing about goals."""
    console = new_console()
    if options.llama_dir is not None:
        check_has_server(options.llama_dir)
    if options.quick:
        options.rounds, options.window_s = 1, 4.0
    bench = Bench(
        models=[
            model("0.5b", "0.5b", seed=0, work_dir=options.work_dir),
            model("135m-a", "135m", seed=1, work_dir=options.work_dir),
            model("135m-b", "135m", seed=2, work_dir=options.work_dir),
        ],
        pace=Pace(options.window_s, patience_s=4.0 if options.quick else 8.0),
        num_threads=options.num_threads,
        llama_dir=options.llama_dir,
        config=options.config,
    )
    for each in bench.models:
        skills = {each.name: text_skill(each.name, max_tokens=_OUTPUT_TOKENS)}
        prepare(console, each, skills=skills)
        if bench.llama_dir is not None:
            prepare_gguf(console, each)
        if not options.no_genai:
            prepare_genai(console, each)
    facts = circumstances(sys.argv[1:])
    if options.config is not None:
        facts["configuration of skilld"] = " ".join(options.config.read_text("utf-8").split())
    if bench.llama_dir is not None:
        facts["llama.cpp"] = server_version(bench.llama_dir)
    if not options.no_genai:
        facts["openvino-genai"] = importlib.metadata.version("openvino-genai")
    tuned = _tune(console, bench, options)
    contenders: dict[str, Measure] = {_OURS: bench.skilld}
    for (name, defaults), kind, plain in (
        ((_LLAMA, _LLAMA_DEFAULTS), ServerSetting, ServerSetting(_STREAMS, _SLOT_TOKENS, None)),
        ((_GENAI, _GENAI_DEFAULTS), GenaiSetting, GenaiSetting(None, "at once")),
    ):
        tried = {s: rate for s, rate in tuned.items() if isinstance(s, kind)}
        if tried:
            best = max(tried, key=tried.__getitem__)
            facts[name] = str(best)
            contenders[name] = partial(_measure, bench, best)
            if not options.quick:
                facts[defaults] = str(plain)
                contenders[defaults] = partial(_measure, bench, plain)
    rounds = _run_rounds(console, contenders, options.rounds)
    results = Results(
        models=[each.name for each in bench.models],
        work_per_s=partial(_work_per_s, bench),
        tuning={} if options.quick else {str(s): rate for s, rate in tuned.items()},
        rounds=rounds,
        goals=[
            ([name for name in names if name in contenders], goal)
            for names, goal in _GOALS
            if names[0] in contenders
        ],
    )
    write_report(console, options.out, results, facts=facts)
    if options.json is not None:
        content = [{name: w.to_json() for name, w in windows.items()} for windows in rounds]
        options.json.write_text(json.dumps({"facts": facts, "rounds": content}) + "\n", "utf-8")
    return 0


def _run_rounds(
    console: Console, contenders: Mapping[str, Measure], num_rounds: int
) -> list[dict[str, Window]]:
    rounds = []
    total = num_rounds * len(contenders) - (num_rounds - 1) * len(contenders.keys() & _ONCE)
    with progress(console, total=total) as (say, done):
        for number in range(num_rounds):
            names = [name for name in contenders if number == 0 or name not in _ONCE]
            windows: dict[str, Window] = {}
            for place, name in enumerate(names if number % 2 == 0 else reversed(names)):
                say(f"round {number + 1} of {num_rounds}: {name}")
                # Prompts no other window had: nothing can be found in any cache.
                windows[name] = contenders[name](1000 * (number + 1) + 10 * place)
                done()
            rounds.append({name: windows[name] for name in names})
    return rounds


def _measure(bench: Bench, setting: Setting, seed: int) -> Window:
    match setting:
        case ServerSetting():
            return bench.llama(setting, seed)
        case GenaiSetting():
            return bench.genai(setting, seed)


def _tune(console: Console, bench: Bench, options: argparse.Namespace) -> dict[Setting, float]:
    """Work per second of every setting tried, from one short window each."""
    threads = sorted({1, options.num_threads}, reverse=True)
    settings: list[list[Setting]] = []
    if bench.llama_dir is not None:
        settings.append([ServerSetting(_STREAMS, _SLOT_TOKENS, number) for number in threads])
    if not options.no_genai:
        settings.append(
            [
                GenaiSetting(threads[0], "in turns"),
                *(GenaiSetting(number, "at once") for number in threads),
                GenaiSetting(threads[-1], "apart"),
            ]
        )
    if options.quick:
        return {tried[0]: 0.0 for tried in settings}
    every = [setting for tried in settings for setting in tried]
    short = replace(bench, pace=Pace(window_s=5.0, patience_s=5.0))
    rates: dict[Setting, float] = {}
    with progress(console, total=len(every)) as (say, done):
        for number, setting in enumerate(every):
            say(f"tuning: {setting}")
            rates[setting] = _work_per_s(short, _measure(short, setting, 10 * number))
            done()
    return rates


def _work_per_s(bench: Bench, window: Window) -> float:
    """Arithmetic done: 2 operations per weight and token, in 1e9 per second.

    Requests per second of all models together favour whoever serves the small models first.
    """
    sizes = {each.name: num_parameters(SHAPES[each.geometry]) for each in bench.models}
    return window.per_s(
        lambda request: (
            2e-9
            * sizes[request.model]
            * (request.answer.prompt_tokens + request.answer.output_tokens)
        )
    )


def _ask_skilld(client: SkillClient, model: Model, prose: Prose) -> Answer:
    text = prose.text(_PROMPT_TOKENS)
    response = client.invoke(model.name, json.dumps({"text": text}), timeout_s=_CALL_TIMEOUT_S)
    usage = response.usage
    return _checked(Answer(usage.prompt_tokens, usage.output_tokens, num_steps=usage.num_steps))


def _ask_llama(client: LlamaClient, prose: Prose) -> Answer:
    answer = client.complete(
        {
            "prompt": prose.text(_PROMPT_TOKENS),
            "n_predict": _OUTPUT_TOKENS,
            "ignore_eos": True,
            "cache_prompt": False,
            # Greedy, in the cheapest way it has.
            "samplers": ["top_k"],
            "top_k": 1,
        }
    )
    return _checked(Answer(answer["timings"]["prompt_n"], answer["tokens_predicted"]))


def _checked(answer: Answer) -> Answer:
    if (answer.prompt_tokens, answer.output_tokens) != (_PROMPT_TOKENS, _OUTPUT_TOKENS):
        raise RuntimeError(
            f"a request took {answer.prompt_tokens} + {answer.output_tokens} tokens "
            f"where {_PROMPT_TOKENS} + {_OUTPUT_TOKENS} were due"
        )
    return answer


def _run_genai(jobs: Sequence[Job]) -> Window:
    command = [sys.executable, "-m", "benchmarks.genai_contender"]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(child([*command, job.to_json()], stdout=subprocess.PIPE))
            for job in jobs
        ]
        outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError("openvino-genai failed; its words are above")
    return Window.joined([json.loads(output) for output in outputs])

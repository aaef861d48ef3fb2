"""`tools/bench json`: calls whose answer a schema forces, end to end; skilld and llama.cpp.

Every contender is asked by 1 and by 8 clients for a window each, in rounds; every second round
goes backwards. All servers stay loaded, one is at work at a time. A ratio is taken within a round.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.closed_loop import Answer, Pace, Stream, Window, run_streams
from benchmarks.daemon import daemon
from benchmarks.json_report import GUIDED, OURS, PLAIN, UNBOUND, Results, write_report
from benchmarks.models import DEFAULT_WORK_DIR, Model, model, prepare, prepare_gguf
from benchmarks.peer_server import (
    SERVER,
    LlamaClient,
    ServerSetting,
    check_has_server,
    llama_server,
    server_version,
)
from benchmarks.record_skill import (
    MAX_TOKENS,
    RECORD_SCHEMA,
    RECORD_SKILL,
    Logs,
    prompt,
    record_skill,
)
from benchmarks.report import circumstances, new_console, progress
from skilld.transports.grpc_client import SkillClient

_CALL_TIMEOUT_S = 300.0
_SLOT_TOKENS = 512
_TUNING_PACE = Pace(window_s=3.0, patience_s=6.0)
_TYPICAL = Answer(150, 48, 146)

Ask = Callable[[Logs], Answer]
Connect = Callable[[ExitStack], Ask]


@dataclass(frozen=True, slots=True)
class Contender:
    """One who answers.

    Attributes:
        connect: opens a connection, closed with the stack, and gives a way to ask over it.
    """

    connect: Connect

    def measure(self, num_clients: int, pace: Pace, *, seed: int) -> Window:
        """Ask from so many clients at once."""
        with ExitStack() as stack:
            streams = []
            for number in range(num_clients):
                ask, logs = self.connect(stack), Logs(seed + number)
                streams.append(Stream("record", partial(ask, logs)))
            return run_streams(streams, pace, typical=_TYPICAL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--llama-dir", type=Path, help=f"folder with {SERVER}; without it llama.cpp is left out"
    )
    parser.add_argument(
        "--clients",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[1, 8],
        help="numbers of simultaneous clients, with commas",
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often all contenders run")
    parser.add_argument("--window-s", type=float, default=6.0, help="measured in each round")
    parser.add_argument("--num-threads", type=int, default=2, help="CPU threads of each step")
    parser.add_argument(
        "--config", type=Path, help="configuration file of skilld; its defaults without"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round without tuning, to try it out"
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
        options.rounds, options.window_s = 1, 3.0
    pace = Pace(options.window_s, patience_s=4.0 if options.quick else 8.0)
    used = model("0.5b-json", "0.5b", seed=0, work_dir=options.work_dir)
    prepare(console, used, skills={RECORD_SKILL: record_skill()})
    facts = circumstances(sys.argv[1:])
    if options.config is not None:
        facts["configuration of skilld"] = " ".join(options.config.read_text("utf-8").split())
    with ExitStack() as stack:
        console.print("starting skilld")
        address = stack.enter_context(
            daemon([used.engine], num_threads=options.num_threads, config=options.config)
        )
        ours = _skilld(address)
        contenders = {OURS: dict.fromkeys(options.clients, ours)}
        # What an answer of ours is like; also what the peer must be like to be comparable.
        with ExitStack() as trial:
            sample = ours.connect(trial)(Logs(0))
        if options.llama_dir is not None:
            prepare_gguf(console, used)
            facts["llama.cpp"] = server_version(options.llama_dir)
            contenders |= _peers(console, stack, options, used, sample=sample, facts=facts)
        rounds = _run_rounds(console, contenders, options, pace)
    results = Results(options.clients, rounds)
    write_report(console, options.out, results, facts=facts)
    if options.json is not None:
        content = [
            {
                f"{name}, {_clients(clients)}": window.to_json()
                for (name, clients), window in r.items()
            }
            for r in rounds
        ]
        options.json.write_text(json.dumps({"facts": facts, "rounds": content}) + "\n", "utf-8")
    return 0


def _peers(
    console: Console,
    stack: ExitStack,
    options: argparse.Namespace,
    used: Model,
    *,
    sample: Answer,
    facts: dict[str, str],
) -> dict[str, dict[int, Contender]]:
    """The server in each of its ways, with what is best for each number of clients."""
    slots = max(options.clients)
    ports: dict[ServerSetting, int] = {}
    for number in sorted({1, options.num_threads}, reverse=True)[: 1 if options.quick else None]:
        setting = ServerSetting(slots, _SLOT_TOKENS, number)
        console.print(f"starting {SERVER} {setting}")
        ports[setting] = stack.enter_context(llama_server(options.llama_dir, used.gguf, setting))
    grammar = _grammar_without_spaces(next(iter(ports.values())))
    ways: dict[str, dict[str, Any]] = {
        GUIDED: {"json_schema": RECORD_SCHEMA},
        PLAIN: {"grammar": grammar},
        UNBOUND: {"ignore_eos": True, "n_predict": sample.output_tokens},
    }
    peers: dict[str, dict[int, Contender]] = {name: {} for name in ways}
    for clients in options.clients:
        rates = {}
        for setting, port in ports.items():
            if len(ports) > 1:
                console.print(f"tuning for {_clients(clients)}: {setting}")
                window = _llama(port, ways[PLAIN]).measure(clients, _TUNING_PACE, seed=0)
                rates[setting] = window.per_s()
            else:
                rates[setting] = 0.0
        best = max(rates, key=rates.__getitem__)
        tried = "; ".join(f"{setting}: {rate:.2f} answers/s" for setting, rate in rates.items())
        facts[f"{SERVER} for {_clients(clients)}"] = str(best) if options.quick else tried
        for name, way in ways.items():
            peers[name][clients] = _llama(ports[best], way)
    return peers


def _run_rounds(
    console: Console,
    contenders: dict[str, dict[int, Contender]],
    options: argparse.Namespace,
    pace: Pace,
) -> list[dict[tuple[str, int], Window]]:
    cases = [(name, clients) for name in contenders for clients in options.clients]
    rounds = []
    with progress(console, total=options.rounds * len(cases)) as (say, done):
        for number in range(options.rounds):
            windows: dict[tuple[str, int], Window] = {}
            for place, case in enumerate(cases if number % 2 == 0 else reversed(cases)):
                name, clients = case
                say(f"round {number + 1} of {options.rounds}: {name}, {_clients(clients)}")
                seed = 10_000 * (number + 1) + 100 * place
                windows[case] = contenders[name][clients].measure(clients, pace, seed=seed)
                done()
            rounds.append({case: windows[case] for case in cases})
    return rounds


def _skilld(address: str) -> Contender:
    def connect(stack: ExitStack) -> Ask:
        client = stack.enter_context(SkillClient(address))

        def ask(logs: Logs) -> Answer:
            answer = client.invoke(
                RECORD_SKILL, json.dumps({"lines": logs.lines()}), timeout_s=_CALL_TIMEOUT_S
            )
            usage = answer.usage
            return Answer(
                usage.prompt_tokens,
                usage.output_tokens,
                output_chars=len(answer.output_json),
                forced_tokens=usage.forced_tokens,
                num_steps=usage.num_steps,
            )

        return ask

    return Contender(connect)


def _llama(port: int, way: dict[str, Any]) -> Contender:
    def connect(stack: ExitStack) -> Ask:
        client = stack.enter_context(LlamaClient(port))

        def ask(logs: Logs) -> Answer:
            answer = client.complete(_request(prompt(logs.lines())) | way)
            content = answer["content"]
            if "n_predict" not in way:
                _check_record(content)
            return Answer(
                answer["tokens_evaluated"],
                answer["tokens_predicted"],
                output_chars=len(content),
                num_steps=answer["tokens_predicted"],
            )

        return ask

    return Contender(connect)


def _clients(number: int) -> str:
    return "1 client" if number == 1 else f"{number} clients"


def _request(text: str) -> dict[str, Any]:
    return {
        "prompt": text,
        "n_predict": MAX_TOKENS,
        "cache_prompt": True,
        # Greedy, in the cheapest way it has.
        "samplers": ["top_k"],
        "top_k": 1,
    }


def _check_record(content: str) -> None:
    if json.loads(content).keys() != RECORD_SCHEMA["properties"].keys():
        raise RuntimeError(f"{SERVER} gave an answer the schema does not admit: {content!r}")


def _grammar_without_spaces(port: int) -> str:
    """The server's own grammar of the schema, less the white space it admits between tokens.

    A trained model hardly uses that freedom; random weights fill lines with it.
    """
    with LlamaClient(port) as client:
        answer = client.complete(_request("x") | {"n_predict": 1, "json_schema": RECORD_SCHEMA})
    grammar: str = answer["generation_settings"]["grammar"]
    without, count = re.subn(r"(?m)^space ::= .*$", 'space ::= ""', grammar)
    if count != 1:
        raise RuntimeError(f"cannot find the rule for white space in {SERVER}'s grammar")
    return without

"""`skilld`: the command line.

Exit codes: 0 done; 1 the answer is no (a golden case failed, a check of `doctor` failed);
2 wrong usage; 3 an error of ours or of a file; 4 a call was refused or failed; 130 interrupted.
Errors are one line on standard error, never a traceback; `--debug` shows it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from skilld import __version__
from skilld.cli.broker import add_broker_arguments, broker_config_command
from skilld.cli.console import err
from skilld.cli.daemon import (
    call_command,
    doctor_command,
    list_command,
    serve_command,
)
from skilld.cli.depot import add_depot_arguments, depot_command
from skilld.cli.engines import build_command, inspect_command, verify_command
from skilld.cli.evaluation import eval_command
from skilld.cli.plan import plan_command
from skilld.cli.release import add_release_commands
from skilld.cli.status import ps_command, top_command
from skilld.cli.updates import add_updates_arguments, updates_command
from skilld.config import parse_bytes
from skilld.core.errors import SkilldError

EXIT_ERROR = 3
EXIT_CALL_FAILED = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except SkilldError as error:
        if options.debug:
            raise
        err.print(f"[bold red]error[/] {error.reason}: ", end="")
        err.print(error.message, markup=False, highlight=False)
        return EXIT_CALL_FAILED if command is call_command else EXIT_ERROR
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skilld", description="The skill daemon for edge boxes.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"skilld {__version__}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str,
        command: Callable[[argparse.Namespace], int],
        text: str,
        *,
        json_flag: bool = True,
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(command=command)
        if json_flag:
            sub.add_argument("--json", action="store_true", help="print JSON for scripts")
        return sub

    build = add("build", build_command, "Build an engine from a recipe folder.")
    build.add_argument("recipe_dir", type=Path, help="folder with recipe.toml")
    build.add_argument("--out", type=Path, help="engine folder; RECIPE_DIR/engine when left out")
    build.add_argument("--num-threads", type=int, help="CPU threads of the measurements")

    verify = add("verify", verify_command, "Run an engine's golden cases and measure it.")
    verify.add_argument("engine", type=Path, help="engine folder, or the recipe folder around it")
    verify.add_argument("--num-threads", type=int, help="CPU threads of a step")

    evaluate = add(
        "eval",
        eval_command,
        "Judge an engine on the splits of its generator and on hand-written cases.",
        json_flag=False,
    )
    evaluate.add_argument("engine", help="folder the engine is made from, or its name in engines/")
    evaluate.add_argument("--splits", metavar="A,B", help="these only")
    evaluate.add_argument("--limit", type=_count, help="first examples of each split only")
    evaluate.add_argument(
        "--no-baselines", dest="baselines", action="store_false", help="judge the engine alone"
    )
    evaluate.add_argument(
        "--unconstrained", action="store_true", help="once more without the schema"
    )
    evaluate.add_argument(
        "--confidence", action="store_true", help="what declining unsure answers brings and costs"
    )
    evaluate.add_argument(
        "--votes",
        type=_count,
        default=1,
        metavar="N",
        help="once more, as the majority of N samples",
    )
    evaluate.add_argument(
        "--retry",
        action="store_true",
        help="once more, asking again where an answer is refused or unsure",
    )
    evaluate.add_argument(
        "--errors", type=_count, default=0, metavar="N", help="show N wrong answers per split"
    )
    evaluate.add_argument("--json", metavar="FILE", help='write JSON there; "-" prints it instead')

    inspect = add("inspect", inspect_command, "Check an engine's files and print its manifest.")
    inspect.add_argument("engine", type=Path, help="engine folder, or the recipe folder around it")

    plan = add("plan", plan_command, "Say whether engines fit into memory; loads nothing.")
    plan.add_argument("engines", type=Path, nargs="*", help="engine folders, or folders of them")
    plan.add_argument(
        "--budget",
        type=_bytes_argument,
        help='for everything, for instance "6GiB"; what the machine has when left out',
    )
    plan.add_argument("--kv-budget", type=_bytes_argument, help="of it; the rest when left out")
    plan.add_argument("--config", type=Path, help="TOML file of the daemon")

    serve = add("serve", serve_command, "Run the daemon.", json_flag=False)
    serve.add_argument("engines", type=Path, nargs="*", help="engine folders, or folders of them")
    serve.add_argument("--config", type=Path, help="TOML file; the command line goes on top")
    serve.add_argument("--socket", type=Path, help="unix socket to listen on")
    serve.add_argument("--tcp", metavar="HOST:PORT", help="also listen on TCP")
    serve.add_argument(
        "--allow-plaintext-on-network",
        action="store_true",
        help="serve a network interface without TLS: anyone there can read and make calls",
    )
    serve.add_argument(
        "--mqtt", metavar="ADDRESS", help="host:port or unix:/path of a broker to take calls from"
    )
    serve.add_argument("--kv-budget", type=_bytes_argument, help='for instance "512MiB"')
    serve.add_argument("--num-threads", type=int, help="CPU threads of a step")
    serve.add_argument("--mode", choices=("fast", "parity"), help="parity: exact f32, slow")
    serve.add_argument("--log-format", choices=("text", "json"))

    for name, command, text in (
        ("list", list_command, "List the daemon's skills."),
        ("ps", ps_command, "Show engines, skills, memory, queues and rates."),
        ("top", top_command, "Show memory and load of every engine, live."),
    ):
        sub = add(name, command, text)
        sub.add_argument("--address", help="unix:/path or host:port")
        if command is top_command:
            sub.add_argument("--once", action="store_true", help="show it once and leave")
            sub.add_argument("--interval", type=_seconds, default=1.0, help="seconds between two")

    call = add("call", call_command, "Call a skill once.")
    call.add_argument("skill", help="id, as `skilld list` prints it")
    call.add_argument("input", help='JSON text of the input, or "-" for standard input')
    call.add_argument("--address", help="unix:/path or host:port")
    call.add_argument("--stream", action="store_true", help="show the answer as it grows")
    call.add_argument("--timeout-s", type=float, help="give up after this many seconds")
    call.add_argument("--seed", type=int, default=0, help="of sampling")

    release = commands.add_parser(
        "release", help="Make keys, sign and publish releases of engines.", allow_abbrev=False
    )
    add_release_commands(release)
    add_depot_arguments(
        add("depot", depot_command, "Serve a repository over MQTT.", json_flag=False)
    )
    add_updates_arguments(add("updates", updates_command, "Show how this box's updates stand."))

    doctor = add("doctor", doctor_command, "Examine this machine and these engines.")
    doctor.add_argument("engines", type=Path, nargs="*", help="engine folders, or folders of them")
    doctor.add_argument("--config", type=Path, help="TOML file of the daemon: its engines, broker")
    doctor.add_argument("--broker", metavar="ADDRESS", help="host:port or unix:/path of a broker")

    add_broker_arguments(
        add(
            "broker-config",
            broker_config_command,
            "Write a hardened mosquitto configuration, with a role for every name.",
        )
    )
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 3600.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 3600 seconds")
    return seconds


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1")
    return int(text)


def _bytes_argument(text: str) -> int:
    try:
        return parse_bytes(int(text) if text.isdigit() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error

"""`skilld`: the command line.

Exit codes: 0 done; 1 the answer is no (a golden case failed, a check of `doctor` failed);
2 wrong usage; 3 an error of ours or of a file; 4 a call was refused or failed; 130 interrupted.
Errors are one line on standard error, never a traceback; `--debug` shows it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from skilld import __version__
from skilld.config import Config, default_socket_path, parse_bytes, read_config
from skilld.core.errors import ArtefactError, SkilldError
from skilld.core.manifest import EngineManifest, read_manifest, verify_files

EXIT_NO = 1
EXIT_ERROR = 3
EXIT_CALL_FAILED = 4

ResultT = TypeVar("ResultT")

_out = Console()
_err = Console(stderr=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except SkilldError as error:
        if options.debug:
            raise
        _err.print(f"[bold red]error[/] {error.reason}: ", end="")
        _err.print(error.message, markup=False, highlight=False)
        return EXIT_CALL_FAILED if command is _call else EXIT_ERROR
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except KeyboardInterrupt:
        return 130


# --- engines ---------------------------------------------------------------------------------


def _build(options: argparse.Namespace) -> int:
    from skilld.builder import build

    engine_dir = _with_progress(
        lambda progress: build(
            options.recipe_dir,
            out_dir=options.out,
            progress=progress,
            num_threads=options.num_threads,
        ),
        is_quiet=options.json,
    )
    return _show_manifest(engine_dir, as_json=options.json)


def _verify(options: argparse.Namespace) -> int:
    from skilld.app import num_threads_of
    from skilld.builder.verify import verify
    from skilld.config import EngineConfig

    threads = num_threads_of(EngineConfig(num_threads=options.num_threads or 0))
    engine_dir = _engine_dir(options.engine)
    found = _with_progress(
        lambda progress: verify(engine_dir, num_threads=threads, progress=progress),
        is_quiet=options.json,
    )
    if options.json:
        _print_json(found.manifest.model_dump(mode="json"))
    else:
        for failure in found.failed:
            _err.print("[bold red]golden case failed[/]", failure.case.model_dump_json())
            _err.print("  answered", str(failure.answer), markup=False)
        _print_manifest(found.manifest)
    return EXIT_NO if found.failed else 0


def _inspect(options: argparse.Namespace) -> int:
    engine_dir = _engine_dir(options.engine)
    verify_files(engine_dir, read_manifest(engine_dir))
    return _show_manifest(engine_dir, as_json=options.json)


def _engine_dir(path: Path) -> Path:
    """The engine folder meant by a path: itself, or `engine/` inside a recipe folder."""
    from skilld.app import find_engines

    found = find_engines([path])
    if len(found) > 1:
        raise ArtefactError(
            "holds several engines: " + ", ".join(map(str, found)), path=path, reason="NO_ENGINE"
        )
    return found[0]


def _show_manifest(engine_dir: Path, *, as_json: bool) -> int:
    manifest = read_manifest(engine_dir)
    if as_json:
        _print_json({"path": str(engine_dir), **manifest.model_dump(mode="json")})
    else:
        _out.print(f"[bold]{engine_dir}[/]")
        _print_manifest(manifest)
    return 0


def _print_manifest(manifest: EngineManifest) -> None:
    geometry, cache = manifest.geometry, manifest.cache
    rows = [
        ("engine", f"{manifest.name} {manifest.version}"),
        ("digest", manifest.digest),
        ("runtime", f"{manifest.runtime}, {manifest.precision}"),
        (
            "model",
            f"{manifest.family}, {geometry.num_parameters / 1e6:.2f} M parameters, "
            f"{geometry.num_layers} layers x {geometry.hidden_size}, "
            f"vocabulary {geometry.vocab_size}",
        ),
        ("context", f"{manifest.context_limit} tokens"),
        (
            "cache",
            f"{cache.kv_bytes_per_token} B per token, blocks of {cache.block_tokens}, "
            f"{cache.state_bytes_per_sequence} B state per sequence",
        ),
        ("source", f"{manifest.source.name} ({manifest.source.licence}) {manifest.source.sha256}"),
        ("size", _size(sum(entry.num_bytes for entry in manifest.files.values()))),
        ("built on", f"{manifest.build_host.cpu}, {_versions(manifest)}"),
    ]
    if (measured := manifest.measurements) is not None:
        steps = ", ".join(f"batch {s.batch}: {s.step_ms:.2f} ms" for s in measured.steps)
        rows += [
            ("measured on", f"{measured.cpu}, {measured.num_threads} threads"),
            ("  load", f"{measured.load_s:.2f} s, {_size(measured.resident_bytes)} resident"),
            ("  decode step", steps),
            ("  prefill", f"{measured.prefill_tokens_per_s:,.0f} tokens/s"),
        ]
    for golden in manifest.golden:
        agreement = golden.jump_forward_agreement
        rows.append(
            (
                f"golden {golden.skill}",
                f"{golden.num_passed} of {golden.num_cases} passed"
                + ("" if agreement is None else f", jump-forward agrees in {agreement:.1%}"),
            )
        )
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for key, value in rows:
        table.add_row(f"[dim]{key}[/]", value)
    _out.print(table)


def _versions(manifest: EngineManifest) -> str:
    return ", ".join(f"{k} {v}" for k, v in sorted(manifest.build_host.tool_versions.items()))


# --- daemon ----------------------------------------------------------------------------------


def _serve(options: argparse.Namespace) -> int:
    from skilld.app import run
    from skilld.telemetry import set_up_logging

    config = _config_of(options)
    set_up_logging(level=config.log.level, as_json=config.log.format == "json")
    return run(config)


def _config_of(options: argparse.Namespace) -> Config:
    """The configuration file, with the command line on top."""
    config = read_config(options.config) if options.config else Config()
    grpc: dict[str, Any] = {}
    if options.socket is not None:
        grpc["socket_path"] = options.socket
    if options.tcp is not None:
        grpc["tcp"] = options.tcp
    if options.allow_plaintext_on_network:
        grpc["allow_plaintext_on_network"] = True
    if config.grpc.socket_path is None and "socket_path" not in grpc and options.tcp is None:
        grpc["socket_path"] = default_socket_path()
    changes: dict[str, Any] = {"grpc": config.grpc.model_copy(update=grpc)}
    if options.engines:
        changes["engines"] = tuple(options.engines)
    if options.kv_budget is not None:
        changes["memory"] = config.memory.model_copy(update={"kv_budget_bytes": options.kv_budget})
    engine: dict[str, Any] = {}
    if options.num_threads is not None:
        engine["num_threads"] = options.num_threads
    if options.mode is not None:
        engine["mode"] = options.mode
    changes["engine"] = config.engine.model_copy(update=engine)
    if options.log_format is not None:
        changes["log"] = config.log.model_copy(update={"format": options.log_format})
    return config.model_copy(update=changes)


def _list(options: argparse.Namespace) -> int:
    from google.protobuf.json_format import MessageToDict

    with _client(options) as client:
        skills = client.skills()
    if options.json:
        _print_json([MessageToDict(s, preserving_proto_field_name=True) for s in skills])
        return 0
    table = Table("skill", "version", "engine", "state", "description")
    for skill in skills:
        state = "serving" if not skill.state_reason else skill.state_reason
        table.add_row(skill.id, skill.version, skill.engine.name, state, skill.description)
    _out.print(table)
    return 0


def _ps(options: argparse.Namespace) -> int:
    from google.protobuf.json_format import MessageToDict

    with _client(options) as client:
        status = client.status()
    if options.json:
        _print_json(
            MessageToDict(
                status,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
        )
        return 0
    kv = status.kv
    _out.print(
        f"skilld {status.version}, pid {status.pid}, up {status.uptime.ToSeconds()} s, "
        f"{_size(status.resident_bytes)} resident{', draining' if status.draining else ''}"
    )
    _out.print(
        f"KV cache: {_size(kv.used_bytes)} used, {_size(kv.reserved_bytes)} reserved of "
        f"{_size(kv.budget_bytes)}; {_size(kv.resident_bytes)} resident"
    )
    table = Table("engine", "skills", "KV bytes")
    for column in ("running\nqueue", "batch", "ms/step", "tokens/s", "calls"):
        table.add_column(column, justify="right")
    for engine in status.engines:
        amounts = {
            "min": engine.kv_min_bytes,
            "used": engine.kv.used_bytes,
            "reserved": engine.kv.reserved_bytes,
            "resident": engine.kv.resident_bytes,
        }
        table.add_row(
            f"{engine.name} {engine.version}\n[dim]{engine.precision} {engine.digest[:12]}[/]",
            "\n".join(engine.skills),
            "\n".join(f"{name:<8} {_size(amount):>9}" for name, amount in amounts.items()),
            f"{engine.running}\n{engine.waiting}",
            f"{engine.mean_batch:.1f}",
            f"{engine.step_ms:.2f}",
            f"{engine.tokens_per_s:.0f}",
            "\n".join(f"{count} {how}" for how, count in sorted(engine.ended.items())) or "0",
        )
    _out.print(table)
    for refused in status.refused:
        _out.print(f"[bold red]refused[/] {refused.path}: {refused.reason}")
        _out.print(f"  {refused.message}", markup=False)
    return 0


def _call(options: argparse.Namespace) -> int:
    text = sys.stdin.read() if options.input == "-" else options.input
    wishes = {"timeout_s": options.timeout_s, "seed": options.seed}
    with _client(options) as client:
        if options.stream:
            result = None
            for event in client.stream(options.skill, text, **wishes):
                match event.WhichOneof("event"):
                    case "delta":
                        _err.print(event.delta.text, end="", markup=False, highlight=False)
                    case "result":
                        result = event.result
            _err.print()
            assert result is not None
        else:
            result = client.invoke(options.skill, text, **wishes)
    is_abstention = result.WhichOneof("outcome") == "abstain"
    if options.json:
        usage = result.usage
        _print_json(
            {
                "request_id": result.request_id,
                "output": None if is_abstention else json.loads(result.output_json),
                "abstain": result.abstain.reason if is_abstention else None,
                "engine_digest": result.engine_digest,
                "skill_version": result.skill_version,
                "usage": {field.name: value for field, value in usage.ListFields()},
            }
        )
    elif is_abstention:
        print(json.dumps({"abstain": result.abstain.reason}))
    else:
        print(result.output_json)
    return 0


def _client(options: argparse.Namespace) -> Any:  # Any: the client is imported here, late
    from skilld.transports.grpc_client import SkillClient

    address = options.address or f"unix:{default_socket_path()}"
    return SkillClient(address)


def _doctor(options: argparse.Namespace) -> int:
    from skilld.doctor import examine

    checks = examine(options.engines)
    if options.json:
        _print_json([{"check": c.name, "ok": c.is_ok, "found": c.found} for c in checks])
    else:
        for check in checks:
            mark = "[green]ok  [/]" if check.is_ok else "[bold red]FAIL[/]"
            _out.print(mark, f"[bold]{check.name}[/]:", check.found, highlight=False)
    return 0 if all(check.is_ok for check in checks) else EXIT_NO


# --- helpers of this file --------------------------------------------------------------------


def _with_progress(
    work: Callable[[Callable[[str, float], None]], ResultT], *, is_quiet: bool
) -> ResultT:
    """Run `work` with a progress bar on standard error, or with none."""
    bar = Progress(
        TextColumn("{task.description:<36}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=_err,
        disable=is_quiet,
    )
    with bar:
        task = bar.add_task("", total=1.0)
        return work(lambda what, done: bar.update(task, description=what, completed=done))


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _size(num_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.2f} GiB"


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

    build = add("build", _build, "Build an engine from a recipe folder.")
    build.add_argument("recipe_dir", type=Path, help="folder with recipe.toml")
    build.add_argument("--out", type=Path, help="engine folder; RECIPE_DIR/engine when left out")
    build.add_argument("--num-threads", type=int, help="CPU threads of the measurements")

    verify = add("verify", _verify, "Run an engine's golden cases and measure it.")
    verify.add_argument("engine", type=Path, help="engine folder, or the recipe folder around it")
    verify.add_argument("--num-threads", type=int, help="CPU threads of a step")

    inspect = add("inspect", _inspect, "Check an engine's files and print its manifest.")
    inspect.add_argument("engine", type=Path, help="engine folder, or the recipe folder around it")

    serve = add("serve", _serve, "Run the daemon.", json_flag=False)
    serve.add_argument("engines", type=Path, nargs="*", help="engine folders, or folders of them")
    serve.add_argument("--config", type=Path, help="TOML file; the command line goes on top")
    serve.add_argument("--socket", type=Path, help="unix socket to listen on")
    serve.add_argument("--tcp", metavar="HOST:PORT", help="also listen on TCP")
    serve.add_argument(
        "--allow-plaintext-on-network",
        action="store_true",
        help="serve a network interface without TLS: anyone there can read and make calls",
    )
    serve.add_argument("--kv-budget", type=_bytes_argument, help='for instance "512MiB"')
    serve.add_argument("--num-threads", type=int, help="CPU threads of a step")
    serve.add_argument("--mode", choices=("fast", "parity"), help="parity: exact f32, slow")
    serve.add_argument("--log-format", choices=("text", "json"))

    for name, command, text in (
        ("list", _list, "List the daemon's skills."),
        ("ps", _ps, "Show engines, memory, queues and rates."),
    ):
        add(name, command, text).add_argument("--address", help="unix:/path or host:port")

    call = add("call", _call, "Call a skill once.")
    call.add_argument("skill", help="id, as `skilld list` prints it")
    call.add_argument("input", help='JSON text of the input, or "-" for standard input')
    call.add_argument("--address", help="unix:/path or host:port")
    call.add_argument("--stream", action="store_true", help="show the answer as it grows")
    call.add_argument("--timeout-s", type=float, help="give up after this many seconds")
    call.add_argument("--seed", type=int, default=0, help="of sampling")

    doctor = add("doctor", _doctor, "Examine this machine and these engines.")
    doctor.add_argument("engines", type=Path, nargs="*", help="engine folders, or folders of them")
    return parser


def _bytes_argument(text: str) -> int:
    try:
        return parse_bytes(int(text) if text.isdigit() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())

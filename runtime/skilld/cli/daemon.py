"""Commands that run the daemon, ask it, and examine its machine."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.table import Table
from rich.text import Text

from skilld.cli.console import connect, err, out, print_json
from skilld.config import Config, default_socket_path, read_config

EXIT_NO = 1


def serve_command(options: argparse.Namespace) -> int:
    """Run the daemon."""
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
    if options.mqtt is not None:
        changes["mqtt"] = config.mqtt.model_copy(update={"broker": options.mqtt})
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


def list_command(options: argparse.Namespace) -> int:
    """List the daemon's skills."""
    from google.protobuf.json_format import MessageToDict

    with connect(options) as client:
        skills = client.skills()
    if options.json:
        print_json([MessageToDict(s, preserving_proto_field_name=True) for s in skills])
        return 0
    table = Table("skill", "version", "engine", "state", "description")
    for skill in skills:
        state = "serving" if not skill.state_reason else skill.state_reason
        table.add_row(skill.id, skill.version, skill.engine.name, state, skill.description)
    out.print(table)
    return 0


def call_command(options: argparse.Namespace) -> int:
    """Call a skill once."""
    text = sys.stdin.read() if options.input == "-" else options.input
    wishes = {"timeout_s": options.timeout_s, "seed": options.seed}
    with connect(options) as client:
        if options.stream:
            result = None
            for event in client.stream(options.skill, text, **wishes):
                match event.WhichOneof("event"):
                    case "delta":
                        err.print(event.delta.text, end="", markup=False, highlight=False)
                    case "result":
                        result = event.result
            err.print()
            assert result is not None
        else:
            result = client.invoke(options.skill, text, **wishes)
    is_abstention = result.WhichOneof("outcome") == "abstain"
    if options.json:
        usage = result.usage
        print_json(
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


def doctor_command(options: argparse.Namespace) -> int:
    """Examine this machine and these engines."""
    from skilld.doctor import examine

    checks = examine(options.engines, config_path=options.config, broker=options.broker)
    if options.json:
        print_json([{"check": c.name, "ok": c.is_ok, "found": c.found} for c in checks])
    else:
        table = Table("", "check", "found")
        for check in checks:
            mark = "[green]ok[/]" if check.is_ok else "[bold red]FAIL[/]"
            table.add_row(mark, Text(check.name, overflow="fold"), Text(check.found))
        out.print(table)
    return 0 if all(check.is_ok for check in checks) else EXIT_NO

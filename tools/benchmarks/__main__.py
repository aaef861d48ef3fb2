"""`tools/bench`: the command line."""

from __future__ import annotations

import argparse
import sys

from benchmarks import (
    engine_bench,
    json_bench,
    mix_bench,
    overhead_bench,
    precision_bench,
    preempt_bench,
    prefix_bench,
    share_bench,
    skill_bench,
    update_bench,
)
from skilld.core.errors import SkilldError

_INTERRUPTED = 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/bench",
        description="Measures skilld on this machine. Nothing else should run beside it.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module, text in (
        (
            "engine",
            engine_bench,
            "Decode, prefill, start and memory on random weights: the bare graph, our loop "
            "around it, and llama.cpp.",
        ),
        (
            "skill",
            skill_bench,
            "Calls of a shipped skill end to end over gRPC, with and without jump-forward.",
        ),
        (
            "json",
            json_bench,
            "Calls whose answer a schema forces, from 1 and from 8 clients: skilld and llama.cpp.",
        ),
        (
            "mix",
            mix_bench,
            "Three resident models and twelve streams: one daemon, three llama.cpp servers, three "
            "openvino-genai pipelines.",
        ),
        (
            "share",
            share_bench,
            "One cache budget shared by six engines under bursts, against splitting it up.",
        ),
        (
            "prefix",
            prefix_bench,
            "Time to the first token with and without a system prompt that is known.",
        ),
        (
            "overhead",
            overhead_bench,
            "Calls over gRPC that cost the model nothing, against a health check.",
        ),
        (
            "preempt",
            preempt_bench,
            "Answers of batch calls that lose their blocks to others, against undisturbed ones.",
        ),
        (
            "precision",
            precision_bench,
            "One checkpoint with f32, int8 and int4 weights: accuracy, size, speed.",
        ),
        (
            "update",
            update_bench,
            "A release to a box over MQTT, beside raw mosquitto; what a kill and a change cost; "
            "what callers notice.",
        ),
    ):
        sub = commands.add_parser(
            name,
            help=text,
            description=text,
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        sub.set_defaults(command=module.main)
        module.add_arguments(sub)
    return parser


def main() -> int:
    """Run one bench; returns its exit code."""
    options = _parser().parse_args()
    try:
        code: int = options.command(options)
    except (SkilldError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; no report was written", file=sys.stderr)
        return _INTERRUPTED
    return code


if __name__ == "__main__":
    sys.exit(main())

"""Commands that make and examine engine folders."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.table import Table

from skilld.cli.console import err, out, print_json, size, with_progress
from skilld.core.errors import ArtefactError
from skilld.core.manifest import EngineManifest, read_manifest, verify_files

EXIT_NO = 1


def build_command(options: argparse.Namespace) -> int:
    """Build an engine from a recipe folder."""
    from skilld.builder import build

    engine_dir = with_progress(
        lambda progress: build(
            options.recipe_dir,
            out_dir=options.out,
            progress=progress,
            num_threads=options.num_threads,
        ),
        is_quiet=options.json,
    )
    return _show_manifest(engine_dir, as_json=options.json)


def verify_command(options: argparse.Namespace) -> int:
    """Run an engine's golden cases and measure it."""
    from skilld.app import num_threads_of
    from skilld.builder.verify import verify
    from skilld.config import EngineConfig

    engine_dir = _engine_dir(options.engine)
    threads = num_threads_of(
        EngineConfig(num_threads=options.num_threads or 0), read_manifest(engine_dir)
    )
    found = with_progress(
        lambda progress: verify(engine_dir, num_threads=threads, progress=progress),
        is_quiet=options.json,
    )
    if options.json:
        print_json(found.manifest.model_dump(mode="json"))
    else:
        for failure in found.failed:
            err.print("[bold red]golden case failed[/]", failure.case.model_dump_json())
            err.print("  answered", str(failure.answer), markup=False)
        _print_manifest(found.manifest)
    return EXIT_NO if found.failed else 0


def inspect_command(options: argparse.Namespace) -> int:
    """Check an engine's files and print its manifest."""
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
        print_json({"path": str(engine_dir), **manifest.model_dump(mode="json")})
    else:
        out.print(f"[bold]{engine_dir}[/]")
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
        ("size", size(sum(entry.num_bytes for entry in manifest.files.values()))),
        ("built on", f"{manifest.build_host.cpu}, {_versions(manifest)}"),
    ]
    if (measured := manifest.measurements) is not None:
        steps = ", ".join(f"batch {s.batch}: {s.step_ms:.2f} ms" for s in measured.steps)
        rows += [
            ("measured on", f"{measured.cpu}, {measured.num_threads} threads"),
            ("  load", f"{measured.load_s:.2f} s, {size(measured.resident_bytes)} resident"),
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
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows:
        table.add_row(f"[dim]{key}[/]", value)
    out.print(table)


def _versions(manifest: EngineManifest) -> str:
    return ", ".join(f"{k} {v}" for k, v in sorted(manifest.build_host.tool_versions.items()))

"""Builder: a checkpoint folder and a recipe become an engine folder."""

from skilld.builder.engine_folder import build

__all__ = ["build"]

"""Making a specialist: data from a generator, a tokenizer, a small Llama, and an honest judgement.

Nothing here knows a skill; what is particular lies in `engines/<name>/generator`.
"""

import sys

# The build tools bring a torchvision that may not fit the installed torch, and one that does not
# breaks every import of transformers. Nothing here needs it, so it is hidden.
sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]

from skilld.training.evaluation import Answerer, Score, evaluate  # noqa: E402
from skilld.training.example import (  # noqa: E402
    Example,
    Generator,
    load_generator,
    read_examples,
)

__all__ = [
    "Answerer",
    "Example",
    "Generator",
    "Score",
    "evaluate",
    "load_generator",
    "read_examples",
]

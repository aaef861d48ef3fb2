"""`python -m skilld.cli`."""

import sys

from skilld.cli import main

sys.exit(main())

"""Transports: each turns one wire format into calls of `SkillService` and back. Blind to others."""

import os

# gRPC's C core writes to standard error by itself, in its own format; whatever matters there
# reaches us as a status or an exception. It reads this once, when it is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

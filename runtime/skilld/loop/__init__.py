"""`EngineLoop`: the thread that owns scheduler, ledger, arenas and engines.

The life of a request:

1.  A transport calls `SkillService`, which validates the input, renders and tokenizes the prompt
    and calls `submit` with a `Request` and its `TokenChooser`.
2.  Thread border 1: the pair goes into the inbox. The engine thread takes it out at the next
    step border and adds it to the scheduler, which queues or refuses it.
3.  `schedule(now)` refuses it if its deadline cannot be met, admits it once the ledger grants
    its whole reservation, and puts a prefill chunk of it into a batch, beside the decodes of
    others. What is known of its beginning it shares; a partial block of that is copied.
4.  `engine.step(batch)` computes; new keys and values go into the request's blocks.
5.  For rows that ask for logits, the chooser picks a token under the skill's constraint, any
    tokens that follow from it without choice, and guesses what may come next.
6.  `update` appends them; the next step feeds them all in one row and verifies the guesses. Back
    to 4. Batch work may lose its blocks meanwhile; it then goes back to 3 with its tokens.
7.  The chooser says the answer is complete, or the deadline passes, or an abort came: the
    scheduler ends the request, its blocks are free before the next step is planned, their pages
    when no call follows at once or others need them.
8.  Thread border 2: events leave through `deliver`, those of one step in one call, before the step
    is booked: the event loop wakes up meanwhile. The service turns tokens into text, validates the
    answer and replies.

Everything but `submit`, `abort`, `call` and `run` runs on the engine thread.
"""

from skilld.loop.engine_loop import EngineLoop
from skilld.loop.events import Accepted, Deliver, Ended, Event, TokenChooser, Tokens

__all__ = ["Accepted", "Deliver", "Ended", "EngineLoop", "Event", "TokenChooser", "Tokens"]

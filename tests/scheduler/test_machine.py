"""Ten invariants of the shared memory, under any sequence of what can happen to it.

`World` is a box with fake engines and a reference model beside it. Its methods are what can
happen: Hypothesis tries short sequences of them and shrinks what fails, and `tools/prove` drives
long ones from a seed. After each, the checks below hold; their numbers say which one is meant.

Tokens are part of it: an engine whose next token depends on every token before it reads them back
from the blocks it is handed, so whoever is handed wrong blocks answers wrongly.
"""

from __future__ import annotations

import collections
import itertools
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray

from skilld.core.batch import Batch, Row
from skilld.core.errors import InvalidRequestError, OverloadedError
from skilld.core.request import Request, RequestClass
from skilld.engine.fake import FakeEngine
from skilld.kvcache import CacheGeometry, EngineCache, Holding, KvLedger
from skilld.kvcache.kv_memory import MAX_PINNED_SHARE
from skilld.scheduler import CostModel, EngineLimits, Policy, Scheduler

BUDGET_BYTES = 4000
POISON = 0xDEADBEEF
# Two lengths of block in tokens and in bytes; the last one has recurrent state and shares nothing.
GEOMETRIES = {
    "light": CacheGeometry(block_tokens=4, block_bytes=50, num_blocks=BUDGET_BYTES // 50),
    "heavy": CacheGeometry(block_tokens=8, block_bytes=300, num_blocks=BUDGET_BYTES // 300),
    "state": CacheGeometry(
        block_tokens=4,
        block_bytes=70,
        num_blocks=BUDGET_BYTES // 70,
        state_block_bytes=90,
        state_blocks_per_sequence=1,
        num_state_blocks=4,
    ),
}
ENGINES = tuple(GEOMETRIES)
CLASSES = tuple(RequestClass)
VOCAB_SIZE = 251
# Many calls begin with one of these, or with a part of it.
BEGINNINGS = [[(7 * n + 13 * k) % VOCAB_SIZE for k in range(40)] for n in range(4)]


def next_token(tokens: Sequence[int]) -> int:
    """What follows: it depends on all that came before."""
    return zlib.crc32(bytes(tokens)) % VOCAB_SIZE


@dataclass
class Model:
    """The reference: what the caller of every method knows, kept apart from what is tested.

    Attributes:
        min_bytes: guarantee of each engine.
        max_bytes: cap of each engine.
        live: requests submitted and not ended.
        ended: ids of requests that ended.
    """

    min_bytes: dict[str, int] = field(default_factory=dict)
    max_bytes: dict[str, int] = field(default_factory=dict)
    live: dict[str, Request] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)


@dataclass
class Fake:
    """A fake engine and the memory behind its blocks."""

    engine: FakeEngine
    memory: NDArray[np.uint32]
    known: dict[int, tuple[Any, bytes]] = field(default_factory=dict)


def fake(geometry: CacheGeometry) -> Fake:
    engine = FakeEngine(VOCAB_SIZE, rule=next_token, block_tokens=geometry.block_tokens)
    (spec,) = engine.cache_specs
    memory = np.full((geometry.num_blocks, *spec.block_shape), POISON, np.uint32)
    engine.bind({spec.name: memory})
    return Fake(engine, memory)


class World:
    """See the module docstring."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.model = Model()
        self.ledger = KvLedger(BUDGET_BYTES)
        self.scheduler = Scheduler(self.ledger, Policy(aging_s=2.0))
        self.fakes: dict[str, Fake] = {}
        self.counts: collections.Counter[str] = collections.Counter()
        self._ids = itertools.count()
        self._reserved: dict[str, int] = {}
        for name in ENGINES:
            self.load(name, 0.1)

    # --- what can happen ---------------------------------------------------------------------

    def load(self, name: str, min_share: float) -> None:
        if name in self.fakes:
            return
        min_bytes = int(min_share * BUDGET_BYTES)
        is_safe = self._others_committed(name) + min_bytes <= BUDGET_BYTES
        try:
            self.ledger.open_account(name, min_bytes=min_bytes, max_bytes=BUDGET_BYTES)
        except ValueError:
            assert not is_safe, "9: a guarantee that can be kept was refused"
            return
        assert is_safe, "9: a guarantee that cannot be kept was given"
        self.model.min_bytes[name], self.model.max_bytes[name] = min_bytes, BUDGET_BYTES
        limits = EngineLimits(
            GEOMETRIES[name],
            context_limit=80,
            max_num_seqs=4,
            max_num_batched_tokens=24,
            max_queued=12,
            max_queued_per_client=6,
        )
        cost = CostModel((2.0, 0.5, 0.2, 0.001), is_fixed=True)
        self.scheduler.add_engine(name, limits, cost)
        self.fakes[name] = fake(GEOMETRIES[name])
        self.counts["loads"] += 1

    def unload(self, name: str) -> None:
        if name not in self.fakes:
            return
        figures = self.scheduler.figures(name)
        for figure in ("num_preemptions", "num_prefix_tokens", "num_accepted_tokens"):
            self.counts[figure] += figures[figure]
        for request in self.scheduler.requests(name):
            assert self.scheduler.abort(request)
            self._end(request)
        self.scheduler.remove_engine(name)
        del self.fakes[name], self.model.min_bytes[name], self.model.max_bytes[name]
        self._reserved.pop(name, None)
        self.counts["unloads"] += 1

    def submit(
        self,
        name: str,
        beginning: int,
        shared_len: int,
        own: Sequence[int],
        max_tokens: int,
        request_class: RequestClass,
        patience_s: float | None,
        client: str,
    ) -> None:
        prompt = BEGINNINGS[beginning][:shared_len] + list(own)
        if name not in self.fakes or not prompt:
            return
        request = Request(
            f"r{next(self._ids)}",
            name,
            prompt,
            max_tokens,
            request_class=request_class,
            arrival_s=self.now_s,
            deadline_s=None if patience_s is None else self.now_s + patience_s,
            client=client,
        )
        try:
            self.scheduler.add(request)
        except InvalidRequestError as error:
            self.counts[error.reason] += 1
            # What is needed when everybody is held to what is promised exceeds what is left.
            if error.reason == "REQUEST_TOO_LARGE":
                needed = GEOMETRIES[name].sequence_bytes(request.max_total_tokens)
                left = BUDGET_BYTES - self._others_committed(name, only_pins=True)
                pinned = self.ledger.accounts[name].pinned_bytes
                assert needed + pinned > min(left, self.model.max_bytes[name])
            return
        except OverloadedError as error:
            self.counts[error.reason] += 1
            return
        self.model.live[request.request_id] = request
        self.counts["submits"] += 1

    def step(
        self, dt_s: float, num_forced: int, num_guesses: int, wrong_guess: int, stops: bool
    ) -> None:
        """Run one step; rows get their token, some forced ones, and guesses for the next."""
        batch = self._schedule(dt_s)
        if batch is None:
            return
        fake = self.fakes[batch.engine]
        before = {row.request_id: tuple(row.block_ids) for row in batch.rows}
        output = fake.engine.step(batch)
        tokens: dict[str, list[int]] = {}
        guesses: dict[str, list[int]] = {}
        line = 0
        for row in batch.rows:
            # 6: nothing is in flight while blocks are freed, so there are no fences; what a step
            # was handed is still what its rows hold when it is done.
            assert tuple(row.block_ids) == before[row.request_id], "6: blocks moved in a step"
            if row.num_logits == 0:
                continue
            request = self.model.live[row.request_id]
            lines = output.greedy_ids[line : line + row.num_logits]
            line += row.num_logits
            chosen = self._accept(row, lines)
            room = request.max_tokens - request.num_generated_tokens
            chosen += self._follow([*request.tokens, *chosen], num_forced)
            tokens[row.request_id] = chosen[:room]
            # 8: an undisturbed run is `next_token` applied again and again.
            expected = self._follow(request.tokens, len(tokens[row.request_id]))
            assert tokens[row.request_id] == expected, "8: another answer than alone"
            guess = self._follow([*request.tokens, *tokens[row.request_id]], num_guesses)
            if wrong_guess < len(guess):
                guess[wrong_guess] = (guess[wrong_guess] + 1) % VOCAB_SIZE
            guesses[row.request_id] = guess
        cost = self.scheduler.cost(batch.engine)
        num_cached = sum(row.past_len for row in batch.rows)
        step_ms = cost.predict_ms(len(batch.rows), batch.num_new_tokens, num_cached)
        self.now_s += step_ms / 1000.0
        self.scheduler.update(
            batch, step_ms=step_ms, new_tokens=tokens, drafts=guesses, now_s=self.now_s
        )
        self.counts["steps"] += 1
        for position, request_id in enumerate(tokens):
            request = self.model.live[request_id]
            is_full = request.num_generated_tokens == request.max_tokens
            if is_full or (stops and position == 0):
                self.scheduler.finish(request)
                self._end(request)

    def fail_step(self, dt_s: float) -> None:
        """A step that the engine cannot compute ends the requests in it."""
        batch = self._schedule(dt_s)
        if batch is None:
            return
        requests = [self.model.live.get(row.request_id) for row in batch.rows]
        self.scheduler.drop(batch)
        for request in requests:
            if request is not None:
                self._end(request)
        self.counts["failed steps"] += 1

    def cancel(self, which: int) -> None:
        if not self.model.live:
            return
        request = list(self.model.live.values())[which % len(self.model.live)]
        assert self.scheduler.abort(request), "a live request is unknown"
        self._end(request)
        assert not self.scheduler.abort(request), "it ended twice"
        self.counts["cancels"] += 1

    def pin(self, name: str, beginning: int, shared_len: int) -> None:
        if name in self.fakes:
            tokens = BEGINNINGS[beginning][:shared_len]
            pinned = self.scheduler.pin(name, tokens, now_s=self.now_s)
            self.counts["pins"] += pinned

    def resize(self, name: str, min_share: float, max_share: float) -> None:
        """9: raising a guarantee is refused unless safe; lowering a cap revokes nothing."""
        if name not in self.fakes:
            return
        min_bytes, max_bytes = int(min_share * BUDGET_BYTES), int(max_share * BUDGET_BYTES)
        account = self.ledger.accounts[name]
        firm = self._table_bytes(name, only_firm=True)
        is_safe = (
            min_bytes <= max_bytes
            and self._others_committed(name) + max(min_bytes, firm) <= BUDGET_BYTES
        )
        before = (account.firm_bytes, account.revocable_bytes, self.scheduler.num_running(name))
        try:
            self.ledger.resize(name, min_bytes=min_bytes, max_bytes=max_bytes)
        except ValueError:
            assert not is_safe, "9: a guarantee that can be kept was refused"
            return
        assert is_safe, "9: a guarantee that cannot be kept was given"
        after = (account.firm_bytes, account.revocable_bytes, self.scheduler.num_running(name))
        assert before == after, "9: a lower cap revoked something"
        self.model.min_bytes[name], self.model.max_bytes[name] = min_bytes, max_bytes
        self.counts["resizes"] += 1

    def limit(self, share: float) -> None:
        """Lower or raise the limit; nothing firm goes."""
        firm = {name: account.firm_bytes for name, account in self.ledger.accounts.items()}
        self.scheduler.limit_memory(int(share * BUDGET_BYTES))
        for name, account in self.ledger.accounts.items():
            assert account.firm_bytes == firm[name], "9: a lower limit revoked something firm"
        self.counts["limits"] += 1

    def wait(self, dt_s: float) -> None:
        self.now_s += dt_s

    def settle_down(self) -> None:
        """7: when everything ended, nothing is held but pins; and cached blocks can all go."""
        self.scheduler.limit_memory(BUDGET_BYTES)
        for request in list(self.model.live.values()):
            assert self.scheduler.abort(request)
            self._end(request)
        while (batch := self._schedule(0.0)) is not None:  # pins in the making
            self.fakes[batch.engine].engine.step(batch)
            self.scheduler.update(batch, step_ms=1.0, new_tokens={}, now_s=self.now_s)
        self.check()
        for name, account in self.ledger.accounts.items():
            assert account.reserved_bytes == account.used_bytes, "7: a credit is left"
            assert account.reserved_bytes == account.pinned_bytes, "7: a block is left"
            assert self.scheduler.num_running(name) == self.scheduler.num_waiting(name) == 0
        self.scheduler.limit_memory(0)
        assert self.ledger.cached_bytes == 0, "7: a cached block cannot go"
        for name, cache in self.scheduler.memory.caches.items():
            assert cache.blocks.num_active * cache.geometry.block_bytes == (
                self.ledger.accounts[name].pinned_bytes
            ), "7: blocks are left"
            assert cache.states.num_active == 0, "7: state is left"
        self.scheduler.limit_memory(BUDGET_BYTES)

    # --- the invariants ----------------------------------------------------------------------

    def check(self) -> None:
        """All that can be seen between two operations; 6, 7, 8 and 9 are checked where they act."""
        self.scheduler.check()
        held_bytes = 0
        for name, cache in self.scheduler.memory.caches.items():
            tables = self._tables(name)
            refs = collections.Counter(b for table in tables for b in table.block_ids)
            nodes = {node.block_id: node for node in cache._tree}
            self._each_block_is_in_one_set(cache, refs.keys(), nodes.keys())  # 1
            self._references_are_tables(cache, refs)  # 2
            self._credits_are_what_is_promised_and_not_taken(name, tables)  # 4
            self._what_is_known_is_never_written(name, cache, nodes, refs)  # 5
            num_cached = len(nodes.keys() - refs.keys())
            num_states = sum(len(table.state_block_ids) for table in tables)
            held_bytes += (len(refs) + num_cached) * cache.geometry.block_bytes
            held_bytes += num_states * cache.geometry.state_block_bytes
        assert held_bytes <= BUDGET_BYTES, "10: more memory than configured"
        self._the_state_is_safe(held_bytes)  # 3

    def _each_block_is_in_one_set(
        self, cache: EngineCache, active: collections.abc.Set[int], known: collections.abc.Set[int]
    ) -> None:
        pool = cache.blocks
        free, cached = set(pool._free), known - active
        assert len(free) == len(pool._free), "1: a block is free twice"
        never_used = range(len(pool.refs), pool.num_blocks)
        total = len(free) + len(active) + len(cached) + len(never_used)
        assert total == pool.num_blocks, "1: a block is lost"
        assert not free & active, "1: a block is free and held"
        assert not free & cached, "1: a block is free and cached"

    def _references_are_tables(self, cache: EngineCache, refs: Mapping[int, int]) -> None:
        for block_id, count in enumerate(cache.blocks.refs):
            assert count == refs.get(block_id, 0), "2: references are not the tables"
        assert all(0 <= block_id < cache.geometry.num_blocks for block_id in refs), "2: foreign"
        states = [s for table in self._tables(cache.engine) for s in table.state_block_ids]
        assert len(set(states)) == len(states), "2: two sequences have one state"

    def _the_state_is_safe(self, held_bytes: int) -> None:
        promised = firm_or_min = 0
        for name in self.fakes:
            reserved, firm = self._table_bytes(name), self._table_bytes(name, only_firm=True)
            account = self.ledger.accounts[name]
            assert (account.reserved_bytes, account.firm_bytes) == (reserved, firm), "3: bytes"
            promised += reserved
            firm_or_min += max(self.model.min_bytes[name], firm)
            # A cap lowered below what is held is the one lawful excess; it never grows.
            most = max(self.model.max_bytes[name], self._reserved.get(name, 0))
            assert reserved <= most, f"3: {name} is beyond its cap"
            self._reserved[name] = reserved
        assert promised <= BUDGET_BYTES, "3: promises exceed the budget"
        assert firm_or_min <= BUDGET_BYTES, "3: guarantees exceed the budget"
        if held_bytes > self.ledger.limit_bytes:
            assert self.ledger.cached_bytes == 0, "3: cached blocks above the limit"
        assert self.ledger.pinned_bytes <= MAX_PINNED_SHARE * BUDGET_BYTES, "3: too much is pinned"

    def _credits_are_what_is_promised_and_not_taken(
        self, name: str, tables: Sequence[Holding]
    ) -> None:
        # That taking never fails needs no check: it raises.
        geometry = GEOMETRIES[name]
        runs = self.scheduler._lanes[name].running.values()
        promised = sum(geometry.blocks_for(run.request.max_total_tokens) for run in runs)
        taken = sum(len(run.holding.block_ids) for run in runs)
        assert sum(table.num_credits for table in tables) == promised - taken, "4: credits"

    def _what_is_known_is_never_written(
        self, name: str, cache: EngineCache, nodes: Mapping[int, Any], refs: Mapping[int, int]
    ) -> None:
        fake = self.fakes[name]
        seen = {}
        for block_id, node in nodes.items():
            before = fake.known.get(block_id)
            if before is None or before[0] is not node:
                before = (node, fake.memory[block_id, :, : len(node.tokens)].tobytes())
                held = fake.memory[block_id, 0, : len(node.tokens)].tolist()
                assert held == list(node.tokens), "5: a block holds other tokens than it says"
            elif before[1] != fake.memory[block_id, :, : len(node.tokens)].tobytes():
                raise AssertionError("5: a known block was written")
            seen[block_id] = before
        fake.known = seen
        for block_id, count in refs.items():
            assert count == 1 or block_id in nodes, "5: a block with two owners can be written"
        for run in self.scheduler._lanes[name].running.values():
            first_writable = run.request.num_computed_tokens // cache.geometry.block_tokens
            for block_id in run.holding.block_ids[first_writable:]:
                assert block_id not in nodes, "5: a known block is about to be written"

    # --- parts -------------------------------------------------------------------------------

    def _schedule(self, dt_s: float) -> Batch | None:
        self.now_s += dt_s
        batch, finished = self.scheduler.schedule(self.now_s)
        for end in finished:
            self._end(end.request)
        self._settle_pages()
        if batch is None and self.ledger.limit_bytes == BUDGET_BYTES:
            assert not self.model.live, "work waits and nothing runs"
        if batch is not None:
            cost = self.scheduler.cost(batch.engine)
            num_cached = sum(row.past_len for row in batch.rows)
            step_ms = cost.predict_ms(len(batch.rows), batch.num_new_tokens, num_cached)
            assert step_ms <= self.scheduler.policy.step_bound_ms + 1e-5
            assert batch.num_new_tokens <= 24
            assert all(row.token_ids for row in batch.rows), "a row computes nothing"
        return batch

    def _settle_pages(self) -> None:
        """What the engine loop does with an arena; blocks given back are poisoned at once."""
        for name, cache in self.scheduler.memory.caches.items():
            memory = self.fakes[name].memory
            _, returned = cache.blocks.drain()
            cache.states.drain()
            for source, target in cache.copies:
                memory[target] = memory[source]
            cache.copies.clear()
            for block_id in returned:
                memory[block_id] = POISON

    def _accept(self, row: Row, lines: Sequence[int]) -> list[int]:
        """Guesses that came true, and the token after them."""
        pairs = zip(row.draft, lines, strict=False)  # one line more than guesses
        num_right = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
        return [*row.draft[:num_right], lines[num_right]]

    def _follow(self, tokens: Sequence[int], count: int) -> list[int]:
        history = list(tokens)
        for _ in range(count):
            history.append(next_token(history))
        return history[len(tokens) :]

    def _end(self, request: Request) -> None:
        assert request.request_id not in self.model.ended, "a request ended twice"
        self.model.ended.add(request.request_id)
        del self.model.live[request.request_id]

    def _tables(self, name: str) -> list[Holding]:
        runs = self.scheduler._lanes[name].running.values()
        return [*(run.holding for run in runs), *self.scheduler.memory.caches[name]._pins]

    def _table_bytes(self, name: str, *, only_firm: bool = False) -> int:
        """Bytes promised to those tables; a block of several counts once."""
        geometry = GEOMETRIES[name]
        tables = [t for t in self._tables(name) if t.firm or not only_firm]
        blocks = {block_id for table in tables for block_id in table.block_ids}
        num_credits = sum(table.num_credits for table in tables)
        num_states = sum(len(table.state_block_ids) for table in tables)
        return (
            len(blocks) + num_credits
        ) * geometry.block_bytes + num_states * geometry.state_block_bytes

    def _others_committed(self, name: str, *, only_pins: bool = False) -> int:
        return sum(
            max(
                min_bytes,
                self.ledger.accounts[other].pinned_bytes
                if only_pins
                else self._table_bytes(other, only_firm=True),
            )
            for other, min_bytes in self.model.min_bytes.items()
            if other != name
        )


def random_operation(world: World, dice: random.Random) -> None:
    """One of the things that can happen, about as often as the rules below make it happen."""
    name = dice.choice(ENGINES)
    pick = dice.random()
    if pick < 0.40:
        world.submit(
            name,
            dice.randrange(4),
            dice.choice([0, 3, 12, 24, 31, 40]),
            [dice.randrange(VOCAB_SIZE) for _ in range(dice.choice([0, 1, 3, 9, 30]))],
            dice.choice([1, 2, 6, 15, 30]),
            dice.choice([*CLASSES, RequestClass.BATCH, RequestClass.BATCH]),
            dice.choice([None, None, None, 0.1, 5.0]),
            dice.choice("xyz"),
        )
    elif pick < 0.86:
        world.step(
            dice.choice([0.0, 0.001, 0.01]),
            dice.choice([0, 0, 0, 1, 4]),
            dice.choice([0, 0, 1, 5]),
            dice.choice([0, 2, 9, 9]),
            dice.random() < 0.05,
        )
    elif pick < 0.90:
        world.cancel(dice.randrange(64))
    elif pick < 0.93:
        world.limit(dice.choice([0.0, 0.2, 0.6, *[1.0] * 6]))
    elif pick < 0.95:
        world.resize(name, dice.choice([0.0, 0.1, 0.4]), dice.choice([0.2, *[1.0] * 5]))
    elif pick < 0.965:
        world.pin(name, dice.randrange(4), dice.choice([8, 14, 24]))
    elif pick < 0.975:
        world.wait(dice.choice([0.1, 1.0, 3.0]))
    elif pick < 0.98:
        world.fail_step(0.001)
    elif pick < 0.985:
        world.unload(name)
    else:
        world.load(name, dice.choice([0.0, 0.1, 0.3]))


class Machine(RuleBasedStateMachine):
    """Hypothesis at the wheel of a `World`."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(
        name=st.sampled_from(ENGINES),
        beginning=st.integers(0, 3),
        shared_len=st.integers(0, 40),
        own=st.lists(st.integers(0, VOCAB_SIZE - 1), max_size=30),
        max_tokens=st.integers(1, 30),
        request_class=st.sampled_from(CLASSES),
        patience_s=st.none() | st.floats(0.01, 5.0),
        client=st.sampled_from("xyz"),
    )
    def submit(self, **call: Any) -> None:
        self.world.submit(**call)

    @rule(
        dt_s=st.floats(0.0, 0.1),
        num_forced=st.integers(0, 4),
        num_guesses=st.integers(0, 5),
        wrong_guess=st.integers(0, 9),
        stops=st.booleans(),
    )
    def step(self, **step: Any) -> None:
        self.world.step(**step)

    @rule(times=st.integers(2, 12))
    def some_steps(self, times: int) -> None:
        for _ in range(times):
            self.world.step(0.0, 0, 0, 0, False)

    @rule(dt_s=st.floats(0.0, 0.1))
    def fail_step(self, dt_s: float) -> None:
        self.world.fail_step(dt_s)

    @rule(which=st.integers(0, 63))
    def cancel(self, which: int) -> None:
        self.world.cancel(which)

    @rule(name=st.sampled_from(ENGINES), beginning=st.integers(0, 3), shared_len=st.integers(1, 40))
    def pin(self, name: str, beginning: int, shared_len: int) -> None:
        self.world.pin(name, beginning, shared_len)

    @rule(
        name=st.sampled_from(ENGINES), min_share=st.floats(0.0, 1.0), max_share=st.floats(0.0, 1.0)
    )
    def resize(self, name: str, min_share: float, max_share: float) -> None:
        self.world.resize(name, min_share, max_share)

    @rule(share=st.floats(0.0, 1.0) | st.just(1.0))
    def limit(self, share: float) -> None:
        self.world.limit(share)

    @rule(name=st.sampled_from(ENGINES))
    def unload(self, name: str) -> None:
        self.world.unload(name)

    @rule(name=st.sampled_from(ENGINES), min_share=st.floats(0.0, 0.5))
    def load(self, name: str, min_share: float) -> None:
        self.world.load(name, min_share)

    @rule(dt_s=st.floats(0.0, 5.0))
    def wait(self, dt_s: float) -> None:
        self.world.wait(dt_s)

    @invariant()
    def the_ten_hold(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.settle_down()


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def prove(
    num_operations: int, seed: int, progress: Callable[[int, World], None] = lambda *_: None
) -> collections.Counter[str]:
    """Drive one world through random operations, all ten checked after each.

    Returns:
        How often what happened.
    """
    dice = random.Random(seed)
    world = World()
    for done in range(1, num_operations + 1):
        random_operation(world, dice)
        world.check()
        if done % 5000 == 0:
            world.settle_down()
            progress(done, world)
    world.settle_down()
    for name in ENGINES:
        world.unload(name)
    return world.counts


def test_a_long_run_meets_everything_that_can_happen() -> None:
    counts = prove(3000, seed=1)
    for event in (
        "submits", "steps", "cancels", "pins", "resizes", "limits", "loads", "unloads",
        "failed steps", "REQUEST_TOO_LARGE", "num_preemptions", "num_prefix_tokens",
        "num_accepted_tokens",
    ):  # fmt: skip
        assert counts[event] > 0, f"no {event} in the whole run"

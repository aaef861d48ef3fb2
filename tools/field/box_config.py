"""`box_configs`: of a box that updates over MQTT, with memory for two versions and without."""

from __future__ import annotations

from pathlib import Path

from field.releases import ReleaseSite
from skilld.app.box_plan import plan_box
from skilld.config import Config, MemoryConfig

BESIDE, SWAP = "side by side", "drain and swap"
_KV_BUDGET_BYTES = 32 << 20
_ENOUGH_BYTES = 1 << 34
_LITTLE_BYTES = 1 << 20  # less than the weights of any engine

_TEXT = """\
engines = [{engines}]
[memory]
total_bytes = {total_bytes}
kv_budget_bytes = {kv_budget_bytes}
[mqtt]
broker = "127.0.0.1:{port}"
box = "{box}"
[updates]
source = "mqtt:{depot}"
root = "{root}"
store = "{store}"
reserve_bytes = 0
"""


def box_configs(
    site: ReleaseSite, store: Path, *, port: int, box: str, depot: str
) -> dict[str, str]:
    """Texts of configurations, by form.

    Args:
        site: whose engines and root of trust the box has.
        store: of the box.
        port: of the broker, on 127.0.0.1.
        box: its name.
        depot: where it fetches from.
    """
    engines = tuple(site.engines.values())
    needed_bytes = plan_box(
        Config(engines=engines, memory=MemoryConfig(kv_budget_bytes=_KV_BUDGET_BYTES)),
        total_bytes=_ENOUGH_BYTES,
        kv_budget_bytes=_KV_BUDGET_BYTES,
    ).needed_bytes
    return {
        form: _TEXT.format(
            engines=", ".join(f'"{path}"' for path in engines),
            total_bytes=total_bytes,
            kv_budget_bytes=_KV_BUDGET_BYTES,
            port=port,
            box=box,
            depot=depot,
            root=site.root_of_trust,
            store=store,
        )
        for form, total_bytes in (
            (BESIDE, _ENOUGH_BYTES),
            (SWAP, needed_bytes + _LITTLE_BYTES),
        )
    }

"""What one would do without a model: rules and regular expressions, written in an honest hour.

The rules know the vocabulary of lexicon.toml's slots as a plant engineer would: by keywords. They
do not read the templates.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from skilld.skills.pointing.moments import moment_value

HANDS_ON = frozenset(
    {
        "inspect", "replace", "check_wiring", "lubricate", "refill", "clean", "clear_jam",
        "call_maintenance", "stop_line",
    }
)  # fmt: skip

# (words, subsystem, severity, action); the first that matches wins.
RULES: tuple[tuple[str, str, str, str], ...] = (
    (r"emergency|e-?stop|emo\b|非常停止", "safety", "critical", "stop_line"),
    (r"fire|smoke|gas|flame|ppm|火災|煙|ガス|炎", "safety", "critical", "stop_line"),
    (
        r"safety (relay|controller|plc|circuit|loop)|discrepancy|安全(リレー|コント|回路|入力)",
        "safety",
        "critical",
        "stop_line",
    ),
    (
        r"door|guard|gate (open|unl)|curtain|muting|two-hand|扉|ドア|カーテン|柵|両手",
        "safety",
        "alarm",
        "reset",
    ),
    (
        r"camera|vision|lens|image|illumination|barcode|カメラ|画像|照明|レンズ|読取",
        "vision",
        "alarm",
        "check_wiring",
    ),
    (r"jam|stuck at|詰まり|ジャム|滞留", "conveyor", "alarm", "clear_jam"),
    (r"belt (torn|broken|ripped)|破断|ベルト切れ", "conveyor", "critical", "stop_line"),
    (r"conveyor|belt|buffer|コンベ|ベルト|満杯", "conveyor", "warning", "inspect"),
    (
        r"feeder|hopper|magazine|out of|フィーダ|ホッパ|部品切れ|材料切れ",
        "conveyor",
        "warning",
        "refill",
    ),
    (r"hydraulic.*(level|empty)|作動油.*(低下|不足|少)", "hydraulics", "warning", "refill"),
    (
        r"hydraulic.*filter|油圧.*フィルタ|oil filter|オイルフィルタ",
        "hydraulics",
        "warning",
        "replace",
    ),
    (
        r"hydraulic.*(leak|pump|hose)|油漏れ|油圧(ポンプ|ホース)",
        "hydraulics",
        "alarm",
        "call_maintenance",
    ),
    (r"hydraulic.*(temp|hot)|油温", "thermal", "alarm", "cool_down"),
    (r"hydraulic|hpu|油圧|作動油", "hydraulics", "alarm", "inspect"),
    (
        r"overtemp|overheat|too hot|temperature|temp |過熱|高温|温度",
        "thermal",
        "alarm",
        "cool_down",
    ),
    (r"fan |ファン", "thermal", "alarm", "replace"),
    (r"coolant.*level|クーラント.*(不足|低下)", "thermal", "warning", "refill"),
    (r"coolant|cooling|chiller|heater|冷却|クーラント|ヒータ", "thermal", "alarm", "inspect"),
    (
        r"vacuum|air |pneumatic|cylinder|compressor|真空|吸着|エア|シリンダ|コンプレッサ",
        "pneumatics",
        "alarm",
        "inspect",
    ),
    (
        r"profinet|profibus|ethercat|ethernet|modbus|cc-link|devicenet|communication|bus |node|"
        r"通信|局|"
        r"ノード",
        "network",
        "alarm",
        "restart_network",
    ),
    (r"link|cable|port|リンク|ケーブル", "network", "alarm", "check_wiring"),
    (r"ip |packet|mes|scada|opc|ntp|接続断|パケット", "network", "warning", "restart_network"),
    (r"battery|バッテリ|電池", "control", "warning", "replace"),
    (
        r"cpu|plc|watchdog|wdt|scan|sequence|step|recipe|シーケン|工程|レシピ|パラメータ",
        "control",
        "alarm",
        "reset",
    ),
    (
        r"breaker|voltage|mains|power|fuse|ground|earth|phase|電源|電圧|遮断器|ブレーカ|ヒューズ|地絡|停電",
        "power",
        "alarm",
        "inspect",
    ),
    (
        r"vibration|bearing|noise|lub|grease|tool|clamp|chuck|backlash|collision|振動|軸受|ベアリング|潤滑|"
        r"グリス|工具|クランプ|衝突|ガタ",
        "mechanical",
        "alarm",
        "inspect",
    ),
    (
        r"sensor|thermocouple|transmitter|4-20|proximity|switch|センサ|熱電対|伝送器|スイッチ",
        "sensor",
        "alarm",
        "check_wiring",
    ),
    (
        r"motor|servo|axis|drive|inverter|encoder|spindle|torque|モータ|サーボ|軸|インバータ|エンコーダ|過負荷|"
        r"過電流",
        "drive",
        "alarm",
        "inspect",
    ),
)
_CODE = re.compile(
    r"(?<![\w.:/#-])(?:W#16#[0-9A-F]{4}|16#[0-9A-F]{4}|0x[0-9A-F]{2,8}|T\d{2}:C\d{2}|AL\.[0-9A-F]{2}"
    r"|[A-Z]{1,5}[-_.]?\d{1,5}(?:[-.]\d{1,3})?|[A-Z]{1,2}\.[A-Z]{0,2}\d{1,3}|[A-Z]\d[0-9A-F]{2}"
    r"|\d{2,6}(?:[-.]\d{1,3})?)(?![\w:/%#]|[.]\d|[ ]?(?:bar|MPa|kPa|mm|A|V|C|°C|%|rpm|s|ms|min)\b)"
)
_DEVICE = re.compile(
    r"(?:M|CV|P|AX|DRV|PT|TT|LS|Y|X|K|D|J|B|AI|CAM|CH|ST|OP|Q|I|DB|N|plc|hmi)\d{1,4}"
)
_DATE = re.compile(
    r"\d{2,4}[-/年]\d{1,2}[-/月]\d{1,2}日?|\d{1,2}[-./]\d{1,2}[-./]\d{4}"
    r"|\d{1,2}[- ][A-Z][a-z]{2}[- ]\d{4}|[A-Z][a-z]{2} {1,2}\d{1,2}(?:, \d{4})?"
)
_CLOCK = re.compile(
    r"(?:午前|午後)?\d{1,2}(?::\d{2}(?::\d{2}(?:[.,]\d+)?)?|時\d{1,2}分(?:\d{1,2}秒)?|h\d{2})"
    r"(?: ?[AP]M)?|(?<=\[)\d+\.\d+(?=\])|T\+[\d.]+s|\b1[67]\d{8}(?:\d{3})?\b"
)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")
_LEVELS = (
    (r"\b(crit|critical|fatal|emerg|ftl)\b|重大|重故障|緊急", "critical"),
    (r"\b(alarm|error|fault|err|alm|flt)\b|警報|アラーム", "alarm"),
    (r"\b(warn|warning|wrn)\b|警告|注意|軽故障", "warning"),
)
_LIMIT = re.compile(
    r"(?:limit|lim|max|min|threshold|allowed|上限|下限|制限|しきい値|規定|設定|基準|[<>])\D{0,4}(-?\d+(?:\.\d+)?)"
)
_IS_LOW = re.compile(r"low|lost|loss|weak|under|empty|min|drop|低|不足|下限|切れ|減|空")


def rules(inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
    """Answer by keywords, clock and regular expressions."""
    return [_triage([unicodedata.normalize("NFKC", line) for line in i["lines"]]) for i in inputs]


def copy_slot(
    neighbour_input: Mapping[str, Any], neighbour: Mapping[str, Any], asked: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The neighbour's answer with the first code of the asked log."""
    if "abstain" in neighbour or neighbour["fault_code"] is None:
        return neighbour
    lines = [unicodedata.normalize("NFKC", line) for line in asked["lines"]]
    place = min(int(neighbour["first_line"]), len(lines)) - 1
    return {**neighbour, "fault_code": _code(lines[place]), "first_line": place + 1}


def _triage(lines: list[str]) -> Mapping[str, Any]:
    clocks = [_clock(line) for line in lines]
    order = sorted(range(len(lines)), key=lambda i: (clocks[i], i))
    for i in order:
        text = lines[i].casefold()
        for words, subsystem, base, action in RULES:
            if not re.search(words, text):
                continue
            if re.search(r"\b(ok|started|complete|info|running)\b|正常|完了|情報", text):
                break
            judged = _judged(text)
            severity = judged or _level(text) or base
            if severity == "critical":
                action = "stop_line"
            elif judged == "warning":
                action = "monitor"
            return {
                "fault_code": _code(lines[i]),
                "subsystem": subsystem,
                "severity": severity,
                "first_line": i + 1,
                "action": action,
                "needs_human": severity == "critical"
                or action in HANDS_ON
                or subsystem == "safety",
            }
    has_clock = any(clocks)
    return {"abstain": "no_fault" if has_clock else "not_a_log"}


def _clock(line: str) -> float:
    """Seconds on a scale that tells the order; lines without a clock come as they stand."""
    found = _CLOCK.search(line)
    if found is None:
        return 0.0
    date = _DATE.search(line)
    return moment_value(f"{date[0] if date else ''} {found[0]}") or 0.0


def _code(line: str) -> str | None:
    rest = _CLOCK.sub(" ", _DATE.sub(" ", line))
    return next((m[0] for m in _CODE.finditer(rest) if not _DEVICE.fullmatch(m[0])), None)


def _level(text: str) -> str | None:
    return next((level for words, level in _LEVELS if re.search(words, text)), None)


def _judged(text: str) -> str | None:
    """Past the only limit or not; several limits are beyond these rules."""
    limit = _LIMIT.search(text)
    if limit is None:
        return None
    before = _NUMBER.findall(text[: limit.start()])
    behind = _NUMBER.findall(text[limit.end() :])
    if not before and not behind:
        return None
    value = float(before[-1] if before else behind[0])
    is_past = value < float(limit[1]) if _IS_LOW.search(text) else value > float(limit[1])
    return "alarm" if is_past else "warning"

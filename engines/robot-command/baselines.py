"""What one would do without a model: keywords and regular expressions, an honest hour of them.

The rules know the vocabulary an operator would think of first. They do not read the templates.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

Answer = Mapping[str, Any]  # Any: a JSON value

# The first that matches wins, so the narrow ones come first.
UNSAFE = re.compile(
    r"\b(?:bypass|disable|override|defeat|deactivate|ignore|jumper)\b.*\b(?:guard|curtain|interlock|"
    r"scanner|stop|safety|limit|alarm|fence|relay)|\b"
    r"(?:hit|punch|ram|kick|attack|run over|throw)\b.*"
    r"\b(?:me|him|her|man|operator|worker|person|people|visitor|at)\b|payload|rated load|"
    r"(?:柵|カーテン|インターロック|非常停止|スキャナ|安全|警報|アラーム).*"
    r"(?:無効|解除|無視|切って|外して|バイパス|オフ)|"
    r"殴|轢|叩け|ぶつかれ|定格|可搬重量を超|人がいても",
    re.IGNORECASE,
)
QUESTION = re.compile(
    r"^(?:what|where|who|when|why|how|is|are|did|do|does|was|have)\b|(?:ですか|ますか|どこ|何時|いつ|なぜ).{0,3}$|"
    r"^(?:hello|hi|thanks?|thank you|good morning|おはよう|こんにちは|ありがとう|お疲れ)\W*$",
    re.IGNORECASE,
)
OTHER = re.compile(
    r"\b(?:weld|paint|solder|drill|cook|sing|dance|print|e-?mail|coffee|forward|backwards?|turn|rotate|"
    r"degrees|o'clock|tomorrow)\b|溶接|塗装|修理|歌|踊|回転|旋回|メール|コーヒー|前進|明日",
    re.IGNORECASE,
)
UNCLEAR = re.compile(
    r"\b(?:there|somewhere|same|again|as before|the usual|never mind|forget it)\b|\bor\b|"
    r"そこに|あそこ|同じ|いつもの|やっぱりいい|または|もしくは",
    re.IGNORECASE,
)
ACTIONS: tuple[tuple[str, str], ...] = (
    (
        "set_speed",
        r"\b(?:set|change|limit|reduce|increase) (?:the |your )?speed|\bslow down|\bspeed up|"
        r"go (?:slower|faster)|速度を|スピードを|減速|加速",
    ),
    (
        "open_gripper",
        r"\bopen (?:the |your )?(?:gripper|hand|claw|jaws|fingers)|let go|\brelease\b|"
        r"(?:ハンド|グリッパー?|手|爪|つめ)を(?:開|離|放)|を(?:離|放)して|リリース",
    ),
    (
        "close_gripper",
        r"\b(?:close|shut) (?:the |your )?(?:gripper|hand|claw|jaws|fingers)|\bclamp\b|"
        r"(?:ハンド|グリッパー?|手|爪|つめ)を(?:閉|締)|クランプ",
    ),
    (
        "home",
        r"\b(?:go|return|back|move).{0,12}\bhome\b|\bhoming\b|(?:rest|start|initial) position|"
        r"原点|ホーム|初期位置|待機位置に",
    ),
    (
        "press",
        r"\b(?:press|push|hit|tap)\b.*(?:button|switch|key|pedal)|(?:ボタン|スイッチ|キー|呼び鈴)を",
    ),
    ("hand_over", r"\b(?:hand|give|pass|fetch)\b|\bbring me\b|渡し|持ってき|持って来|取ってき"),
    ("count", r"\b(?:count|tally)\b|数え|カウント"),
    ("clean", r"\b(?:clean|wipe|sweep|mop|polish|wash)\b|拭|掃除|清掃|洗|磨"),
    (
        "inspect",
        r"\b(?:inspect|check|look at|examine|scan|photograph|measure)\b|"
        r"点検|検査|調べ|撮影|確認|測",
    ),
    (
        "move_object",
        r"\b(?:move|take|carry|transfer|transport|bring|deliver)\b.*\b(?:to|into|onto)\b|"
        r"\b(?:pick up|grab|take)\b.*\band (?:put|place|drop)\b|"
        r"を.*(?:運|移|搬送|移動|持って行|持っていっ)|取って.*置",
    ),
    (
        "place",
        r"\b(?:put|place|set|lay|drop|insert|load|stack|store|return)\b|置|入れ|載せ|乗せ|下ろ|しまっ|戻し",
    ),
    (
        "pick",
        r"\b(?:pick|grab|grasp|take|lift|get|collect|unload)\b|取|掴|つかん|拾|持ち上げ|把持|ピック",
    ),
    ("open", r"\bopen\b|開け|開い"),
    ("close", r"\b(?:close|shut)\b|閉め|閉じ"),
    ("push", r"\b(?:push|shove)\b|押"),
    ("pull", r"\b(?:pull|drag)\b|引い|引っ張"),
    ("go_to", r"\b(?:go|drive|head|move|come|travel)\b.*\bto\b|行|移動|向か|進"),
    ("stop", r"\b(?:stop|halt|freeze|abort)\b|止ま|停止|ストップ|動くな|中止"),
    ("pause", r"\b(?:wait|pause|hold on|stand by)\b|待|一時停止|待機"),
    ("resume", r"\b(?:resume|continue|go on|carry on)\b|再開|続け"),
)
CONSTRAINTS: tuple[tuple[str, str], ...] = (
    ("slow", r"\bslow(?:ly)?\b|no rush|take your time|ゆっくり|低速|焦ら"),
    ("fast", r"\b(?:quick(?:ly)?|fast|hurry|full speed)\b|急い|早く|素早|至急|全速"),
    (
        "gentle",
        r"\b(?:gent(?:ly|le)|careful(?:ly)?|fragile|softly|with care)\b|"
        r"don't drop|そっと|慎重|丁寧|優し|割れ物|落とさ",
    ),
    ("keep_upright", r"\b(?:upright|tilt\w*|spill\w*|level|tip)\b|傾け|水平|こぼ|倒さ"),
    ("avoid_people", r"\b(?:people|anyone|workers|operators)\b|人(?:に|を)|歩行者|作業者に"),
    (
        "avoid_contact",
        r"\b(?:don't|do not|without) (?:touch|hit|bump)\w*|collision|"
        r"keep clear|ぶつけ|触れ|当たら|接触|干渉",
    ),
    ("wait_for_signal", r"\bsignal\b|say (?:so|go)|on my|合図|許可|指示があ|ランプが"),
    (
        "check_first",
        r"\b(?:check|verify|make sure|confirm)\b.*\b(?:first|before)\b|"
        r"確認して(?:から|$)|確かめ|確認後|先に",
    ),
    ("one_at_a_time", r"\bone (?:by one|at a time)\b|individually|ずつ|づつ"),
    ("dry_run", r"\bdry[- ]run\b|simulat|test mode|シミュレーション|空運転|実際には"),
    ("keep_hold", r"don't let go|keep hold|hold (?:it|on to)|離さ|持ったまま|放さ"),
    (
        "return_home",
        r"\b(?:and|then|afterwards) .{0,6}(?:come back|go home|return)|"
        r"終わったら.{0,8}(?:戻|帰)|その後.{0,6}戻",
    ),
    ("report_when_done", r"\b(?:tell me|let me know|report|notify me)\b|報告|教えて|知らせ"),
)
_UNITS = {
    "mm": 1.0,
    "cm": 10.0,
    "m": 1000.0,
    "ミリ": 1.0,
    "センチ": 10.0,
    "メートル": 1000.0,
    "in": 25.4,
}
_SPEED = re.compile(
    r"(?:毎秒|秒速)\s?([\d.,]+)\s?(mm|cm|m|ミリ|センチ|メートル)|"
    r"([\d.,]+)\s?(mm|cm|m|in|ミリ|センチ)[a-z]*\s?(?:/\s?(?:s|秒)|per sec|毎秒)"
)
_FIX = re.compile(
    r",? ?\b(?:no|sorry|i mean|actually|make that|correction)\b[, ]+|"
    r"、(?:いや|違う|やっぱり|訂正)、?"
)
_END = (
    r"(?=[.,;!?]|$| (?:and|but|at|with|on my|without|slowly|gently|carefully|please|then|now|when)"
    r"\b)"
)
_OBJECT = re.compile(
    r"\b(?:pick up|put down|look at|take|grab|lift|grasp|pick|put|place|set|move|carry|bring|"
    r"transfer|give|hand|pass|fetch|push|pull|press|open|close|shut|inspect|check|scan|count|clean|wipe|"
    r"load|insert|drop)\s+"
    r"(?:me )?(?:the |a |an |that |this |my |all )*(.+?)"
    r"(?= (?:to|into|in|on|onto|from|at|off)\b|[.,;!?]|$)",
    re.IGNORECASE,
)
_TARGET = re.compile(
    r"\b(?:next to|in front of|to|into|onto|in|on|from|at|off)\s+(?:the |a |an |that |this |my )*"
    rf"(.+?){_END}",
    re.IGNORECASE,
)
_OBJECT_JA = re.compile(r"([^、。,\s]+?)を")
_TARGET_JA = re.compile(
    r"([^、。,\sを]+?)(?:の(?:上|中|横|隣|前|そば))?(?:に|へ|まで|から)(?![^、。]{0,3}(?:ぶつ|注意|触|当))"
)


def rules(inputs: Sequence[Mapping[str, Any]]) -> list[Answer | None]:
    """Answer by keywords and regular expressions."""
    return [_read(unicodedata.normalize("NFKC", str(given["text"]))) for given in inputs]


def copy_slot(
    neighbour_input: Mapping[str, Any], neighbour: Answer, asked: Mapping[str, Any]
) -> Answer:
    """The neighbour's answer with the names and the speed that the rules find in the order."""
    if "abstain" in neighbour:
        return neighbour
    text = unicodedata.normalize("NFKC", str(asked["text"]))
    thing, place = _names(text)
    return {
        **neighbour,
        "object": thing if neighbour["object"] is not None else None,
        "target": place if neighbour["target"] is not None else None,
        "speed_mm_s": _speed(text),
    }


def _read(text: str) -> Answer:
    if UNSAFE.search(text):
        return {"abstain": "unsafe"}
    speed = _speed(text)
    if speed is not None and speed > 1500:
        return {"abstain": "unsafe"}
    action = next((name for name, words in ACTIONS if re.search(words, text, re.IGNORECASE)), None)
    if OTHER.search(text):
        return {"abstain": "unsupported"}
    if action is None or QUESTION.search(text):
        return {"abstain": "not_an_order"}
    if UNCLEAR.search(text):
        return {"abstain": "unclear"}
    thing, place = _names(text)
    if action in ("stop", "pause", "resume", "home", "set_speed", "open_gripper", "close_gripper"):
        thing = place = None
    if action == "go_to":
        thing = None
    if action == "place" and place is None and thing is None:
        return {"abstain": "unclear"}
    found = [name for name, words in CONSTRAINTS if re.search(words, text, re.IGNORECASE)]
    return {
        "action": action,
        "object": thing,
        "target": place,
        "speed_mm_s": speed,
        "constraints": found,
    }


def _names(text: str) -> tuple[str | None, str | None]:
    """Object and target; of what is corrected, the part after the correction."""
    is_japanese = re.search("[ぁ-んァ-ン]", text) is not None
    text = _SPEED.sub("", text)
    things = (_OBJECT_JA if is_japanese else _OBJECT).findall(text)
    places = (_TARGET_JA if is_japanese else _TARGET).findall(text)
    return _last(things), _last(places)


def _last(names: Sequence[str]) -> str | None:
    if not names:
        return None
    name = _FIX.split(names[0])[-1].strip()
    return re.sub(r"^(?:the|a|an|この|その|あの) ?", "", name) or None


def _speed(text: str) -> int | float | None:
    found = _SPEED.findall(text)
    if not found:
        return None
    number, unit = (found[-1][0], found[-1][1]) if found[-1][0] else (found[-1][2], found[-1][3])
    try:
        speed = float(number.replace(",", "").rstrip(".")) * _UNITS[unit]
    except ValueError:
        return None
    return int(speed) if speed == int(speed) else round(speed, 6)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skilld.mqtt.topics import Destination, TopicError, Topics, is_name

TOPICS = Topics("acme/plant-1/skilld", "box1")
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}", fullmatch=True)
ANYTHING = st.text(st.characters(codec="utf-8"), max_size=40)


def matches(pattern: str, topic: str) -> bool:
    """Whether a broker would deliver `topic` for the filter `pattern`."""
    wanted, given_levels = pattern.split("/"), topic.split("/")
    if wanted[0] == "$share":
        wanted = wanted[2:]
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        given_levels = given_levels[: len(wanted)]
    return len(wanted) == len(given_levels) and all(
        a in ("+", b) for a, b in zip(wanted, given_levels, strict=True)
    )


@given(NAMES, NAMES)
def test_what_is_asked_for_is_what_is_read(skill: str, client: str) -> None:
    directed = f"acme/plant-1/skilld/box/box1/skill/{skill}/req"
    pooled = f"acme/plant-1/skilld/pool/{skill}/req"
    for topic, pattern in ((directed, TOPICS.own_requests), (pooled, TOPICS.pool_requests(skill))):
        for end, sender in (("", None), (f"/{client}", client)):
            assert TOPICS.read(topic + end) == Destination("request", skill, sender)
            assert matches(pattern, topic + end)
    assert TOPICS.read(f"acme/plant-1/skilld/pool/{skill}/cancel/{client}") == Destination(
        "cancel", skill, client
    )
    assert TOPICS.read(TOPICS.meta(skill)) == Destination("meta", skill)
    assert TOPICS.client_of_reply(TOPICS.reply_to(client)) == client
    assert TOPICS.client_of_reply(TOPICS.reply_to(client) + "/a/b c/線") == client


@given(ANYTHING)
def test_a_name_is_one_level_and_no_wildcard(text: str) -> None:
    if is_name(text):
        assert len(text) <= 64
        assert not set(text) & set("/+#$\0 ")
        assert TOPICS.meta(text).split("/")[-2] == text
    else:
        with pytest.raises(TopicError):
            TOPICS.meta(text)
        with pytest.raises(TopicError):
            Topics("p", text)


@given(ANYTHING)
def test_any_topic_is_read_without_an_error(text: str) -> None:
    for topic in (text, f"acme/plant-1/skilld/{text}", f"acme/plant-1/skilld/box/box1/{text}"):
        destination = TOPICS.read(topic)
        if destination is not None and destination.client is not None:
            assert is_name(destination.client)


@given(ANYTHING)
def test_a_reply_stays_below_the_callers_prefix(text: str) -> None:
    for topic in (text, f"acme/plant-1/skilld/client/{text}", TOPICS.reply_to("me") + "/" + text):
        try:
            client = TOPICS.client_of_reply(topic)
        except TopicError:
            pass
        else:
            begin = f"acme/plant-1/skilld/client/{client}/resp"
            assert topic == begin or topic.startswith(begin + "/")
            assert not set(topic) & set("+#\0")


@pytest.mark.parametrize(
    "topic",
    [
        "skilld/client/me/resp",
        "acme/plant-1/skilld/client/me",
        "acme/plant-1/skilld/client/me/respond",
        "acme/plant-1/skilld/client/me/resp/",
        "acme/plant-1/skilld/client/+/resp",
        "acme/plant-1/skilld/client/me/resp/#",
        "acme/plant-1/skilld/client//resp",
        "acme/plant-1/skilld/box/box1/status",
        "acme/plant-1/skilld/client/me/resp/" + "x" * 600,
        "$SYS/broker",
        "",
    ],
)
def test_replies_go_nowhere_else(topic: str) -> None:
    with pytest.raises(TopicError, match="replies go to"):
        TOPICS.client_of_reply(topic)


@pytest.mark.parametrize("prefix", ["", "/", "a/", "/a", "a//b", "a/+/b", "#", "$share/x", "a b"])
def test_a_prefix_is_levels_that_are_names(prefix: str) -> None:
    with pytest.raises(TopicError, match="prefix"):
        Topics(prefix, "box1")


@pytest.mark.parametrize(
    "topic",
    [
        "acme/plant-1/skilld/box/box2/skill/echo/req",
        "acme/plant-1/skilld/box/box1/skill/echo/req/a/b",
        "acme/plant-1/skilld/box/box1/skill/echo/req/",
        "acme/plant-1/skilld/box/box1/skill/+/req",
        "acme/plant-1/skilldx/pool/echo/req",
        "acme/plant-1/skilld",
    ],
)
def test_topics_of_others_mean_nothing(topic: str) -> None:
    assert TOPICS.read(topic) is None

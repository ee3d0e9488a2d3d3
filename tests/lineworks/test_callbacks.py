"""Callbacks: raw bytes first, then meaning; whatever comes in, only `CallbackRejected` comes out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bousai_kit.errors import CallbackRejected, MalformedCallback, SignatureMismatch
from bousai_kit.lineworks import callbacks
from bousai_kit.lineworks.callbacks import EVENT_TYPES, Callback, parse_callback, sign

SECRET, BOT = "planted-bot-secret-77aa", 2000001
TAP = {
    "type": "message",
    "source": {"userId": "6a1f", "domainId": 10000001},
    "issuedTime": "2027-01-17T00:15:42.318Z",
    "content": {"type": "text", "text": "無事です 0117A", "postback": "bk1|drill=2027-0117A|a=safe|n=7f3c"},
}


def headers(raw: bytes, *, secret: str = SECRET, bot: int = BOT) -> dict[str, str]:
    return {"X-WORKS-BotId": str(bot), "X-WORKS-Signature": sign(raw, secret)}


def parse(event: Any, **more: Any) -> Callback:
    raw = event if isinstance(event, bytes) else json.dumps(event, ensure_ascii=False).encode()
    return parse_callback(raw, headers(raw), bot_secret=SECRET, bot_id=BOT, **more)


def test_the_signature_is_base64_of_hmac_sha256_over_the_raw_bytes() -> None:
    raw = b'{"a":  1}'
    expected = base64.b64encode(hmac.new(SECRET.encode(), raw, hashlib.sha256).digest()).decode()
    assert sign(raw, SECRET) == expected


def test_a_tap() -> None:
    event = parse(TAP)
    assert (event.type, event.user_id, event.channel_id, event.domain_id) == (
        "message",
        "6a1f",
        None,
        10000001,
    )
    assert event.issued_at == datetime(2027, 1, 17, 0, 15, 42, 318000, UTC)
    assert event.content["postback"] == "bk1|drill=2027-0117A|a=safe|n=7f3c"
    assert "無事です" not in repr(event)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "postback", "source": {"userId": "u", "channelId": "c"}, "data": "bk1|drill=d"},
        {"type": "postback", "source": {"userId": "u"}, "data": ""},
        {"type": "join", "source": {"channelId": "c", "domainId": 1}},
        {"type": "leave", "source": {"channelId": "c"}},
        {"type": "joined", "source": {"channelId": "c"}, "members": ["u1", "u2"]},
        {"type": "left", "source": {"channelId": "c"}, "members": []},
        {"type": "begin", "source": {"userId": "u", "channelId": "c"}},
        {"type": "end", "source": {"userId": "u", "channelId": "c"}},
        {
            "type": "message",
            "source": {"userId": "u", "channelId": "c"},
            "content": {"type": "image", "fileId": "f"},
        },
        {"type": "message", "source": {"userId": "u"}, "content": {"type": "text", "text": "x", "more": [1]}},
    ],
    ids=lambda event: event["type"],
)
@pytest.mark.parametrize(
    "issued", ["2027-01-17T00:15:43.004Z", "2027-01-17T00:15:43Z", "2027-01-17T09:15:43+09:00"]
)
def test_every_event(event: dict[str, Any], issued: str) -> None:
    found = parse({**event, "issuedTime": issued, "somethingNew": {"a": 1}})
    assert found.type == event["type"]
    assert found.issued_at.tzinfo is UTC
    assert found.issued_at.hour == 0
    assert found.data == event.get("data")
    assert found.members == tuple(event.get("members", ()))


def test_duplicates_have_one_fingerprint_and_different_taps_two() -> None:
    assert parse(TAP).fingerprint == parse({**TAP, "source": {**TAP["source"], "x": 1}}).fingerprint  # type: ignore[dict-item]
    later = {**TAP, "issuedTime": "2027-01-17T00:15:42.319Z"}
    assert parse(TAP).fingerprint != parse(later).fingerprint


@pytest.mark.parametrize("change", [b" ", b"\n", b"\x00"])
def test_one_more_byte_is_another_body(change: bytes) -> None:
    raw = json.dumps(TAP).encode()
    with pytest.raises(SignatureMismatch) as caught:
        parse_callback(raw + change, headers(raw), bot_secret=SECRET, bot_id=BOT)
    assert caught.value.status == 401


def test_reserialised_json_is_another_body() -> None:
    raw = json.dumps(TAP, ensure_ascii=False).encode()
    other = json.dumps(TAP, ensure_ascii=False, separators=(",", ":")).encode()
    with pytest.raises(SignatureMismatch):
        parse_callback(other, headers(raw), bot_secret=SECRET, bot_id=BOT)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"X-WORKS-Signature": ""},
        {"X-WORKS-Signature": "x"},
        {"X-WORKS-Signature": "é" * 44},
        {"X-WORKS-Signature": "\ud800"},
        {"X-WORKS-Signature": "=" * 100_000},
        {"X-WORKS-Signature": None},
        {"X-WORKS-BotId": "2000002"},
        {"X-WORKS-BotId": ""},
        {"X-WORKS-BotId": "２００００01"},
        {"X-WORKS-BotId": "2000001.0"},
    ],
)
def test_junk_headers_are_a_rejection(change: dict[str, Any]) -> None:
    raw = json.dumps(TAP).encode()
    given_headers: dict[Any, Any] = {**headers(raw), **change} if change else {}
    with pytest.raises(SignatureMismatch) as caught:
        parse_callback(raw, given_headers, bot_secret=SECRET, bot_id=BOT)
    assert caught.value.status == 401


def test_header_names_in_any_case_and_with_blanks_around() -> None:
    raw = json.dumps(TAP).encode()
    found = {name.lower(): f" {value} " for name, value in headers(raw).items()}
    assert parse_callback(raw, found, bot_secret=SECRET, bot_id=BOT).user_id == "6a1f"
    found = {name.upper(): value for name, value in headers(raw).items()}
    assert parse_callback(raw, found, bot_secret=SECRET, bot_id=BOT).user_id == "6a1f"


def test_no_secret_configured_means_nobody_is_believed() -> None:
    raw = json.dumps(TAP).encode()
    with pytest.raises(SignatureMismatch):
        parse_callback(raw, headers(raw, secret=""), bot_secret="", bot_id=BOT)


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    honest = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return honest(a, b)

    monkeypatch.setattr(callbacks.hmac, "compare_digest", compare)
    parse(TAP)
    assert compared == [(44, 44), (7, 7)]


def test_ten_megabytes_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = b" " * (10 << 20)
    given_headers = headers(raw)

    def no(*_: Any) -> str:
        raise AssertionError("the body was hashed")

    monkeypatch.setattr(callbacks, "sign", no)
    with pytest.raises(MalformedCallback) as caught:
        parse_callback(raw, given_headers, bot_secret=SECRET, bot_id=BOT)
    assert caught.value.status == 413


def test_a_large_body_within_the_limit_counts() -> None:
    event = {**TAP, "content": {"type": "text", "text": "字" * 100_000}}
    assert len(parse(event).content["text"]) == 100_000
    with pytest.raises(MalformedCallback) as caught:
        parse(event, max_bytes=1000)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b'"x"',
        b"{",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b"NaN",
        b'{"type": "message"}',
        json.dumps({**TAP, "type": "read"}).encode(),
        json.dumps({**TAP, "type": ["message"]}).encode(),
        json.dumps({**TAP, "source": None}).encode(),
        json.dumps({**TAP, "source": {}}).encode(),
        json.dumps({**TAP, "source": {"userId": 5}}).encode(),
        json.dumps({**TAP, "source": {"userId": "u" * 513}}).encode(),
        json.dumps({**TAP, "issuedTime": None}).encode(),
        json.dumps({**TAP, "issuedTime": 1800000000}).encode(),
        json.dumps({**TAP, "issuedTime": "yesterday"}).encode(),
        json.dumps({**TAP, "issuedTime": "2027-01-17T00:15:42"}).encode(),
        json.dumps({**TAP, "issuedTime": "0001-01-01T00:00:00+23:59"}).encode(),
        json.dumps({**TAP, "content": None}).encode(),
        json.dumps({**TAP, "content": {"type": 5}}).encode(),
        json.dumps({**TAP, "content": {"type": "text", "text": {"a": 1}}}).encode(),
        json.dumps({**TAP, "type": "postback"}).encode(),
        json.dumps(
            {"type": "joined", "source": {"channelId": "c"}, "members": "u", "issuedTime": TAP["issuedTime"]}
        ).encode(),
        b'{"type": "message", "source": {"userId": "u"}, "issuedTime": "2027-01-17T00:15:42Z", '
        b'"content": {"type": "text", "text": NaN}}',
        b'{"n": 1' + b"0" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_signed_nonsense_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedCallback) as caught:
        parse(body)
    assert caught.value.status == 400


def test_half_a_surrogate_pair_does_not_lose_the_event() -> None:
    raw = json.dumps({**TAP, "content": {"type": "text", "text": "無事\ud83d"}}).encode()
    text = parse(raw).content["text"]
    assert text.startswith("無事")
    text.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(sorted(EVENT_TYPES)) | JSON,
        "source": st.fixed_dictionaries(
            {}, optional={n: st.text(max_size=8) | JSON for n in ("userId", "channelId", "domainId")}
        )
        | JSON,
        "issuedTime": st.sampled_from(["2027-01-17T00:15:42Z", "2027-13-17T00:15:42Z"]) | JSON,
        "content": st.fixed_dictionaries({"type": st.just("text")}, optional={"text": JSON, "postback": JSON})
        | JSON,
        "data": JSON,
        "members": JSON,
    },
)


@given(EVENTS)
@settings(max_examples=300, deadline=None)
def test_any_signed_event_is_read_or_rejected(event: dict[str, Any]) -> None:
    try:
        found = parse(json.dumps(event).encode())
    except CallbackRejected:
        return
    assert found.type in EVENT_TYPES
    assert found.issued_at.tzinfo is UTC
    json.dumps(dict(found.content), ensure_ascii=False).encode()  # can be stored
    for text in (found.user_id, found.channel_id, found.data, *found.members):
        if text is not None:
            text.encode()


@given(
    raw=st.binary(max_size=400),
    signed=st.booleans(),
    more=st.dictionaries(
        st.text(max_size=20) | st.just("x-works-signature"), st.text(max_size=60), max_size=3
    ),
)
@example(raw=b"\x00", signed=True, more={"x-works-botid": "\ud800"})
@settings(max_examples=300, deadline=None)
def test_no_bytes_and_no_headers_raise_anything_else(raw: bytes, signed: bool, more: dict[str, str]) -> None:
    given_headers = {**(headers(raw) if signed else {}), **more}
    with pytest.raises(CallbackRejected):
        parse_callback(raw, given_headers, bot_secret=SECRET, bot_id=BOT)


# -- fuzz: mutated real events, and anything at all as headers -------------------------------------------

TOKENS = st.sampled_from(
    [
        *rb"""{ } [ ] " , : \ \ud800 \u0000 null true NaN 1e999 -0 2027 Z +09:00 type message""".split(),
        *(b"1" * 5000, b"\xff", b"\xef\xbb\xbf", b"\x00"),
    ]
)


def outcome(raw: bytes, given_headers: dict[Any, Any], secret: str = SECRET) -> Callback | CallbackRejected:
    """What comes out; anything but the two is a defect."""
    try:
        return parse_callback(raw, given_headers, bot_secret=secret, bot_id=BOT)
    except CallbackRejected as error:
        return error


@given(
    cuts=st.lists(
        st.tuples(st.integers(0, 260), st.integers(0, 12), TOKENS | st.binary(max_size=6)),
        min_size=1,
        max_size=4,
    )
)
@example(cuts=[(0, 0, b"[" * 100_000)])
@example(cuts=[(0, 300, b'{"a":' * 60_000)])
@settings(max_examples=250, deadline=None)
def test_a_real_event_with_bites_taken_out(cuts: list[tuple[int, int, bytes]]) -> None:
    raw = json.dumps(TAP, ensure_ascii=False).encode()
    for at, gone, put in cuts:
        raw = raw[:at] + put + raw[at + gone :]
    found = outcome(raw, headers(raw))
    if isinstance(found, CallbackRejected):
        assert found.status in (400, 413)
        assert str(found).endswith("。")
    else:
        assert found.type in EVENT_TYPES
        json.dumps(dict(found.content), ensure_ascii=False, allow_nan=False).encode()


ANYTHING = st.none() | st.integers() | st.binary(max_size=8) | st.text(max_size=40) | st.floats()


@given(
    raw=st.binary(max_size=60),
    signature=st.text(max_size=60)
    | st.binary(max_size=60).map(lambda b: base64.b64encode(b).decode())
    | ANYTHING,
    bot=st.just(str(BOT)) | st.text(max_size=12) | ANYTHING,
    secret=st.text(max_size=20),
    name=st.sampled_from(["x-works-signature", "X-WORKS-Signature", "X-WORKS-SIGNATURE"]),
    more=st.dictionaries(ANYTHING, ANYTHING, max_size=3),
)
@example(raw=b"{}", signature="", bot="", secret="", name="x-works-signature", more={})
@example(
    raw=b"{}", signature="\ud800", bot=str(BOT), secret="\udfff", name="x-works-signature", more={None: 1}
)
@settings(max_examples=250, deadline=None)
def test_no_signature_but_the_right_one_is_believed(
    raw: bytes, signature: Any, bot: Any, secret: str, name: str, more: dict[Any, Any]
) -> None:
    """Of whatever type and encoding; one exception type, and nothing of the secret in it."""
    given_headers = {**more, name: signature, "x-works-botid": bot}
    right = isinstance(signature, str) and secret and signature.strip() == sign(raw, secret)
    found = outcome(raw, given_headers, secret)
    assert isinstance(found, SignatureMismatch) != bool(right and str(bot).strip() == str(BOT))
    if isinstance(found, SignatureMismatch):
        assert found.status == 401
        told = f"{found}{found.hint}{found.__cause__}{found.__context__}"
        assert len(secret) < 6 or secret not in told


@given(raw=st.binary(max_size=80), where=st.integers(0, 43), bit=st.integers(0, 7))
def test_one_bit_of_a_signature_off_is_another_signature(raw: bytes, where: int, bit: int) -> None:
    good = sign(raw, SECRET)
    letter = chr(ord(good[where]) ^ (1 << bit))
    bad = good[:where] + letter + good[where + 1 :]
    with pytest.raises(CallbackRejected) as caught:
        parse_callback(raw, {**headers(raw), "X-WORKS-Signature": bad}, bot_secret=SECRET, bot_id=BOT)
    assert isinstance(caught.value, SignatureMismatch) or bad.strip() == good

"""Requests made from the sandbox's own description, and the judge of what comes back.

Everything is drawn from one `random.Random`: the same seed makes the same requests on the same tenant. They
go to the hosts' ASGI apps as bytes, so that what no HTTP library would send is sent too. The property test
(``test_openapi.py``) and the long form (``bench/fuzz.py``) use it alike.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import jwt

from bousai_kit.sandbox.asgi import HostApp
from bousai_kit.sandbox.auth import KNOWN_SCOPES, issue
from bousai_kit.sandbox.core import Sandbox
from bousai_kit.sandbox.openapi import openapi_of
from bousai_kit.sandbox.store import Store
from bousai_kit.sandbox.tenant import Tenant

MANY = 10**9
hmac_key = "x" * 64
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

# -- values -----------------------------------------------------------------------------------------

HOSTILE: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 1 << 31, -(1 << 31), 1 << 63, 10**400, "", " ", "x", "0",
    "x" * 101, "x" * 3000, "あ" * 1001, "𠮷", "\U0001f468\u200d\U0001f469", "e\u0301", "\u200b", "\u202e",
    "\ufeff", "\x1f", "\n", "%", "%2F",
    "../..", "null", "true", "NaN", "٣", "１２", "=1+1", "'; --", "<b>", "{botId}", "{0.__class__}", "%s%n",
    "2027-01-17T00:00:00+09:00", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "2027-02-30",
    "2027-01-17T00:00:00", "https://example.invalid/a.png", "http://[::1", "http://127.0.0.1:9/callback",
    "javascript:alert(1)", "externalKey:", "externalKey:K", "s00001@city-demo", "me", "@", "a@b", "ja_JP",
    "Asia/Tokyo", "/etc/passwd", "../UTC", [], {}, [[]], [None], [{}], {"": None}, {"type": "text"},
    {"type": []},
    {"id": {}}, {"x": {"y": {"z": []}}},
]  # fmt: skip
BODIES: list[bytes] = [
    b"", b" ", b"null", b"[]", b'"x"', b"0", b"{", b"}", b"{}", b"\xff\xfe", b"\x00", b"{}{}", b'{"a":NaN}',
    b'{"a":Infinity}', b'{"a":1e999}', b'{"a":-0}', b"[" * 5000, b'{"a":' * 63 + b"1" + b"}" * 63,
    b'{"a":' * 70 + b"1" + b"}" * 70, b'{"a":' + b"9" * 5000 + b"}", b'{"a":"\\ud800"}', b'{"\\ud800":1}',
    b'{"a":"\\u0000"}', b'{"a":1,"a":2}', "\ufeff{}".encode(), b'{"a":1}' + b" " * 4096, b"a=b&c=d",
    b"{'a': 1}", '{"a":"あ"}'.encode("cp932"), '{"a":1}'.encode("utf-16"), b'{"\xed\xa0\x80":1}',
    b"{" + b",".join(b'"k%d":1' % n for n in range(2000)) + b"}",
]  # fmt: skip
PATHS: list[bytes] = [
    b"%2F", b"..", b".", b"%2e%2e", b"%00", b"a%00b", b"%F0%9F%98%80", b"%ED%A0%80", b"%ff", b"%", b"%zz",
    b"x" * 999,
    b"x" * 1001, b"%E3%81%82", b"%20", b"+", b"{userId}", b"*", b"%25", b"externalKey%3A", b"externalKey:",
    b"externalKey%3AK", b"me", b"0", b"-1", b"9" * 40, b"1e3", b"%D9%A3", b"null", b"a;b=c", b"a?b", b"@",
    b"\xff",
]  # fmt: skip
QUERIES: list[bytes] = [
    b"=", b"&", b"a", b"a=", b"count", b"count=&cursor=", b"count=-1", b"count=0", b"count=1e3", b"count=101",
    b"count=%D9%A3", b"count=" + b"9" * 5000, b"cursor=%00", b"cursor=%ff", b"cursor=MTpub2JvZHk=",
    b"a=b&" * 99,
    b"a=b&" * 200, b"q=" + b"x" * 60000, b"domainId=0", b"domainId=x", b"domainId=" + b"9" * 30, b"%zz=1",
    b"unknown=1&unbekannt=2", b"\xff\xfe=1", b"cursor=OTk5OTk5OTk5OTk6eA==", b"orderBy=x", b"count=1&count=2",
]  # fmt: skip
KINDS: list[bytes] = [
    b"", b"text/plain", b"application/xml", b"application/json; charset=cp932", b"APPLICATION/JSON",
    b"multipart/form-data",
    b"multipart/form-data; boundary=", b'multipart/form-data; boundary="',
    b"application/x-www-form-urlencoded",
    b"\xff", b";", b"application/json" + b";a=b" * 500,
]  # fmt: skip
BEARERS: list[bytes] = [
    b"", b"Bearer", b"Bearer ", b"bearer x", b"Basic eDp5", b"Bearer  x", b"Bearer \xff\xfe",
    b"Bearer " + b"x" * 70000,
    b"Bearer a.b.c",
]  # fmt: skip

TAKEN: list[dict[str, Any]] = [
    {"type": "text", "text": "【訓練】震度6弱を想定した安否確認です。"},
    {"type": "sticker", "packageId": "1", "stickerId": "2"},
    {"type": "link", "contentText": "a", "linkText": "b", "link": "https://example.invalid/"},
    {"type": "image", "previewImageUrl": "https://example.invalid/a.png",
     "originalContentUrl": "https://example.invalid/a.png"},
    {"type": "location", "title": "本部", "address": "市役所", "latitude": 35.1, "longitude": 136.9},
    {"type": "button_template", "contentText": "安否確認",
     "actions": [{"type": "message", "label": "無事です A1", "postback": "bk1|A1|safe"},
                 {"type": "uri", "label": "地図", "uri": "https://example.invalid/"}]},
    {"type": "list_template", "coverData": {"backgroundImageUrl": "https://example.invalid/a.png"},
     "elements": [{"title": "a", "subtitle": "b",
                   "action": {"type": "message", "label": "c", "postback": "d"}}],
     "actions": [[{"type": "uri", "label": "a", "uri": "https://example.invalid/"}]]},
    {"type": "carousel", "columns": [{"title": "a", "text": "b",
                                      "actions": [{"type": "message", "label": "c", "postback": "d"}]}]},
    {"type": "image_carousel", "columns": [{"originalContentUrl": "https://example.invalid/a.png",
                                            "action": {"type": "message", "label": "c", "postback": "d"}}]},
    {"type": "flex", "altText": "代替", "contents": {"type": "bubble", "body": {
        "type": "box", "layout": "vertical", "contents": [{"type": "text", "text": "本文", "wrap": True}]}}},
    {"type": "text", "text": "返信", "quickReply": {"items": [
        {"imageUrl": "https://example.invalid/a.png",
         "action": {"type": "postback", "label": "はい", "data": "yes", "displayText": "はい"}}]}},
    {"type": "text", "text": "多言語", "i18nTexts": [{"language": "en_US", "text": "Languages"}]},
]  # fmt: skip
WORDS: dict[str, list[Any]] = {
    "userName": [{"lastName": "試験", "firstName": "太郎", "phoneticLastName": "シケン"}],
    "passwordConfig": [{"passwordCreationType": "ADMIN", "password": "Kx7-mTq9-rb"},
                       {"passwordCreationType": "MEMBER"}],
    "privateEmail": ["taro@example.invalid"], "usePrivateEmail": [True], "timeZone": ["Asia/Tokyo"],
    "cellPhone": ["+81 90", "090-0000-0000"], "activationDate": ["2027-03-01T00:00:00+09:00"],
    "birthday": ["1990-01-31"], "hiredDate": ["2020-04-01"], "locale": ["ja_JP", "en_US"],
    "i18nNames": [[{"language": "en_US", "name": "Taro", "firstName": "Taro", "lastName": "Test"}], []],
    "messenger": [{"protocol": "LINE", "messengerId": "taro"}, None], "nickName": ["たろう"],
    "photoUrl": ["https://example.invalid/a.png"], "callbackUrl": ["https://example.invalid/callback"],
    "startTime": ["2027-01-17T00:00:00+09:00", "2027-01-16T00:00:00Z"],
    "endTime": ["2027-01-18T00:00:00+09:00", "2027-02-10T00:00:00Z"],
    "startDateTime": ["2027-01-17T00:00:00+09:00"], "endDateTime": ["2027-01-18T00:00:00+09:00"],
    "fileName": ["a.jpg", "a.exe", "図面.pdf"], "fileSize": [4, 10], "password": ["Kx7-mTq9-rb"],
    "size": [{"width": 2500, "height": 1686}],
    "bounds": [{"x": 0, "y": 0, "width": 1250, "height": 843}],
    "action": [{"type": "message", "label": "a", "text": "b"}],
    "mustReadPeriod": [{"startDateTime": "2027-01-17T00:00:00+09:00",
    "endDateTime": "2027-01-20T00:00:00+09:00"}],
    "content": TAKEN, "text": ["はい", "【訓練】連絡です。"], "postback": ["bk1|A1|safe"], "data": ["yes"],
    "grant_type": ["refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"],
    "bots.menu.create:content": [{"actions": [{"type": "message", "label": "a", "text": "b"}]}],
    "options": [["a", "b"], []], "language": ["ja_JP"], "type": ["USER", "GROUP"],
    "channel": [""], "key": [""], "cursor": [""], "hex": ["ffd8", "zz"],
}  # fmt: skip
RARE = {  # they take away what others need
    "admin.reset": 0.02, "admin.limits.set": 0.2, "admin.revoke": 0.1, "users.purge": 0.1,
    "users.delete": 0.2,
    "users.suspend": 0.3, "users.move": 0.3, "bots.delete": 0.03, "bots.domains.delete": 0.1,
    "orgunits.delete": 0.3,
    "groups.delete": 0.3, "levels.disable": 0.2, "positions.disable": 0.2, "user_types.disable": 0.2,
    "profile_statuses.disable": 0.2, "employment_types.disable": 0.2, "channels.leave": 0.3,
    "boards.posts.delete": 0.3,
    "admin.staff.leave": 0.3, "admin.truth": 0.3, "admin.openapi": 0.1,
}  # fmt: skip
SAME = {  # path and body names -> pool
    "memberId": "userId", "user": "userId", "login": "email", "relationUserId": "userId", "id": "userId",
    "parentOrgUnitId": "orgUnitId", "toOrgUnitId": "orgUnitId", "administrators": "userId",
    "subadministrators": "userId", "members": "userId", "bot": "botId", "managers": "userId",
    "refresh_token": "token",
    "employmentTypeId": "userTypeId", "channel": "channelId", "orgunits.external_keys.set:id": "orgUnitId",
    "groups.external_keys.set:id": "groupId", "levels.external_keys.set:id": "levelId",
    "positions.external_keys.set:id": "positionId", "user_types.external_keys.set:id": "userTypeId",
    "employment_types.external_keys.set:id": "userTypeId",
    "profile_statuses.external_keys.set:id": "profileStatusId",
    "admin.staff.invite:id": "groupId", "token": "token",
}  # fmt: skip
TABLES = {  # tables of the tenant -> pool
    "users": "userId", "orgunits": "orgUnitId", "groups": "groupId", "levels": "levelId",
    "positions": "positionId", "user_types": "userTypeId", "bots": "botId", "boards": "boardId",
    "custom_properties": "customPropertyId", "channels": "channelId", "attachments": "fileId",
    "forms": "formId", "posts": "postId",
    "profile_statuses": "profileStatusId", "richmenus": "richmenuId",
}  # fmt: skip


@dataclass
class Wish:
    """One request as bytes, and which operation of the description it means."""

    name: str
    host: str
    method: str
    raw_path: bytes
    query: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    documented: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = [(name, value[:60]) for name, value in self.headers if name != b"authorization"]
        where = f"{self.raw_path[:200]!r}?{self.query[:200]!r}"
        return f"{self.name}: {self.method} {where} {head} {self.body[:1500]!r}"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


async def ask(sandbox: Sandbox, wish: Wish, *, chunk: int = 1 << 20) -> Answer:
    """Send a request to its host's app."""
    pieces = [wish.body[at : at + chunk] for at in range(0, len(wish.body), chunk)] or [b""]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not pieces:
            return {"type": "http.disconnect"}
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": wish.method, "scheme": "http",
        "path": wish.raw_path.decode("latin-1"), "raw_path": wish.raw_path, "query_string": wish.query,
        "headers": wish.headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "root_path": "",
    }  # fmt: skip
    await HostApp(sandbox, wish.host)(scope, receive, send)
    start, *rest = sent
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(message.get("body", b"") for message in rest))


# -- making requests --------------------------------------------------------------------------------


class Maker:
    """Makes requests to one sandbox out of its description and of what it has answered so far."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.pools: dict[str, dict[Any, None]] = defaultdict(dict)
        self.operations = operations_of(openapi_of(sandbox))
        self.names = list(self.operations)
        self._name = ""
        self._tokens: dict[tuple[str, tuple[str, ...]], str] = {}
        self.learn_tables()

    def wish(self, chance: random.Random, only: Callable[[str], bool] | None = None) -> Wish:
        """One request: nearly right mostly, plainly wrong sometimes."""
        while True:
            name = chance.choice(self.names)
            if (only is None or only(name)) and chance.random() < RARE.get(name, 1.0):
                break
        path, method, operation = self.operations[name]
        self._name = name
        host = operation["x-host"]
        base = {"api": b"/v1.0", "auth": b"/oauth2/v2.0"}.get(host, b"")
        body, kind = self._body(chance, operation)
        headers = self._bearer(chance, host)
        if kind:
            headers.append((b"content-type", kind))
        if chance.random() < 0.01:
            headers += [(b"x-%d" % n, b"y" * 100) for n in range(300)]
        return Wish(
            operation["operationId"], host, method.upper(), base + self._path(chance, path),
            self._query(chance, operation), headers, body,
            documented=tuple(operation["responses"]),
        )  # fmt: skip

    def _path(self, chance: random.Random, path: str) -> bytes:
        parts = []
        for segment in path.split("/"):
            if not segment.startswith("{"):
                parts.append(segment.encode())
            elif chance.random() < 0.08:
                parts.append(chance.choice(PATHS))
            else:
                name = segment[1:-1] if segment != "{ticket}" else f"ticket:{path.split('/')[1]}"
                parts.append(quote(str(self.known(chance, name)), safe="@").encode() or b"x")
        if chance.random() < 0.01:
            parts.insert(chance.randrange(len(parts) + 1), chance.choice([b"", b"x", *PATHS]))
        return b"/".join(parts)

    def _query(self, chance: random.Random, operation: dict[str, Any]) -> bytes:
        if chance.random() < 0.06:
            return chance.choice(QUERIES)
        found = []
        for parameter in operation["parameters"]:
            if parameter["in"] != "query" or chance.random() > (0.95 if parameter["required"] else 0.35):
                continue
            value = (
                chance.choice(HOSTILE)
                if chance.random() < 0.15
                else self.value(chance, parameter["schema"], parameter["name"])
            )
            text = value if isinstance(value, str) else json.dumps(value)
            found.append((parameter["name"], text[:3000]))
        return urlencode(found).encode()

    def _bearer(self, chance: random.Random, host: str) -> list[tuple[bytes, bytes]]:
        if host in ("admin", "auth"):
            return []
        draw = chance.random()
        if draw < 0.01:
            return [(b"authorization", chance.choice(BEARERS))]
        scopes = tuple(chance.sample(sorted(KNOWN_SCOPES), 8)) if draw < 0.02 else tuple(sorted(KNOWN_SCOPES))
        user_id = str(self.known(chance, "userId")) if draw > 0.9 else ""
        key = (user_id, scopes if draw < 0.02 else ())
        tenant = self.sandbox.tenant
        text = self._tokens.get(key)
        if text is None or self._over(text):
            now = self.sandbox.clock.now()
            text = issue(tenant, kind="access", scopes=scopes, life_s=90 * 86400, now=now, user_id=user_id)
            self._tokens[key] = text
        return [(b"authorization", b"Bearer " + text.encode())]

    def tokens(self) -> list[str]:
        """The tokens given out so far."""
        return list(self._tokens.values())

    def _over(self, text: str) -> bool:
        from bousai_kit.sandbox.auth import _hash

        entry = self.sandbox.tenant.table("tokens").get(_hash(text))
        return entry is None or entry["expires"] <= self.sandbox.clock.now().isoformat()

    # -- bodies ---------------------------------------------------------------------------------

    def _body(self, chance: random.Random, operation: dict[str, Any]) -> tuple[bytes, bytes]:
        content = operation.get("requestBody", {}).get("content", {})
        kind = next(iter(content), "")
        if not kind:
            return (chance.choice(BODIES), b"application/json") if chance.random() < 0.05 else (b"", b"")
        wrong = chance.random() < 0.03
        if kind == "multipart/form-data":
            part = next(iter(content[kind]["schema"]["properties"]))
            data, kind_of_it = form_data(chance, part)
            return data, chance.choice(KINDS) if wrong else kind_of_it
        if chance.random() < 0.05:
            return chance.choice(BODIES), chance.choice(KINDS) if wrong else kind.encode()
        value = self.value(chance, content[kind]["schema"], "")
        for _ in range(chance.choice([0, 0, 0, 0, 1, 1, 1, 2, 4])):
            value = self.spoil(chance, value)
        if kind == "application/json":
            data = json.dumps(value, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
            if chance.random() < 0.02 and data.startswith(b'{"'):  # the first key twice
                data = data[:1] + data[1:].partition(b",")[0] + b"," + data[1:] if b"," in data else data
        else:
            pairs = value if isinstance(value, dict) else {"x": value}
            data = urlencode({str(key): str(item) for key, item in pairs.items()}, errors="replace").encode()
        return data, chance.choice(KINDS) if wrong else kind.encode()

    def value(self, chance: random.Random, schema: dict[str, Any], name: str, depth: int = 0) -> Any:
        """Something that the schema takes, as far as the schema says so."""
        options = schema.get("oneOf") or schema.get("anyOf")
        if options:
            return self.value(chance, chance.choice(options), name, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return chance.choice(schema["enum"])
        kinds = schema.get("type", "object")
        kind = chance.choice(kinds[:1] * 4 + kinds) if isinstance(kinds, list) else kinds
        if name == "domainId" and kind == "integer":
            return chance.choice(self.sandbox.tenant.domains)
        words = self._words(chance, name) if chance.random() < 0.85 else None
        if words:
            word = copy.deepcopy(chance.choice(words))
            if isinstance(word, {"string": str, "object": dict, "array": list, "integer": int}.get(kind, ())):
                return word
        if kind == "object":
            return self._object(chance, schema, depth)
        if kind == "array":
            low, high = schema.get("minItems", 0), schema.get("maxItems", 4)
            count = chance.choice([low, low, min(high, low + 1), min(high, low + 2), min(high, 4)])
            if chance.random() < 0.03:
                count = high + chance.choice([0, 1]) if high < 500 else 20
            return [self.value(chance, schema.get("items", {}), name, depth + 1) for _ in range(count)]
        return self._scalar(chance, schema, name, kind)

    def _words(self, chance: random.Random, name: str) -> list[Any] | None:
        credentials = self.sandbox.credentials
        if name == "organizations":
            unit = {
                "orgUnitId": self.known(chance, "orgUnitId"),
                "primary": True,
                "isManager": chance.random() < 0.5,
            }
            domain = self.sandbox.tenant.domain_id
            return [[{"domainId": domain, "primary": True, "orgUnits": [unit]}]]
        if name == "client_id":
            return [credentials.client_id]
        if name == "client_secret":
            return [credentials.client_secret]
        if name == "scope":
            return [" ".join(sorted(KNOWN_SCOPES)), "bot", "bot.message user.read", "nonsense", ""]
        if name == "assertion":
            return [self._assertion(chance)]
        return WORDS.get(f"{self._name}:{name}") or WORDS.get(name)

    def _assertion(self, chance: random.Random) -> str:
        now = self.sandbox.clock.now().timestamp()
        claims = {
            "iss": self.sandbox.credentials.client_id,
            "sub": self.sandbox.credentials.service_account,
            "iat": int(now),
            "exp": int(now) + 3600,
        }
        if chance.random() < 0.4:
            claims[chance.choice([*claims, "delegated_user"])] = chance.choice(HOSTILE)
        if chance.random() < 0.3:
            claims["delegated_user"] = str(self.known(chance, "email"))
        key = hmac_key if chance.random() < 0.1 else self.sandbox.credentials.private_key_pem
        payload = json.dumps(claims, ensure_ascii=True).encode()
        return jwt.PyJWS().encode(payload, key, algorithm="HS256" if key is hmac_key else "RS256")

    def _object(self, chance: random.Random, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        found = {
            key: self.value(chance, inner, key, depth + 1)
            for key, inner in schema.get("properties", {}).items()
            if depth < 8 and chance.random() < (0.98 if key in required else 0.4)
        }
        if not schema.get("properties") and isinstance(schema.get("additionalProperties"), dict):
            found = {
                chance.choice(["default", "room", "users.get"]): self.value(
                    chance, schema["additionalProperties"], ""
                )
            }
        if chance.random() < 0.03:
            found[chance.choice(["unknown", "", "__proto__", "id", "あ", "x" * 300])] = chance.choice(HOSTILE)
        return found

    def _scalar(self, chance: random.Random, schema: dict[str, Any], name: str, kind: str) -> Any:
        if kind == "boolean":
            return chance.random() < (0.9 if name.startswith("use") else 0.5)
        if kind == "null":
            return None
        if kind in ("integer", "number"):
            low, high = schema.get("minimum", 0), schema.get("maximum", 1000)
            if name == "domainId":
                return self.sandbox.tenant.domain_id
            return chance.choice([low, high, min(high, low + 1), chance.randint(int(low), int(high)), 1])
        pool = SAME.get(f"{self._name}:{name}", name)
        fresh = pool == "email" and self._name.endswith(("create", "replace", "patch"))
        if SAME.get(pool, pool) in self.pools and not fresh and chance.random() < 0.85:
            return self.known(chance, pool, calm=True)
        if schema.get("format") == "date-time":
            return chance.choice(WORDS["startTime"] + WORDS["endTime"])
        low, high = schema.get("minLength", 0), schema.get("maxLength", 40)
        if name.lower().endswith("email") or name == "email":
            return f"u{chance.randrange(10**6):06d}@city-demo"
        if chance.random() < 0.1:
            return chance.choice("xあ0") * chance.choice([low, high, high + 1, max(low, 1)])
        return f"{chance.choice(['本部', 'K', 'a'])}{chance.randrange(1000)}"[: max(high, 1)]

    def spoil(self, chance: random.Random, value: Any) -> Any:
        """The same with one place changed."""
        if isinstance(value, dict) and value and chance.random() < 0.9:
            key = chance.choice(list(value))
            draw = chance.random()
            if draw < 0.1:
                return {name: item for name, item in value.items() if name != key}
            if draw < 0.15:
                return {**value, chance.choice(list(WORDS)): chance.choice(HOSTILE)}
            return {**value, key: self.spoil(chance, value[key])}
        if isinstance(value, list) and value and chance.random() < 0.8:
            at = chance.randrange(len(value))
            if chance.random() < 0.1:
                return value * chance.choice([2, 20, 101])
            return [*value[:at], self.spoil(chance, value[at]), *value[at + 1 :]]
        if isinstance(value, str) and value and chance.random() < 0.3:
            return chance.choice(
                [value[:-1], value + "\u0000", value + "\ud800", value.upper(), value * 50, [value]]
            )
        return copy.deepcopy(chance.choice(HOSTILE))

    # -- what is known --------------------------------------------------------------------------

    def known(self, chance: random.Random, name: str, *, calm: bool = False) -> Any:
        """An id of that kind out of earlier answers, now and then of another kind or in another form."""
        pool = SAME.get(name, name)
        if pool == "domainId":
            return chance.choice(self.sandbox.tenant.domains)
        draw = 0.15 + chance.random() * 0.85 if calm and chance.random() < 0.8 else chance.random()
        bot = str(self.sandbox.tenant.bot_id)
        if draw < 0.03:
            pool = chance.choice(list(self.pools))
        elif pool == "botId" and draw < 0.8 and bot in self.pools[pool]:
            return bot
        elif draw < 0.12 and pool == "userId":
            pool = "email"
        elif draw < (0.16 if calm else 0.2) and pool in (
            "userId",
            "orgUnitId",
            "groupId",
            "levelId",
            "positionId",
            "userTypeId",
        ):
            keys = self.pools["externalKey"]
            return "externalKey:" + str(chance.choice(list(keys)) if keys else "K")
        found = self.pools.get(pool)
        return chance.choice(list(found)[-40:] if draw < 0.7 else list(found)) if found else "x"

    def learn_tables(self) -> None:
        """Forget the pools and take what is in the tenant now (as a ``/reset`` or a purge leaves it)."""
        self.pools.clear()
        for key, ticket in self.sandbox.tenant.table("tickets").items():
            self.pools[f"ticket:{ticket['kind']}"][key] = None
        for table, pool in TABLES.items():
            for key, entity in self.sandbox.tenant.table(table).items():
                self.pools[pool][key.rpartition("/")[2]] = None
                self.learn(entity, 2)

    def learn(self, value: Any, depth: int = 6) -> None:
        """Take ids, addresses and tickets out of an answer."""
        if depth == 0:
            return
        if isinstance(value, list):
            for item in value[:20]:
                self.learn(item, depth - 1)
        elif isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, dict | list):
                    self.learn(item, depth - 1)
                elif item and (isinstance(item, str) or type(item) is int):
                    self._note(key, str(item))

    def _note(self, key: str, item: str) -> None:
        if key.endswith("ExternalKey") or key == "externalKey":
            key = "externalKey"
        elif key in ("uploadUrl", "location"):
            _, kind, item = item.rsplit("/", 2) if item.count("/") > 1 else ("", "", item)
            key = f"ticket:{kind}"
        elif key in ("access_token", "refresh_token"):
            key = "token"
        elif not (key.endswith("Id") or key in ("email", "cursor")):
            return
        if len(self.pools[key]) < 2000:
            self.pools[key][item] = None


def form_data(chance: random.Random, part: str) -> tuple[bytes, bytes]:
    """A ``multipart/form-data`` body and its content type, right or nearly so."""
    mark = b"xyz"
    data = chance.choice([b"\xff\xd8\xff\xd9", b"", b"x" * 10, b"--xyz\r\n", bytes(range(256)) * 40])
    head = b'Content-Disposition: form-data; name="' + part.encode() + b'"; filename="a.jpg"'
    body = b"--xyz\r\n" + head + b"\r\n\r\n" + data + b"\r\n--xyz--\r\n"
    draw = chance.random()
    if draw < 0.1:
        at = chance.randrange(len(body))
        body = body[:at] + chance.choice([b"", b"\xff", b"\r\n", b"--xyz"]) + body[at + 1 :]
    elif draw < 0.15:
        body = body.replace(part.encode(), b"other")
    elif draw < 0.2:
        mark = chance.choice([b"", b'"xyz"', b"xyz;a=b", b"nope", b"x" * 300, b'"'])
    return body, b"multipart/form-data; boundary=" + mark


def operations_of(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Path, method and operation by operation id."""
    return {
        operation["operationId"]: (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


# -- judging ----------------------------------------------------------------------------------------

ERROR_SHAPES = (
    {"code", "description"},
    {"error", "error_description"},
    {"returnCode", "returnMessage"},
)


def faults_of(wish: Wish, answer: Answer) -> list[str]:
    """What is wrong with an answer; empty when it keeps to the description."""
    found = []
    status, kind = answer.status, answer.headers.get("content-type", "")
    if status >= 500:
        found.append(f"status {status}")
    if str(status) not in wish.documented:
        found.append(f"status {status} is not documented")
    if "date" not in answer.headers:
        found.append("no date")
    if bool(answer.body) != bool(kind):
        found.append(f"{len(answer.body)} bytes of kind {kind!r}")
    if status == 204:
        if answer.body or "content-length" in answer.headers:
            found.append("204 with a body")
    elif answer.headers.get("content-length") != str(len(answer.body)):
        found.append("content-length is wrong")
    if status in (302, 307) and "location" not in answer.headers:
        found.append("no location")
    if kind.startswith("application/json"):
        try:
            value = json.loads(answer.body, parse_constant=_refuse)
        except ValueError:
            return [*found, "not JSON"]
        shapes = ERROR_SHAPES[1:] if wish.host == "auth" and status != 408 else ERROR_SHAPES[:1]
        if wish.host == "auth" and status == 404:
            shapes = ERROR_SHAPES[:1]
        if status >= 400 and (not isinstance(value, dict) or set(value) not in shapes):
            found.append(f"error of another shape: {str(value)[:200]}")
        elif status >= 400 and not all(isinstance(text, str) and text for text in value.values()):
            found.append("an error's parts are not texts")
    elif status >= 400 and not (wish.host == "storage" and status == 401 and kind.startswith("text/plain")):
        found.append(f"error of kind {kind!r}")
    return found


def _refuse(name: str) -> Any:
    raise ValueError(name)


class Trial:
    """Sends requests, learns from the answers and collects what is wrong."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.maker = Maker(sandbox)
        self.problems: list[str] = []
        self.counts: dict[tuple[str, int], int] = defaultdict(int)
        self.asked = 0
        self.last, self.spent_s = "", 0.0
        self._plan = sandbox.limits.plan
        self._written: set[tuple[str, str]] = set()
        self._save, sandbox.save = sandbox.save, self._noted_save
        self._happened = False
        self._event, sandbox.save_or_note = sandbox.save_or_note, self._noted_event
        self.free()

    def free(self) -> None:
        """No limits and no faults, whatever a request to the admin host has just changed."""
        limits = self.sandbox.limits
        limits.plan = self.sandbox.auth.plan = self._plan
        for name in ("default", "room", "log", "board", "none"):
            limits.overrides[name] = MANY
        for name in [name for name, value in limits.overrides.items() if value != MANY]:
            del limits.overrides[name]
        self.sandbox.faults.faults.clear()
        for name, value in (("app_scopes", []), ("allowed_ips", []), ("closed", []), ("key_state", "valid")):
            self.sandbox.tenant.set(name, value)

    async def furnish(self) -> None:
        """A group and a room for the others to act on: made at random they are rare."""
        tenant, chance = self.sandbox.tenant, random.Random(0)
        user = next(iter(tenant.table("users")))
        group = {"domainId": tenant.domain_id, "groupName": "本部", "administrators": [{"userId": user}]}
        group |= {"members": [{"id": user, "type": "USER"}], "groupExternalKey": "G1", "useMessage": True}
        self.maker.wish(chance, lambda name: name == "boards.list")
        headers = [(b"authorization", b"Bearer " + text.encode()) for text in self.maker.tokens()]
        for name, path, body in (
            ("groups.create", "/v1.0/groups", group),
            ("channels.create", f"/v1.0/bots/{tenant.bot_id}/channels", {"members": [user], "title": "本部"}),
        ):
            data = json.dumps(body).encode()
            wish = Wish(name, "api", "POST", path.encode(), b"", headers[:1], data, ("201", "400", "403"))
            await self.send(wish)

    def _noted_save(self) -> None:
        self._written |= set(self.sandbox.tenant.dirty)
        self._save()

    def _noted_event(self) -> None:
        self._happened = True
        self._event()

    async def one(
        self, chance: random.Random, only: Callable[[str], bool] | None = None, *, alone: bool = True
    ) -> Answer:
        """Make one request, send it, judge the answer."""
        wish = self.maker.wish(chance, only)
        while not alone and wish.name.startswith("admin.faults"):  # its faults would strike the others
            wish = self.maker.wish(chance, only)
        chunk = chance.choice([1 << 20, 1 << 20, 7]) if len(wish.body) < 4096 else 65536
        return await self.send(wish, chunk=chunk, alone=alone)

    async def send(self, wish: Wish, *, chunk: int = 1 << 20, alone: bool = True) -> Answer:
        """Send it, judge the answer; `alone`: nothing else is under way, so what is written is its own."""
        self.sandbox.save()
        self._written.clear()
        self._happened = False
        began = time.process_time()
        answer = await ask(self.sandbox, wish, chunk=chunk)
        self.spent_s = time.process_time() - began
        self.asked += 1
        self.last = wish.name
        self.counts[wish.name, answer.status] += 1
        found = faults_of(wish, answer)
        own = alone and not self._happened  # nothing that was due came in between
        if own and answer.status >= 400 and self._written and wish.name != "admin.staff.send":
            found.append(f"refused, and yet it changed {sorted(self._written)[:3]}")
        found += [f"{type(error).__name__}: {error}" for error in self.sandbox.defects]
        self.sandbox.defects.clear()
        if found:
            self.problems.append(f"{'; '.join(found)}\n  {wish}\n  -> {answer.status} {answer.body[:300]!r}")
        if wish.host == "admin":
            self.free()
            if wish.name == "admin.reset" and answer.status < 300:
                self.maker.learn_tables()
        if answer.status < 300 and answer.headers.get("content-type", "").startswith("application/json"):
            with contextlib.suppress(ValueError):
                self.maker.learn(json.loads(answer.body))
        if "location" in answer.headers:
            self.maker.learn({"location": answer.headers["location"]})
        if self.asked % 200 == 0:
            self.maker.learn_tables()
        return answer


def same_when_loaded(sandbox: Sandbox) -> list[str]:
    """Where the stored tenant, read anew, differs from the one in memory."""
    assert sandbox.store is not None
    sandbox.save()
    found = Tenant()
    store = Store(sandbox.store.path)
    try:
        store.load(found)
    finally:
        store.close()
    problems = []
    for table in sorted({*found.tables, *sandbox.tenant.tables}):
        kept, here = found.tables.get(table, {}), sandbox.tenant.tables.get(table, {})
        wrong = [key for key in {*kept, *here} if kept.get(key) != here.get(key)]
        if wrong:
            key = wrong[0]
            problems.append(
                f"{table} {key}: {kept.get(key)} in the file, {here.get(key)} in memory ({len(wrong)})"
            )
        elif list(kept) != list(here):
            first = next(at for at, pair in enumerate(zip(kept, here, strict=True)) if pair[0] != pair[1])
            problems.append(f"{table}: another order from the {first + 1}th of {len(kept)} on")
    return problems

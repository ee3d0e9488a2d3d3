"""What every request passes: faults, route, token, plan, scope, limit, overlap, handler, store."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from bousai_kit.sandbox.auth import FREE_PLAN_LACKS, Token, check_bearer, revoke_all
from bousai_kit.sandbox.faults import Fault
from bousai_kit.sandbox.limits import Verdict
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad, denied, missing

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Sandbox

__all__ = ["API_BASE", "INSTANCE2", "Dropped", "Gate", "error_reply"]

API_BASE = b"/v1.0"
INSTANCE2 = b"/instance2"
FOREIGN = "https://download.elsewhere.invalid"
DRAIN = 64 << 20
FREE_READS = {"user": "user.read", "orgunit": "orgunit.read", "group": "group.read"}

ReadBody = Callable[[int], Awaitable[bytes | None]]


class Dropped(Exception):
    """The connection ends without an answer; ``processed`` says whether the request took effect."""

    def __init__(self, *, processed: bool) -> None:
        super().__init__("connection dropped on purpose")
        self.processed = processed


def error_reply(fault: ApiFault) -> Reply:
    """``{"code", "description"}`` (part 1 §2.4)."""
    return Reply(fault.status, {"code": fault.code, "description": fault.description}, dict(fault.headers))


def parse_query(raw: bytes) -> dict[str, str]:
    """Decoded query values; an un-encoded ``+`` is a blank, as everywhere.

    Raises
    ------
    ApiFault
        400: not UTF-8, a NUL, or more than 100 parameters.
    """
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise bad("The query string is invalid.") from None
    if b"%00" in raw and any("\x00" in text for pair in pairs for text in pair):
        raise bad("The query string is invalid.")
    return dict(pairs)


class Gate:
    """The way in to one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._flying: set[str] = set()
        self._last_orgunit: dict[int, datetime] = {}  # by domain
        self._concurrent = 0

    async def handle(
        self, host: str, method: str, raw_path: bytes, query: bytes, headers: dict[str, str], body: ReadBody
    ) -> Reply:
        """Answer one request.

        Raises
        ------
        Dropped
            A fault closes the connection.
        """
        below = raw_path
        instance2 = host == "storage" and raw_path.startswith(INSTANCE2 + API_BASE + b"/")
        if instance2:
            host, below = "api", raw_path.removeprefix(INSTANCE2)
        found = None
        if host != "api" or below.startswith(API_BASE + b"/"):
            below = below.removeprefix(API_BASE) if host == "api" else below
            router = self.sandbox.routers.get(host)
            found = router.find(method, below) if router is not None else None
        if found is None:
            if host == "api" and not self.sandbox.choices.wrong_path_before_token:
                check_bearer(self.sandbox.tenant, headers.get("authorization"), self.sandbox.clock.now())
            return error_reply(missing("Api not exists"))
        operation, path = found
        if host == "admin" and "origin" in headers:  # a page in somebody's browser, not a program of ours
            return error_reply(denied())
        faults: list[Fault] = []
        if host != "admin" and self.sandbox.faults and not instance2:
            faults = self.sandbox.faults.decide(
                operation.name,
                elapsed_s=self.sandbox.elapsed_s(),
                method=method,
                path=below.decode("ascii", "replace"),
            )
        return await self.faulted(
            faults, operation, raw_path, query, lambda: self._run(operation, path, query, headers, body)
        )

    # -- faults -------------------------------------------------------------------------------------

    async def faulted(
        self,
        faults: list[Fault],
        operation: Operation | None,
        raw_path: bytes,
        query: bytes,
        run: Callable[[], Awaitable[Reply]],
    ) -> Reply:
        """Run a request among the faults that strike it (`operation` None: the auth host)."""
        after: list[Fault] = []
        for fault in faults:
            if fault.kind == "refuse":
                raise Dropped(processed=False)
            if fault.kind == "slow" and not fault.after:
                await self.sandbox.clock.sleep(fault.seconds if fault.seconds is not None else 5.0)
            elif fault.kind == "revoke":
                revoke_all(self.sandbox.tenant)
                self.sandbox.save()
            elif fault.kind == "429":
                return _storm(fault, self.sandbox.limits.limit_of(*_limit_name(operation)))
            elif fault.kind in ("500", "503") and not fault.after:
                return _broken(fault)
            elif fault.kind in ("redirect", "foreign") and _redirects(operation):
                base = self.sandbox.storage_url + INSTANCE2.decode() if fault.kind == "redirect" else FOREIGN
                target = (raw_path + (b"?" + query if query else b"")).decode("ascii", "replace")
                return Reply(307, None, {"Location": base + target})
            else:
                after.append(fault)
        reply = await run()
        for fault in after:
            if fault.kind == "slow":
                await self.sandbox.clock.sleep(fault.seconds if fault.seconds is not None else 5.0)
            elif fault.kind == "drop":
                raise Dropped(processed=True)
            elif fault.kind in ("500", "503"):
                return _broken(fault)
            elif fault.kind == "no_headers":
                reply.headers = {
                    k: v for k, v in reply.headers.items() if not k.lower().startswith("ratelimit")
                }
            elif fault.kind == "truncate" and reply.raw is not None:
                reply.raw = _truncated(reply.raw)
            elif fault.kind == "foreign" and "Location" in reply.headers:
                reply.headers["Location"] = FOREIGN + "/download"
        return reply

    # -- the way of a request -----------------------------------------------------------------------

    async def _run(
        self,
        operation: Operation,
        path: dict[str, str],
        query: bytes,
        headers: dict[str, str],
        body: ReadBody,
    ) -> Reply:
        sandbox = self.sandbox
        if operation.host == "admin":
            call = await self._call(operation, path, query, headers, body, None)
            return await self._finish(operation, call, None)
        half = sandbox.latency_s / 2
        if half:
            await sandbox.clock.sleep(half)
        verdict: Verdict | None = None
        try:
            token = check_bearer(sandbox.tenant, headers.get("authorization"), sandbox.clock.now())
            if operation.host == "storage":
                call = await self._call(operation, path, query, headers, body, token)
            else:
                self._authorise(operation, path, token)
                verdict = self._count(operation)
                call = await self._call(operation, path, query, headers, body, token)
            async with self._alone(operation, call):
                reply = await self._finish(operation, call, verdict)
        except ApiFault as fault:
            reply = self._refusal(operation, fault, verdict)
            sandbox.save()
        if half:
            await sandbox.clock.sleep(half)
        return reply

    def _refusal(self, operation: Operation, fault: ApiFault, verdict: Verdict | None) -> Reply:
        if operation.host == "storage" and fault.status == 401:  # part 2 §2.7
            return Reply(401, raw=b"Authentication failed.", content_type="text/plain; charset=UTF-8")
        reply = error_reply(fault)
        if verdict is not None:
            reply.headers = {**verdict.headers(), **reply.headers}
        return reply

    def _authorise(self, operation: Operation, path: dict[str, str], token: Token) -> None:
        sandbox = self.sandbox
        granted = token.scopes
        if operation.name in (sandbox.tenant.get("closed") or ()):
            raise denied()
        if sandbox.limits.plan == "free":
            granted = frozenset(
                FREE_READS.get(scope, scope) for scope in granted if scope not in FREE_PLAN_LACKS
            )
        opening = granted.intersection(operation.scopes)
        if operation.scopes and not opening:
            raise denied()
        late = opening and sandbox.choices.ungranted_scope == "call"
        if late and not opening.intersection(sandbox.auth.app_scopes):
            raise ApiFault(401, "UNAUTHORIZED", "Authentication failed.")
        if token.is_service:
            if operation.user_only:
                raise denied()
            if path.get("userId") == "me":
                raise ApiFault(*sandbox.choices.me_with_service_account)
        elif path.get("userId") == "me":
            path["userId"] = token.user_id

    def _count(self, operation: Operation) -> Verdict | None:
        if operation.limit == "none":
            return None
        sandbox = self.sandbox
        verdict = sandbox.limits.take(operation.name, operation.limit, sandbox.clock.now().timestamp())
        if not verdict.allowed:
            raise ApiFault(429, "TOO_MANY_REQUESTS", "API rate limit exceeded", headers=verdict.headers())
        return verdict

    async def _call(
        self,
        operation: Operation,
        path: dict[str, str],
        query: bytes,
        headers: dict[str, str],
        body: ReadBody,
        token: Token | None,
    ) -> Call:
        sandbox = self.sandbox
        data = b""
        if operation.method in ("POST", "PUT", "PATCH") or operation.host == "admin":
            read = await body(operation.max_body)
            if read is None:
                raise ApiFault(*sandbox.choices.body_too_large, "Request body is too large.")
            data = read
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if data and kind and operation.host == "api" and kind != "application/json":
                raise ApiFault(*sandbox.choices.wrong_content_type, "Content-Type must be application/json.")
        return Call(sandbox, operation, path, parse_query(query), headers, data, sandbox.clock.now(), token)

    @contextlib.asynccontextmanager
    async def _alone(self, operation: Operation, call: Call) -> AsyncIterator[None]:
        """Refuse what must not overlap (part 1 §2.5, part 2 §1.1)."""
        most = self.sandbox.choices.concurrent
        if most and operation.limit != "none" and self._concurrent >= most:
            raise ApiFault(429, "TOO_MANY_REQUESTS", "API rate limit exceeded")
        self._concurrent += 1
        key = ""
        try:
            key = self._serial_key(operation, call)
            if key:
                self._flying.add(key)
                await self.sandbox.clock.sleep(
                    max(0.0, self.sandbox.choices.serial_service_s - self.sandbox.latency_s)
                )
                call.now = self.sandbox.clock.now()
            yield
        finally:
            self._concurrent -= 1
            self._flying.discard(key)

    def _serial_key(self, operation: Operation, call: Call) -> str:
        choices = self.sandbox.choices
        kind = operation.serial.partition(":")[0]
        if not kind:
            return ""
        if kind == "orgunit":
            return self._orgunit_turn(call)
        rule = choices.member_overlap if kind == "member" else choices.bot_overlap
        if rule == "accept":
            return ""
        key = operation.serial.format(**call.path)
        if kind == "member":
            from bousai_kit.sandbox.directory_state import find_user

            user = find_user(call.tenant, call.path.get("userId", ""))
            key = f"member:{user['userId']}" if user is not None else ""
        if key in self._flying:
            raise ApiFault(409, "CONFLICT", "Another request for the same resource is being processed.")
        return key

    def _orgunit_turn(self, call: Call) -> str:
        choices = self.sandbox.choices
        rule, gap = choices.orgunit_too_fast, choices.orgunit_gap_s - self.sandbox.jitter_s()
        if rule == "accept":
            return ""
        domain = _domain_of_unit(call)
        key, last = f"orgunit:{domain}", self._last_orgunit.get(domain)
        too_fast = last is not None and 0 <= (call.now - last).total_seconds() < gap
        if key in self._flying or too_fast:
            if rule == "409":
                raise ApiFault(409, "CONFLICT", "Org units are changed one at a time, one call per second.")
            raise ApiFault(
                429, "TOO_MANY_REQUESTS", "API rate limit exceeded", headers={"RateLimit-Reset": "1"}
            )
        self._last_orgunit[domain] = call.now
        return key

    async def _finish(self, operation: Operation, call: Call, verdict: Verdict | None) -> Reply:
        try:
            result = operation.handler(call)
            reply = await result if inspect.isawaitable(result) else result
        except ApiFault as fault:
            reply = self._refusal(operation, fault, verdict)
            self.sandbox.save()
            return reply
        self.sandbox.save()
        if verdict is not None and reply.status != 302:
            reply.headers = {**verdict.headers(), **reply.headers}
        return reply


def _domain_of_unit(call: Call) -> int:
    """Whose turn an org-unit write takes: that of the unit's domain, or of the one that a body names."""
    from bousai_kit.sandbox.directory_index import find

    unit = find(call.tenant, "orgunits", call.path.get("orgUnitId", ""))
    if unit is not None:
        return int(unit["domainId"])
    with contextlib.suppress(ApiFault):  # a body that is no body is refused by its handler
        value = call.json().get("domainId")
        if value in call.tenant.domains:
            return int(value)
    return call.tenant.domain_id


def _redirects(operation: Operation | None) -> bool:
    """A plain API call; a download's own 302 is changed afterwards."""
    return operation is not None and operation.host == "api" and operation.success != 302


def _limit_name(operation: Operation | None) -> tuple[str, str]:
    return ("auth", "default") if operation is None else (operation.name, operation.limit)


def _storm(fault: Fault, limit: int) -> Reply:
    reset = max(1, int(fault.seconds if fault.seconds is not None else 17))
    return Reply(
        429,
        {"code": "TOO_MANY_REQUESTS", "description": "API rate limit exceeded"},
        Verdict(False, limit, 0, reset).headers(),
    )


def _broken(fault: Fault) -> Reply:
    if fault.kind == "500":
        return Reply(500, {"code": "INTERNAL_SERVER_ERROR", "description": "Internal server error."})
    return Reply(503, {"code": "SERVICE_UNAVAILABLE", "description": "Service is temporarily unavailable."})


def _truncated(raw: bytes) -> bytes:
    half = raw[: max(raw.find(b"\n") + 1, len(raw) // 2)]
    return (
        half + (b"" if half.endswith(b"\n") else b"\r\n") + b"downloadLogs error: internal server error\r\n"
    )

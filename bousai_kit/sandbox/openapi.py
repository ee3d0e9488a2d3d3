"""The sandbox's own description, an OpenAPI 3.1 document made from the `Operation` tables alone.

``GET /openapi.json`` of the admin host gives it with the addresses of the running hosts; the property test
(``tests/sandbox/test_openapi.py``) and ``bench/fuzz.py`` make their requests from it. What the tables do not
hold (kinds of downloads, the form of an upload, the token host) stands here.

Extensions: ``x-host`` (which of the hosts), ``x-limit`` (class of the rate limit), ``x-one-at-a-time`` (what
must not be written twice at once), ``x-user-only`` (refused for service accounts), ``x-max-bytes``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bousai_kit.sandbox.ops import Operation

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Sandbox

__all__ = ["AUTH_OPERATIONS", "build_openapi", "openapi_of"]

Document = dict[str, Any]

DIALECT = "https://spec.openapis.org/oas/3.1/dialect/base"
REFUSALS = {
    400: "A parameter, a property or the body is wrong; the description names it.",
    401: "The bearer token is missing, malformed, unknown or over.",
    403: "Scope, domain, plan or state do not allow it.",
    404: "No such API, or no such resource.",
    408: "The body did not arrive in time.",
    409: "Taken, already so, or another write of the same resource is under way.",
    413: "The body is too large.",
    415: "The body is not of the kind that is asked for.",
    429: "The limit of this operation is used up; wait for ``RateLimit-Reset`` seconds.",
}
WITH_BODY = frozenset({408, 413, 415})
FAULTS = {500: "InternalServerError", 503: "ServiceUnavailable"}
DOWNLOADS = {
    "logs.fetch": "text/csv",
    "users.photo.download": "image/jpeg",
    "attachments.download": "application/octet-stream",
    "forms.attachment.download": "application/octet-stream",
}
FORM_PART = {"attachments.upload": "FileData", "users.photo.upload": "Filedata"}
LIMIT_HEADERS = {
    "RateLimit-Limit": "Requests a minute of this operation.",
    "RateLimit-Remaining": "How many are left in this window.",
    "RateLimit-Reset": "Seconds until the window ends.",
    "rateLimit-ssed": "How many were used (the vendor's spelling).",
    "RateLimit-Used": "The same.",
}
SERVER_WORDS = {
    "api": "The API (bearer token)",
    "auth": "Tokens",
    "storage": "Uploads and downloads (bearer token, text errors, no limits)",
    "admin": "The sandbox's own console on loopback; no part of the vendor's API",
}
PATH_WORDS = {
    "userId": "User id, login id, `externalKey:` and a key, or `me`.",
    "orgUnitId": "Org unit id, or `externalKey:` and a key.",
    "groupId": "Group id, or `externalKey:` and a key.",
    "ticket": "As it stands in the URL that the API gave.",
}
AUTH_OPERATIONS = ("auth.token", "auth.revoke")


def openapi_of(sandbox: Sandbox) -> Document:
    """The description of a running sandbox, with the addresses of its hosts."""
    operations = [operation for router in sandbox.routers.values() for operation in router.operations]
    return build_openapi(
        operations,
        servers={
            "api": sandbox.api_url,
            "auth": sandbox.auth_url,
            "storage": sandbox.storage_url,
            "admin": sandbox.admin_url,
        },
    )


def build_openapi(operations: Iterable[Operation], *, servers: Mapping[str, str]) -> Document:
    """An OpenAPI 3.1 document of some operations and of the token host.

    Parameters
    ----------
    operations : iterable of Operation
    servers : mapping
        Base URL by host; must hold every host of the operations, and ``auth``.

    Raises
    ------
    ValueError
        Two operations of the same method and path, or of the same name.
    """
    paths: dict[str, dict[str, Any]] = {}
    names: set[str] = set()
    tags: dict[str, None] = {}
    entries = [
        (operation.path, operation.method, operation.host, _operation(operation)) for operation in operations
    ]
    entries += [(path, "POST", "auth", entry) for path, entry in _auth_operations()]
    for path, method, host, entry in entries:
        item = paths.setdefault(path, {})
        if method.lower() in item or entry["operationId"] in names:
            raise ValueError(f"{method} {path} ({entry['operationId']}) is there twice")
        names.add(entry["operationId"])
        tags[entry["tags"][0]] = None
        item[method.lower()] = {**entry, "x-host": host, "servers": [_server(host, servers[host])]}
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": DIALECT,
        "info": {
            "title": "LINE WORKS-compatible sandbox",
            "version": "1.0",
            "description": "A stand-in for exercises, written from the vendor's published documents.",
        },
        "servers": [_server(host, servers[host]) for host in SERVER_WORDS],
        "tags": [{"name": name} for name in tags],
        "paths": paths,
        "components": _components(),
    }


def _server(host: str, url: str) -> dict[str, str]:
    return {"url": url, "description": SERVER_WORDS[host]}


# -- one operation ----------------------------------------------------------------------------------


def _operation(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.name.partition(".")[0]],
        "description": _description(operation),
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": _responses(operation),
        "security": _security(operation),
        "x-limit": operation.limit,
    }
    body = _request_body(operation)
    if body is not None:
        found["requestBody"] = body
        found["x-max-bytes"] = operation.max_body
    if operation.serial:
        found["x-one-at-a-time"] = operation.serial
    if operation.user_only:
        found["x-user-only"] = True
    return found


def _description(operation: Operation) -> str:
    if operation.paragraph:
        part, _, section = operation.paragraph.partition(" ")
        text = f"Reference part {part} {section}."
    else:
        text = "No part of the vendor's API."
    if operation.user_only:
        text += " Refused for service accounts."
    if len(operation.scopes) > 1:
        text += f" Any one of these scopes opens it: {', '.join(operation.scopes)}."
    return text


def _path_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for segment in operation.path.split("/"):
        if segment.startswith("{"):
            name = segment[1:-1]
            words = {"description": PATH_WORDS[name]} if name in PATH_WORDS else {}
            schema = {"type": "string", "minLength": 1, "maxLength": 1000}
            yield {"name": name, "in": "path", "required": True, "schema": schema, **words}


def _query_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name, known in operation.query.items():
        schema = {key: value for key, value in known.items() if key != "x-required"}
        yield {"name": name, "in": "query", "required": bool(known.get("x-required")), "schema": schema}


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    if operation.host == "admin":
        return []
    return [{"bearer": [scope]} for scope in operation.scopes] or [{"bearer": []}]


def _request_body(operation: Operation) -> dict[str, Any] | None:
    part = FORM_PART.get(operation.name)
    if part is not None:
        schema = {
            "type": "object",
            "required": [part],
            "properties": {part: {"type": "string", "contentMediaType": "application/octet-stream"}},
        }
        return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    if operation.body is None:
        return None
    return {
        "required": bool(operation.body.get("required")),
        "content": {"application/json": {"schema": dict(operation.body)}},
    }


# -- answers ----------------------------------------------------------------------------------------


def _responses(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {str(operation.success): _success(operation)}
    for status in _refusals(operation):
        found[str(status)] = {"$ref": f"#/components/responses/{_refusal_name(operation.host, status)}"}
    if operation.host == "api" and operation.success != 302:
        found["307"] = {"$ref": "#/components/responses/OtherInstance"}
    if operation.host != "admin":
        found |= {str(status): {"$ref": f"#/components/responses/{name}"} for status, name in FAULTS.items()}
    return found


def _refusals(operation: Operation) -> list[int]:
    reads_body = operation.method in ("POST", "PUT", "PATCH") or operation.host == "admin"
    found = [status for status in REFUSALS if reads_body or status not in WITH_BODY]
    if operation.host == "admin":
        return [status for status in found if status not in (401, 415, 429)]
    if operation.host == "storage":
        return [status for status in found if status not in (409, 429)]
    return found


def _success(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {"description": "Done."}
    headers = {}
    if operation.host == "api" and operation.limit != "none" and operation.success != 302:
        headers = _limit_headers()
    if operation.success == 302:
        headers["Location"] = {
            "required": True,
            "description": "Where the file is; to be fetched with the same bearer token.",
            "schema": {"type": "string", "format": "uri"},
        }
    if headers:
        found["headers"] = headers
    if operation.name in DOWNLOADS:
        found["content"] = {DOWNLOADS[operation.name]: {}}
    elif operation.success in (200, 201):
        found["content"] = {"application/json": {"schema": {"type": "object"}}}
    return found


def _limit_headers() -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in LIMIT_HEADERS}


def _refusal_name(host: str, status: int) -> str:
    if host == "storage" and status == 401:
        return "StorageUnauthorized"
    if host == "api" and status not in (401, 408):
        return f"Refused{status}"
    return f"Refused{status}Uncounted"


# -- the token host and the parts -------------------------------------------------------------------


def _auth_operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """``POST /token`` and ``POST /revoke`` (part 1 §1); `AuthHost` answers them, no `Operation`."""
    client = {"client_id": {"type": "string"}, "client_secret": {"type": "string"}}
    token = {
        "grant_type": {"enum": ["urn:ietf:params:oauth:grant-type:jwt-bearer", "refresh_token"]},
        "assertion": {"type": "string"},
        "refresh_token": {"type": "string"},
        "scope": {"type": "string"},
    }
    for path, properties, required in (
        ("/token", {**token, **client}, ["grant_type", "client_id", "client_secret"]),
        ("/revoke", {"token": {"type": "string"}, **client}, ["token", "client_id", "client_secret"]),
    ):
        schema = {"type": "object", "required": required, "properties": properties}
        refusals = {
            str(status): {"$ref": "#/components/responses/OAuthRefused"} for status in (400, 401, 413, 415)
        }
        yield (
            path,
            {
                "operationId": "auth" + path.replace("/", "."),
                "tags": ["auth"],
                "description": "Reference part 1 §1.",
                "parameters": [],
                "requestBody": {
                    "required": True,
                    "content": {"application/x-www-form-urlencoded": {"schema": schema}},
                },
                "responses": {
                    "200": {
                        "description": "Done.",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    **refusals,
                    "404": {"$ref": "#/components/responses/Refused404Uncounted"},
                    "408": {"$ref": "#/components/responses/Refused408Uncounted"},
                    **{
                        str(code): {"$ref": f"#/components/responses/{name}"} for code, name in FAULTS.items()
                    },
                },
                "security": [],
                "x-limit": "none",
                "x-max-bytes": 1 << 16,
            },
        )


def _components() -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    oauth = {"application/json": {"schema": {"$ref": "#/components/schemas/OAuthError"}}}
    responses: dict[str, Any] = {}
    for status, words in REFUSALS.items():
        responses[f"Refused{status}Uncounted"] = {"description": words, "content": error}
        if status not in (401, 408):
            responses[f"Refused{status}"] = {
                "description": words,
                "headers": _limit_headers(),
                "content": error,
            }
    for status, name in FAULTS.items():
        words = f"{status}, only when the fault plan says so."
        responses[name] = {"description": words, "content": error}
    responses["StorageUnauthorized"] = {
        "description": REFUSALS[401],
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    responses["OAuthRefused"] = {"description": "Refused.", "content": oauth}
    responses["OtherInstance"] = {
        "description": "The same resource on another instance, only when the fault plan says so.",
        "headers": {"Location": {"required": True, "schema": {"type": "string", "format": "uri"}}},
    }
    text = {"type": "string"}
    return {
        "schemas": {
            "Error": {
                "type": "object",
                "required": ["code", "description"],
                "properties": {"code": text, "description": text},
                "additionalProperties": False,
            },
            "OAuthError": {
                "oneOf": [
                    {
                        "type": "object",
                        "required": ["error", "error_description"],
                        "properties": {"error": text, "error_description": text},
                        "additionalProperties": False,
                    },
                    {
                        "type": "object",
                        "required": ["returnCode", "returnMessage"],
                        "properties": {"returnCode": text, "returnMessage": text},
                        "additionalProperties": False,
                    },
                ]
            },
        },
        "headers": {
            name: {"description": words, "schema": {"type": "integer", "minimum": 0}}
            for name, words in LIMIT_HEADERS.items()
        },
        "responses": responses,
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "An access token of the token host; the list names the scope that opens it.",
            }
        },
    }

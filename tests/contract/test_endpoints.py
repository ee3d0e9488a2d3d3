"""The endpoint list of the directory: every call is there, opened by its scopes alone (part 1 §3)."""

from __future__ import annotations

import pytest

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import Lab, trial, uid

USER = "/users/u"
WRITE, READ = ("user", "directory"), ("user", "user.read", "directory", "directory.read")
CATALOGUES = ("levels", "positions", "user-types", "employment-types")


def thing(path: str, scope: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """Create, list, get, replace, patch, delete of one kind."""
    write = tuple(dict.fromkeys((scope, "directory")))
    read = (*write, *(f"{name}.read" for name in write))
    one = f"{path}/x"
    return [
        *(("GET", place, read) for place in (path, one)),
        ("POST", path, write),
        *((method, one, write) for method in ("PUT", "PATCH", "DELETE")),
    ]


ENDPOINTS: list[tuple[str, str, tuple[str, ...]]] = [
    ("POST", "/users", WRITE),
    ("GET", "/users", READ),
    ("GET", USER, READ),
    ("PUT", USER, WRITE),
    ("PATCH", USER, WRITE),
    ("DELETE", USER, WRITE),
    ("DELETE", f"{USER}/forcedelete", WRITE),
    *(
        ("POST", f"{USER}/{name}", WRITE)
        for name in (
            "undelete", "suspend", "unsuspend", "force-logout", "move", "set-leave-of-absence",
            "clear-leave-of-absence", "send-invitation-email", "photo", "alias-emails/a%40city-demo",
            "user-profile-statuses",
        )
    ),
    ("POST", "/users/send-invitation-email", WRITE),
    ("DELETE", f"{USER}/alias-emails/a%40city-demo", WRITE),
    ("GET", f"{USER}/photo", READ),
    ("DELETE", f"{USER}/photo", WRITE),
    ("GET", "/users/external-keys", ("directory", "directory.read")),
    ("POST", "/users/external-keys", ("directory",)),
    ("GET", f"{USER}/user-profile-statuses", READ),
    ("GET", f"{USER}/user-profile-statuses/x", READ),
    *((method, f"{USER}/user-profile-statuses/x", WRITE) for method in ("PUT", "PATCH", "DELETE")),
    *(
        ("POST", f"{before}/{name}", ("user",))
        for before in (USER, "/users")
        for name in ("link-to-line", "unlink-to-line", "link-to-works")
    ),
    *thing("/orgunits", "orgunit"),
    ("POST", "/orgunits/x/move", ("orgunit", "directory")),
    ("GET", "/orgunits/x/members", ("orgunit", "orgunit.read", "directory", "directory.read")),
    *thing("/groups", "group"),
    *(
        (method, f"/groups/x/{name}{below}", scopes)
        for name in ("members", "administrators")
        for method, below, scopes in (
            ("GET", "", ("group", "group.read", "directory", "directory.read")),
            ("POST", "", ("group", "directory")),
            ("DELETE", "/u", ("group", "directory")),
        )
    ),
    *(
        (method, f"/{kind}/external-keys", ("directory", *more))
        for kind in ("orgunits", "groups", *(f"directory/{name}" for name in CATALOGUES))
        for method, more in (("GET", ("directory.read",)), ("POST", ()))
    ),
    *(entry for name in CATALOGUES for entry in thing(f"/directory/{name}", "directory")),
    *(
        ("POST", f"/directory/{name}/{switch}", ("directory",))
        for name in CATALOGUES
        for switch in ("enable", "disable")
    ),
    *(
        entry
        for entry in thing("/directory/users/custom-properties", "directory")
        if entry[0] != "PUT"
    ),
    *(entry for entry in thing("/directory/profile-statuses", "directory") if entry[0] == "GET"),
]  # fmt: skip
EVERY = sorted({scope for _, _, scopes in ENDPOINTS for scope in scopes} | {"bot", "board", "audit.read"})


@paragraph("1 §3", "1 §1.9")
def test_each_call_is_there_and_wants_a_token() -> None:
    async def test(bench: Lab) -> None:
        for method, path, _ in ENDPOINTS:
            answer = await bench.http.request(method, bench.sandbox.api_url + path)
            assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED"), (method, path)

    trial(test)


@paragraph("1 §3", "1 §1.9")
@pytest.mark.parametrize("scope", EVERY)
def test_any_one_of_its_scopes_opens_a_call_and_no_other_one(scope: str) -> None:
    async def test(bench: Lab) -> None:
        bench.sandbox.limits.overrides["default"] = 100_000
        for name in ("levels", "positions", "user_types", "profile_statuses"):
            bench.tenant.set(f"enabled:{name}:{bench.tenant.domain_id}", True)
        headers = bench.bearer(scope)
        for method, path, scopes in ENDPOINTS:
            answer = await bench.api(method, path, headers=headers)
            narrow = method == "GET" and scope in ("user.email.read", "user.profile.read")
            if narrow:
                continue
            assert (answer.status_code == 403) == (scope not in scopes), (method, path, answer.text)

    trial(test)


@paragraph("1 §3", "1 §4.8", "1 §2.1")
def test_each_action_answers_with_its_documented_status() -> None:
    async def test(bench: Lab) -> None:
        bench.sandbox.limits.overrides["default"] = 100_000
        body = {"fileName": "a.jpg", "fileSize": 4}
        for method, path, given, status in (
            ("POST", f"/users/{uid(1)}/suspend", None, 204),
            ("POST", f"/users/{uid(1)}/unsuspend", None, 204),
            ("POST", f"/users/{uid(1)}/force-logout", None, 202),
            ("POST", f"/users/{uid(1)}/set-leave-of-absence", {}, 204),
            ("POST", f"/users/{uid(1)}/clear-leave-of-absence", None, 204),
            ("POST", "/users/send-invitation-email", None, 202),
            ("POST", f"/users/{uid(1)}/photo", body, 200),
            ("POST", f"/users/{uid(1)}/link-to-line", None, 204),
            ("POST", f"/users/{uid(1)}/unlink-to-line", None, 204),
            ("POST", f"/users/{uid(1)}/link-to-works", None, 204),
            ("POST", "/users/link-to-line", None, 202),
            ("POST", "/users/unlink-to-line", None, 202),
            ("POST", "/users/link-to-works", None, 202),
            ("DELETE", f"/users/{uid(1)}", None, 204),
            ("POST", f"/users/{uid(1)}/undelete", None, 200),
            ("DELETE", f"/users/{uid(1)}/forcedelete", None, 204),
        ):
            answer = await bench.api(method, path, given)
            assert answer.status_code == status, (method, path, answer.text)
            assert (answer.content == b"") == (status in (202, 204))
            if not path.startswith("/users/" + uid(1)):
                continue
            nobody = await bench.api(method, path.replace(uid(1), "nobody"), given)
            assert (nobody.status_code, nobody.json()["code"]) == (404, "NOT_FOUND"), (method, path)

    trial(test)

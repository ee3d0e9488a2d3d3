"""Survey answers (part 2 §9.2): for the form's creator or a co-manager only, so refused for service accounts.

No call creates a form; the admin host's ``PUT /forms/{formId}`` puts one in place for tests:
``managers`` (user ids), ``responses`` (``userId``, ``respondedTime``, ``questions``, ``attachments``: each
``fileName`` and ``hex``).
"""

from __future__ import annotations

from typing import Any

from bousai_kit.sandbox import schemas, tickets
from bousai_kit.sandbox.bot_state import full_name
from bousai_kit.sandbox.content_parts import array, obj, string
from bousai_kit.sandbox.directory_checks import moment, one_of
from bousai_kit.sandbox.directory_state import find_user
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad, missing
from bousai_kit.sandbox.tenant import Entity, iso

__all__ = ["OPERATIONS", "QUESTIONS"]

QUESTIONS = ("SINGLE_CHOICE", "MULTIPLE_CHOICE", "TEXT", "SINGLE_DATE", "MULTIPLE_DATE", "DROPDOWN")
FILES = "form-files"


def _form(call: Call) -> Entity:
    form = call.tenant.table("forms").get(call.path["formId"])
    asking = call.token.user_id if call.token is not None else ""
    if form is None or asking not in form["managers"]:
        raise ApiFault(*call.choices.unknown_form)
    return form


def _responses(call: Call) -> Reply:
    answers = [(entry["responseId"], entry) for entry in _form(call)["responses"]]
    return Reply(200, call.page("responses", answers, default=500, maximum=1000))


def _attachment(call: Call) -> Reply:
    """Where the download is: the path is by analogy with those of the bots."""
    if all(entry["responseId"] != call.path["responseId"] for entry in _form(call)["responses"]):
        raise missing("Response not found.")
    key = "/".join(call.path[name] for name in ("formId", "responseId", "attachmentId"))
    if f"form:{key}" not in call.tenant.table("blobs"):
        raise missing("Attachment not found.")
    url = tickets.give(call, FILES, call.choices.download_ticket_s, file=key)
    return Reply(302, None, {"Location": url})


def _download(call: Call) -> Reply:
    blob = call.tenant.table("blobs").get(f"form:{tickets.look(call, FILES)['file']}")
    if blob is None:
        raise missing("Attachment not found.")
    return Reply(200, raw=bytes.fromhex(blob["hex"]), content_type="application/octet-stream")


# -- put in place -----------------------------------------------------------------------------------


def _respondent(call: Call, user_id: str) -> dict[str, Any]:
    user = find_user(call.tenant, user_id) or {}
    units: list[str | None] = [
        call.tenant.table("orgunits").get(unit["orgUnitId"], {}).get("orgUnitName")
        for company in user.get("organizations") or ()
        for unit in company["orgUnits"]
        if unit["primary"]
    ]
    return {
        "id": user.get("userId"),
        "name": full_name(user),
        "email": user.get("email"),
        "organizationName": call.choices.company if user else None,
        "orgUnitName": next(iter(units), None),
    }


def _questions(value: Any, path: str) -> list[dict[str, Any]]:
    found = []
    for at, entry in enumerate([] if value is None else array(value, path, low=0)):
        given = obj(entry, f"{path}[{at}]")
        string(given, "questionId", f"{path}[{at}]", 200)
        if one_of(given, "questionType", QUESTIONS, f"{path}[{at}]") is None:
            raise bad(f"{path}[{at}].questionType is required.")
        found.append(given)
    return found


def _files(call: Call, value: Any, path: str, response_id: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for at, entry in enumerate([] if value is None else array(value, path, low=0)):
        given = obj(entry, f"{path}[{at}]")
        name = string(given, "fileName", f"{path}[{at}]", 200)
        try:
            data = bytes.fromhex(string(given, "hex", f"{path}[{at}]", 1 << 20) or "")
        except ValueError:
            raise bad(f"{path}[{at}].hex is invalid.") from None
        found[f"form:{call.path['formId']}/{response_id}/{at + 1}"] = {"name": name, "hex": data.hex()}
    return found


def _place(call: Call) -> Reply:
    fields = call.json()
    form_id = call.path["formId"]
    managers = [str(user) for user in array(fields.get("managers"), "managers")]
    responses: list[dict[str, Any]] = []
    files: dict[str, dict[str, Any]] = {}
    for at, entry in enumerate(array(fields.get("responses"), "responses", low=0)):
        path, response_id = f"responses[{at}]", f"{form_id}-{at + 1:06d}"
        given = obj(entry, path)
        moment(given, "respondedTime")
        responses.append(
            {
                "formId": form_id,
                "responseId": response_id,
                "respondedTime": given.get("respondedTime") or iso(call.now),
                "respondent": _respondent(call, string(given, "userId", path, 100) or ""),
                "questions": _questions(given.get("questions"), f"{path}.questions"),
            }
        )
        files |= _files(call, given.get("attachments"), f"{path}.attachments", response_id)
    for key, blob in files.items():
        call.tenant.put("blobs", key, blob)
    call.tenant.put("forms", form_id, {"managers": managers, "responses": responses})
    return Reply(204)


_QUESTION = schemas.body(
    {"questionId": schemas.text(200), "questionType": schemas.one_of(*QUESTIONS)},
    "questionId",
    "questionType",
)
_FILE = schemas.body(
    {"fileName": schemas.text(200), "hex": schemas.text(1 << 20, pattern="^([0-9a-f]{2})+$")},
    "fileName",
    "hex",
)
_RESPONSE = schemas.body(
    {
        "userId": schemas.text(100),
        "respondedTime": {"type": ["string", "null"], "format": "date-time", "maxLength": 25},
        "questions": schemas.array_of(_QUESTION),
        "attachments": schemas.array_of(_FILE),
    },
    "userId",
)
_FORM = schemas.body(
    {
        "managers": schemas.array_of(schemas.text(100), low=1),
        "responses": schemas.array_of(_RESPONSE),
    },
    "managers",
    "responses",
)
_SCOPES = ("form", "form.read")
_ONE = "/forms/{formId}/responses"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "forms.responses",
        "GET",
        _ONE,
        _SCOPES,
        _responses,
        user_only=True,
        query=schemas.page(1000),
        paragraph="2 §9.2",
    ),
    Operation(
        "forms.attachment",
        "GET",
        f"{_ONE}/{{responseId}}/attachments/{{attachmentId}}",
        _SCOPES,
        _attachment,
        success=302,
        user_only=True,
        paragraph="2 §9.2",
    ),
    Operation(
        "forms.attachment.download",
        "GET",
        f"/{FILES}/{{ticket}}",
        (),
        _download,
        host="storage",
        limit="none",
        paragraph="2 §9.2",
    ),
    Operation(
        "admin.forms",
        "PUT",
        "/forms/{formId}",
        (),
        _place,
        success=204,
        host="admin",
        limit="none",
        body=_FORM,
    ),
)

"""Survey answers (part 2 §9.2): for the form's creator or a co-manager only, so refused for service accounts.

No call creates a form; the admin host's ``PUT /forms/{formId}`` puts one in place for tests.
"""

from __future__ import annotations

from typing import Any

from bousai_kit.sandbox.content_parts import array, obj, string
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply
from bousai_kit.sandbox.tenant import iso

__all__ = ["OPERATIONS"]


def _responses(call: Call) -> Reply:
    form = call.tenant.table("forms").get(call.path["formId"])
    asking = call.token.user_id if call.token is not None else ""
    if form is None or asking not in form["managers"]:
        raise ApiFault(*call.choices.unknown_form)
    answers = [(entry["responseId"], entry) for entry in form["responses"]]
    return Reply(200, call.page("responses", answers, default=500, maximum=1000))


def _place(call: Call) -> Reply:
    fields = call.json()
    form_id = call.path["formId"]
    managers = [str(user) for user in array(fields.get("managers"), "managers")]
    responses: list[dict[str, Any]] = []
    for number, entry in enumerate(array(fields.get("responses"), "responses", low=0), start=1):
        given = obj(entry, f"responses[{number - 1}]")
        user = call.tenant.table("users").get(string(given, "userId", "responses", 100) or "") or {}
        name = user.get("userName") or {}
        respondent = {
            "id": user.get("userId"),
            "name": f"{name.get('lastName', '')} {name.get('firstName', '')}".strip(),
            "email": user.get("email"),
            "organizationName": None,
            "orgUnitName": None,
        }
        responses.append(
            {
                "formId": form_id,
                "responseId": f"{form_id}-{number:06d}",
                "respondedTime": string(given, "respondedTime", "responses", 40, required=False)
                or iso(call.now),
                "respondent": respondent,
                "questions": given.get("questions") or [],
            }
        )
    call.tenant.put("forms", form_id, {"managers": managers, "responses": responses})
    return Reply(204)


_PAGE = {"cursor": {"type": "string"}, "count": {"type": "integer", "minimum": 1, "maximum": 1000}}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "forms.responses",
        "GET",
        "/forms/{formId}/responses",
        ("form", "form.read"),
        _responses,
        user_only=True,
        query=_PAGE,
        paragraph="2 §9.2",
    ),
    Operation("admin.forms", "PUT", "/forms/{formId}", (), _place, success=204, host="admin", limit="none"),
)

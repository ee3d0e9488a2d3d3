"""JSON schema of a member's body: what `user_body` checks, for `Operation.body` (part 1 §4.2 to §4.4)."""

from __future__ import annotations

from typing import Any

from bousai_kit.sandbox.content_parts import LANGUAGES
from bousai_kit.sandbox.directory_checks import USER_KEY
from bousai_kit.sandbox.schemas import (
    DOMAIN,
    FLAG,
    FLAG_OR_NULL,
    array_of,
    body,
    key,
    one_of,
    text,
)

__all__ = ["LOGIN_ID", "PROTOCOLS", "USER_LIST", "USER_NEW", "USER_PATCH", "USER_PUT", "organizations"]

PROTOCOLS = ("LINE", "FACEBOOK", "TWITTER", "X", "CUSTOM")
LOGIN_ID = text(90, pattern="^[a-z0-9][a-z0-9._-]{1,39}@[a-z0-9.-]+$")
NAME = text(80, null=True)
REFERENCE = text(1000)
REFERENCE_OR_NULL = text(1000, null=True)
PHONE = text(100, null=True, pattern="^([0-9+*#PTpt()-]*[0-9][0-9+*#PTpt()-]*)?$")
DAY = text(10, null=True, pattern="^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")
WORDS = text(100, null=True)

_UNIT = body(
    {
        "orgUnitId": REFERENCE,
        "primary": FLAG,
        "positionId": REFERENCE_OR_NULL,
        "isManager": FLAG_OR_NULL,
        "visible": FLAG_OR_NULL,
        "useTeamFeature": FLAG_OR_NULL,
    },
    "orgUnitId",
    "primary",
)


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


def organizations() -> dict[str, Any]:
    """The companies of a member and the units in each; one unit is the primary one."""
    company = body(
        {
            "domainId": DOMAIN,
            "primary": FLAG,
            "email": text(90, null=True),
            "levelId": REFERENCE_OR_NULL,
            "orgUnits": _or_null(array_of(_UNIT, high=30)),
        },
        "domainId",
        "primary",
    )
    return _or_null(array_of(company))


_NAMES = body(
    {
        "lastName": NAME,
        "firstName": NAME,
        "phoneticLastName": WORDS,
        "phoneticFirstName": WORDS,
    }
)
_MESSENGER = body(
    {"protocol": one_of(*PROTOCOLS), "customProtocol": WORDS, "messengerId": text(100)},
    "protocol",
    "messengerId",
)
_PASSWORD = body(
    {
        "passwordCreationType": one_of("ADMIN", "MEMBER"),
        "password": text(200, null=True),
        "changePasswordAtNextLogin": FLAG_OR_NULL,
    }
)
_LANGUAGE_NAMES = body(
    {"language": one_of(*LANGUAGES), "firstName": WORDS, "lastName": WORDS},
    "language",
)
_RELATION = body({"relationUserId": REFERENCE, "relationName": text(50)}, "relationUserId", "relationName")

_PROPERTIES: dict[str, Any] = {
    "domainId": DOMAIN,
    "email": LOGIN_ID,
    "userName": _NAMES,
    "userExternalKey": key(USER_KEY),
    "i18nNames": _or_null(array_of(_LANGUAGE_NAMES, high=20)),
    "nickName": WORDS,
    "privateEmail": text(256, null=True),
    "aliasEmails": _or_null(array_of(text(90), high=10)),
    "userTypeId": REFERENCE_OR_NULL,
    "searchable": FLAG_OR_NULL,
    "organizations": organizations(),
    "telephone": PHONE,
    "cellPhone": PHONE,
    "location": WORDS,
    "task": WORDS,
    "messenger": _or_null(_MESSENGER),
    "birthdayCalendarType": one_of("SOLAR", "LUNAR", null=True),
    "birthday": DAY,
    "locale": one_of(*LANGUAGES, null=True),
    "timeZone": text(60, null=True),
    "hiredDate": DAY,
    "employeeNumber": text(20, null=True),
    "activationDate": text(25, null=True),
    "customProperties": {"type": ["object", "null"]},
    "relations": _or_null(array_of(_RELATION, high=10)),
}
_NEEDED = ("domainId", "email", "userName")

USER_NEW = body({**_PROPERTIES, "passwordConfig": _or_null(_PASSWORD)}, *_NEEDED)
USER_PUT = body(_PROPERTIES, *_NEEDED)
USER_PATCH = body({**_PROPERTIES, "domainId": {"type": ["integer", "null"]}})
USER_LIST: dict[str, Any] = {
    "domainId": DOMAIN,
    "count": {"type": "integer", "minimum": 1},
    "cursor": {"type": "string"},
    "orderBy": one_of("NAME", "CREATED_TIME"),
    "sortOrder": one_of("ASCENDING", "DESCENDING"),
    "searchFilterType": one_of("VIP"),
}

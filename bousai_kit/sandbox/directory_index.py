"""What finds an entity by external key, name, address, domain or unit, without walking through its table.

An index is built from its table when first asked for (or when the table was filled behind its back), and kept
by `put` and `drop`, through which every change of the directory goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from bousai_kit.sandbox.tenant import Entity, Tenant

__all__ = ["Index", "Rows", "drop", "find", "groups_above", "index", "put", "rows_of_domain"]

Term = tuple[str, Any]
EXTERNAL = "externalKey:"


def _user_terms(user: Entity) -> Iterator[Term]:
    yield "domain", user.get("domainId")
    yield "login", user.get("email")
    yield "address", user.get("email")
    if user.get("userExternalKey"):
        yield "key", user["userExternalKey"]
    for alias in user.get("aliasEmails") or ():
        yield "address", alias
    if not user.get("isDeleted"):
        for company in user.get("organizations") or ():
            for unit in company.get("orgUnits") or ():
                yield "unit", unit.get("orgUnitId")


def _orgunit_terms(unit: Entity) -> Iterator[Term]:
    yield "domain", unit.get("domainId")
    yield "parent", unit.get("parentOrgUnitId")
    yield "name", (unit.get("parentOrgUnitId"), unit.get("orgUnitName"))
    if unit.get("orgUnitExternalKey"):
        yield "key", unit["orgUnitExternalKey"]
    for address in (unit.get("email"), *(unit.get("aliasEmails") or ())):
        if address:
            yield "address", address


def _group_terms(group: Entity) -> Iterator[Term]:
    yield "domain", group.get("domainId")
    yield "name", (group.get("domainId"), group.get("groupName"))
    if group.get("groupExternalKey"):
        yield "key", group["groupExternalKey"]
    for member in group.get("members") or ():
        yield "member", member.get("id")
    for administrator in group.get("administrators") or ():
        yield "administrator", administrator.get("userId")


def _catalogue_terms(prefix: str) -> Callable[[Entity], Iterator[Term]]:
    def terms(entry: Entity) -> Iterator[Term]:
        yield "domain", entry.get("domainId")
        yield "name", (entry.get("domainId"), entry.get(f"{prefix}Name"))
        if entry.get(f"{prefix}ExternalKey"):
            yield "key", entry[f"{prefix}ExternalKey"]
        if entry.get(f"{prefix}Code"):
            yield "code", (entry.get("domainId"), entry[f"{prefix}Code"])

    return terms


TERMS: Mapping[str, Callable[[Entity], Iterator[Term]]] = {
    "users": _user_terms,
    "orgunits": _orgunit_terms,
    "groups": _group_terms,
    "levels": _catalogue_terms("level"),
    "positions": _catalogue_terms("position"),
    "user_types": _catalogue_terms("userType"),
    "profile_statuses": _catalogue_terms("profileStatus"),
}


class Index:
    """Terms -> keys of one table, in order of creation.

    Attributes
    ----------
    sorted : dict
        Orders that others made from the table; forgotten at every change.
    """

    def __init__(self, table: Mapping[str, Entity], terms: Callable[[Entity], Iterator[Term]]) -> None:
        self._terms = terms
        self._of: dict[str, tuple[Term, ...]] = {}
        self._by: dict[Term, dict[str, None]] = {}
        self.sorted: dict[Any, list[str]] = {}
        for key, entity in table.items():
            self.set(key, entity)

    def __len__(self) -> int:
        return len(self._of)

    def set(self, key: str, entity: Entity) -> None:
        """An entity is there, or has changed."""
        terms = tuple(dict.fromkeys(self._terms(entity)))
        before = self._of.get(key, ())
        self._of[key] = terms
        self.sorted.clear()
        if terms == before:
            return
        for term in before:
            if term not in terms:
                self._take(term, key)
        for term in terms:
            self._by.setdefault(term, {})[key] = None

    def drop(self, key: str) -> None:
        """An entity is gone."""
        for term in self._of.pop(key, ()):
            self._take(term, key)
        self.sorted.clear()

    def _take(self, term: Term, key: str) -> None:
        keys = self._by[term]
        del keys[key]
        if not keys:
            del self._by[term]

    def all(self, name: str, value: Any) -> list[str]:
        """Keys of all entities with this term."""
        return list(self._by.get((name, value), ()))

    def count(self, name: str, value: Any) -> int:
        """How many entities have this term."""
        return len(self._by.get((name, value), ()))

    def one(self, name: str, value: Any) -> str | None:
        """Key of the (first) entity with this term."""
        return next(iter(self._by.get((name, value), ())), None)


def index(tenant: Tenant, table: str) -> Index:
    """The index of a table of the directory."""
    found: Index | None = tenant.caches.get(f"index:{table}")
    entities = tenant.table(table)
    if found is None or len(found) != len(entities):
        found = tenant.caches[f"index:{table}"] = Index(entities, TERMS[table])
    return found


def put(tenant: Tenant, table: str, key: str, entity: Entity) -> Entity:
    """Create or replace an entity of the directory; hand in a changed copy, not the stored one."""
    known = index(tenant, table)
    tenant.put(table, key, entity)
    known.set(key, entity)
    return entity


def drop(tenant: Tenant, table: str, key: str) -> None:
    """Take an entity of the directory away."""
    known = index(tenant, table)
    tenant.delete(table, key)
    known.drop(key)


def find(tenant: Tenant, table: str, reference: str) -> Entity | None:
    """An entity by id or ``externalKey:…`` (part 1 §2.2)."""
    entities = tenant.table(table)
    if reference.startswith(EXTERNAL):
        key = index(tenant, table).one("key", reference.removeprefix(EXTERNAL))
        return None if key is None else entities.get(key)
    return entities.get(reference)


class Rows(Sequence[tuple[str, Entity]]):
    """(key, entity) by position, looked up when asked for: a page of a long list costs a page."""

    def __init__(self, keys: Sequence[str], table: Mapping[str, Entity]) -> None:
        self._keys = keys
        self._table = table

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, at: int) -> tuple[str, Entity]: ...
    @overload
    def __getitem__(self, at: slice) -> list[tuple[str, Entity]]: ...
    def __getitem__(self, at: int | slice) -> tuple[str, Entity] | list[tuple[str, Entity]]:
        if isinstance(at, slice):
            return [(key, self._table[key]) for key in self._keys[at]]
        key = self._keys[at]
        return key, self._table[key]


def rows_of_domain(
    tenant: Tenant,
    table: str,
    domain_id: int,
    *,
    sort: Callable[[Entity], Any] | None = None,
    where: Callable[[Entity], bool] | None = None,
    descending: bool = False,
) -> Rows:
    """Entities of a domain, in order of creation or by `sort`; the order is kept until the next change.

    `sort` and `where` are functions of a module: the order is kept under them.
    """
    known = index(tenant, table)
    label = (domain_id, sort, where, descending)
    order = known.sorted.get(label)
    if order is None:
        entities = tenant.table(table)
        order = known.all("domain", domain_id)
        if where is not None:
            order = [key for key in order if where(entities[key])]
        if sort is not None:
            by = sort
            order.sort(key=lambda key: by(entities[key]))
        if descending:
            order.reverse()
        known.sorted[label] = order
    return Rows(order, tenant.table(table))


def groups_above(tenant: Tenant, members: Iterable[str]) -> list[str]:
    """Groups that hold one of these members, org units or groups, directly or through other groups."""
    known = index(tenant, "groups")
    found: dict[str, None] = {}
    waiting = list(members)
    while waiting:
        for group_id in known.all("member", waiting.pop()):
            if group_id not in found:
                found[group_id] = None
                waiting.append(group_id)
    return list(found)

"""Files of hand-outs: one PDF, PDFs in parts, or a zip of single pages.

Initial passwords appear here and nowhere else. Files come to their place whole, for their owner alone; large
ones in parts, each typeset by a process of its own, since the typesetter gives back no memory.
"""

from __future__ import annotations

import contextlib
import itertools
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bousai_kit.files import sweep, whole_file
from bousai_kit.onboarding.handout_pdf import Slip, make, make_elsewhere, pages_of, without_glyph

__all__ = ["PART", "Handouts", "write_handouts"]

PART = 300
"""People in one file."""
HERE = 50
"""People for whom this process does it itself."""
AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Handouts:
    """What was written: ``handouts --json``.

    Attributes
    ----------
    pages : int
        Of people, one each.
    covers : int
        Of receipt lists.
    boxes : tuple of str
        Keys of those on whose page a letter is missing: the font has none.
    """

    files: tuple[Path, ...]
    pages: int
    covers: int = 0
    boxes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Paths and the numbers of pages."""
        numbers = {"pages": self.pages, "covers": self.covers, "boxes": list(self.boxes)}
        return {"files": [str(path) for path in self.files], **numbers}


# -- files ------------------------------------------------------------------------------------------


def write_handouts(
    slips: Sequence[Slip],
    out: Path,
    *,
    text: Mapping[str, Any],
    font: Path | None = None,
    single: bool = False,
    passphrase: str | None = None,
    covers: bool = False,
    name: str = "handouts",
    progress: Callable[[int, int], None] | None = None,
) -> Handouts:
    """Write the pages below `out`, readable by their owner alone.

    Parameters
    ----------
    slips : sequence of Slip
        People of one ward or bureau in a row, and of one unit within it.
    out : Path
        A folder; made when missing (0700).
    single : bool
        A zip of one PDF a person in place of one PDF for all.
    passphrase : str, optional
        Encrypt each PDF (AES-256) with it.
    covers : bool
        Receipt lists too, one or more a ward or bureau.
    name : str
        Of the file, without its ending; more than `PART` people are ``NAME-001.pdf`` and so on.
    progress : callable, optional
        Called with pages done and all pages.
    """
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    sweep(out)
    common = {"text": dict(text), "font": str(font or ""), "single": single, "passphrase": passphrase}
    parts = list(_parts(slips))
    work = [[*pages_of(part, covers=covers)] for part in parts]
    orders = [{**common, "pages": [page for _, page in pages]} for pages in work]
    maker = make_elsewhere if len(slips) > min(HERE, PART) else make
    done = itertools.accumulate(len(part) for part in parts)
    counted = sum(slip is None for pages in work for slip, _ in pages)
    files = [out / f"{name}.zip"] if single else [out / f"{name}.pdf"]
    if not single and len(parts) > 1:
        files = [out / f"{name}-{number:03d}.pdf" for number in range(1, len(parts) + 1)]
    with contextlib.ExitStack() as stack, _ahead(maker, orders) as made:
        archive, taken = None, set[str]()
        if single:
            zipped = stack.enter_context(whole_file(files[0]))
            archive = stack.enter_context(zipfile.ZipFile(zipped, "w", zipfile.ZIP_STORED))
        for number, (pages, pdfs, so_far) in enumerate(zip(work, made, done, strict=True)):
            if archive is None:
                with whole_file(files[number]) as file:
                    file.write(pdfs[0])
            else:
                for inside, pdf in zip(_names(pages, number, taken), pdfs, strict=True):
                    archive.writestr(inside, pdf)
            if progress is not None:
                progress(so_far, len(slips))
    _remove_others(out, name, files)
    return Handouts(tuple(files), len(slips), counted, without_glyph(slips, font))


def _parts(slips: Sequence[Slip]) -> Iterator[list[Slip]]:
    """At most `PART` people each; a ward or bureau, or a unit, is torn apart only when it is larger."""
    part: list[Slip] = []
    for people in _together(slips):
        if part and len(part) + len(people) > PART:
            yield part
            part = []
        part += people
        while len(part) > PART:
            yield part[:PART]
            part = part[PART:]
    if part:
        yield part


def _together(slips: Sequence[Slip]) -> Iterator[list[Slip]]:
    for _, group in itertools.groupby(slips, key=lambda slip: slip.group):
        people = list(group)
        if len(people) <= PART:
            yield people
        else:
            yield from (list(unit) for _, unit in itertools.groupby(people, key=lambda slip: slip.unit))


@contextlib.contextmanager
def _ahead(
    maker: Callable[[Mapping[str, Any]], list[bytes]], orders: Sequence[Mapping[str, Any]]
) -> Iterator[Iterator[list[bytes]]]:
    """Results in their order, a few being made at a time and no more."""
    if len(orders) == 1:
        yield map(maker, orders)
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = iter(orders)
        running = [pool.submit(maker, order) for order in itertools.islice(waiting, AT_ONCE)]

        def results() -> Iterator[list[bytes]]:
            while running:
                found = running.pop(0).result()
                running.extend(pool.submit(maker, order) for order in itertools.islice(waiting, 1))
                yield found

        yield results()


def _names(pages: Sequence[tuple[Slip | None, Any]], part: int, taken: set[str]) -> Iterator[str]:
    """Names in the zip: pages of people by their number, lists by their place; none of them `taken`."""
    for place, (slip, _) in enumerate(pages):
        if slip is None:
            inside = f"list_{part + 1:03d}_{place + 1:04d}.pdf"
        else:
            inside = f"handout_{_safe(slip.key, place)}.pdf"
        while inside.casefold() in taken:  # Windows and macOS would write one over the other
            inside = inside.removesuffix(".pdf") + f"_{part + 1}-{place + 1}.pdf"
        taken.add(inside.casefold())
        yield inside


def _safe(key: str, number: int) -> str:
    kept = "".join(c for c in key if c.isascii() and (c.isalnum() or c in "-_"))
    return kept or f"{number + 1:04d}"


def _remove_others(out: Path, name: str, files: Sequence[Path]) -> None:
    """An earlier set of more or fewer parts would be handed out beside this one."""
    ending = files[0].suffix
    for path in (out / f"{name}{ending}", *out.glob(f"{name}-[0-9][0-9][0-9]{ending}")):
        if path not in files:
            path.unlink(missing_ok=True)

"""The one font of plots and PDF."""

from __future__ import annotations

from pathlib import Path

__all__ = ["font_file"]


def font_file(font: Path | None) -> Path:
    """The given font file (``BOUSAI_FONT``), else the packaged Noto Sans CJK JP."""
    if font is not None:
        return font
    import noto_cjk_sans_jp_regular

    return Path(noto_cjk_sans_jp_regular.__file__).parent / "NotoSansCJKjp-Regular.otf"

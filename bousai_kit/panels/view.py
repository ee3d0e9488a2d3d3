"""The frame around every panel's widgets: banner, what to do next, what is done, trouble, progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as ipw

from bousai_kit.panels.base import STYLE, PanelModel, esc, guarded

__all__ = ["Panel", "PanelView", "button", "field"]


def button(text: str, action: Callable[[Any], None], *, style: str = "", hint: str = "") -> ipw.Button:
    """A button with its label in full and a tooltip.

    Parameters
    ----------
    text : str
        What happens when it is pressed.
    action : callable
        A `guarded` handler.
    style : str
        ``"primary"``, ``"danger"`` or nothing; never the only sign of what it does.
    hint : str
        Tooltip.
    """
    made = ipw.Button(
        description=text,
        tooltip=hint or text,
        button_style=style,
        layout=ipw.Layout(width="auto", min_width="10em", height="2.4em"),
    )
    made.on_click(action)
    return made


def field(label: str, widget: ipw.Widget) -> ipw.Widget:
    """A labelled input: the label stands in full beside it."""
    widget.description = label
    widget.style = {"description_width": "initial"}
    widget.layout.width = "100%"
    widget.layout.max_width = "60em"
    return widget


class PanelView(ipw.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """Widgets and links, no decisions.

    Parameters
    ----------
    model : PanelModel
    body : sequence of widgets
        The panel's own part.
    """

    def __init__(self, model: PanelModel, body: Sequence[ipw.Widget]) -> None:
        self.model = model
        self.head, self.ask, self.steps = ipw.HTML(), ipw.HTML(), ipw.HTML()
        self.trouble = ipw.HTML()
        top = ipw.VBox([self.ask, self.trouble])
        top.add_class("bk-top")
        self.bar = ipw.IntProgress(description="進み具合", layout=ipw.Layout(width="30em"))
        self.bar_text = ipw.HTML()
        self.halt = button("停止する", guarded(model, model.stop), style="warning", hint="安全な所で止めます")
        self.running = ipw.HBox([self.bar, self.bar_text, self.halt])
        self.running.add_class("bk-running")
        super().__init__([self.head, top, self.steps, *body, self.running])
        self.add_class("bk-panel")
        model.observe(self._head, ["banner", "next_step", "finished", "missing"])
        model.observe(self._trouble, "problem")
        model.observe(self._progress, ["progress_done", "progress_total", "progress_text"])
        model.observe(self._running, ["busy", "stopping"])
        self._head()
        self._trouble()
        self._progress()
        self._running()

    def _head(self, _: Any = None) -> None:
        model = self.model
        live = " bk-live" if model.banner.startswith("【本番】") else ""
        done = "".join(f"<li>済：{esc(line)}</li>" for line in model.finished)
        todo = "".join(f"<li>まだ：{esc(line)}</li>" for line in model.missing)
        self.head.value = f"{STYLE}<div class='bk'><p class='bk-banner{live}'>{esc(model.banner)}</p></div>"
        self.ask.value = (
            "<div class='bk' role='status' aria-live='polite'>"
            f"<p class='bk-next'>次にすること：{esc(model.next_step)}</p></div>"
        )
        self.steps.value = f"<div class='bk'><ul>{done}{todo}</ul></div>"

    def _trouble(self, _: Any = None) -> None:
        text = self.model.problem
        self.trouble.value = (
            f"<div class='bk' role='alert'><p class='bk-problem'>{esc(text)}</p></div>" if text else ""
        )

    def _progress(self, _: Any = None) -> None:
        model = self.model
        self.bar.max = max(1, model.progress_total)
        self.bar.value = min(model.progress_done, self.bar.max)
        counts = f"{model.progress_done:,}/{model.progress_total:,}" if model.progress_total else ""
        self.bar_text.value = (
            f"<span class='bk' role='status' aria-live='polite'>{counts} {esc(model.progress_text)}</span>"
        )

    def _running(self, _: Any = None) -> None:
        model = self.model
        shown = model.busy or model.progress_total > 0
        self.running.layout.display = "flex" if shown else "none"
        self.halt.layout.display = "block" if model.busy else "none"
        self.halt.description = "すぐに止める" if model.stopping else "停止する"


class Panel:
    """A model and its view, shown by naming it at the end of a cell."""

    model: PanelModel
    view: PanelView

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        shown = self.view._repr_mimebundle_(include=include, exclude=exclude)
        bundle: dict[str, Any] = dict(shown[0] if isinstance(shown, tuple) else shown or {})
        bundle["text/html"] = self.model.as_html()  # for pages without a kernel
        bundle["text/plain"] = f"次にすること：{self.model.next_step}"
        return bundle

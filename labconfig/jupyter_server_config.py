"""JupyterLab as `bousai lab` starts it: loopback only, no news, and no outputs in saved notebooks."""

import os
import signal
import threading
import time
import warnings
from typing import Any

VOLATILE = ("widgets", "signature")


def strip_outputs(model: dict[str, Any], **_: Any) -> None:
    """Before a notebook is saved: leave out results, counts and widget state (they may name people)."""
    if model.get("type") != "notebook" or not isinstance(model.get("content"), dict):
        return
    content = model["content"]
    about = content.get("metadata", {})
    for name in VOLATILE:
        about.pop(name, None)
    if isinstance(about.get("kernelspec"), dict):  # as they are kept: a save alone changes no file
        about["kernelspec"]["display_name"] = "Python 3"
        about["language_info"] = {"name": "python"}
    for cell in content.get("cells", ()):
        if cell.get("cell_type") == "code":
            cell["outputs"] = []
            cell["execution_count"] = None
            for name in ("execution", "ExecuteTime"):
                cell.get("metadata", {}).pop(name, None)


def end_with(parent: int) -> None:
    """Do not outlive `bousai lab`, however it ended (a kernel ends with its server)."""
    while os.getppid() == parent:
        time.sleep(2)
    os.kill(os.getpid(), signal.SIGTERM)


if "get_config" in globals():  # loaded by JupyterLab, not by a test
    c = globals()["get_config"]()
    # server and JupyterLab both read this file: the same hook is set twice
    warnings.filterwarnings("ignore", message="Overriding existing pre_save_hook")
    c.Application.log_level = c.LabApp.log_level = "ERROR"
    c.ServerApp.ip = "127.0.0.1"
    c.ServerApp.open_browser = False
    c.ServerApp.allow_root = True  # in a container
    c.ServerApp.terminals_enabled = False
    c.ServerApp.quit_button = False
    c.ServerApp.answer_yes = True  # Ctrl-C stops without asking
    c.ContentsManager.pre_save_hook = strip_outputs
    c.FileContentsManager.delete_to_trash = False
    c.LabApp.check_for_updates_class = "jupyterlab.handlers.announcements.NeverCheckForUpdate"
    c.LabApp.news_url = None
    c.LabApp.extension_manager = "readonly"
    c.LabServerApp.blocked_extensions_uris = ""
    c.LabApp.extra_labextensions_path = [os.path.join(os.path.dirname(__file__), "labextensions")]
    starter = os.environ.pop("BOUSAI_LAB_PARENT", "")
    if os.name == "posix" and starter:
        threading.Thread(target=end_with, args=(int(starter),), daemon=True).start()

"""Panels for notebooks: state and calls into `Migrations`, no SQL."""

from __future__ import annotations

from migrollback_nb.panels.checklist_panel import ChecklistPanel
from migrollback_nb.panels.graph_panel import GraphDrawing, GraphPanel
from migrollback_nb.panels.history_panel import HistoryPanel
from migrollback_nb.panels.panel import link
from migrollback_nb.panels.rollback_panel import RollbackPanel
from migrollback_nb.panels.state import Desk
from migrollback_nb.panels.steps import CheckPanel, ConfirmPanel, PreviewPanel

__all__ = [
    "CheckPanel",
    "ChecklistPanel",
    "ConfirmPanel",
    "Desk",
    "GraphDrawing",
    "GraphPanel",
    "HistoryPanel",
    "PreviewPanel",
    "RollbackPanel",
    "link",
]

"""Panels for notebooks: state and calls into `Migrations`, no SQL."""

from __future__ import annotations

from migrollback_nb.panels.checklist_panel import ChecklistPanel
from migrollback_nb.panels.fleet_panel import FleetPanel
from migrollback_nb.panels.graph_drawing import GraphDrawing
from migrollback_nb.panels.graph_panel import GraphPanel
from migrollback_nb.panels.history_panel import HistoryPanel
from migrollback_nb.panels.panel import link
from migrollback_nb.panels.rollback_panel import CheckPanel, ConfirmPanel, PreviewPanel, RollbackPanel
from migrollback_nb.panels.state import SharedState

__all__ = [
    "CheckPanel",
    "ChecklistPanel",
    "ConfirmPanel",
    "FleetPanel",
    "GraphDrawing",
    "GraphPanel",
    "HistoryPanel",
    "PreviewPanel",
    "RollbackPanel",
    "SharedState",
    "link",
]

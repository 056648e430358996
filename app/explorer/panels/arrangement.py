"""Carries out requests about panels: show and hide them, save and apply layouts."""

from __future__ import annotations

from imgui_bundle import ImVec2, hello_imgui, imgui

from app.explorer.gui import theme
from app.explorer.gui.widgets import wrapped_text
from app.explorer.panels.table import PANELS
from app.explorer.session import Session
from app.explorer.storage.layouts import LONGEST_NAME, Layout, LayoutError, Layouts, why_no_name
from app.explorer.ui_state import DeleteLayout, SaveLayout, ShowPanel, UseLayout

TITLE = "Save layout"


class Arrangement:
    """Visibility and docking of the panels, on HelloImGui's docking. `before_frame` and `in_frame` once a frame."""

    def __init__(self, session: Session, docking: hello_imgui.DockingParams, layouts: Layouts) -> None:
        self._session = session
        self._docking = docking
        self._layouts = layouts
        self._name = ""
        self._arriving: list[str] = []
        self._frames = 0
        self._tell()

    def before_frame(self, requests: list[ShowPanel | SaveLayout | UseLayout | DeleteLayout]) -> None:
        """Between two ImGui frames, where a layout can be loaded: carry out requests."""
        self._frames += 1
        for request in requests:
            try:
                self._carry_out(request)
            except LayoutError as error:
                self._session.messages.error(str(error))
        if requests:
            self._tell()
        self._session.ui.panels = {w.label: w.is_visible for w in self._docking.dockable_windows if w.can_be_closed}

    def in_frame(self) -> None:
        """Within a frame: dock new panels, focus requested ones, draw the dialog for a layout's name."""
        if self._frames > 2:  # the default layout is applied by then
            self._dock_newcomers()
        self._show_names()
        for title in self._arriving:
            self._docking.focus_dockable_window(title)
        self._arriving = []
        self._ask_name()

    def _tell(self) -> None:
        self._session.ui.layouts = self._layouts.names()

    def _carry_out(self, request: ShowPanel | SaveLayout | UseLayout | DeleteLayout) -> None:
        if isinstance(request, ShowPanel):
            window = self._docking.dockable_window_of_name(request.title)
            if window is None:
                raise LayoutError(f"There is no panel called {request.title!r}.")
            window.is_visible = request.shown
            if request.shown:
                self._arriving.append(request.title)
        elif isinstance(request, SaveLayout):
            windows = self._docking.dockable_windows
            panels = {window.label: window.is_visible for window in windows}
            self._layouts.save(request.name, Layout(docking=imgui.save_ini_settings_to_memory(), panels=panels))
            self._session.messages.info(f"Saved the layout “{request.name}”")
        elif isinstance(request, DeleteLayout):
            self._layouts.delete(request.name)
            self._session.messages.info(f"Deleted the layout “{request.name}”")
        elif request.name:
            layout = self._layouts.load(request.name)
            imgui.load_ini_settings_from_memory(layout.docking)
            self._show({entry.title: layout.panels.get(entry.title, False) for entry in PANELS})
        else:
            self._docking.layout_reset = True
            self._show({entry.title: entry.shown for entry in PANELS})

    def _show(self, panels: dict[str, bool]) -> None:
        for window in self._docking.dockable_windows:
            window.is_visible = panels[window.label] or not window.can_be_closed

    def _dock_newcomers(self) -> None:
        """Dock panels that a saved layout lacks beside others of their place; they would float otherwise."""
        for entry in PANELS:
            window = imgui.internal.find_window_by_name(entry.title)
            new = window is not None and window.dock_id == 0 and window.settings_offset == -1
            if not new or not self._docking.dockable_window_of_name(entry.title).is_visible:
                continue
            # Those of its own place first, then the picture, which is always there.
            for other in sorted(PANELS, key=lambda other: (other.place != entry.place, other.closable)):
                neighbour = imgui.internal.find_window_by_name(other.title)
                if neighbour is not None and neighbour.dock_id != 0:
                    imgui.internal.dock_builder_dock_window(entry.title, neighbour.dock_id)
                    break

    def _show_names(self) -> None:
        """A panel that is always there needs no tab while it is alone; one that comes and goes keeps its name and its
        cross. ImGui hides the tabs of all alike.
        """
        hidden = imgui.internal.DockNodeFlagsPrivate_.hidden_tab_bar.value
        for entry in PANELS:
            window = None if entry.shown else imgui.internal.find_window_by_name(entry.title)
            node = None if window is None else window.dock_node
            if node is not None and node.local_flags & hidden:
                node.set_local_flags(node.local_flags & ~hidden)

    def _ask_name(self) -> None:
        ui = self._session.ui
        if ui.naming_layout and not imgui.is_popup_open(TITLE):
            self._name = ""
            imgui.open_popup(TITLE)
        em = imgui.get_font_size()
        imgui.set_next_window_pos(imgui.get_main_viewport().get_center(), imgui.Cond_.appearing, ImVec2(0.5, 0.5))
        imgui.set_next_window_size(ImVec2(em * 26, 0))
        if not imgui.begin_popup_modal(TITLE, None, imgui.WindowFlags_.always_auto_resize)[0]:
            ui.naming_layout = False
            return
        if imgui.is_window_appearing():
            imgui.set_keyboard_focus_here()
        imgui.set_next_item_width(-1)
        flags = imgui.InputTextFlags_.enter_returns_true
        entered, self._name = imgui.input_text_with_hint("##name", "A name for this arrangement", self._name, flags)
        name = self._name.strip()[: LONGEST_NAME + 1]
        problem = why_no_name(name)
        if name and problem is not None:
            wrapped_text(problem, theme.colour.amber)
        elif name in ui.layouts:
            wrapped_text(f"“{name}” is there already; saving replaces it.", theme.colour.amber)
        imgui.begin_disabled(problem is not None)
        saved = imgui.button("Save", ImVec2(em * 6, 0))
        imgui.end_disabled()
        imgui.same_line()
        cancelled = imgui.button("Cancel", ImVec2(em * 6, 0)) or imgui.is_key_pressed(imgui.Key.escape)
        if (saved or entered) and problem is None:
            ui.request(SaveLayout(name))
            cancelled = True
        if cancelled:
            ui.naming_layout = False
            imgui.close_current_popup()
        imgui.end_popup()

"""The page on which a shop can be clicked."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.resources import files
from urllib.parse import parse_qs, urlencode

import nicegui
from fastapi import FastAPI
from nicegui import ui
from starlette.types import Scope

from progrec.errors import InputError
from progrec.serving import storefront
from progrec.serving.candidates import Source
from progrec.serving.messages import Model, Shopper
from progrec.serving.storefront import Card, Gate, Known, Storefront, View
from progrec.settings import EventType

DAY = 86_400.0
SHORT = 8  # digits of a digest that tell bundles apart
BUILD_SECONDS = 30.0  # that the first answer may take on a busy machine

ICONS: dict[EventType, str] = {
    "view": "visibility",
    "cart": "add_shopping_cart",
    "remove_from_cart": "remove_shopping_cart",
    "purchase": "shopping_bag",
}
"""What can be done with a product, and the button's icon."""

SOURCES: dict[Source, tuple[str, str]] = {
    "queue": ("queue", "It waits in the shopper's queue."),
    "model": ("model", "The model knows the shopper."),
    "similar": ("similar", "It is like what the shopper did something with."),
    "category_popular": ("popular in category", "It sells in the shopper's categories."),
    "popular": ("popular", "It sells."),
}
"""A badge's text, and what it means."""

USED = (ui.button, ui.colors, ui.element, ui.input, ui.label, ui.link, ui.table, ui.tooltip)
"""NiceGUI serves an element's scripts from when it is first named; another worker than that which
made the page may be asked for them."""

COLUMNS = [
    {"name": "product", "label": "Product", "field": "product", "align": "left"},
    {"name": "counter", "label": "Counter", "field": "counter"},
    {"name": "score", "label": "Score", "field": "score"},
]


def site(front: Storefront) -> FastAPI:
    """NiceGUI's application with the page at `/`, which runs once its lifespan does."""

    async def shop(user_id: str = "", session_id: str = "") -> None:
        await _Page(front).build(user_id, session_id)

    ui.page("/", title="progrec: a shop to click", response_timeout=BUILD_SECONDS)(shop)
    # BentoML hands on a lifespan and paths, and so takes NiceGUI's own application; a host is what
    # NiceGUI asks for to be told how to run.
    ui.run_with(
        FastAPI(),
        favicon="🛍",
        binding_refresh_interval=None,
        show_welcome_message=False,
        tailwind=False,
    )
    # Polling has a connection for each message, and another worker may take it.
    nicegui.app.config.socket_io_js_transports = ["websocket"]
    return nicegui.app


def made_here(scope: Scope) -> bool:
    """Whether it was this process that made the page whose socket this is."""
    client_id, *_ = parse_qs(scope["query_string"].decode("latin-1")).get("client_id", [""])
    return client_id in nicegui.Client.instances


class _Page:
    """One browser's page, and the shopper that it is of."""

    def __init__(self, front: Storefront) -> None:
        self.front = front
        self.shopper: Shopper | None = None
        self.acted = ""  # the product with which something was done last
        self.client = ui.context.client

    async def build(self, user_id: str, session_id: str) -> None:
        """Makes the page of the shopper whom the address names, or of a known one."""
        ui.add_css(_file("shop.css"))
        ui.add_body_html(f"<script>{_file('shop.js')}</script>")
        ui.colors(primary="#4f46e5", positive="#15803d", negative="#b91c1c")
        known = self.front.known()
        gate = await asyncio.to_thread(self.front.gate)
        with ui.element("header"):
            with ui.element("div").classes("brand"):
                ui.label("progrec").classes("logo")
                ui.label("a shop to click")
                ui.link("API", "/docs")
            with ui.element("div").classes("facts"):
                _facts(self.front.model(), gate)
        with ui.element("section").classes("shoppers"):
            self._choice(known)
        with ui.element("div").classes("columns"):
            with ui.element("section").classes("shown"):
                self._shelf()
            with ui.element("aside"):
                self._record()
        if not (user_id or session_id):
            user_id = known[0].user_id if known else _invented()
        await self._choose(user_id, session_id)

    def _choice(self, known: Sequence[Known]) -> None:
        ui.label("Shopper").classes("title")
        for one in known:
            with _pill(one.user_id, partial(self._choose, one.user_id)):
                ui.label(f"{one.products} products").classes("hint")
        if known:
            _pill("random", self._random, "casino")
        _pill("new", lambda: self._choose(_invented()), "person_add")
        _pill("anonymous", lambda: self._choose("", secrets.token_hex(4)), "no_accounts")
        other = ui.input(placeholder="any user's id").props("dense outlined clearable")
        other.on("keydown.enter", lambda: self._choose(other.value or ""))

    def _shelf(self) -> None:
        with ui.element("div").classes("bar"):
            with ui.element("div"):
                self.title = ui.label().classes("title")
                self.hint = ui.label().classes("hint")
            button = ui.button("Next", on_click=self._turn)
            button.props("unelevated no-caps icon-right=navigate_next")
        self.cards = ui.element("div").classes("cards")

    def _record(self) -> None:
        with ui.element("section"):
            ui.label("Queue").classes("title")
            self.waiting = ui.label().classes("hint")
            self.queue = ui.table(columns=COLUMNS, rows=[], row_key="product")
            self.queue.props("flat dense hide-pagination :rows-per-page-options=[0]")
            self.queue.visible = False
        with ui.element("section"):
            ui.label("Done last").classes("title")
            self.bought = ui.label().classes("hint")
            self.lately = ui.element("div").classes("lately")

    async def _random(self) -> None:
        await self._choose(self.front.anyone() or "")

    async def _choose(self, user_id: str = "", session_id: str = "") -> None:
        try:
            self.shopper = storefront.shopper(user_id, session_id)
        except InputError as error:
            self._tell(error)
            return
        self.acted = ""
        named = self.shopper.model_dump(exclude_none=True)
        # A page that is loaded again, or by another worker, is of the same shopper.
        ui.navigate.history.replace(f"?{urlencode(named)}")
        await self._redraw()

    async def _turn(self) -> None:
        self.acted = ""
        await self._redraw(self.front.turn)

    async def _act(self, event_type: str, card: Card) -> None:
        self.acted = card.product_id
        await self._redraw(lambda shopper: self.front.act(shopper, event_type, card))

    async def _redraw(self, first: Callable[[Shopper], Awaitable[None]] | None = None) -> None:
        """Shows what there is now, after something has been done first."""
        shopper = self.shopper
        if shopper is None:
            return
        try:
            if first is not None:
                await first(shopper)
            view = await self.front.look(shopper)
        except InputError as error:
            self._tell(error)
            return
        # Meanwhile another may have been chosen.
        if shopper is self.shopper:
            with self.client:
                self._show(shopper, view)

    def _show(self, shopper: Shopper, view: View) -> None:
        self.title.text = f"Next for {shopper.user_id or 'somebody anonymous'}"
        self.hint.text = "They count as shown when you press Next."
        self.cards.clear()
        with self.cards:
            for card in view.cards:
                self._card(card)
            if not view.cards:
                ui.label("Nothing is left: this shopper has bought everything.")
        self.queue.visible = bool(view.pool)
        self.waiting.text = (
            "[product, counter, score]: the lowest counter comes first, then the highest score"
            if view.pool
            else "empty: nothing was done or shown yet"
        )
        self.queue.rows = [
            {"product": entry.product_id, "counter": entry.counter, "score": f"{entry.score:g}"}
            for entry in view.pool
        ]
        self.bought.text = f"never recommended: {view.bought} bought"
        self.lately.clear()
        with self.lately:
            for doing in view.lately:
                ui.label(doing.day).classes("hint")
                ui.label(doing.what)
                ui.label(doing.product_id).classes("product")

    def _card(self, card: Card) -> None:
        frame = ui.element("article").classes("card")
        if card.product_id == self.acted:
            frame.classes("acted")
        with frame:
            with ui.element("div").classes("bar"):
                ui.label(card.product_id).classes("product")
                badge, meaning = SOURCES[card.source]
                ui.label(badge).classes(f"badge {card.source}").tooltip(meaning)
            ui.label(f"category {card.category}" if card.category else "no category").classes(
                "hint category"
            )
            with ui.element("div").classes("bar"):
                ui.label(card.brand or "no brand")
                if card.price is not None:
                    ui.label(f"{card.price:,.2f}").classes("price")
            with ui.element("div").classes("bar"):
                ui.label(_score(card)).classes("score")
                ui.label(_shown(card.counter - 1)).classes("hint")
            with ui.element("div").classes("buttons"):
                for event_type, icon in ICONS.items():
                    text = storefront.WORDS[event_type]
                    act = partial(self._act, event_type, card)
                    button = ui.button(text, icon=icon, on_click=act).props("flat dense no-caps")
                    button.classes(text)

    def _tell(self, error: InputError) -> None:
        with self.client:
            self.hint.text = str(error)
            ui.notify(str(error), type="negative")


def _invented() -> str:
    return f"new-{secrets.token_hex(3)}"


def _file(name: str) -> str:
    return files("progrec.serving").joinpath(name).read_text(encoding="utf-8")


def _pill(text: str, on_click: Callable[[], Awaitable[None]], icon: str | None = None) -> ui.button:
    return ui.button(text, icon=icon, on_click=on_click).props("outline rounded no-caps dense")


def _facts(model: Model | None, gate: Gate | None) -> None:
    if model is not None:
        _fact("model", f"version {model.version}" if model.version else "shipped", "")
        _fact("digest", model.digest[:SHORT], model.digest)
        _fact("learned up to", str(model.watermark), "the last day whose events it has learned")
        _fact("age", f"{model.age_seconds / DAY:,.0f} days", "since the end of that day")
    if gate is not None:
        decision = gate.decision
        reasons = "; ".join(decision.reasons) or "no complaint"
        fact = _fact("gate", f"version {gate.version} {decision.word}", reasons)
        fact.classes(decision.word)


def _fact(name: str, value: str, meaning: str) -> ui.element:
    with ui.element("div").classes("fact") as fact:
        ui.label(name).classes("hint")
        ui.label(value)
        if meaning:
            ui.tooltip(meaning)
    return fact


def _score(card: Card) -> str:
    """How likely the shopper buys it, or else how popular it is; and its score in the queue."""
    likely = None if card.probability is None else f"{100 * card.probability:.2g} % likely"
    if card.source == "queue":
        score = f"score {card.score:g}" if card.score or not likely else None
        return " · ".join(filter(None, [likely, score]))
    return likely or f"{100 * card.score:.2g} % of sales"


def _shown(times: int) -> str:
    return f"shown {times} ×" if times else "new"

// What the pages need beside htmx: which panel is open, what is selected, and which answers come too late.
(() => {
  const byId = (id) => document.getElementById(id);
  const panels = byId("panels");
  if (!panels) return;
  const dialog = byId("lot");
  const skeleton = (panel) => byId(panel === "lots" ? "lots-to-come" : "rows-to-come").innerHTML;
  const shown = () => (byId("events").querySelector("[aria-pressed=true]") || {}).dataset.show || "upcoming";
  // That a newer question has taken the place of one is no error, neither of a promise nor for the console.
  const none = () => {};
  htmx.logger = (_, name, detail) => { if (["htmx:sendAbort", "htmx:afterRequest"].includes(name)) delete detail.error; };
  const say = (text) => { byId("live").textContent = text; };

  /** A panel begins anew: its skeleton at once, its answer when it comes. */
  const begin = (panel, title, text) => {
    byId(`${panel}-title`).textContent = title;
    byId(`${panel}-filter`).value = "";
    byId(`${panel}-body`).innerHTML = text || skeleton(panel);
    byId(`${panel}-body`).scrollTop = 0;
  };
  /** The address shown; and whether it is a lot's that was opened from the one before. */
  let here = location.pathname;
  let pushed = false;
  const [placeOf, lotOf] = [0, 1].map((part) => (path) => path.split("/lots/")[part]);
  document.addEventListener("htmx:pushedIntoHistory", () => {
    here = location.pathname;
    pushed = Boolean(lotOf(here));
  });
  const closable = (trouble) => {
    trouble.querySelector(".title").id = "lot-title";
    trouble.insertAdjacentHTML("beforeend", '<form method="dialog"><button>Close</button></form>');
  };
  const select = (row) => {
    row.closest(".rows").querySelectorAll("[aria-current]").forEach((other) => other.removeAttribute("aria-current"));
    row.setAttribute("aria-current", "true");
  };
  /** The dialog at once, so that a slow answer is waited for where it will be. */
  const openLot = (title) => {
    byId("lot-body").innerHTML = byId("lot-to-come").innerHTML;
    byId("lot-title").textContent = title || "Lot";
    if (!dialog.open) dialog.showModal();
  };
  const open = (row) => {
    const { opens, seller, event, title } = row.dataset;
    if (opens === "lot") return openLot(title);
    select(row);
    panels.dataset.view = opens;
    if (opens === "events") {
      panels.dataset.seller = seller;
      delete panels.dataset.event;
      begin("events", title);
      byId("lots").querySelector(".back").href = `/ui/sellers/${seller}`;
      begin("lots", "Lots", '<p class="empty">Choose an event to see its lots.</p>');
    } else {
      panels.dataset.event = event;
      begin("lots", title);
    }
    if (matchMedia("(max-width: 760px)").matches) byId(`${opens}-title`).focus();
  };
  /** A panel's list once more, as the filters stand now. */
  const reload = (panel) => {
    const { seller, event } = panels.dataset;
    const needed = panel === "events" ? seller : event;
    if (!needed) return;
    const values = { seller, q: byId(`${panel}-filter`).value };
    if (panel === "events") values.show = shown();
    if (event) values[panel === "events" ? "selected" : "event"] = event;
    htmx.ajax("GET", `/ui/panel/${panel}`, { source: byId(`${panel}-body`), target: `#${panel}-body`, values }).catch(none);
  };

  // A row is a link: where the browser is asked for a tab or a window of its own, it is none of ours.
  document.addEventListener("click", (event) => {
    if ((event.ctrlKey || event.metaKey || event.shiftKey) && event.target.closest("a.row")) event.stopPropagation();
  }, true);

  document.addEventListener("htmx:configRequest", ({ detail }) => {
    const row = detail.elt.closest("[data-opens]");
    const quiet = detail.elt.hasAttribute("data-quiet");
    if (quiet || (row && row.dataset.opens === "events")) detail.parameters.show = shown();
    // What is selected stays so in the list that replaces this one.
    const selected = detail.path.startsWith("/ui/panel/sellers") ? panels.dataset.seller : quiet && panels.dataset.event;
    if (selected) detail.parameters.selected = selected;
  });
  document.addEventListener("htmx:beforeRequest", ({ detail }) => {
    const row = detail.elt.closest("[data-opens]");
    if (row) open(row);
    if (detail.elt.hasAttribute("data-retry")) detail.elt.disabled = true;
  });
  // An answer for what is no longer selected is thrown away; one that only says "you are signed out" is a page.
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const asked = new URL(detail.pathInfo.finalRequestPath, location.href);
    const late = ["seller", "event"].some((name) => {
      const value = asked.pathname.startsWith("/ui/panel/") && asked.searchParams.get(name);
      return value && value !== panels.dataset[name];
    });
    const closed = detail.target.id === "lot-body" && !dialog.open && detail.elt !== detail.target;
    if (late || closed) detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterSwap", ({ detail }) => {
    const told = detail.target.querySelector("[data-announce]");
    if (told && !detail.elt.hasAttribute("data-quiet")) say(told.dataset.announce);
    const titled = detail.target.querySelector(".meta[data-title]");
    if (titled) detail.target.closest(".panel").querySelector("h2").textContent = titled.dataset.title;
    // Of a page anew, what is selected may be far down.
    const current = detail.elt === detail.target && detail.target.querySelector("[aria-current]");
    if (current) current.scrollIntoView({ block: "nearest" });
    if (detail.target.id !== "lot-body") return;
    if (!dialog.open) dialog.showModal();
    // There is always a way out, and a name: trouble has neither of its own.
    const trouble = detail.target.querySelector(":scope > .trouble");
    if (trouble) closable(trouble);
  });
  // A failed call leaves what is shown, and says so.
  document.addEventListener("htmx:sendError", ({ detail }) => {
    if (detail.elt.hasAttribute("data-quiet")) return;
    const trouble = byId("no-connection").content.firstElementChild.cloneNode(true);
    detail.target.replaceChildren(trouble);
    if (detail.target.id === "lot-body") closable(trouble);
  });
  dialog.addEventListener("close", () => {
    byId("lot-body").replaceChildren();
    if (!lotOf(here)) return;
    if (pushed) history.back();
    else history.replaceState(history.state, "", here = placeOf(here));
    pushed = false;
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  let typing;
  document.addEventListener("input", ({ target }) => {
    if (!target.dataset.panel) return;
    clearTimeout(typing);
    typing = setTimeout(() => reload(target.dataset.panel), 120);
  });
  document.addEventListener("click", ({ target }) => {
    if (target.closest("[data-again]")) return location.reload();
    const button = target.closest("[data-show]");
    if (!button) return;
    byId("events").querySelectorAll(".switch button").forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.show === button.dataset.show)));
    byId("events-body").innerHTML = skeleton("events");
    reload("events");
  });
  // On a phone one panel shows at a time: back is the address before.
  document.addEventListener("click", (event) => {
    const back = event.target.closest("[data-back]");
    if (!back) return;
    event.preventDefault();
    panels.dataset.view = back.dataset.back;
    history.pushState({}, "", here = back.getAttribute("href"));
    const row = byId(`${back.dataset.back}-body`).querySelector("[aria-current]");
    (row || byId(`${back.dataset.back}-title`)).focus();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, textarea");
    if (event.key === "/" && !typing && !dialog.open) {
      event.preventDefault();
      byId(`${panels.dataset.view}-filter`).focus();
      return;
    }
    if (!["ArrowDown", "ArrowUp", "ArrowLeft"].includes(event.key)) return;
    const panel = event.target.closest(".panel");
    if (!panel || (event.key === "ArrowLeft" && typing)) return;
    const rows = [...panel.querySelectorAll("a.row")];
    const place = rows.indexOf(event.target.closest("a.row"));
    let next = rows[place + (event.key === "ArrowDown" ? 1 : -1)];
    if (event.key === "ArrowLeft") {
      const before = panel.previousElementSibling;
      next = before && (before.querySelector("[aria-current]") || before.querySelector("a.row"));
    } else if (event.key === "ArrowUp" && place === 0) {
      next = panel.querySelector("input[type=search]");
    }
    if (next) { event.preventDefault(); next.focus(); }
  });
  // Back from a lot closes it, forward opens it again; any other place is a page anew. Ahead of htmx, which would
  // load the page anew in any case.
  addEventListener("popstate", (event) => {
    event.stopImmediatePropagation();
    const before = here;
    here = location.pathname;
    if (placeOf(here) !== placeOf(before)) return location.reload();
    pushed = false;
    if (!lotOf(here)) return dialog.close();
    pushed = true;
    htmx.ajax("GET", `/ui/lot/${lotOf(here)}`, { source: byId("lot-body"), target: "#lot-body" }).catch(none);
  });
})();

// What the pages need beside htmx: which panel is open, what is selected, and which answers come too late.
(() => {
  const byId = (id) => document.getElementById(id);
  const panels = byId("panels");
  if (!panels) return;
  const dialog = byId("lot");
  const skeleton = `<ul class="rows is-loading" aria-hidden="true">${'<li class="row"><span class="bone"></span><span class="bone is-short"></span></li>'.repeat(15)}</ul>`;
  const shown = () => (byId("events").querySelector("[aria-pressed=true]") || {}).dataset.show || "upcoming";
  const say = (text) => { byId("live").textContent = text; };

  /** A panel begins anew: its skeleton at once, its answer when it comes. */
  const begin = (panel, title, text) => {
    byId(`${panel}-title`).textContent = title;
    byId(`${panel}-filter`).value = "";
    byId(`${panel}-body`).innerHTML = text || skeleton;
    byId(`${panel}-body`).scrollTop = 0;
  };
  const select = (row) => {
    row.closest(".rows").querySelectorAll("[aria-current]").forEach((other) => other.removeAttribute("aria-current"));
    row.setAttribute("aria-current", "true");
  };
  const open = (row) => {
    const { opens, seller, event, title } = row.dataset;
    if (opens === "lot") return;
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
    htmx.ajax("GET", `/ui/panel/${panel}`, { source: byId(`${panel}-body`), target: `#${panel}-body`, values });
  };

  document.addEventListener("htmx:configRequest", ({ detail }) => {
    const row = detail.elt.closest("[data-opens]");
    if (row && row.dataset.opens === "events") detail.parameters.show = shown();
    if (detail.elt.hasAttribute("data-quiet")) detail.parameters.show = shown();
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
    if (late) detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterSwap", ({ detail }) => {
    const told = detail.target.querySelector("[data-announce]");
    if (told) say(told.dataset.announce);
    const titled = detail.target.querySelector(".meta[data-title]");
    if (titled) detail.target.closest(".panel").querySelector("h2").textContent = titled.dataset.title;
    if (detail.target.id === "lot-body" && !dialog.open) dialog.showModal();
  });
  // A failed call leaves what is shown, and says so.
  document.addEventListener("htmx:sendError", ({ detail }) => {
    if (detail.elt.hasAttribute("data-quiet")) return;
    detail.target.innerHTML = '<div class="trouble" role="alert"><p class="title">No connection</p><p>Your network or this page\'s server is away.</p><button type="button" data-again>Try again</button></div>';
  });
  dialog.addEventListener("close", () => {
    byId("lot-body").replaceChildren();
    const parts = location.pathname.split("/lots/");
    if (parts[1]) history.replaceState(history.state, "", parts[0]);
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
    byId("events-body").innerHTML = skeleton;
    reload("events");
  });
  // On a phone one panel shows at a time: back is the address before.
  document.addEventListener("click", (event) => {
    const back = event.target.closest("[data-back]");
    if (!back) return;
    event.preventDefault();
    panels.dataset.view = back.dataset.back;
    history.pushState({}, "", back.getAttribute("href"));
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
  addEventListener("popstate", () => location.reload());
})();

// What goes wrong, and what a person sees of it.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { BUSY, Stage } from "./stage.mjs";

const EVENTS = `cat_catalogs_seller_${BUSY}`;
const HOSTILE = [
  "<script>document.title='taken'</script><img src=x onerror=alert(1)>",
  "\" onfocus=alert(1) autofocus x=\"",
  "\u202Eمزاد السجاد الكبير {{ 7*7 }} ${7*7}",
  "W".repeat(500),
  "a very long name of many words ".repeat(17).slice(0, 500),
];

const stage = new Stage();
let served, url;
before(async () => {
  await stage.open();
  served = await stage.serve();
  url = served.url;
});
afterEach(() => served.misbehave());
after(() => stage.end());

const signedIn = async (path = "/ui/", options) => (await stage.visitor(options)).signIn(url, path);

test("while an answer is awaited there are skeleton rows, and nothing moves when it comes", async () => {
  const visitor = await signedIn();
  const { page } = visitor;
  for (const [panel, opens] of [["sellers", "events"], ["events", "lots"]]) {
    const held = await visitor.hold(`**/ui/panel/${opens}?*`);
    await (panel === "sellers" ? visitor.row("sellers", BUSY) : visitor.row("events").first()).click();
    await held.asked;
    const bones = page.locator(`#${opens}-body .is-loading .row`);
    await bones.first().waitFor();
    const place = await visitor.placed(bones.nth(5));
    await visitor.portray(`loading-${opens}`);
    await held.release();
    const rows = page.locator(`#${opens}-body a.row`);
    await rows.first().waitFor();
    const placed = await visitor.placed(rows.nth(5));
    for (const width in place) assert.ok(Math.abs(placed[width] - place[width]) < 1, `${width}: ${place[width]}, ${placed[width]}`);
  }
  const held = await visitor.hold("**/ui/lot/*");
  await page.locator("#lots-body a.row").first().click();
  await held.asked;
  await page.getByRole("dialog").locator("[aria-busy]").waitFor();
  await visitor.portray("loading-lot");
  await held.release();
  await page.getByRole("dialog").locator("dl").waitFor();
  await visitor.leave();
});

test("cached events older than 30 s are there at once and are replaced without a flicker", async () => {
  const visitor = await signedIn(`/ui/sellers/${BUSY}`);
  const { page } = visitor;
  await visitor.row("events").first().waitFor();
  await page.locator("#events-body a.row").nth(3).click();
  await page.locator("#lots-body a.row").first().waitFor();
  await served.age(EVENTS, 100);
  await visitor.served(`${url}/ui/panel/events?seller=${BUSY}`, "1 min old");
  const held = await visitor.hold("**/ui/panel/events?*newest=1*");
  await page.reload();
  await page.locator("#events-body .badge", { hasText: "cache · 1 min old" }).waitFor();
  await held.asked;
  await page.locator("#events-body").evaluate((body) => { body.scrollTop = 150; });
  await page.locator("#events-body a.row").nth(4).focus();
  await page.evaluate(() => {
    globalThis.fewest = Infinity;
    const count = () => { globalThis.fewest = Math.min(globalThis.fewest, document.querySelectorAll("#events-body a.row").length); };
    new MutationObserver(count).observe(document.getElementById("events-body"), { childList: true, subtree: true });
    new PerformanceObserver((list) => { globalThis.shifted = list.getEntries().length; }).observe({ type: "layout-shift" });
  });
  const [focus, top] = await page.evaluate(() => [document.activeElement.id, document.getElementById("events-body").scrollTop]);
  await held.release();
  await page.locator("#events-body .badge", { hasNotText: "min old" }).waitFor();
  assert.deepEqual(await page.evaluate(() => [document.activeElement.id, document.getElementById("events-body").scrollTop]), [focus, top]);
  assert.equal(await page.locator("#events-body [aria-current=true]").count(), 1, "what is selected stays so");
  assert.equal(await page.evaluate(() => globalThis.fewest), 115);
  assert.equal(await page.evaluate(() => globalThis.shifted), undefined);
  await visitor.leave();
});

test("a failed refresh leaves what is shown", async () => {
  const visitor = await signedIn(`/ui/sellers/${BUSY}`);
  const { page } = visitor;
  await visitor.row("events").first().waitFor();
  await served.age(EVENTS, 100);
  await visitor.served(`${url}/ui/panel/events?seller=${BUSY}`, "1 min old");
  await served.misbehave({ on: { path: "/api/catalog" }, status: 503 });
  const refreshed = page.waitForResponse((answer) => answer.url().includes("newest=1"));
  await page.reload();
  assert.equal((await refreshed).status(), 204);
  assert.equal(await visitor.row("events").count(), 115);
  await visitor.leave();
});

test("a late answer for a seller who is no longer selected is thrown away", async () => {
  const visitor = await signedIn();
  const { page } = visitor;
  // Held where it cannot be taken back: the newer question does not end this one.
  const other = (await visitor.row("sellers").first().getAttribute("id")).replace("seller-", "");
  await visitor.row("sellers", BUSY).click();
  await visitor.row("events").first().waitFor();
  const late = await visitor.hold(`**/ui/panel/events?seller=${BUSY}&*`);
  await page.evaluate((seller) => {
    globalThis.htmx.ajax("GET", `/ui/panel/events?seller=${seller}&show=upcoming`, { source: document.body, target: "#events-body" });
  }, BUSY);
  await late.asked;
  const answered = page.waitForResponse((answer) => answer.url().includes(`seller=${BUSY}`));
  await visitor.row("sellers", other).click();
  await page.locator(`#events-body .meta[data-title]`).waitFor();
  const [title, shown] = [await page.locator("#events-title").textContent(), await page.locator("#events-body").innerHTML()];
  await late.release();
  await (await answered).finished();
  await page.evaluate(() => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); }));
  assert.equal(await page.locator("#events-title").textContent(), title);
  assert.equal(await page.locator("#events-body").innerHTML(), shown);
  assert.equal(new URL(page.url()).pathname, `/ui/sellers/${other}`);
  await visitor.leave();
});

test("a slow upstream is waited for, and one that fails says so and can be tried again", async () => {
  const visitor = await signedIn();
  const { page } = visitor;
  await served.misbehave({ on: { path: "/api/catalog/" }, latencyMs: 700 });
  await visitor.row("sellers", BUSY).click();
  await visitor.row("events").first().click();
  await page.locator("#lots-body .is-loading").waitFor();
  await page.locator("#lots-body a.row").first().waitFor();
  await served.misbehave({ on: { path: "/api/catalog/" }, status: 503 });
  await visitor.row("events").nth(1).click();
  await page.getByRole("alert").getByText("ABConnect reports an error").waitFor();
  await visitor.portray("upstream-fails");
  await served.misbehave();
  await page.getByRole("button", { name: "Try again" }).click();
  await page.locator("#lots-body a.row").first().waitFor();
  await served.misbehave({ on: { path: "/api/lot/" }, status: 404 });
  const failing = visitor.row("events").nth(2);
  await failing.click();
  await page.locator("#lots-body .is-failed").first().waitFor();
  await visitor.leave();
});

test("a lot that cannot be had says so in a dialog that can be left", async () => {
  const visitor = await signedIn();
  const { page } = visitor;
  await visitor.chooseAll();
  await served.misbehave({ on: { path: "/api/lot/" }, status: 503 });
  await page.locator("#lots-body a.row").first().click();
  const dialog = page.getByRole("dialog", { name: "ABConnect reports an error" });
  await dialog.waitFor();
  await visitor.portray("lot-fails");
  await served.misbehave();
  await dialog.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("dialog").locator("dl").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await visitor.leave();
});

test("names of any kind are text and break nothing", async () => {
  const list = (items) => JSON.stringify({ items, pageNumber: 1, totalPages: 1, totalItems: items.length, hasPreviousPage: false, hasNextPage: false });
  const startDate = "2099-01-01T00:00:00";
  // Another proxy, whose cache knows no better names.
  const hostile = await stage.serve();
  await hostile.misbehave(
    { on: { path: "/api/seller" }, body: list(HOSTILE.map((name, place) => ({ id: 9001 + place, name, customerDisplayId: place }))) },
    { on: { path: "/api/catalog/" }, body: JSON.stringify({ id: 1, title: HOSTILE[0], lots: HOSTILE.map((lotNumber, place) => ({ id: 1 + place, lotNumber })) }) },
    { on: { path: "/api/catalog" }, body: list(HOSTILE.map((title, place) => ({ id: 9001 + place, title, customerCatalogId: title, startDate }))) },
    { on: { path: "/api/lot/" }, body: JSON.stringify({ id: 1, customerItemId: HOSTILE[3], initialData: { L: 1, W: 2, H: 3, description: HOSTILE[0], Notes: HOSTILE[4] }, imageLinks: [{ link: "javascript:alert(1)" }] }) },
  );
  const visitor = await (await stage.visitor()).signIn(hostile.url);
  const { page } = visitor;
  assert.deepEqual(await visitor.row("sellers").locator(".name").allTextContents(), HOSTILE);
  await visitor.row("sellers").nth(3).click();
  await visitor.row("events").first().waitFor();
  assert.deepEqual((await visitor.row("events").locator(".name").allTextContents()).toSorted(), HOSTILE.toSorted());
  await visitor.row("events").first().click();
  await page.locator("#lots-body a.row").first().waitFor();
  await visitor.portray("hostile-names");
  await page.locator("#lots-body a.row").first().click();
  await page.getByRole("dialog").locator("dl").waitFor();
  assert.equal(await page.locator("#lot-title").textContent(), HOSTILE[0]);
  await visitor.portray("hostile-lot");
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  assert.notEqual(await page.title(), "taken");
  await visitor.leave();
});

test("Redis killed while browsing: everything goes on, and it says that the cache is away", async () => {
  const visitor = await signedIn();
  const { page } = visitor;
  await visitor.row("sellers", BUSY).click();
  await visitor.row("events").first().waitFor();
  await served.killRedis();
  await visitor.choose("sellers", 5);
  await visitor.row("sellers", BUSY).click();
  await page.locator("#events-body .meta", { hasText: "115 upcoming" }).waitFor();
  await page.locator("#events-body .note", { hasText: "The cache is away" }).waitFor();
  await page.getByLabel("Filter sellers").fill("a");
  await page.locator("#sellers-body .meta", { hasText: "of 250" }).waitFor();
  await visitor.portray("redis-away");
  await page.goto(`${url}/ui/status`);
  await page.getByText("Redis is away").waitFor();
  await served.startRedis();
  await visitor.leave();
});

test("two tabs do not disturb each other, and a row opens in a new one like any link", async () => {
  const visitor = await signedIn();
  const { page } = visitor;
  await visitor.row("sellers", BUSY).click();
  await visitor.row("events").first().waitFor();
  const opened = visitor.context.waitForEvent("page");
  await visitor.row("events").first().click({ modifiers: ["Control"] });
  const other = await opened;
  await other.locator("#lots-body a.row").first().waitFor();
  assert.equal(new URL(page.url()).pathname, `/ui/sellers/${BUSY}`);
  await page.locator("#lots-body", { hasText: "Choose an event" }).waitFor();
  await visitor.leave();
});

test("a session that has ended leads to the sign-in page, and from there back", async () => {
  const visitor = await signedIn();
  const { page } = visitor;
  await visitor.row("sellers", BUSY).click();
  await visitor.row("events").first().waitFor();
  await served.misbehave({ status: 401 });
  await visitor.row("events").first().click();
  await page.getByRole("alert").filter({ hasText: "please sign in again" }).waitFor();
  await visitor.portray("session-ended");
  await served.misbehave();
  await page.getByLabel("User").fill("demo");
  await page.getByLabel("Password").fill("demo");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${url}/ui/sellers/${BUSY}`);
  await visitor.row("events").first().waitFor();
  await visitor.leave();
});

test("a user without rights is told so", async () => {
  const visitor = await stage.visitor();
  const { page } = visitor;
  await page.goto(`${url}/ui/`);
  await page.getByLabel("User").fill("restricted");
  await page.getByLabel("Password").fill("restricted");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").getByText("No right to see this").waitFor();
  await visitor.portray("no-right");
  await visitor.leave();
});

test("tokens that last for seconds are renewed while one browses", async () => {
  const brief = await stage.serve({ lifetime: 2 });
  const visitor = await (await stage.visitor()).signIn(brief.url);
  const expired = Date.now() + 2500;
  await visitor.page.waitForFunction((expired) => Date.now() > expired, expired);
  await visitor.row("sellers", BUSY).click();
  await visitor.row("events").first().waitFor();
  await visitor.leave();
});

test("a page whose server is away says so, and goes on when it is back", async () => {
  const visitor = await signedIn();
  const { page } = visitor;
  await visitor.context.setOffline(true);
  await visitor.row("sellers", BUSY).click();
  await page.getByRole("alert").getByText("No connection").waitFor();
  await visitor.portray("no-connection");
  await visitor.context.setOffline(false);
  await page.getByRole("button", { name: "Try again" }).click();
  await visitor.row("sellers").first().waitFor();
  await visitor.leave(/ERR_INTERNET_DISCONNECTED/, /^console: htmx:sendError, /);
});

// How the demo looks at every width, light and dark; and how fast and small it is.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BUSY, Stage } from "./stage.mjs";

/** Of the first load, over the wire. */
const MOST_BYTES = 60_000;
const CLICKS = 25;
/** Far above the figure: only a blunder takes so long. In milliseconds. */
const SANE = 500;

const stage = new Stage();
let url;
before(async () => {
  await stage.open();
  url = await stage.demo();
});
after(() => stage.end());

/** Counts layout shifts from the first moment of each page. */
const watchShifts = (context) => context.addInitScript(() => {
  globalThis.shift = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) globalThis.shift += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
});

test("the demo's sign-in is filled in, and the button has the focus", async () => {
  const visitor = await stage.visitor();
  const { page } = visitor;
  await page.goto(url);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await visitor.portray("sign-in");
  assert.equal(await page.locator(":focus").textContent(), "Sign in");
  await page.keyboard.press("Enter");
  await visitor.row("sellers").first().waitFor();
  await visitor.leave();
});

test("every state is sound and has its portrait", async () => {
  const visitor = await stage.visitor();
  const { page } = visitor;
  await visitor.signIn(url);
  await visitor.portray("sellers");
  await page.getByLabel("Filter sellers").fill("no such seller");
  await page.getByText("No seller fits that.").waitFor();
  await visitor.portray("sellers-none");
  await page.getByLabel("Filter sellers").fill("");
  await visitor.row("sellers", BUSY).click();
  await visitor.row("events").first().waitFor();
  await visitor.portray("events");
  await page.getByRole("button", { name: "All" }).click();
  await page.locator("#events-body .tag").first().waitFor();
  await visitor.portray("events-all");
  await visitor.row("sellers", 2).click();
  await page.getByText("No upcoming events.").or(page.getByText("This seller has no events.")).waitFor();
  await visitor.portray("events-none");
  await page.getByRole("button", { name: "Upcoming" }).click();
  await visitor.row("sellers", BUSY).click();
  await visitor.row("events").first().click();
  await page.locator("#lots-body a.row").first().waitFor();
  await page.waitForLoadState("networkidle");
  await visitor.portray("lots");
  await page.locator("#lots-body a.row").first().click();
  await page.getByRole("dialog").locator("dl").waitFor();
  await page.waitForLoadState("networkidle");
  await visitor.portray("lot");
  await page.goto(`${url}/ui/status`);
  await page.getByText("Redis answers").or(page.getByText("In this process's memory")).waitFor();
  await visitor.portray("status");
  await page.goto(`${url}/ui/sellers/nobody`);
  await page.getByRole("heading", { name: "Not found" }).waitFor();
  await visitor.portray("not-found");
  await visitor.leave(/status of 404/);
});

test("the status page renews itself and announces nothing", async () => {
  const visitor = await stage.visitor();
  const { page } = visitor;
  await visitor.signIn(url);
  await page.goto(`${url}/ui/status`);
  assert.equal((await page.waitForResponse("**/ui/panel/status")).status(), 200);
  assert.equal(await page.locator("[aria-live], [role=status], [role=alert]").count(), 0);
  await visitor.leave();
});

test("who wants no motion sees none", async () => {
  const visitor = await stage.visitor({ reducedMotion: "reduce" });
  const { page } = visitor;
  await visitor.signIn(url);
  const held = await visitor.hold("**/ui/panel/events?*");
  await visitor.row("sellers", BUSY).click();
  await held.asked;
  assert.equal(await page.locator("#events-body .is-loading").evaluate((rows) => getComputedStyle(rows).animationName), "none");
  await held.release();
  await visitor.row("events").first().waitFor();
  await visitor.leave();
});

test("the first load is small and nothing shifts; a warm click is painted at once", async (context) => {
  const visitor = await stage.visitor();
  await visitor.signIn(url);
  // The same session, and nothing in the browser's cache.
  const cookies = await visitor.context.cookies();
  const fresh = await stage.visitor();
  await fresh.context.addCookies(cookies);
  await watchShifts(fresh.context);
  const { page } = fresh;
  const protocol = await fresh.context.newCDPSession(page);
  await protocol.send("Network.enable");
  let [bytes, requests] = [0, 0];
  protocol.on("Network.loadingFinished", ({ encodedDataLength }) => {
    bytes += encodedDataLength;
    requests += 1;
  });
  await page.goto(`${url}/ui/`);
  await fresh.row("sellers").first().waitFor();
  await page.waitForLoadState("networkidle");
  context.diagnostic(`first load: ${bytes} bytes in ${requests} answers, ${await fresh.row("sellers").count()} sellers shown`);
  assert.ok(bytes > 10_000 && bytes < MOST_BYTES, `${bytes} bytes`);

  const took = [];
  for (let click = 0; click < CLICKS + 2; click += 1) {
    const id = click % 2 ? BUSY : BUSY + 1;
    took.push(await page.evaluate((id) => new Promise((done) => {
      const row = document.getElementById(`seller-${id}`);
      const painted = (event) => {
        if (event.detail.target.id !== "events-body") return;
        document.removeEventListener("htmx:afterSwap", painted);
        // The task after the next frame: by then it is painted.
        requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
      };
      document.addEventListener("htmx:afterSwap", painted);
      const began = performance.now();
      row.click();
    }), id));
  }
  // The first two fetch what the others find.
  const warm = took.slice(2).toSorted((one, other) => one - other);
  const shift = await page.evaluate(() => globalThis.shift);
  context.diagnostic(
    `warm click to painted events: p50 ${warm[Math.floor(warm.length / 2)].toFixed(1)} ms, ` +
    `most ${warm.at(-1).toFixed(1)} ms (${process.env.PROFILE ?? "debug"} build); layout shift ${shift}`,
  );
  assert.equal(shift, 0);
  assert.ok(warm[0] < SANE);
  await visitor.leave();
  await fresh.leave();
});

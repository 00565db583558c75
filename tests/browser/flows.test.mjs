// What a person does with the browser, before both generations of the API.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { BUSY, Stage } from "./stage.mjs";

for (const generation of [1, 2]) {
  describe(`generation ${generation}`, () => {
    const stage = new Stage();
    let served, url;
    const signedIn = async (path, options) => (await stage.visitor(options)).signIn(url, path);

    before(async () => {
      await stage.open();
      served = await stage.serve({ generation });
      url = served.url;
    });
    after(() => stage.end());

    test("a wrong password is refused with a sentence, and the right one leads to where one wanted to be", async () => {
      const visitor = await stage.visitor();
      const { page } = visitor;
      await page.goto(`${url}/ui/sellers/${BUSY}`);
      assert.equal(await page.locator(":focus").getAttribute("id"), "user");
      await page.keyboard.type("demo");
      await page.keyboard.press("Tab");
      await page.keyboard.type("wrong");
      await page.keyboard.press("Enter");
      await page.getByRole("alert").filter({ hasText: "User and password do not match." }).waitFor();
      assert.equal(await page.getByLabel("User").inputValue(), "demo");
      await page.getByLabel("Password").fill("demo");
      await page.keyboard.press("Enter");
      await visitor.row("events").first().waitFor();
      assert.equal(new URL(page.url()).pathname, `/ui/sellers/${BUSY}`);
      await visitor.leave(/status of 422/);
    });

    test("sellers are filtered while one types, without a call upstream, and the focus stays", async () => {
      const visitor = await signedIn("/ui/");
      const { page } = visitor;
      await visitor.announced("250 sellers");
      await served.calls();
      const name = await visitor.row("sellers").nth(7).locator(".name").textContent();
      await page.keyboard.press("/");
      await page.keyboard.type(name.toUpperCase(), { delay: 20 });
      await page.locator("#sellers-body .meta", { hasText: "of 250" }).waitFor();
      await page.waitForFunction((name) => document.querySelector("#sellers-body a.row .name")?.textContent === name, name);
      assert.equal(await page.locator(":focus").getAttribute("id"), "sellers-filter");
      await visitor.announced("of 250 sellers");
      await page.getByLabel("Filter sellers").fill("nobody is called this");
      await page.getByText("No seller fits that.").waitFor();
      assert.deepEqual(await served.calls(), []);
      await visitor.leave();
    });

    test("further sellers are on further pages", async () => {
      const visitor = await signedIn("/ui/");
      const { page } = visitor;
      const first = await visitor.row("sellers").first().textContent();
      const pager = page.getByRole("navigation", { name: "Pages of sellers" });
      await pager.getByRole("button", { name: "Next" }).click();
      await pager.getByText("Page 2 of 3").waitFor();
      assert.notEqual(await visitor.row("sellers").first().textContent(), first);
      await pager.getByRole("button", { name: "Previous" }).click();
      await pager.getByText("Page 1 of 3").waitFor();
      assert.equal(await visitor.row("sellers").first().textContent(), first);
      await visitor.leave();
    });

    test("a seller's events are newest first, and by title; past ones only where they are wanted", async () => {
      const visitor = await signedIn("/ui/");
      const { page } = visitor;
      await visitor.row("sellers", BUSY).click();
      await page.locator("#events-body .meta", { hasText: "115 upcoming events" }).waitFor();
      const days = async () => (await page.locator("#events-body time").allTextContents()).map(Date.parse);
      const upcoming = await days();
      assert.deepEqual(upcoming, upcoming.toSorted((one, other) => other - one));
      assert.equal(await page.locator("#events-body .tag").count(), 0);
      await page.getByRole("button", { name: "All" }).click();
      await page.locator("#events-body .meta", { hasText: "230 events" }).waitFor();
      assert.equal((await days()).length, 230);
      assert.equal(await page.locator("#events-body .tag", { hasText: "upcoming" }).count(), 115);
      const title = await visitor.row("events").nth(200).locator(".name").textContent();
      await page.getByLabel("Filter events by title").fill(title);
      await page.locator("#events-body .meta", { hasText: "of 230" }).waitFor();
      for (const found of await visitor.row("events").locator(".name").allTextContents()) assert.equal(found, title);
      await visitor.leave();
    });

    test("an event's lots have pictures, sizes and marks; a lot opens in a dialog that gives the focus back", async () => {
      const visitor = await signedIn("/ui/");
      const { page } = visitor;
      await visitor.chooseAll();
      const lots = page.locator("#lots-body a.row");
      await page.locator("#lots-body img").first().waitFor();
      assert.match(await lots.first().locator(".fact").textContent(), / × .* × .* in/);
      const changed = page.locator("#lots-body a.row", { has: page.locator(".tag", { hasText: "changed" }) });
      const lot = changed.first();
      const id = await lot.getAttribute("id");
      await lot.focus();
      await page.keyboard.press("Enter");
      const dialog = page.getByRole("dialog");
      await dialog.locator("dl").waitFor();
      assert.equal(await page.locator(":focus").getAttribute("id"), "lot-close");
      assert.match(page.url(), /\/lots\/\d+$/);
      await dialog.locator(".tag", { hasText: "changed" }).first().waitFor();
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "hidden" });
      assert.equal(await page.locator(":focus").getAttribute("id"), id);
      await page.waitForURL(/\/events\/\d+$/);
      await visitor.leave();
    });

    test("every place has an address; back and forward go through them", async () => {
      const visitor = await signedIn("/ui/");
      const { page } = visitor;
      await visitor.chooseAll();
      const event = page.url();
      await page.locator("#lots-body a.row").first().click();
      await page.getByRole("dialog").locator("dl").waitFor();
      const lot = page.url();
      await page.goBack();
      await page.getByRole("dialog").waitFor({ state: "hidden" });
      assert.equal(page.url(), event);
      await page.goForward();
      await page.getByRole("dialog").locator("dl").waitFor();
      assert.equal(page.url(), lot);
      await page.goBack();
      await page.getByRole("dialog").waitFor({ state: "hidden" });
      await page.goBack();
      await page.waitForURL(`${url}/ui/sellers/${BUSY}`);
      await visitor.row("events").first().waitFor();
      await page.locator("#lots-body", { hasText: "Choose an event" }).waitFor();
      await page.goBack();
      await page.locator("#events-body", { hasText: "Choose a seller" }).waitFor();
      await page.goForward();
      await visitor.row("events").first().waitFor();

      const other = await visitor.tab();
      await other.page.goto(lot);
      await other.page.getByRole("dialog").locator("dl").waitFor();
      await other.row("sellers", BUSY).and(other.page.locator("[aria-current=true]")).waitFor();
      await other.page.locator("#events-body [aria-current=true]").waitFor();
      await other.page.keyboard.press("Escape");
      await other.page.waitForURL(event);
      assert.deepEqual(other.complaints, []);
      await visitor.leave();
    });

    test("a phone shows one panel at a time, and back goes one panel back", async () => {
      const visitor = await signedIn("/ui/", { width: 390, hasTouch: true, isMobile: true });
      const { page } = visitor;
      const shown = () => page.locator(".panel:visible").evaluateAll((panels) => panels.map((panel) => panel.id));
      assert.deepEqual(await shown(), ["sellers"]);
      await visitor.row("sellers", BUSY).tap();
      await visitor.row("events").first().waitFor();
      assert.deepEqual(await shown(), ["events"]);
      assert.equal(await page.locator(":focus").getAttribute("id"), "events-title");
      await visitor.row("events").first().tap();
      await page.locator("#lots-body a.row").first().waitFor();
      assert.deepEqual(await shown(), ["lots"]);
      await page.getByRole("link", { name: "Events" }).tap();
      assert.deepEqual(await shown(), ["events"]);
      assert.equal(new URL(page.url()).pathname, `/ui/sellers/${BUSY}`);
      await page.goBack();
      await page.locator("#lots-body a.row").first().waitFor();
      assert.deepEqual(await shown(), ["lots"]);
      await page.goBack();
      await visitor.row("events").first().waitFor();
      assert.deepEqual(await shown(), ["events"]);
      await page.getByRole("link", { name: "Sellers", exact: true }).tap();
      assert.deepEqual(await shown(), ["sellers"]);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
      await visitor.leave();
    });

    test("the keyboard alone is enough", async () => {
      const visitor = await signedIn("/ui/");
      const { page } = visitor;
      const focused = () => page.evaluate(() => document.activeElement.closest(".panel, dialog")?.id);
      const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
      await press("/", "ArrowDown", "ArrowDown", "ArrowUp", "Enter");
      await page.locator("#events-body .meta[data-announce]").waitFor();
      assert.equal(await focused(), "sellers");
      // The seller with events; then into the next panel by its filter.
      await visitor.row("sellers", BUSY).focus();
      await press("Enter");
      await visitor.row("events").first().waitFor();
      await page.getByLabel("Filter events by title").focus();
      await press("ArrowDown", "Enter");
      await page.locator("#lots-body a.row").first().waitFor();
      assert.equal(await focused(), "events");
      await page.getByLabel("Filter lots by number").focus();
      await press("ArrowDown", "Enter");
      await page.getByRole("dialog").locator("dl").waitFor();
      assert.equal(await focused(), "lot");
      await press("Enter");
      await page.getByRole("dialog").waitFor({ state: "hidden" });
      assert.equal(await focused(), "lots");
      await press("ArrowLeft");
      assert.equal(await focused(), "events");
      await press("ArrowLeft");
      assert.equal(await focused(), "sellers");
      await visitor.leave();
    });

    test("signing out ends it in every tab", async () => {
      const visitor = await signedIn("/ui/");
      const other = await visitor.tab();
      await other.page.goto(`${url}/ui/status`);
      await other.page.getByRole("heading", { name: "What catproxy does" }).waitFor();
      await other.page.getByRole("button", { name: "Sign out" }).click();
      await other.page.getByRole("heading", { name: "Sign in" }).waitFor();
      await visitor.row("sellers").first().click();
      await visitor.page.getByRole("heading", { name: "Sign in" }).waitFor();
      assert.deepEqual(other.complaints, []);
      await visitor.leave();
    });
  });
}

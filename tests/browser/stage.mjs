// What the browser's tests stand on: starts programs on ports of their own, opens pages, and hears all complaints.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import assert from "node:assert/strict";

const modules = createRequire(resolve(process.env.BROWSER_MODULES, "package.json"));
const { chromium } = modules("playwright-core");
const axe = readFileSync(modules.resolve("axe-core/axe.min.js"), "utf8");
const programs = resolve(process.env.BROWSER_PROGRAMS);
const pictures = resolve("screenshots");
/** How long a program or a page may take, in milliseconds: far more than it does. */
const PATIENCE = 20_000;
/** Of what the pages are looked at in: widths, and what is a phone. */
export const WIDTHS = { 1440: 900, 1024: 768, 390: 844 };
/** The stand-in's seller with 230 events. */
export const BUSY = 42;

/** Programs and a browser; `end` ends them, the last one first. */
export class Stage {
  #ends = [];
  folder = mkdtempSync(join(tmpdir(), "catproxy-browser-"));

  async open() {
    // An empty profile each time, and nothing that would call home.
    this.browser = await chromium.launch({
      executablePath: "/usr/bin/chromium",
      args: [
        "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync",
      ],
    });
    this.#ends.push(() => this.browser.close());
    return this;
  }

  async end() {
    for (const end of this.#ends.reverse()) await end();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Starts a program and waits until it says that it is ready; gives the expression's group and the process. */
  async start(program, args, ready, told = {}) {
    const { PATH } = process.env;
    const options = { cwd: this.folder, env: { PATH, HOME: this.folder, NO_COLOR: "1", ...told } };
    const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    const gone = once(child, "exit");
    this.#ends.push(async () => {
      child.kill();
      await gone;
    });
    let said = "";
    const found = new Promise((resolve, reject) => {
      const hear = (chunk) => {
        said += chunk;
        const match = ready.exec(said);
        if (match) resolve(match[1]);
      };
      child.stdout.on("data", hear);
      child.stderr.on("data", hear);
      child.on("error", reject);
      child.on("exit", () => reject(new Error(`${program} ended:\n${said}`)));
      setTimeout(() => reject(new Error(`${program} is not ready:\n${said}`)), PATIENCE).unref();
    });
    return { said: await found, child, gone };
  }

  /** The demo; gives its address. */
  async demo(...options) {
    const listen = `127.0.0.1:${await freePort()}`;
    const args = ["demo", "--listen", listen, ...options];
    await this.start(join(programs, "catproxy"), args, /Ctrl-C (ends it)/);
    return `http://${listen}`;
  }

  /** The proxy as it is run, before a stand-in that can be told to misbehave, with a Redis that can be killed. */
  async serve({ generation = 1, lifetime = 3600 } = {}) {
    const listen = ["--listen", "127.0.0.1:0", "--generation", String(generation)];
    const api = [...listen, "--sellers", "250", "--token-lifetime", String(lifetime)];
    const upstream = (await this.start(join(programs, "fake-abconnect"), api, /Catalog API +(\S+)\/api/)).said;
    const port = await freePort();
    const startRedis = () => this.start(
      "redis-server",
      ["--bind", "127.0.0.1", "--port", String(port), "--save", "", "--appendonly", "no", "--dir", this.folder],
      /(Ready to accept connections)/,
    );
    const redis = await startRedis();
    // A machine that is busy with a browser is not a slow store.
    const patient = readFileSync("config/panels.toml", "utf8").replace(/^budget = .*$/m, 'budget = "2s"');
    const config = join(this.folder, "panels.toml");
    writeFileSync(config, patient);
    const args = ["serve", "--config", config, "--listen", "127.0.0.1:0", "--upstream", upstream];
    const told = {
      CATPROXY_REDIS_URL: `redis://127.0.0.1:${port}`,
      CATPROXY_UI_IDENTITY_URL: upstream,
      CATPROXY_UI_CLIENT_ID: "browser-tests",
      CATPROXY_UI_CLIENT_SECRET: "secret",
    };
    const proxy = await this.start(join(programs, "catproxy"), args, /panels.toml: (\S+) -> /, told);
    return {
      url: `http://${proxy.said}`,
      /** Rules of the stand-in: how it misbehaves from now on. */
      misbehave: (...rules) => ask(`${upstream}/_fake/knobs`, "PUT", { rules }),
      /** What the API was asked since the last time. */
      calls: async () => {
        const calls = await ask(`${upstream}/_fake/calls?path=/api`, "GET");
        await ask(`${upstream}/_fake/calls`, "DELETE");
        return calls.map(({ method, target }) => `${method} ${target}`);
      },
      killRedis: async () => {
        redis.child.kill("SIGKILL");
        await redis.gone;
      },
      startRedis,
      /** Makes the entry of this key so many seconds older: it has that much less left to live. */
      age: (key, seconds) => redisCommand(port, ["PEXPIRE", key, String((300 - seconds) * 1000)]),
    };
  }

  /** A page of a browser of its own, which is signed out. */
  async visitor(options = {}) {
    const { width = 1440, ...rest } = options;
    const context = await this.browser.newContext({
      viewport: { width, height: WIDTHS[width] },
      ...rest,
    });
    context.setDefaultTimeout(PATIENCE);
    return new Visitor(context, await context.newPage());
  }
}

/** A page, and what it complained about. */
export class Visitor {
  complaints = [];

  constructor(context, page) {
    Object.assign(this, { context, page });
    page.on("console", (message) => this.complaints.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => this.complaints.push(`error: ${error.message}`));
    page.on("requestfailed", (request) => {
      const why = request.failure()?.errorText;
      // A newer question takes the place of an older one, and a page that is left asks no more.
      if (why !== "net::ERR_ABORTED") this.complaints.push(`${why}: ${request.url()}`);
    });
  }

  /** Another tab of the same browser. */
  async tab() {
    return new Visitor(this.context, await this.context.newPage());
  }

  async signIn(url, path = "/ui/", user = "demo") {
    await this.page.goto(url + path);
    await this.page.getByLabel("User").fill(user);
    await this.page.getByLabel("Password").fill(user);
    await this.page.getByRole("button", { name: "Sign in" }).click();
    await this.page.locator("#sellers a.row").first().waitFor();
    return this;
  }

  row(panel, id) {
    return this.page.locator(id ? `#${panel}-body #${{ sellers: "seller", events: "event" }[panel]}-${id}` : `#${panel}-body a.row`);
  }

  /** Clicks a row and waits for what it opens. */
  async choose(panel, which = 0) {
    const opens = { sellers: "events", events: "lots" }[panel];
    await this.row(panel).nth(which).click();
    await this.page.locator(`#${opens}-body .meta[data-announce]`).waitFor();
  }

  /** Seller 42, its first event and that event's lots. */
  async chooseAll() {
    await this.row("sellers", BUSY).click();
    await this.row("events").first().waitFor();
    await this.choose("events");
    await this.page.locator("#lots-body a.row").first().waitFor();
  }

  /** How far down something is, by width. The panel is not scrolled. */
  async placed(locator) {
    const places = {};
    const before = this.page.viewportSize();
    for (const [width, height] of Object.entries(WIDTHS)) {
      await this.page.setViewportSize({ width: Number(width), height });
      places[width] = (await locator.boundingBox())?.y;
    }
    await this.page.setViewportSize(before);
    return places;
  }

  /** Waits until this address is answered with this text: Redis has told the proxy what was done there. */
  async served(address, text) {
    const by = Date.now() + PATIENCE;
    for (;;) {
      const answer = await (await this.context.request.get(address)).text();
      if (answer.includes(text)) return;
      assert.ok(Date.now() < by, answer.slice(0, 600));
    }
  }

  announced(text) {
    return this.page.locator("#live", { hasText: text }).waitFor({ state: "attached" });
  }

  /** Holds the requests of this address in the browser until the function that it gives is called. */
  async hold(pattern) {
    let release;
    const released = new Promise((resolve) => { release = resolve; });
    let arrived;
    const asked = new Promise((resolve) => { arrived = resolve; });
    const handler = async (route) => {
      arrived();
      await released;
      await route.continue().catch(() => {});
    };
    await this.page.route(pattern, handler);
    return {
      asked,
      release: async () => {
        release();
        await this.page.unroute(pattern, handler);
      },
    };
  }

  /** axe finds nothing. It is evaluated by the debugger: the pages' policy lets no script in. */
  async isAccessible() {
    await this.page.evaluate(`${axe}; 0`);
    const { violations } = await this.page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
    assert.deepEqual(found, []);
  }

  /** The state as it is at all widths, light and dark, into `screenshots/`; axe looks at both schemes, and at the phone. */
  async portray(name) {
    mkdirSync(pictures, { recursive: true });
    const before = this.page.viewportSize();
    for (const colorScheme of ["light", "dark"]) {
      await this.page.emulateMedia({ colorScheme });
      for (const [width, height] of Object.entries(WIDTHS)) {
        await this.page.setViewportSize({ width: Number(width), height });
        await this.page.screenshot({ path: join(pictures, `${name}-${width}-${colorScheme}.png`) });
        if (width === "1440" || (width === "390" && colorScheme === "light")) await this.isAccessible();
      }
    }
    await this.page.emulateMedia({ colorScheme: null });
    await this.page.setViewportSize(before);
  }

  /** Nothing was complained about but what fits one of these; then it leaves. */
  async leave(...expected) {
    await this.context.close();
    const unexpected = this.complaints.filter((complaint) => !expected.some((one) => one.test(complaint)));
    assert.deepEqual(unexpected, []);
  }
}

/** A port that was free a moment ago. */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function ask(url, method, body) {
  const options = body ? { body: JSON.stringify(body), headers: { "content-type": "application/json" } } : {};
  const answer = await fetch(url, { method, ...options });
  assert.ok(answer.ok, `${method} ${url}: ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}

async function redisCommand(port, words) {
  const socket = connect(port, "127.0.0.1");
  const text = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("");
  socket.write(`*${words.length}\r\n${text}`);
  const [answer] = await once(socket, "data");
  socket.end();
  assert.equal(String(answer), ":1\r\n", words.join(" "));
}

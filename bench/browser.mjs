// Browsers for benchmarks, with tabs that report when something happened.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { chromium } from '@playwright/test';

/** Milliseconds after which the run fails. Not a result: the machine may be busy. */
const PATIENCE = 30_000;

/**
 * User-Agent of all pages and requests. Set for the whole Chromium: with one per context, some requests had another one, and
 * the portal revoked the session because its client had changed.
 */
export const USER_AGENT =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36';

/** The Chromium that the end-to-end tests use. */
export function startChromium() {
  const finder = fileURLToPath(new URL('../scripts/find-chromium.sh', import.meta.url));
  const executablePath = process.env.CHROMIUM || execFileSync(finder, { encoding: 'utf8' }).trim();
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', `--user-agent=${USER_AGENT}`];
  return chromium.launch({ executablePath, args });
}

export const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

/** Polls until `holds` is true. Only for steps that are not measured. */
export async function until(what, holds) {
  const began = performance.now();
  while (!(await holds())) {
    if (performance.now() - began > PATIENCE) throw new Error(`not within ${PATIENCE} ms: ${what}`);
    await pause(25);
  }
}

/**
 * Runs in every page before its own script. All pages are on one machine, so `timeOrigin + now()` is one clock. The system
 * clock is recorded too, to check this.
 */
function watchPage() {
  const note = (what) => window.benchNote(what, performance.timeOrigin + performance.now(), Date.now());
  window.benchStreams = [];
  window.EventSource = class extends EventSource {
    constructor(...how) {
      super(...how);
      window.benchStreams.push(this);
      this.addEventListener('session_ended', () => note('told'));
    }
  };
  // The session monitor opens its channel when the application has started.
  window.BroadcastChannel = class extends BroadcastChannel {
    constructor(...how) {
      super(...how);
      window.benchIsKept = true;
    }
  };
  window.addEventListener('click', () => note('clicked'), { capture: true });
  new MutationObserver((changes) => {
    if (changes.some(({ target }) => target.id === 'session-ended' && target.open)) note('ended');
  }).observe(document, { subtree: true, attributeFilter: ['open'] });
}

/** A page with the times of its events. */
class Tab {
  moments = new Map();
  #waiting = new Map();

  constructor(page) {
    this.page = page;
  }

  forget() {
    this.moments.clear();
  }

  /** Records the last click, and the first of every other event. */
  notes(what, at, wall) {
    if (what === 'clicked' || !this.moments.has(what)) this.moments.set(what, { at, wall });
    this.#waiting.get(what)?.(this.moments.get(what));
  }

  /** Does not query the page, so that it is not slowed down. */
  when(what) {
    if (this.moments.has(what)) return Promise.resolve(this.moments.get(what));
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`not within ${PATIENCE} ms: ${what} in ${this.page.url()}`));
      const timer = setTimeout(late, PATIENCE);
      this.#waiting.set(what, (moment) => {
        clearTimeout(timer);
        resolve(moment);
      });
    });
  }

  isKept() {
    return this.page.evaluate(() => window.benchIsKept === true);
  }

  hasStream() {
    return this.page.evaluate(() => window.benchStreams.some((stream) => stream.readyState === EventSource.OPEN));
  }
}

/** One browser of a user, with one tab per path. */
export class Browser {
  tabs = [];

  static async open(chromium, url, paths) {
    const browser = new Browser();
    browser.paths = paths;
    browser.context = await chromium.newContext({ baseURL: url });
    await browser.context.addInitScript(watchPage);
    await browser.context.exposeBinding('benchNote', ({ page }, ...noted) =>
      browser.tabs.find((tab) => tab.page === page)?.notes(...noted),
    );
    for (const _ of paths) browser.tabs.push(new Tab(await browser.context.newPage()));
    return browser;
  }

  /** Signs in, reloads every tab and waits until all are idle, so that loading is not measured. */
  async signIn(account) {
    const headers = { 'user-agent': USER_AGENT };
    const answer = await this.context.request.post('/api/sign_in', { form: account, headers });
    if (!answer.ok()) throw new Error(`sign-in: ${answer.status()}`);
    const state = await this.context.request.get('/api/v1/session_state', { headers });
    const { session } = await state.json();
    await Promise.all(this.tabs.map((tab, n) => tab.page.goto(this.paths[n])));
    for (const tab of this.tabs) await until(`a session monitor in ${tab.page.url()}`, () => tab.isKept());
    const streams = async () => (await Promise.all(this.tabs.map((tab) => tab.hasStream()))).includes(true);
    await until('an open stream', streams);
    for (const tab of this.tabs) tab.forget();
    return session.id;
  }

  async cookie() {
    const cookies = await this.context.cookies();
    return cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
  }
}

// A browser of the benchmark's own, and tabs that say when something happened in them.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { chromium } from '@playwright/test';

/** How long something may take before the run fails. No figure: a machine may be busy. */
const PATIENCE = 30_000;

/**
 * What all pages and requests call themselves. Given to Chromium itself: where each context was given one of its own, the
 * portal ended a session now and then because it turned up in another client.
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

/** Asks again and again, for what is not measured. */
export async function until(what, holds) {
  const began = performance.now();
  while (!(await holds())) {
    if (performance.now() - began > PATIENCE) throw new Error(`not within ${PATIENCE} ms: ${what}`);
    await pause(25);
  }
}

/**
 * Runs in every page before its own script. All pages are on one machine, so that `timeOrigin + now()` is one clock;
 * the machine's own is noted as well, to see how far that is true.
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
  // The keeper opens its channel when the page's script has taken over.
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

/** A page, and when things happened in it. */
class Tab {
  moments = new Map();
  #waiting = new Map();

  constructor(page) {
    this.page = page;
  }

  forget() {
    this.moments.clear();
  }

  /** The last click counts, and the first of anything else. */
  notes(what, at, wall) {
    if (what === 'clicked' || !this.moments.has(what)) this.moments.set(what, { at, wall });
    this.#waiting.get(what)?.(this.moments.get(what));
  }

  /** Does not ask the page, which has something better to do meanwhile. */
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

/** One browser of a person, with as many tabs as `paths`. */
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

  /** Signs in, loads every tab anew and waits until all have settled: a page that still loads is not what is measured. */
  async signIn(account) {
    const headers = { 'user-agent': USER_AGENT };
    const answer = await this.context.request.post('/api/sign_in', { form: account, headers });
    if (!answer.ok()) throw new Error(`sign-in: ${answer.status()}`);
    const state = await this.context.request.get('/api/v1/session_state', { headers });
    const { session } = await state.json();
    await Promise.all(this.tabs.map((tab, n) => tab.page.goto(this.paths[n])));
    for (const tab of this.tabs) await until(`a keeper in ${tab.page.url()}`, () => tab.isKept());
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

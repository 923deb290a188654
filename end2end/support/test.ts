import {
  type APIRequestContext,
  type BrowserContext,
  type BrowserContextOptions,
  type Page,
  test as base,
  expect,
} from '@playwright/test';

import { type Appearance, CHROME_ON_WINDOWS, Desktop } from './devices';
import { waitForHydration, recordListeners } from './hydration';
import { type TestUser, Portal } from './portal';
import { Proxy } from './proxy';
import { Watch } from './watch';

interface WorkerFixtures {
  /** Settings of the server, for a file that needs its own. */
  environment: Record<string, string>;
  /** The server of this worker. */
  portal: Portal;
}

interface Fixtures {
  /** Fails the test for unexpected errors in pages. */
  watch: Watch;
  /** A broker for this test only. */
  person: TestUser;
  /** A proxy between browsers and server; see `throughProxy`. */
  between: Proxy;
  /** Opens a new browser with its own cookies, and an appearance if given. */
  openBrowser: (options?: BrowserContextOptions) => Promise<Page>;
  /** Signs a user in from another browser without a page, for tests that only need the session. */
  signInElsewhere: (person: TestUser, from?: Appearance) => Promise<void>;
  /** Signs the user in on a desktop. */
  openDesktop: (name?: string) => Promise<Desktop>;
}

export const test = base.extend<Fixtures, WorkerFixtures>({
  environment: [{}, { scope: 'worker', option: true }],

  portal: [
    async ({ environment }, use) => {
      const portal = await Portal.start(environment);
      await use(portal);
      await portal.stop();
    },
    { scope: 'worker', timeout: 90_000 },
  ],

  baseURL: async ({ portal }, use) => use(portal.url),

  watch: [
    async ({ portal, javaScriptEnabled }, use) => {
      const watch = new Watch(portal.url, Boolean(javaScriptEnabled));
      await use(watch);
      expect(watch.problems, 'nothing went wrong in any page').toEqual([]);
    },
    { auto: true },
  ],

  person: async ({ portal }, use) => use(await portal.register()),

  between: async ({ portal, watch }, use) => {
    const proxy = await Proxy.before(portal.url);
    watch.alsoAt(proxy.url);
    await use(proxy);
    await proxy.stop();
  },

  context: async ({ context, watch, javaScriptEnabled }, use) => {
    await prepare(context, watch, javaScriptEnabled);
    await use(context);
  },

  openBrowser: async ({ browser, watch, contextOptions, baseURL, javaScriptEnabled, locale, timezoneId }, use) => {
    const opened: BrowserContext[] = [];
    await use(async options => {
      const defaults = { ...contextOptions, baseURL, javaScriptEnabled, locale, timezoneId };
      const context = await browser.newContext({ ...defaults, ...options });
      opened.push(context);
      await prepare(context, watch, javaScriptEnabled);
      return context.newPage();
    });
    await Promise.all(opened.map(context => context.close()));
  },

  signInElsewhere: async ({ playwright, baseURL }, use) =>
    use(async (person, from = CHROME_ON_WINDOWS) => {
      const browser = await playwright.request.newContext({ baseURL, ...from });
      await postSignIn(browser, person);
      await browser.dispose();
    }),

  openDesktop: async ({ portal, person }, use) => use(name => Desktop.signIn(portal.url, person, name)),
});

/** For `test.use`: makes the browsers of a file use the proxy. */
export const throughProxy = {
  baseURL: async ({ between }: { between: Proxy }, use: (url: string) => Promise<void>) => use(between.url),
};

async function prepare(context: BrowserContext, watch: Watch, javaScriptEnabled: boolean | undefined) {
  watch.over(context);
  if (javaScriptEnabled) {
    await recordListeners(context);
  }
}

async function postSignIn(browser: APIRequestContext, { email, password }: TestUser) {
  const answer = await browser.post('/api/sign_in', { form: { email, password } });
  expect(answer.ok(), await answer.text()).toBe(true);
}

/** Signs in without the form, for tests about something else. */
export async function signIn(page: Page, person: TestUser, path = '/dashboard') {
  await postSignIn(page.context().request, person);
  await page.goto(path);
  await expect(page).toHaveURL(path);
  await waitForHydration(page);
}

export { expect };

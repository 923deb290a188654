import type { Page } from '@playwright/test';

import { waitForHydration, visit } from '../support/hydration';
import { PasswordSection, SettingsPage, SignInPage } from '../support/pages';
import { expect, signIn, test } from '../support/test';

const FAILED = /RuntimeError|unreachable|the clock is broken/;
const REPORT = '/api/client_failure';

// The server accepts few reports from one address.
test.beforeEach(({ page }) =>
  page.setExtraHTTPHeaders({ 'x-forwarded-for': `192.0.2.${1 + Math.floor(Math.random() * 250)}` }),
);

/** A change that browser extensions make to a page. `where` is a selector. */
type Change = { where: string; how: 'after' | 'before' | 'prepend' | 'append' | 'wrap text' | 'replace text' };

/** Opens a page and makes the changes while the module loads. */
async function openChanged(page: Page, path: string, changes: Change[]) {
  let release = () => {};
  const held = new Promise<void>(resolve => (release = resolve));
  await page.route(
    /\.wasm$/,
    async route => {
      await held;
      await route.continue();
    },
    { times: 1 },
  );
  await page.goto(path, { waitUntil: 'domcontentloaded' });
  await page.evaluate(all => {
    for (const { where, how } of all) {
      const place = document.querySelector(where)!;
      const node = document.createElement('div');
      node.className = 'foreign';
      if (how === 'after' || how === 'before' || how === 'prepend' || how === 'append') {
        place[how](node);
      } else {
        const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
        const found: Text[] = [];
        while (texts.nextNode()) {
          found.push(texts.currentNode as Text);
        }
        for (const text of found.filter(one => one.data.trim() !== '')) {
          if (how === 'replace text') {
            text.data = text.data.toUpperCase();
          } else {
            const wrapper = document.createElement('font');
            text.replaceWith(wrapper);
            wrapper.append(text);
          }
        }
      }
    }
  }, changes);
  release();
}

async function failures(portal: { url: string }, stage: string): Promise<number> {
  const text = await (await fetch(`${portal.url}/metrics`)).text();
  return Number(text.match(new RegExp(`client_failures_total\\{stage="${stage}"\\} (\\d+)`))![1]);
}

/** Checks that a link opens its page without a full load, which means that the application runs. */
async function expectApplicationWorks(page: Page) {
  await page.evaluate(() => ((window as any).sameDocument = true));
  await page.getByRole('link', { name: 'Dashboard', exact: true }).click();
  await expect(page).toHaveURL('/dashboard');
  await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
  expect(await page.evaluate(() => (window as any).sameDocument)).toBe(true);
}

const SETTINGS: Record<string, Change[]> = {
  'beside a password field': [{ where: '#current-password', how: 'after' }],
  'before a label': [{ where: 'label[for=current-password]', how: 'before' }],
  'in every place at once': [
    { where: 'main', how: 'prepend' },
    { where: 'main', how: 'append' },
    { where: '.app-header .bar', how: 'prepend' },
    { where: '.session-list', how: 'prepend' },
    { where: '.session-list > li', how: 'after' },
    { where: '#sessions form', how: 'prepend' },
    { where: 'dialog form', how: 'prepend' },
    { where: 'body', how: 'prepend' },
  ],
  'at the end of the body, in the head and on the root': [
    { where: 'body', how: 'append' },
    { where: 'body', how: 'append' },
    { where: 'head', how: 'append' },
    { where: 'html', how: 'append' },
  ],
};

for (const [where, changes] of Object.entries(SETTINGS)) {
  test(`foreign nodes ${where} are kept and do not break hydration`, { tag: '@with-script' }, async ({ page, person, openDesktop }) => {
    await openDesktop();
    await signIn(page, person);
    await openChanged(page, '/dashboard/settings', changes);
    await waitForHydration(page);
    await expect(page.locator('.foreign')).toHaveCount(changes.length);
    for (const { where: place, how } of changes.filter(change => change.how === 'after')) {
      expect(await page.evaluate(
        selector => document.querySelector(selector)!.nextElementSibling?.className,
        place,
      ), how).toBe('foreign');
    }
    await expectApplicationWorks(page);
  });
}

test('translated text does not break hydration', { tag: '@with-script' }, async ({ page, person }) => {
  await signIn(page, person);
  for (const how of ['wrap text', 'replace text'] as const) {
    await openChanged(page, '/dashboard/settings', [{ where: 'main', how }]);
    await waitForHydration(page);
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');
    await expect(page.locator('font')).toHaveCount(0);
    await expectApplicationWorks(page);
  }
});

test('an icon beside the password does not disturb signing in', { tag: '@with-script' }, async ({ page, person }) => {
  await openChanged(page, '/login', [{ where: '#password', how: 'after' }]);
  const signInPage = new SignInPage(page);
  await signInPage.fill({ ...person, password: 'not the password' });
  await expect(page.locator('#password + .foreign')).toHaveCount(1);
  await signInPage.signIn(person);
  await expect(page).toHaveURL('/dashboard');
});

for (const path of ['sessions', 'people', 'audit', 'health'].map(name => `/dashboard/admin/${name}`)) {
  test(`foreign nodes on ${path} do not break hydration`, { tag: '@with-script' }, async ({ page, portal }) => {
    const admin = await portal.register({ role: 'admin' });
    await signIn(page, admin);
    await openChanged(page, path, [
      { where: 'main', how: 'prepend' },
      { where: 'main *', how: 'before' },
      { where: '.app-nav', how: 'append' },
    ]);
    await page.waitForFunction(() => document.querySelectorAll('.foreign').length > 0);
    await expectApplicationWorks(page);
  });
}

test.describe('when hydration fails', () => {
  test.beforeEach(async ({ page, watch }) => {
    watch.expect(FAILED);
    // Foreign nodes stay, and hydration meets them.
    await page.addInitScript(() => {
      (window as any).MutationObserver = class {
        observe() {}
        disconnect() {}
        takeRecords() {
          return [];
        }
      };
    });
  });

  test('links and forms work, and the failure is reported', { tag: '@with-script' }, async ({
    page,
    person,
    portal,
    openDesktop,
  }) => {
    const before = await failures(portal, 'hydration');
    await openDesktop("Maria's MacBook");
    await signIn(page, person);
    const reported = page.waitForRequest(`**${REPORT}`);
    await openChanged(page, '/dashboard/settings', [{ where: '#current-password', how: 'after' }]);
    const fields = new URLSearchParams((await reported).postData()!);
    expect(Object.fromEntries(fields)).toMatchObject({
      stage: 'hydration',
      error: 'RuntimeError',
      path: '/dashboard/settings',
      build: expect.stringMatching(/^portal\.[0-9a-f]+\.js$/),
    });
    expect(fields.get('offsets')).toMatch(/^wasm-function\[\d+\]:0x[0-9a-f]+/);
    await expect(page.locator('html')).toHaveAttribute('data-client-failed', 'hydration');
    await expect.poll(() => failures(portal, 'hydration')).toBe(before + 1);
    await expect(page.getByRole('button', { name: 'Show current password' })).toBeHidden();

    await page.getByRole('link', { name: 'Dashboard', exact: true }).click();
    await expect(page).toHaveURL('/dashboard');
    await openChanged(page, '/dashboard/settings', [{ where: '#current-password', how: 'after' }]);
    await expect(page.locator('html')).toHaveAttribute('data-client-failed', 'hydration');
    await new SettingsPage(page).signOut("Maria's MacBook").click();
    await expect(new SettingsPage(page).notice).toContainText('has been signed out.');
  });

  test('sign-in works without a reload', { tag: '@with-script' }, async ({ page, person }) => {
    let loads = 0;
    page.on('load', () => (loads += 1));
    await openChanged(page, '/login', [{ where: '#password', how: 'after' }]);
    await expect(page.locator('html')).toHaveAttribute('data-client-failed', 'hydration');
    expect(loads).toBeLessThanOrEqual(1);
    await page.getByLabel('Email').fill(person.email);
    await page.getByLabel('Password', { exact: true }).fill(person.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await expect(page).toHaveURL('/dashboard');
  });
});

test('a failure on an open page keeps what was typed', { tag: '@with-script' }, async ({
  page,
  person,
  portal,
  openDesktop,
  watch,
}) => {
  watch.expect(FAILED);
  const before = await failures(portal, 'running');
  await openDesktop("Maria's MacBook");
  await signIn(page, person, '/dashboard/settings');
  const [settings, password] = [new SettingsPage(page), new PasswordSection(page)];
  await password.fresh.fill('half of a new passw');
  await settings.signOutAll.click();
  await expect(page.getByRole('dialog')).toBeVisible();
  await breakApplication(page);

  const message = page.getByRole('alert').filter({ hasText: 'Part of this page stopped working.' });
  await expect(message).toBeVisible();
  await expect(page.locator('html')).toHaveAttribute('data-client-failed', 'running');
  await expect(page.getByRole('dialog'), 'no dialog whose buttons are dead').toHaveCount(0);
  await expect(password.fresh).toHaveValue('half of a new passw');
  await expect.poll(() => failures(portal, 'running')).toBe(before + 1);

  await settings.signOutAll.click();
  await expect(page).toHaveURL(/\/dashboard\/settings\/sign-out-all/);
  await visit(page, '/dashboard/settings');
  await expect(message).toHaveCount(0);
  await expectApplicationWorks(page);
});

test('the link to reload stays on the portal', { tag: '@with-script' }, async ({ page, person, portal, watch }) => {
  watch.expect(FAILED);
  await signIn(page, person, '/dashboard/settings');
  // As a URL, this path names another host.
  await page.evaluate(() => history.replaceState(null, '', `${location.origin}//evil.example/?a=b#c`));
  await breakApplication(page);
  const link = page.getByRole('link', { name: 'Reload the page' });
  expect(await link.evaluate((node: HTMLAnchorElement) => node.href)).toBe(`${portal.url}//evil.example/?a=b`);
});

test('a module that does not load is reported', { tag: '@with-script' }, async ({ page, person, watch }) => {
  watch.expect(/\.wasm/, /Failed to fetch/);
  await page.route(/\.wasm$/, route => route.abort());
  const reported = page.waitForRequest(`**${REPORT}`);
  await page.goto('/login');
  expect(new URLSearchParams((await reported).postData()!).get('stage')).toBe('load');
  await expect(page.locator('html')).toHaveAttribute('data-client-failed', 'load');
  await page.getByLabel('Email').fill(person.email);
  await page.getByLabel('Password', { exact: true }).fill(person.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page).toHaveURL('/dashboard');
});

test('a failed page with hidden content reloads once', { tag: '@with-script' }, async ({
  page,
  person,
  watch,
}) => {
  watch.expect(FAILED);
  await signIn(page, person, '/dashboard/settings');
  let loads = 0;
  page.on('load', () => (loads += 1));
  const failHidden = async () => {
    await page.evaluate(() => document.body.setAttribute('data-covered', ''));
    await breakApplication(page);
  };
  await failHidden();
  await expect.poll(() => loads).toBe(1);
  await waitForHydration(page);
  await expect(page.locator('html')).not.toHaveAttribute('data-client-failed');
  await failHidden();
  await expect(page.getByRole('alert').filter({ hasText: 'Part of this page stopped working.' })).toBeVisible();
  expect(loads, 'never twice in a row').toBe(1);
});

/** Makes the application fail at the next event and sends that event. */
async function breakApplication(page: Page) {
  await page.evaluate(() => {
    Performance.prototype.now = () => {
      throw new Error('the clock is broken');
    };
    document.dispatchEvent(new Event('visibilitychange'));
  });
}

import type { BrowserContext, Page } from '@playwright/test';

import { CHROME_ON_WINDOWS, FIREFOX_ON_MACOS } from '../support/devices';
import { visit } from '../support/hydration';
import { PasswordSection, Questions, SettingsPage, SignOutOthersQuestion, Toasts } from '../support/pages';
import type { TestUser } from '../support/portal';
import { CHECK, STREAM } from '../support/proxy';
import { expect, signIn, test } from '../support/test';
import { NO_ANSWER, refusedWith } from '../support/watch';

const HERE = 'Chrome on Windows';
const OTHER = 'Firefox on macOS';
const DESKTOP = "Maria's MacBook";
const COOKIE = 'portal_session';
const REAUTHENTICATE = '/api/v1/session/reauthenticate';

/**
 * Replaces the session's cookie like another tab whose response is still in transit. The browser sends the old cookie
 * until the returned function is called.
 */
async function renewElsewhere(context: BrowserContext, url: string, { password }: TestUser) {
  const cookies = await context.cookies(url);
  const answer = await fetch(url + REAUTHENTICATE, {
    method: 'POST',
    headers: {
      ...CHROME_ON_WINDOWS.extraHTTPHeaders,
      'user-agent': CHROME_ON_WINDOWS.userAgent,
      'content-type': 'application/json',
      cookie: cookies.map(({ name, value }) => `${name}=${value}`).join('; '),
    },
    body: JSON.stringify({ password }),
  });
  expect(answer.status, await answer.text()).toBe(200);
  const value = answer.headers.getSetCookie().map(one => one.match(`^${COOKIE}=([^;]+)`)?.[1]).find(Boolean)!;
  const old = cookies.find(({ name }) => name === COOKIE)!;
  return () => context.addCookies([{ ...old, value }]);
}

/** Counts the page's requests for a path. */
function counts(page: Page, path: string) {
  const sent: string[] = [];
  page.on('request', request => new URL(request.url()).pathname === path && sent.push(path));
  return () => sent.length;
}

/** Holds the tab's session checks, so that the action is sent with the old cookie. */
async function holdChecks(page: Page): Promise<() => void> {
  let release = () => {};
  const held = new Promise<void>(resolve => (release = resolve));
  await page.route(`**${CHECK}`, async route => {
    await held;
    await route.continue();
  });
  return release;
}

const refused = (page: Page, path: string) =>
  page.waitForResponse(answer => answer.url().endsWith(path) && answer.status() === 401);

const ACTIONS: {
  name: string;
  path: string;
  prepare?: (page: Page) => Promise<void>;
  act: (page: Page, person: TestUser) => Promise<void>;
  done: (page: Page) => Promise<void>;
}[] = [
  {
    name: 'signing out a device',
    path: '/api/revoke_session',
    act: async page => new SettingsPage(page).signOut(OTHER).click(),
    done: async page => {
      await expect(new Toasts(page).saying(`${OTHER} has been signed out.`)).toBeVisible();
      await new SettingsPage(page).shows([HERE, DESKTOP]);
    },
  },
  {
    name: 'signing out the others',
    path: '/api/sign_out_other_devices',
    prepare: async page => {
      const loaded = page.waitForResponse('**/api/list_active_sessions');
      await new SettingsPage(page).signOutOthers.click();
      await loaded;
    },
    act: async page => new SignOutOthersQuestion(page, true).confirm(2).click(),
    done: async page => new SettingsPage(page).shows([HERE]),
  },
  {
    name: 'answering a question',
    path: '/api/dismiss_security_notice',
    act: async page => {
      await new Questions(page).open();
      await new Questions(page).yes(OTHER).click();
    },
    done: async page => expect(new Questions(page).outcome).toContainText(`We will not ask about ${OTHER} again.`),
  },
  {
    name: 'changing the password',
    path: '/api/change_password',
    act: async (page, { password }) => new PasswordSection(page).change(password, 'nine green lorries at dawn'),
    done: async page => expect(new PasswordSection(page).done).toBeVisible(),
  },
];

test.describe('while another tab renews the cookie', { tag: '@with-script' }, () => {
  test.beforeEach(async ({ page, person, signInElsewhere, openDesktop, watch }) => {
    watch.expect(refusedWith(401), NO_ANSWER);
    await signIn(page, person);
    await signInElsewhere(person, FIREFOX_ON_MACOS);
    await openDesktop(DESKTOP);
    // Nothing notifies this tab.
    await page.route(`**${STREAM}*`, route => route.abort());
    await visit(page, '/dashboard/settings');
    await new SettingsPage(page).shows([HERE, OTHER, DESKTOP]);
  });

  for (const { name, path, prepare, act, done } of ACTIONS) {
    test(`${name} is retried with the new cookie`, async ({ page, person, portal }) => {
      await prepare?.(page);
      const releaseChecks = await holdChecks(page);
      const [sent, firstAnswer] = [counts(page, path), refused(page, path)];
      const arrives = await renewElsewhere(page.context(), portal.url, person);
      await act(page, person);
      await firstAnswer;
      await arrives();
      releaseChecks();
      await done(page);
      expect(sent(), 'refused once, and sent once more').toBe(2);
      await expect(page.getByRole('dialog', { name: 'You are signed out' })).toBeHidden();
    });
  }

  test('repeated cookie rotation is reported', async ({ page }) => {
    const path = '/api/revoke_session';
    const sent = counts(page, path);
    await page.route(`**${path}`, route =>
      route.fulfill({
        status: 401,
        headers: { 'x-portal-not-executed': '1' },
        json: { code: 'session_ended', reason: 'unknown' },
      }),
    );
    await new SettingsPage(page).signOut(OTHER).click();
    const alert = new SettingsPage(page).row(OTHER).getByRole('alert');
    await expect(alert).toContainText(`${OTHER} could not be signed out. Your session was renewed in another tab`);
    await expect(alert).toContainText('Nothing was changed. Try again.');
    expect(sent()).toBe(2);
    await page.unroute(`**${path}`);
    await new SettingsPage(page).signOut(OTHER).click();
    await new SettingsPage(page).shows([HERE, DESKTOP]);
  });

  test('an action that may have been executed is not sent again', async ({ page }) => {
    const path = '/api/revoke_session';
    const sent = counts(page, path);
    await page.route(`**${path}`, route =>
      route.fulfill({ status: 401, json: { code: 'session_ended', reason: 'unknown' } }),
    );
    const checked = page.waitForResponse('**/api/v1/session_state');
    await new SettingsPage(page).signOut(OTHER).click();
    await checked;
    await new SettingsPage(page).shows([HERE, OTHER, DESKTOP]);
    expect(sent()).toBe(1);
  });

  test('nothing is sent for another user who signed in meanwhile', async ({ page, person, portal }) => {
    const path = '/api/revoke_session';
    const [sent, firstAnswer] = [counts(page, path), refused(page, path)];
    const jonas = await portal.register({ name: 'Jonas Weber' });
    const releaseChecks = await holdChecks(page);
    await renewElsewhere(page.context(), portal.url, person);
    await new SettingsPage(page).signOut(OTHER).click();
    await firstAnswer;
    const { email, password } = jonas;
    const answer = await page.context().request.post('/api/sign_in', { form: { email, password } });
    expect(answer.ok()).toBe(true);
    releaseChecks();
    await expect(page).toHaveURL('/dashboard');
    expect(sent()).toBe(1);
  });
});

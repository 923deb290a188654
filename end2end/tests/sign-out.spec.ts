import { chromium } from '@playwright/test';

import { FIREFOX_ON_MACOS } from '../support/devices';
import { visit } from '../support/hydration';
import { AccountMenu, SettingsPage, SignInPage, SignOutAllQuestion } from '../support/pages';
import { expect, signIn, test } from '../support/test';

test('signing out ends this browser only', async ({ page, person, openBrowser, openDesktop }) => {
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, person);
  const desktop = await openDesktop();
  await signIn(page, person);
  const cookies = await page.context().cookies();

  const menu = new AccountMenu(page);
  await menu.open();
  await menu.signOut.click();
  await expect(page).toHaveURL('/login?reason=signed_out');
  await expect(new SignInPage(page).reason).toHaveText('You have signed out.');
  expect((await page.context().cookies()).filter(cookie => cookie.name === 'portal_session')).toEqual([]);

  await visit(other, '/dashboard/settings');
  await new SettingsPage(other).shows(['Firefox on macOS', "Maria's MacBook"]);
  expect((await desktop.get('/api/v1/session_state')).status).toBe(200);

  // A copy of the removed cookie authenticates nobody.
  await page.context().addCookies(cookies);
  await page.goto('/dashboard');
  await expect(page).toHaveURL('/login?next=/dashboard&reason=signed_out');
});

test('the back button shows nothing private after sign-out', async ({ page, person }) => {
  await signIn(page, person, '/dashboard/settings');
  await visit(page, '/dashboard');
  const menu = new AccountMenu(page);
  await menu.open();
  await menu.signOut.click();
  await expect(page).toHaveURL('/login?reason=signed_out');
  for (const _ of ['the dashboard', 'the settings']) {
    await page.goBack();
    await expect(page).toHaveURL(/\/login\?next=/);
    await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();
    await expect(page.getByText(person.name)).toHaveCount(0);
  }
});

test('the back button shows nothing private after Sign Out All Devices', async ({
  page,
  person,
  javaScriptEnabled: scripted,
}) => {
  await signIn(page, person, '/dashboard/settings');
  await new SettingsPage(page).signOutAll.click();
  await new SignOutAllQuestion(page, Boolean(scripted)).confirm(1).click();
  await expect(page).toHaveURL(/\/login\?reason=signed_out_everywhere/);
  await page.goBack();
  await expect(page).toHaveURL(/\/login\?next=/);
  await expect(page.getByText(person.name)).toHaveCount(0);
});

test(
  'the back-forward cache shows nothing private',
  { tag: '@with-script' },
  async ({ portal, person, launchOptions, userAgent, watch }) => {
    // Playwright disables this cache, which normal browsers use.
    const browser = await chromium.launch({ ...launchOptions, ignoreDefaultArgs: ['--disable-back-forward-cache'] });
    try {
      const context = await browser.newContext({ baseURL: portal.url, userAgent });
      watch.over(context);
      const page = await context.newPage();
      await signIn(page, person);
      const menu = new AccountMenu(page);
      await menu.open();
      await menu.signOut.click();
      await expect(page).toHaveURL('/login?reason=signed_out');
      await page.evaluate(() => history.back());
      await expect(page).toHaveURL(/\/login\?next=/);
      await expect(page.getByText(person.name)).toHaveCount(0);
    } finally {
      await browser.close();
    }
  },
);

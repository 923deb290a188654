import { waitForHydration, visit } from '../support/hydration';
import { AccountMenu, SignInPage } from '../support/pages';
import { expect, signIn, test } from '../support/test';
import { NO_ANSWER } from '../support/watch';

/** Returns whether the page is dark. */
const drawnDark = () => getComputedStyle(document.documentElement).colorScheme === 'dark';

test('the theme survives reloads, navigation and sign-out', async ({ page, person }) => {
  await signIn(page, person, '/dashboard/settings');
  const menu = new AccountMenu(page);
  await menu.open();
  await expect(menu.theme('System')).toHaveAttribute('aria-pressed', 'true');
  await menu.choose('Dark');
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  await expect(page, 'one stays where one was').toHaveURL(/\/dashboard\/settings\??$/);
  expect(await page.evaluate(drawnDark)).toBe(true);

  await visit(page, '/dashboard');
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  await menu.open();
  await expect(menu.theme('Dark')).toHaveAttribute('aria-pressed', 'true');
  await expect(menu.theme('System')).toHaveAttribute('aria-pressed', 'false');
  await menu.signOut.click();
  await expect(page).toHaveURL(/\/login/);
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');

  await new SignInPage(page).signIn(person);
  await expect(page).toHaveURL('/dashboard');
  await waitForHydration(page);
  await menu.open();
  await menu.choose('System');
  await expect(page.locator('html')).not.toHaveAttribute('data-theme');
  await page.reload();
  await expect(page.locator('html')).not.toHaveAttribute('data-theme');
});

test('the theme is in the HTML before the script runs', { tag: '@with-script' }, async ({
  page,
  person,
}) => {
  await signIn(page, person);
  const menu = new AccountMenu(page);
  await menu.open();
  await menu.choose('Light');
  const html = await (await page.context().request.get('/dashboard')).text();
  expect(html).toContain('data-theme="light"');
});

test('a theme that cannot be saved is reverted', { tag: '@with-script' }, async ({ page, person, watch }) => {
  watch.expect(NO_ANSWER);
  await signIn(page, person);
  await page.route('**/api/choose_theme', route => route.abort());
  const menu = new AccountMenu(page);
  await menu.open();
  await menu.theme('Dark').click();
  await expect(page.getByRole('alert')).toContainText('The portal could not be reached.');
  await expect(page.locator('html')).not.toHaveAttribute('data-theme');
  await expect(menu.theme('System')).toHaveAttribute('aria-pressed', 'true');
});

test('the menu shows the user', async ({ page, portal }) => {
  const person = await portal.register({ name: 'Günther Ößterreicher', organization: 'Kanzlei Süd & Söhne' });
  await signIn(page, person);
  const menu = new AccountMenu(page);
  await menu.open();
  const panel = page.getByRole('group').filter({ has: menu.opener });
  await expect(panel).toContainText('Günther Ößterreicher');
  await expect(panel).toContainText(person.email);
  await expect(panel).toContainText('Broker at Kanzlei Süd & Söhne');
  await menu.opener.click();
  await expect(menu.signOut).toBeHidden();
});

test('the navigation marks the current page', async ({ page, person }) => {
  await signIn(page, person);
  const dashboard = page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Dashboard' });
  const settings = page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Settings' });
  await expect(dashboard).toHaveAttribute('aria-current', 'page');
  await expect(settings).not.toHaveAttribute('aria-current');
  await settings.click();
  await expect(page).toHaveTitle('Settings · Broker Portal');
  await expect(settings).toHaveAttribute('aria-current', 'page');
  await expect(dashboard).not.toHaveAttribute('aria-current');
});

test.describe('the menu closes', { tag: '@with-script' }, () => {
  test('on Escape, with the focus on its opener', async ({ page, person }) => {
    await signIn(page, person);
    const menu = new AccountMenu(page);
    await menu.open();
    await menu.theme('Dark').focus();
    await page.keyboard.press('Escape');
    await expect(menu.signOut).toBeHidden();
    await expect(menu.opener).toBeFocused();
  });

  test('on a click outside, not inside', async ({ page, person }) => {
    await signIn(page, person);
    const menu = new AccountMenu(page);
    await menu.open();
    await page.getByRole('group').filter({ has: menu.opener }).getByText(person.email).click();
    await expect(menu.signOut).toBeVisible();
    await page.getByRole('heading', { name: 'Dashboard', exact: true }).click();
    await expect(menu.signOut).toBeHidden();
  });

  test('when Tab moves the focus out at either end', async ({ page, person }) => {
    await signIn(page, person, '/dashboard/settings');
    const menu = new AccountMenu(page);
    await menu.open();
    await menu.signOut.focus();
    await page.keyboard.press('Tab');
    await expect(menu.signOut).toBeHidden();
    await menu.open();
    await menu.opener.focus();
    await page.keyboard.press('Tab');
    await expect(menu.theme('Light')).toBeFocused();
    await expect(menu.signOut).toBeVisible();
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Shift+Tab');
    await expect(menu.signOut).toBeHidden();
  });

  test('when a link is followed', async ({ page, person }) => {
    await signIn(page, person);
    const menu = new AccountMenu(page);
    await menu.open();
    await page.getByRole('link', { name: 'Settings' }).press('Enter');
    await expect(page).toHaveURL('/dashboard/settings');
    await expect(menu.signOut).toBeHidden();
  });
});

test('a long name keeps the menu on a narrow screen', async ({ portal, openBrowser }) => {
  const page = await openBrowser({ viewport: { width: 390, height: 844 } });
  const person = await portal.register({ name: 'Maria Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz' });
  await signIn(page, person);
  await new AccountMenu(page).open();
  const { x, width } = (await page.locator('.menu-panel').boundingBox())!;
  expect(x).toBeGreaterThanOrEqual(0);
  expect(x + width).toBeLessThanOrEqual(390);
});

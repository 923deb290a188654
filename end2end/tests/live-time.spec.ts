import type { Page } from '@playwright/test';

import { FIREFOX_ON_MACOS } from '../support/devices';
import { visit } from '../support/hydration';
import { Live, SettingsPage } from '../support/pages';
import { CHECK, ERROR_500, STREAM } from '../support/proxy';
import { passesUnasked, put, sessionState, settled } from '../support/tabs';
import { expect, signIn, test, throughProxy } from '../support/test';
import { NO_ANSWER, refusedWith } from '../support/watch';

const HERE = 'Chrome on Windows';
const IDLE = 400;
const WARNING = 300;

// One server for all tests: each role has its own session policy.
test.use({
  ...throughProxy,
  environment: {
    PORTAL_WARNING_SECONDS: `${WARNING}`,
    PORTAL_SESSION_TIMEOUT_BROKER: `${IDLE}`,
    PORTAL_SESSION_TIMEOUT_GUEST: `${IDLE}`,
    PORTAL_SESSION_LIFETIME_GUEST: '350',
    // The warning appears after a few seconds.
    PORTAL_SESSION_TIMEOUT_ADMIN: `${WARNING + 5}`,
    PORTAL_SESSION_TIMEOUT_VENDOR: '4',
    PORTAL_SESSION_LIFETIME_EMPLOYEE: '4',
  },
});

/** Returns the session's times according to the server in milliseconds. Activity counts at once and is written later. */
async function times(page: Page) {
  const { session, server_time: now } = (await sessionState(page)).body;
  return { idleEnd: Date.parse(session.idle_expires_at), now: Date.parse(now) };
}

test('the warning counts down, announcements omit the seconds', {
  tag: '@with-script',
}, async ({ page, person, between }) => {
  await page.clock.install();
  await signIn(page, person, '/dashboard/settings');
  const live = new Live(page);
  await new SettingsPage(page).shows([HERE]);
  await passesUnasked(page, between, IDLE - WARNING - 10);
  await expect(live.warning).toBeHidden();

  await passesUnasked(page, between, 20);
  await expect(live.warning).toContainText('There has been no activity for some time.');
  const seconds = live.warning.locator('.countdown');
  await expect(seconds).toHaveAttribute('aria-hidden', 'true');
  await expect(seconds).toHaveText(/^4:[45]\d$/);
  await expect(live.warning).toContainText('5 minutes.');
  await passesUnasked(page, between, 60);
  await expect(seconds).toHaveText(/^3:[45]\d$/);
  await expect(live.warning.locator('.visually-hidden'), 'what is announced stays').toHaveText('5 minutes');
  await expect(page.locator('#session-warning')).toHaveAttribute('role', 'status');
  await expect(live.ended).toBeHidden();
});

test('"Stay signed in" extends the session and clears the warning in every tab', {
  tag: '@with-script',
}, async ({ page, person, between }) => {
  await page.clock.install();
  await signIn(page, person, '/dashboard/settings');
  await expect.poll(() => between.openStreams).toBe(1);
  const second = await page.context().newPage();
  await visit(second, '/dashboard');
  const [live, other] = [new Live(page), new Live(second)];
  await new SettingsPage(page).shows([HERE]);
  await passesUnasked(page, between, IDLE - WARNING + 10);
  await expect(live.warning).toBeVisible();
  await expect(other.warning).toBeVisible();

  const before = await times(page);
  await live.stay.click();
  await expect(live.warning).toBeHidden();
  await expect(other.warning).toBeHidden();
  expect((await times(page)).idleEnd).toBeGreaterThanOrEqual(before.now + IDLE * 1000);
  await live.isAlive();
});

test('a failed "Stay signed in" says so and can be repeated', { tag: '@with-script' }, async ({
  page,
  portal,
  between,
  watch,
}) => {
  watch.expect(refusedWith(500));
  await signIn(page, await portal.register({ role: 'admin' }), '/dashboard/settings');
  const live = new Live(page);
  await expect(live.warning).toBeVisible();
  const before = await times(page);
  between.set('/api/extend_session', ERROR_500);
  await live.stay.click();
  await expect(live.warning).toContainText(/went wrong on our side|could not be reached|cannot be reached/);
  await expect(live.unreachable).toBeHidden();
  expect((await times(page)).idleEnd).toBe(before.idleEnd);
  between.set('/api/extend_session', 'pass');
  await live.stay.click();
  await expect(live.warning).toBeHidden();
  expect((await times(page)).idleEnd).toBeGreaterThanOrEqual(before.now + (WARNING + 5) * 1000);
});

test('"Dismiss" hides the warning and changes nothing else', { tag: '@with-script' }, async ({
  page,
  person,
  between,
}) => {
  await page.clock.install();
  await signIn(page, person, '/dashboard/settings');
  const live = new Live(page);
  await new SettingsPage(page).shows([HERE]);
  const loaded = await times(page);
  await passesUnasked(page, between, IDLE - WARNING + 10);
  await live.dismiss.click();
  await expect(live.warning).toBeHidden();
  await passesUnasked(page, between, 60);
  await expect(live.warning).toBeHidden();
  expect((await times(page)).idleEnd).toBeLessThanOrEqual(loaded.now + IDLE * 1000);
});

test('activity on the page delays the warning', {
  tag: '@with-script',
}, async ({ page, person, between, openDesktop }) => {
  const desktop = await openDesktop();
  await page.clock.install();
  await signIn(page, person, '/dashboard/settings');
  const [live, settings] = [new Live(page), new SettingsPage(page)];
  await settings.shows([HERE, desktop.name]);
  await passesUnasked(page, between, IDLE - WARNING + 10);
  await expect(live.warning).toBeVisible();
  await settings.signOut(desktop.name).click();
  await expect(live.toast(`${desktop.name} has been signed out.`)).toBeVisible();
  await expect(live.warning).toBeHidden();
});

test('recent activity counts in every check', { tag: '@with-script' }, async ({
  page,
  portal,
  between,
  openBrowser,
}) => {
  const admin = await portal.register({ role: 'admin' });
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, admin);
  await signIn(page, admin, '/dashboard/settings');
  const [live, settings] = [new Live(page), new SettingsPage(page)];
  await settings.shows([HERE, 'Firefox on macOS']);
  await expect(live.warning).toBeVisible();
  const before = await times(page);
  await settings.signOut('Firefox on macOS').click();
  await expect(live.toast('Firefox on macOS has been signed out.')).toBeVisible();
  await expect(live.warning).toBeHidden();
  // The user leaves the tab and returns.
  const checks = between.count(CHECK);
  await put(page, 'visible');
  await expect.poll(() => between.count(CHECK)).toBeGreaterThan(checks);
  await settled(page);
  await expect(live.warning).toBeHidden({ timeout: 1000 });
  expect((await times(page)).idleEnd, 'the end has moved').toBeGreaterThan(before.now + WARNING * 1000);
});

test('an open page keeps no session alive', {
  tag: '@with-script',
}, async ({
  page,
  person,
  portal,
  between,
  openDesktop,
  watch,
}) => {
  watch.expect(NO_ANSWER);
  await page.clock.install();
  await signIn(page, person, '/dashboard/settings');
  await new SettingsPage(page).shows([HERE]);
  await expect.poll(() => between.openStreams).toBe(1);
  const loaded = await times(page);

  const [checks, lists] = [between.count(CHECK), between.count('/api/list_active_sessions')];
  for (let minute = 0; minute < 6; minute += 1) {
    await page.clock.fastForward('01:01');
    await settled(page);
  }
  await put(page, 'hidden');
  await put(page, 'visible');
  const desktop = await openDesktop();
  await new SettingsPage(page).shows([HERE, desktop.name]);
  between.breakStreams();
  await expect.poll(() => between.count(STREAM)).toBeGreaterThan(1);
  await expect.poll(() => between.openStreams).toBe(1);
  expect(between.count(CHECK) - checks, 'it has asked').toBeGreaterThan(1);
  expect(between.count('/api/list_active_sessions') - lists, 'it has loaded the list').toBeGreaterThan(3);

  // A server writes its buffers before it stops.
  await page.goto('about:blank');
  await portal.pause();
  await portal.resume();
  expect((await times(page)).idleEnd).toBeLessThanOrEqual(loaded.now + IDLE * 1000);
});

test('a hidden tab checks nothing until it is visible', {
  tag: '@with-script',
}, async ({ page, person, between }) => {
  await page.clock.install();
  await signIn(page, person, '/dashboard/settings');
  await new SettingsPage(page).shows([HERE]);
  await expect.poll(() => between.openStreams).toBe(1);
  await passesUnasked(page, between, 5 * 60 + 1);
  await expect.poll(() => between.count(CHECK), 'a tab that is seen does').toBeGreaterThan(0);
  await settled(page);

  await put(page, 'hidden');
  await settled(page);
  const before = between.count('/api/');
  // Just before the end of the session, after which the page checks once.
  await passesUnasked(page, between, 5 * 60);
  expect(between.count('/api/') - before).toBe(0);
  const checks = between.count(CHECK);
  await put(page, 'visible');
  await expect.poll(() => between.count(CHECK) - checks).toBe(1);
  await new Live(page).isAlive();
});

test('the warning before the lifetime’s end offers no extension', {
  tag: '@with-script',
}, async ({ page, portal, between }) => {
  const guest = await portal.register({ role: 'guest' });
  await page.clock.install();
  await signIn(page, guest, '/dashboard/settings');
  const live = new Live(page);
  await new SettingsPage(page).shows([HERE]);
  await expect(live.warning).toBeHidden();
  await passesUnasked(page, between, 60);
  await expect(live.warning).toContainText('It then reaches its maximum length and cannot be extended');
  await expect(live.stay).toHaveCount(0);
  await live.dismiss.click();
  await expect(live.warning).toBeHidden();
});

test('disabled warnings never appear', {
  tag: '@with-script',
}, async ({ portal, person, openBrowser, watch }) => {
  test.setTimeout(120_000);
  const node = await portal.secondNode({ PORTAL_WARNING_SECONDS: '0' });
  try {
    watch.alsoAt(node.url);
    const page = await openBrowser({ baseURL: node.url });
    await page.clock.install();
    const { email, password } = person;
    await page.context().request.post('/api/sign_in', { form: { email, password } });
    await visit(page, '/dashboard/settings');
    const live = new Live(page);
    await new SettingsPage(page).shows([HERE]);
    for (const seconds of [110, 200, 80]) {
      await page.clock.fastForward(seconds * 1000);
      await settled(page);
      await expect(live.warning).toBeHidden();
    }
    await expect(live.ended).toBeHidden();
    await page.context().close();
  } finally {
    await node.stop();
  }
});

test('the idle timeout is shown in every tab', {
  tag: '@with-script',
}, async ({ page, portal, watch }) => {
  watch.expect(refusedWith(401));
  const vendor = await portal.register({ role: 'vendor' });
  await signIn(page, vendor, '/dashboard/settings');
  const second = await page.context().newPage();
  await visit(second, '/dashboard');
  await expect(new Live(page).warning, 'a short session is warned of half way').toBeVisible();
  for (const tab of [page, second]) {
    await expect(new Live(tab).ended).toContainText('You were signed out after 4 seconds without activity.');
    await expect(tab.getByText(vendor.name)).toHaveCount(0);
  }
});

test('the lifetime’s end is shown', { tag: '@with-script' }, async ({ page, portal, watch }) => {
  watch.expect(refusedWith(401));
  await signIn(page, await portal.register({ role: 'employee' }), '/dashboard/settings');
  await expect(new Live(page).ended).toContainText('For your security you need to sign in again every 4 seconds.');
});

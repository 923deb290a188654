import type { Page } from '@playwright/test';

import { FIREFOX_ON_MACOS } from '../support/devices';
import { AccountMenu, Live, SettingsPage, SignInPage } from '../support/pages';
import { CHECK, ERROR_500, EVERYTHING, type Fault, PAGE_200, PAGE_503, STREAM } from '../support/proxy';
import { hearsStream, put, sessionState, settled } from '../support/tabs';
import { expect, signIn, test, throughProxy } from '../support/test';
import { NO_ANSWER, refusedWith } from '../support/watch';

test.use(throughProxy);

const HERE = 'Chrome on Windows';
const OTHER = 'Firefox on macOS';
const ENDED_BY_ADMIN = 'An administrator ended your session.';
const ANYTHING = /Failed to load resource|ERR_|EventSource's response/;

const NOTHING_SENT = 'Nothing was sent: the portal cannot be reached right now.';

/** The pages on which a user revokes a session. */
const REVOKE = '/api/revoke_session';

test('an offline page shows its age and recovers', {
  tag: '@with-script',
}, async ({ page, person, between, openBrowser, watch }) => {
  watch.expect(NO_ANSWER);
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, person);
  await signIn(page, person, '/dashboard/settings');
  const [live, settings] = [new Live(page), new SettingsPage(page)];
  await settings.shows([HERE, OTHER]);
  await expect.poll(() => between.openStreams).toBe(2);

  await page.context().setOffline(true);
  await expect(live.unreachable).toContainText('You are offline.');
  await expect(settings.section.getByText(/^Last refreshed/)).toContainText('just now');
  await settings.shows([HERE, OTHER]);
  await expect(settings.signOut(OTHER)).toHaveAttribute('aria-disabled', 'true');
  await expect(settings.signOutOthers).toHaveAttribute('aria-disabled', 'true');
  await expect(settings.signOutAll).toHaveAttribute('aria-disabled', 'true');

  for (const button of [settings.signOut(OTHER), settings.signOutOthers, settings.signOutAll]) {
    await button.focus();
    await button.press('Enter');
    await expect(live.toast(NOTHING_SENT)).toHaveCount(1);
    await page.getByRole('button', { name: 'Dismiss this message' }).click();
  }
  await expect(page.getByRole('dialog')).toHaveCount(0);
  await settings.shows([HERE, OTHER]);
  await expect(live.ended).toBeHidden();

  // Meanwhile something changes that the page cannot know.
  await other.context().request.post('/api/sign_out');
  await page.context().setOffline(false);
  await expect(live.unreachable).toBeHidden();
  await expect(live.toast('The portal can be reached again.')).toBeVisible();
  await settings.shows([HERE]);
  await expect(settings.section.getByText(/^Last refreshed/)).toHaveCount(0);
  await expect(settings.signOutAll).not.toHaveAttribute('aria-disabled');
  expect(between.count(REVOKE) + between.count('/api/sign_out_other_devices'), 'nothing went out').toBe(0);
  await live.isAlive();
});

test('offline, signing out in the menu is disabled', { tag: '@with-script' }, async ({
  page,
  person,
  watch,
}) => {
  watch.expect(NO_ANSWER);
  await signIn(page, person, '/dashboard/settings');
  await page.context().setOffline(true);
  await expect(new Live(page).unreachable).toBeVisible();
  const menu = new AccountMenu(page);
  await menu.open();
  await expect(menu.signOut).toHaveAttribute('aria-disabled', 'true');
});

test('a page that cannot be loaded does not look signed out', { tag: '@with-script' }, async ({
  page,
  person,
  between,
  watch,
}) => {
  watch.expect(NO_ANSWER);
  await signIn(page, person, '/dashboard/settings');
  const live = new Live(page);
  between.cutOff();
  // Opens another page of the portal without a full load.
  await put(page, 'visible');
  await expect(live.unreachable).toContainText('The portal cannot be reached right now.');
  await page.getByRole('link', { name: 'Dashboard' }).click();
  await expect(page).toHaveURL('/dashboard');
  await expect(live.ended).toBeHidden();
  between.reconnect();
  await live.isAlive();
  await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
});

test('a server restart signs nobody out, the page recovers', {
  tag: '@with-script',
}, async ({ page, person, portal, between, watch }) => {
  test.setTimeout(120_000);
  watch.expect(NO_ANSWER, refusedWith(503));
  const statuses: number[] = [];
  page.on('response', response => statuses.push(response.status()));
  await signIn(page, person, '/dashboard/settings');
  const [live, settings] = [new Live(page), new SettingsPage(page)];
  await settings.shows([HERE]);
  await expect.poll(() => between.openStreams).toBe(1);
  const session = (await sessionState(page)).body.session.id;

  await portal.pause();
  try {
    await expect(live.unreachable).toContainText('The portal cannot be reached right now.');
    await settings.shows([HERE]);
    await expect(settings.section.getByText(/^Last refreshed/)).toBeVisible();
    await expect(live.ended).toBeHidden();
  } finally {
    await portal.resume();
  }
  await expect(live.unreachable).toBeHidden({ timeout: 40_000 });
  await expect(live.toast('The portal can be reached again.')).toBeVisible();
  await settings.shows([HERE]);
  await live.isAlive();
  await expect.poll(() => between.openStreams, 'a stream again').toBe(1);
  expect((await sessionState(page)).body.session.id, 'the same session').toBe(session);
  expect(statuses).not.toContain(401);

  await portal.command(['sessions', 'revoke', '--user', person.email]);
  await expect(live.ended, 'the new stream tells').toContainText(ENDED_BY_ADMIN);
  watch.expect(refusedWith(401));
});

test('a session that ended while offline is noticed when online', { tag: '@with-script' }, async ({
  page,
  person,
  portal,
  between,
  watch,
}) => {
  watch.expect(NO_ANSWER, refusedWith(401));
  await signIn(page, person, '/dashboard/settings');
  const live = new Live(page);
  await expect.poll(() => between.openStreams).toBe(1);
  between.cutOff();
  await expect(live.unreachable).toBeVisible();
  await portal.command(['sessions', 'revoke', '--user', person.email]);
  await expect(live.ended).toBeHidden();
  await expect(live.unreachable).toBeVisible();

  between.reconnect();
  await expect(live.ended).toContainText(ENDED_BY_ADMIN);
  await expect(live.unreachable).toBeHidden();
  await expect(page.getByText(HERE), 'nothing private is left').toHaveCount(0);

  await live.ended.getByLabel('Email').fill(person.email);
  await live.ended.getByLabel('Password', { exact: true }).fill(person.password);
  await live.ended.getByRole('button', { name: 'Sign in again' }).click();
  await expect(live.ended).toBeHidden();
  await new SettingsPage(page).shows([HERE]);
});

const FAULTS: [string, Fault][] = [
  ['answers with 500', ERROR_500],
  ['answers with a page and 503', PAGE_503],
  ['answers with a page and 200', PAGE_200],
  ['breaks off every connection', 'cut'],
  ['never answers', 'hang'],
];

for (const [what, fault] of FAULTS) {
  test(`a server that ${what} signs nobody out, and the page recovers with the next success`, {
    tag: '@with-script',
  }, async ({ page, person, portal, between, watch }) => {
    watch.expect(ANYTHING);
    await signIn(page, person, '/dashboard/settings');
    const [live, settings] = [new Live(page), new SettingsPage(page)];
    await settings.shows([HERE]);
    await expect.poll(() => between.openStreams).toBe(1);
    between.set(CHECK, fault);
    between.set(STREAM, fault);
    between.breakStreams();

    // An unanswered check times out.
    await expect(live.unreachable).toBeVisible();
    await settings.shows([HERE]);
    await expect(live.ended).toBeHidden();
    await expect(page).toHaveURL('/dashboard/settings');

    between.set(CHECK, 'pass');
    between.set(STREAM, 'pass');
    between.release(CHECK);
      await live.isAlive();
    await settings.shows([HERE]);
    await expect.poll(() => between.openStreams, 'a stream again').toBe(1);
    await portal.command(['sessions', 'revoke', '--user', person.email]);
    await expect(live.ended).toContainText(ENDED_BY_ADMIN);
  });

  test(`a stream that ${what} loses only the stream and is retried with backoff`, {
    tag: '@with-script',
  }, async ({ page, person, between, watch }) => {
    watch.expect(ANYTHING);
    between.set(STREAM, fault);
    await page.clock.install();
    await signIn(page, person, '/dashboard/settings');
    const [live, settings] = [new Live(page), new SettingsPage(page)];
    await settings.shows([HERE]);
    await expect.poll(() => between.count(STREAM)).toBeGreaterThan(0);
    await pass(page, 10 * 60);
    await live.isAlive();
    await settings.shows([HERE]);
    // Browsers retry once by themselves after a broken connection.
    expect(between.count(STREAM), 'the pauses grow').toBeLessThan(50);
    expect(between.count(CHECK), 'and so do those of the checks').toBeLessThan(45);

    between.set(STREAM, 'pass');
    if (fault === 'hang') {
      between.release(STREAM);
    }
    await expect
      .poll(async () => {
        await pass(page, 30);
        return between.openStreams;
      })
      .toBe(1);
    await live.isAlive();
  });
}

test('a silent stream is replaced', {
  tag: '@with-script',
}, async ({ page, person, portal, between, watch }) => {
  watch.expect(refusedWith(401));
  await page.clock.install();
  await signIn(page, person, '/dashboard/settings');
  const live = new Live(page);
  await hearsStream(page, between);
  between.silenceStreams();
  const checks = between.count(CHECK);
  await page.clock.fastForward(35_000);
  await settled(page);
  expect(between.count(STREAM), 'a late beat is none that is missing').toBe(1);
  await page.clock.fastForward(10_000);
  await expect.poll(() => between.count(CHECK), 'it asks').toBeGreaterThan(checks);
  await expect.poll(() => between.count(STREAM)).toBe(2);
  await expect.poll(() => between.openStreams, 'the old one is closed').toBe(1);
  await live.isAlive();
  await portal.command(['sessions', 'revoke', '--user', person.email]);
  await expect(live.ended, 'the new one tells').toContainText(ENDED_BY_ADMIN);
});

test('failed checks back off', { tag: '@with-script' }, async ({ page, person, between, watch }) => {
  watch.expect(refusedWith(500));
  await page.clock.install();
  await signIn(page, person, '/dashboard/settings');
  const live = new Live(page);
  await hearsStream(page, between);
  await page.clock.pauseAt(Date.now() + 20_000);
  await settled(page);
  between.set(CHECK, ERROR_500);
  between.set(STREAM, ERROR_500);
  const before = between.count(CHECK);
  await put(page, 'visible');
  await expect(live.unreachable).toBeVisible();

  const pauses: number[] = [];
  let [seen, since] = [between.count(CHECK) - before, 0];
  expect(seen).toBe(1);
  for (let second = 0; second < 10 * 60; second += 1) {
    await pass(page, 1);
    since += 1;
    if (between.count(CHECK) - before > seen) {
      expect(between.count(CHECK) - before, 'one at a time').toBe(seen + 1);
      seen += 1;
      pauses.push(since);
      since = 0;
    }
  }
  // The backoff starts at 2 s and doubles; jitter can halve it. One second is for the steps of this test.
  const least = [1, 2, 4, 8, 16, 32, 64, 128];
  expect(pauses.length, `pauses: ${pauses}`).toBeGreaterThanOrEqual(7);
  pauses.forEach((pause, index) => {
    expect(pause, `pauses: ${pauses}`).toBeGreaterThanOrEqual(least[Math.min(index, 7)]);
    expect(pause, `pauses: ${pauses}`).toBeLessThanOrEqual(Math.min(2 * 2 ** index, 300) + 2);
  });
  await expect(live.ended).toBeHidden();

  between.set(CHECK, 'pass');
  between.set(STREAM, 'pass');
  await live.tryNow.click();
  await live.isAlive();
});

test('an action waits for a running check, then is sent once', {
  tag: '@with-script',
}, async ({ page, person, between, openDesktop }) => {
  const desktop = await openDesktop();
  await signIn(page, person, '/dashboard/settings');
  const [live, settings] = [new Live(page), new SettingsPage(page)];
  await settings.shows([HERE, desktop.name]);
  between.set(CHECK, 'hang');
  await put(page, 'visible');
  await expect.poll(() => between.hanging(CHECK)).toBe(1);

  await settings.signOut(desktop.name).click();
  await settings.shows([HERE]);
  await settled(page);
  expect(between.count(REVOKE), 'it waits').toBe(0);
  expect((await desktop.get('/api/v1/session_state')).status).toBe(200);

  between.set(CHECK, 'pass');
  between.release(CHECK);
  await expect(live.toast(`${desktop.name} has been signed out.`)).toBeVisible();
  expect(between.count(REVOKE), 'it went out once').toBe(1);
  expect((await desktop.get('/api/v1/session_state')).status).toBe(401);
  await live.isAlive();
});

test('an action is dropped when the check finds an ended session', {
  tag: '@with-script',
}, async ({ page, person, portal, between, openDesktop, watch }) => {
  watch.expect(refusedWith(401), NO_ANSWER);
  const desktop = await openDesktop();
  await signIn(page, person, '/dashboard/settings');
  const [live, settings] = [new Live(page), new SettingsPage(page)];
  await settings.shows([HERE, desktop.name]);
  const { id } = (await sessionState(page)).body.session;
  // Only the check shows this.
  await expect.poll(() => between.openStreams).toBe(1);
  between.set(STREAM, 'hang');
  between.set(CHECK, 'hang');
  between.breakStreams();
  await put(page, 'visible');
  await expect.poll(() => between.hanging(CHECK)).toBe(1);
  await settings.signOut(desktop.name).click();
  await settings.shows([HERE]);
  await portal.command(['sessions', 'revoke', '--id', id]);

  between.set(CHECK, 'pass');
  between.release(CHECK);
  await expect(live.ended).toContainText(ENDED_BY_ADMIN);
  await settled(page);
  expect(between.count(REVOKE)).toBeLessThanOrEqual(1);
  expect((await desktop.get('/api/v1/session_state')).status, 'nothing was done').toBe(200);

  // The user signs in again and repeats the action.
  between.set(STREAM, 'pass');
  await live.ended.getByLabel('Email').fill(person.email);
  await live.ended.getByLabel('Password', { exact: true }).fill(person.password);
  await live.ended.getByRole('button', { name: 'Sign in again' }).click();
  await expect(live.ended).toBeHidden();
  await settings.shows([HERE, desktop.name]);
  await settings.signOut(desktop.name).click();
  await expect(live.toast(`${desktop.name} has been signed out.`)).toBeVisible();
});

test('an action without any answer fails with a message', { tag: '@with-script' }, async ({
  page,
  person,
  between,
  openDesktop,
  watch,
}) => {
  watch.expect(ANYTHING);
  const desktop = await openDesktop();
  await page.clock.install();
  await signIn(page, person, '/dashboard/settings');
  const [live, settings] = [new Live(page), new SettingsPage(page)];
  await settings.shows([HERE, desktop.name]);
  between.set(EVERYTHING, 'hang');
  await put(page, 'visible');
  await expect.poll(() => between.hanging(CHECK)).toBe(1);
  await settings.signOut(desktop.name).click();
  await settings.shows([HERE]);

  await page.clock.fastForward('00:11');
  await settings.shows([HERE, desktop.name]);
  await expect(settings.row(desktop.name).getByRole('alert')).toContainText(
    `It is not known whether ${desktop.name} was signed out. The portal could not be reached.`,
  );
  expect(between.count(REVOKE), 'it never went out, and does not later').toBe(0);
  between.set(EVERYTHING, 'pass');
  between.release(EVERYTHING);
  await live.isAlive();
  await settled(page);
  expect(between.count(REVOKE)).toBe(0);
});

test('an unanswered action fails with a message', { tag: '@with-script' }, async ({
  page,
  person,
  between,
  openDesktop,
  watch,
}) => {
  watch.expect(ANYTHING);
  const desktop = await openDesktop();
  await page.clock.install();
  await signIn(page, person, '/dashboard/settings');
  const [live, settings] = [new Live(page), new SettingsPage(page)];
  await settings.shows([HERE, desktop.name]);
  between.set(REVOKE, 'hang');
  await settings.signOut(desktop.name).click();
  await expect.poll(() => between.hanging(REVOKE)).toBe(1);
  await page.clock.fastForward('00:21');
  await expect(settings.row(desktop.name).getByRole('alert')).toContainText('The portal could not be reached.');
  await live.isAlive();
  expect(between.count(REVOKE)).toBe(1);
});

const NOT_OURS: [string, Fault][] = [
  ['a page with 401', { status: 401, type: 'text/html', body: '<h1>Log in to the hotel network</h1>' }],
  ['a 401 about something else', { status: 401, type: 'application/json', body: '{"code":"invalid_credentials"}' }],
  [
    'another status with the words of an end',
    { status: 503, type: 'application/json', body: '{"code":"session_ended","reason":"revoked"}' },
  ],
];

for (const [what, answer] of NOT_OURS) {
  test(`${what} signs nobody out`, { tag: '@with-script' }, async ({ page, person, between, watch }) => {
    watch.expect(refusedWith(401), refusedWith(503));
    await signIn(page, person, '/dashboard/settings');
    const live = new Live(page);
    between.set(CHECK, answer);
    await put(page, 'visible');
    await expect(live.unreachable).toBeVisible();
    await expect(live.ended).toBeHidden();
    between.set(CHECK, 'pass');
    await live.isAlive();
  });
}

test('an HTML answer to an action is an error and starts a check', {
  tag: '@with-script',
}, async ({ page, person, between, openDesktop }) => {
  const desktop = await openDesktop();
  await signIn(page, person, '/dashboard/settings');
  const [live, settings] = [new Live(page), new SettingsPage(page)];
  await settings.shows([HERE, desktop.name]);
  await hearsStream(page, between);
  await settled(page);
  const checks = between.count(CHECK);
  between.set(REVOKE, PAGE_200);
  await settings.signOut(desktop.name).click();
  await expect(settings.row(desktop.name).getByRole('alert')).toContainText('could not be signed out');
  await expect.poll(() => between.count(CHECK) - checks, 'it is no sign of the server').toBe(1);
  await live.isAlive();
});

test('a page from the back-forward cache is hidden until checked', {
  tag: '@with-script',
}, async ({ page, person, between }) => {
  await signIn(page, person, '/dashboard/settings');
  const [live, main] = [new Live(page), page.getByRole('main')];
  await hearsStream(page, between);
  between.set(CHECK, 'hang');
  // Headless browsers have no back/forward cache, so the test sends the event.
  const tell = (kind: string) =>
    page.evaluate(kind => void window.dispatchEvent(new PageTransitionEvent(kind, { persisted: true })), kind);
  await tell('pagehide');
  await expect(main).toBeHidden({ timeout: 1 });
  await tell('pageshow');
  await expect.poll(() => between.hanging(CHECK)).toBe(1);
  await expect(main).toBeHidden();
  await expect(page.getByText(person.name).first()).toBeHidden();

  between.set(CHECK, 'pass');
  between.release(CHECK);
  await expect(main).toBeVisible();
  await expect(page.getByText(person.name).first()).toBeVisible();
  await live.isAlive();
});

test('the sign-in page explains an outage and keeps the input', { tag: '@with-script' }, async ({
  page,
  person,
  between,
  watch,
}) => {
  watch.expect(NO_ANSWER);
  await page.goto('/login');
  const signInPage = new SignInPage(page);
  await signInPage.fill(person);
  between.cutOff();
  await signInPage.button.click();
  await expect(signInPage.problem).toContainText('The portal could not be reached.');
  await expect(signInPage.email).toHaveValue(person.email);
  between.reconnect();
  await signInPage.button.click();
  await expect(page).toHaveURL('/dashboard');
});

/** Advances the clock in steps, so that responses arrive in between. */
async function pass(page: Page, seconds: number) {
  for (let left = seconds; left > 0; left -= 1) {
    await page.clock.runFor(1000);
    await settled(page);
  }
}

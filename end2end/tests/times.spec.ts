import type { Page } from '@playwright/test';

import { FIREFOX_ON_MACOS } from '../support/devices';
import { visit } from '../support/hydration';
import { SettingsPage } from '../support/pages';
import { expect, signIn, test } from '../support/test';
import { NO_ANSWER } from '../support/watch';

const OTHER = 'Firefox on macOS';

// The clock advances by more than a day, longer than a normal session: the page would treat its session as expired and
// hide its content until the server's next response.
const WEEK = `${7 * 86_400}`;
test.use({ environment: { PORTAL_SESSION_TIMEOUT_BROKER: WEEK, PORTAL_SESSION_LIFETIME_BROKER: WEEK } });

/** Formats a time in a time zone as a pattern, because browsers differ in the text between day and time. */
function inWords(moment: string, timeZone: string, form: 'short' | 'long'): RegExp {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: form,
    day: 'numeric',
    month: form,
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
  }).formatToParts(new Date(moment));
  const part = (type: string) => parts.find(part => part.type === type)!.value;
  const year = form === 'long' ? ` ${part('year')}` : '';
  const day = `${part('weekday')},? ${part('day')} ${part('month')}${year}`;
  return new RegExp(`^${day}(,| at) ${part('hour')}:${part('minute')}$`);
}

/** Blocks the list: the server's clock does not advance with the page's, so a new list would show recent times. */
async function keepList(page: Page) {
  await page.route('**/api/list_active_sessions', route => route.abort());
}

test('ages update while the page is open', { tag: '@with-script' }, async ({
  page,
  person,
  signInElsewhere,
  watch,
}) => {
  watch.expect(NO_ANSWER);
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await page.clock.install();
  await signIn(page, person, '/dashboard/settings');
  const active = new SettingsPage(page).row(OTHER).getByText(/^Last active/);
  await expect(active).toContainText('just now');
  await keepList(page);
  for (const [forward, words] of [
    ['02:10', '2 minutes ago'],
    ['01:00:00', '1 hour ago'],
    ['02:00:00', '3 hours ago'],
    ['23:00:00', 'yesterday'],
  ]) {
    await page.clock.fastForward(forward);
    await expect(active).toContainText(words);
  }
});

test('ages are correct with a wrong browser clock', { tag: '@with-script' }, async ({
  page,
  person,
  signInElsewhere,
  watch,
}) => {
  watch.expect(NO_ANSWER);
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await page.clock.install({ time: new Date('2031-05-04T03:02:01Z') });
  await signIn(page, person, '/dashboard/settings');
  const active = new SettingsPage(page).row(OTHER).getByText(/^Last active/);
  await expect(active).toContainText('just now');
  await keepList(page);
  await page.clock.fastForward('05:10');
  await expect(active).toContainText('5 minutes ago');
});

for (const timezoneId of ['America/New_York', 'Asia/Tokyo']) {
  test(`times are exact and local in ${timezoneId}`, { tag: '@with-script' }, async ({
    person,
    openBrowser,
    signInElsewhere,
  }) => {
    const page = await openBrowser({ ...FIREFOX_ON_MACOS, timezoneId });
    await signInElsewhere(person);
    await signIn(page, person, '/dashboard/settings');
    const { sessions } = await (await page.context().request.get('/api/v1/sessions')).json();
    const here = sessions.find((session: any) => session.is_current);

    const signedIn = new SettingsPage(page).thisBrowser.locator('time');
    await expect(signedIn).toHaveAttribute('title', inWords(here.created_at, timezoneId, 'long'));
    await expect(signedIn).toHaveText(inWords(here.created_at, timezoneId, 'short'));
    const machine = new Date((await signedIn.getAttribute('datetime'))!);
    expect(Math.abs(machine.getTime() - new Date(here.created_at).getTime())).toBeLessThan(1000);

    const other = sessions.find((session: any) => !session.is_current);
    const row = new SettingsPage(page).rows.filter({ hasNotText: 'This browser' });
    const lastActive = row.getByText(/^Last active/).locator('time');
    await expect(lastActive).toHaveAttribute('title', inWords(other.last_active_at, timezoneId, 'long'));

    await visit(page, '/dashboard');
    const onDashboard = page.getByRole('region', { name: 'Where you are signed in' }).locator('time');
    await expect(onDashboard).toHaveAttribute('title', inWords(here.created_at, timezoneId, 'long'));
  });
}

test(
  'without JavaScript times are in UTC',
  { tag: '@without-script' },
  async ({ page, person, openDesktop }) => {
    await openDesktop();
    await signIn(page, person, '/dashboard/settings');
    const times = page.getByRole('main').locator('time');
    await expect(times).toHaveCount(3);
    for (const time of await times.all()) {
      await expect(time).toHaveAttribute('title', /^\d+ \w{3} \d{4}, \d\d:\d\d UTC$/);
    }
    await expect(new SettingsPage(page).thisBrowser.locator('time')).toHaveText(/UTC$/);
    await expect(page.getByText(/^Last active/)).toContainText('just now');
  },
);

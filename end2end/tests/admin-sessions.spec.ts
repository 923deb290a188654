import fs from 'node:fs';

import type { Page } from '@playwright/test';

import { expirePasswordChecks, insertSessions, AdminSessionsPage, ConfirmDialog, test } from '../support/administration';
import { FIREFOX_ON_MACOS } from '../support/devices';
import { visit } from '../support/hydration';
import { SignedOutDialog, SignInPage, Toasts } from '../support/pages';
import { settled } from '../support/tabs';
import { expect, signIn } from '../support/test';
import { NO_ANSWER, refusedWith } from '../support/watch';

const PATH = AdminSessionsPage.path;
const HERE = 'Chrome on Windows';
const OTHER = 'Firefox on macOS';
const DESKTOP = "Maria's MacBook";
const LOST = 'The laptop was lost on a train';

// A request of a revoked session may be refused before its page learns of the end.
test.beforeEach(({ watch }) => watch.expect(refusedWith(401)));

/** Lists the live sessions according to the server by device name. */
async function live(page: Page, query = ''): Promise<string[]> {
  const answer = await page.context().request.get(`/api/v1/admin/sessions?limit=200${query}`);
  expect(answer.status()).toBe(200);
  return (await answer.json()).sessions.map((session: any) => session.device_name).sort();
}

/** Marks the current elements of the page, to recognise them later. */
async function mark(page: Page) {
  await page.locator('#fragment > *').first().evaluate(part => ((part as any).isMarked = true));
}

async function isMarked(page: Page): Promise<boolean> {
  return page.locator('#fragment > *').first().evaluate(part => Boolean((part as any).isMarked));
}

/** Advances the tab's clock to the next refresh of the list and waits for its response. */
async function nextRefresh(page: Page) {
  await page.clock.fastForward(16_000);
  await settled(page);
}

test('the list shows the sessions of one organization only', async ({
  page,
  portal,
  admin,
  person,
  signInElsewhere,
  openDesktop,
}) => {
  const stranger = await portal.register({ organization: 'Elsewhere', name: 'Sven Stranger' });
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await signInElsewhere(stranger);
  await openDesktop(DESKTOP);
  await signIn(page, admin, PATH);
  const review = new AdminSessionsPage(page);
  await expect(review.link).toHaveAttribute('href', PATH);
  await review.shows(3);
  await expect(review.main.getByRole('columnheader')).toHaveText([
    'Person', 'Device', 'Address', 'Signed in', 'Last active', 'State',
  ]);
  await expect(review.row(OTHER).locator('th, td')).toHaveText([
    /Maria Keller\s*maria\.keller\+\d+@example\.com\s*Broker/,
    /Firefox on macOS\s*Firefox 140 · macOS/,
    '198.51.100.20',
    'just now',
    'just now',
    /Live\s*Expires in \d+ (minutes|hours)/,
  ]);
  await expect(review.row(DESKTOP).locator('td').first()).toContainText('macOS 15');
  await expect(review.row('This browser')).toContainText('Ada Lindqvist');
  await expect(review.row('This browser')).toHaveCount(1);
  await expect(review.main).not.toContainText('Sven Stranger');

  await visit(page, `${PATH}?q=Stranger`);
  await review.shows(0);
  await expect(review.main).toContainText('No session fits this filter.');
  await expect(review.revokeListed).toHaveCount(0);
  await expect(review.exportCsv).toHaveCount(0);
});

test('each filter is kept in the URL', async ({
  page,
  portal,
  admin,
  person,
  signInElsewhere,
  openDesktop,
  javaScriptEnabled,
}) => {
  const scripted = Boolean(javaScriptEnabled);
  await signInElsewhere(person);
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await openDesktop(DESKTOP);
  await portal.sql(`UPDATE sessions SET created_at = created_at - interval '2 hours' WHERE kind = 'desktop'
    AND user_id = (SELECT id FROM users WHERE email = '${person.email}')`);
  await signIn(page, admin, PATH);
  const review = new AdminSessionsPage(page);
  await review.shows(4);
  for (const { name, value, query, count, row } of [
    { name: 'Kind', value: 'desktop', query: 'kind=desktop', count: 1, row: DESKTOP },
    { name: 'Role', value: 'admin', query: 'role=admin', count: 1, row: 'Ada Lindqvist' },
    { name: 'Signed in', value: 'within_hour', query: 'age=within_hour', count: 3, row: OTHER },
    { name: 'Suspicion', value: 'raised', query: 'suspicion=raised', count: 2, row: 'Unusual' },
    { name: 'State', value: 'ended', query: 'state=ended', count: 0, row: '' },
  ]) {
    await review.choice(name).focus();
    await review.choose(name, value, scripted);
    await review.shows(count);
    expect(new URL(page.url()).search, name).toContain(query);
    if (scripted) {
      await expect(review.choice(name), 'the focus stays').toBeFocused();
    }
    if (row) {
      await expect(review.row(row), name).not.toHaveCount(0);
    }
    await page.reload();
    await review.shows(count);
    await expect(review.choice(name)).toHaveValue(value);
    await visit(page, PATH);
  }
  await visit(page, `${PATH}?kind=telephone`);
  await expect(review.main).toContainText('“kind” in the address is not understood.');
  await review.shows(0);
});

test('typing filters the list immediately', { tag: '@with-script' }, async ({
  page,
  admin,
  person,
  signInElsewhere,
}) => {
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await signIn(page, admin);
  await visit(page, PATH);
  const review = new AdminSessionsPage(page);
  await review.shows(2);
  await review.search.pressSequentially('Maria Kx');
  await review.shows(0);
  await expect(page).toHaveURL(/\?q=Maria(\+|%20)Kx(&|$)/);
  await expect(review.search).toBeFocused();
  await page.keyboard.press('Backspace');
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowRight');
  await review.shows(1);
  await expect(page).toHaveURL(/\?q=Maria(\+|%20)K(&|$)/);
  await expect(review.search).toBeFocused();
  const caret = await review.search.evaluate((field: HTMLInputElement) => [field.selectionStart, field.selectionEnd]);
  expect(caret, 'the caret stays').toEqual([1, 1]);

  await page.reload();
  await review.shows(1);
  await expect(review.search).toHaveValue('Maria K');
  await page.goBack();
  await expect(page, 'back goes to where the person came from').toHaveURL('/dashboard');
});

test('a long list is sorted and paged', async ({ page, portal, admin, person, javaScriptEnabled }) => {
  await insertSessions(portal, person, 60);
  await signIn(page, admin, PATH);
  const review = new AdminSessionsPage(page);
  await review.shows(61);
  await expect(review.rows).toHaveCount(50);
  await expect(review.rows.first()).toContainText('Ada Lindqvist');
  await review.next.click();
  await expect(review.rows).toHaveCount(11);
  await expect(review.rows.last()).toContainText('192.0.2.61');
  await expect(review.next).toHaveCount(0);
  await review.first.click();
  await expect(review.rows).toHaveCount(50);

  await review.choose('Order', 'person', Boolean(javaScriptEnabled));
  await expect(page).toHaveURL(/[?&]sort=person$/);
  await review.next.click();
  await expect(review.rows).toHaveCount(11);
  await page.reload();
  await expect(review.rows).toHaveCount(11);
  await expect(review.row('Ada Lindqvist'), 'A comes first').toHaveCount(0);
});

test('the export contains the filtered rows', async ({ page, portal, admin, person }) => {
  await insertSessions(portal, person, 55);
  await signIn(page, admin, `${PATH}?role=broker`);
  const review = new AdminSessionsPage(page);
  await review.shows(55);
  const download = page.waitForEvent('download');
  await review.exportCsv.click();
  const file = await download;
  expect(file.suggestedFilename()).toMatch(/sessions.*\.csv$/);
  const lines = fs.readFileSync(await file.path(), 'utf8').trim().split(/\r?\n/);
  expect(lines).toHaveLength(56);
  expect(lines.slice(1).every(line => line.includes(person.email))).toBe(true);
  await expect(page).toHaveURL(`${PATH}?role=broker`);
});

test('the details panel shows timeline and other sessions', async ({
  page,
  admin,
  person,
  signInElsewhere,
  openDesktop,
}) => {
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await openDesktop(DESKTOP);
  await signIn(page, admin, `${PATH}?role=broker`);
  const review = new AdminSessionsPage(page);
  await review.device(OTHER).click();
  await expect(review.panel.title).toHaveText(OTHER);
  await expect(page).toHaveURL(/\?role=broker&session=[-0-9a-f]{36}$/);
  await expect(review.panel.history).toContainText([/Signed in/]);
  await expect(review.panel.others).toHaveText([DESKTOP]);
  await expect(review.panel.box).toContainText(person.email);
  const address = page.url();

  await review.panel.others.click();
  await expect(review.panel.title).toHaveText(DESKTOP);
  await review.panel.close.click();
  await expect(review.panel.box).toHaveCount(0);
  await expect(page).toHaveURL(`${PATH}?role=broker`);
  await visit(page, address);
  await expect(review.panel.title).toHaveText(OTHER);
  await expect(review.row(OTHER).getByRole('link')).toHaveAttribute('aria-current', 'true');
  await visit(page, address.replace(/session=.{8}/, 'session=00000000'));
  await expect(review.main).toContainText('That session is not there, or not yours to see.');
  await expect(review.panel.box).toHaveCount(0);
});

test('admin pages link to each other', async ({ page, admin, javaScriptEnabled: scripted }) => {
  await signIn(page, admin);
  const review = new AdminSessionsPage(page);
  await review.link.click();
  await review.shows(1);
  for (const name of ['Audit log', 'Health', 'Sessions']) {
    await review.main.getByRole('navigation', { name: 'Administration' }).getByRole('link', { name }).click();
    await expect(review.main.getByRole('heading', { level: 1 })).toHaveText(name, { timeout: 5_000 });
  }
});

test('Enter opens the panel and Escape closes it', { tag: '@with-script' }, async ({ page, admin }) => {
  await signIn(page, admin, PATH);
  const review = new AdminSessionsPage(page);
  await review.device(HERE).press('Enter');
  await expect(review.panel.title).toHaveText(HERE);
  await page.keyboard.press('Escape');
  await expect(review.panel.box).toHaveCount(0);
  await expect(page).toHaveURL(PATH);
});

test('the focus moves to the panel and back', { tag: '@with-script' }, async ({
  page,
  admin,
  person,
  signInElsewhere,
}) => {
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await signIn(page, admin, PATH);
  const review = new AdminSessionsPage(page);
  for (const leave of [() => page.keyboard.press('Escape'), () => review.panel.close.press('Enter')]) {
    await review.device(OTHER).focus();
    await page.keyboard.press('Enter');
    await expect(review.panel.title, 'the focus goes into the panel').toBeFocused({ timeout: 5_000 });
    await leave();
    await expect(review.panel.box).toHaveCount(0);
    await expect(review.device(OTHER), 'and back to the row').toBeFocused();
  }
});

test('Escape closes the dialog but not the panel', { tag: '@with-script' }, async ({ page, admin }) => {
  await signIn(page, admin, PATH);
  const review = new AdminSessionsPage(page);
  await review.device(HERE).click();
  await review.panel.revokeOne.click();
  await expect(new ConfirmDialog(page).box).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(new ConfirmDialog(page).box).toHaveCount(0);
  await expect(review.panel.title).toHaveText(HERE, { timeout: 5_000 });
});

test('the user sees the reason of a revocation at once', async ({
  page,
  admin,
  person,
  openBrowser,
  openDesktop,
  javaScriptEnabled: scripted,
}) => {
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, person, '/dashboard/settings');
  await openDesktop(DESKTOP);
  await signIn(page, admin, PATH);
  const review = new AdminSessionsPage(page);
  const question = new ConfirmDialog(page, `End the session on ${OTHER}?`);
  await review.device(OTHER).click();
  await review.panel.revokeOne.click();
  await expect(question.box).toBeVisible();
  await question.cancel.click();
  await expect(question.box).toHaveCount(0);
  await expect(review.panel.title).toHaveText(OTHER);
  expect(await live(page)).toEqual([HERE, OTHER, DESKTOP]);
  if (scripted) {
    await review.revokeListed.click();
    await expect(new ConfirmDialog(page, 'End 2 sessions?').box).toBeVisible();
    await page.keyboard.press('Escape');
    await expect(new ConfirmDialog(page).box).toHaveCount(0);
    expect(await live(page)).toEqual([HERE, OTHER, DESKTOP]);
    await visit(page, PATH);
    await review.device(OTHER).click();
  }
  await review.panel.revokeOne.click();
  await question.reason.fill(LOST);
  await question.confirm('End session').click();
  await expect(review.outcome('1 session ended.')).toBeVisible();
  await expect(question.box).toHaveCount(0);
  await expect(review.panel.box).toContainText(LOST);
  await expect(review.panel.revokeOne).toHaveCount(0);
  await review.shows(2);
  expect(await live(page)).toEqual([HERE, DESKTOP]);
  const words = new RegExp(`An administrator ended your session\\..*${LOST}`);
  if (scripted) {
    await new SignedOutDialog(other).says(words);
  } else {
    await other.reload();
    await expect(new SignInPage(other).reason).toHaveText(words);
  }
});

test('ending all sessions of a user affects nobody else', async ({
  page,
  admin,
  person,
  portal,
  organization,
  openBrowser,
  signInElsewhere,
  openDesktop,
  javaScriptEnabled: scripted,
}) => {
  const colleague = await portal.register({ organization, name: 'Jo Colleague' });
  await signInElsewhere(colleague);
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, person);
  const desktop = await openDesktop(DESKTOP);
  await signIn(page, admin, PATH);
  const review = new AdminSessionsPage(page);
  await review.device(OTHER).click();
  await review.panel.revokeAll.click();
  const question = new ConfirmDialog(page, 'Sign Maria Keller out everywhere?');
  await expect(question.box).toContainText('This ends 2 sessions of Maria Keller');
  await question.confirm('End 2 sessions').click();
  await expect(review.outcome('2 sessions ended.')).toBeVisible();
  expect(await live(page)).toEqual([HERE, HERE]);
  expect((await desktop.get('/api/v1/session_state')).body).toMatchObject({ reason: 'revoked_by_admin' });
  if (scripted) {
    await new SignedOutDialog(other).says('An administrator ended your session.');
  }
});

test('ending all listed sessions keeps the own one by default', async ({
  page,
  admin,
  person,
  signInElsewhere,
  openDesktop,
  javaScriptEnabled: scripted,
}) => {
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await openDesktop(DESKTOP);
  await signIn(page, admin, `${PATH}?kind=browser`);
  const review = new AdminSessionsPage(page);
  await review.shows(2);
  await review.revokeListed.click();
  let question = new ConfirmDialog(page, 'End 1 session?');
  await expect(question.box.locator('strong')).toContainText(/browser/i);
  await expect(question.includeOwn).not.toBeChecked();
  await question.confirm('End 1 session').click();
  await expect(question.box).toHaveCount(0);
  await review.shows(1);
  await expect(review.row('This browser')).toHaveCount(1);
  expect(await live(page)).toEqual([HERE, DESKTOP]);

  // Now it is the only one, and its end needs a second confirmation.
  await review.revokeListed.click();
  question = new ConfirmDialog(page, 'End 1 session?');
  await question.confirm('End 1 session').click();
  await expect(question.box, 'the box has to be ticked').toBeVisible();
  await question.includeOwn.check();
  await question.confirm('End 1 session').click();
  if (scripted) {
    await new SignedOutDialog(page).says(/An administrator ended your session\./);
  } else {
    await expect(page).toHaveURL(/\/login\?/);
  }
});

test('the dialog asks for the password after a long time', async ({
  page,
  portal,
  admin,
  person,
  signInElsewhere,
  javaScriptEnabled: scripted,
  watch,
}) => {
  watch.expect(refusedWith(403));
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await signIn(page, admin, `${PATH}?role=broker`);
  const review = new AdminSessionsPage(page);
  const question = new ConfirmDialog(page, 'End 1 session?');
  if (scripted) {
    // The check becomes too old while the dialog is open.
    await review.revokeListed.click();
    await question.reason.fill(LOST);
    await expect(question.password).toBeHidden();
    await expirePasswordChecks(portal, admin);
    await question.confirm('End 1 session').click();
    await expect(question.problem).toHaveText('Enter your password to continue.');
    await expect(question.password).toBeFocused();
  } else {
    await expirePasswordChecks(portal, admin);
    await review.revokeListed.click();
  }
  await question.password.fill('not the password');
  await question.confirm('End 1 session').click();
  await expect(question.problem).toContainText('password is wrong.', { timeout: 5_000 });
  if (scripted) {
    await settled(page);
    await expect(question.reason, 'nothing that was typed is lost').toHaveValue(LOST, { timeout: 5_000 });
    await expect(question.problem, 'the answer can be read').toContainText('password is wrong.', { timeout: 5_000 });
    await expect(question.password).toBeFocused();
  }
  expect(await live(page, '&role=broker')).toEqual([OTHER]);
  await question.password.fill(admin.password);
  await question.confirm('End 1 session').click();
  await expect(question.box).toHaveCount(0);
  await review.shows(0);
  expect(await live(page, '&role=broker')).toEqual([]);
});

test('a broker cannot open it and learns why', async ({ page, person, watch }) => {
  watch.expect(refusedWith(403));
  await signIn(page, person);
  await expect(page.getByRole('banner').getByRole('link', { name: 'Settings' })).toBeVisible();
  await expect(new AdminSessionsPage(page).link).toHaveCount(0);
  for (const path of ['sessions', 'audit', 'health']) {
    const response = await page.goto(`/dashboard/admin/${path}`);
    expect(response?.status(), path).toBe(403);
    await expect(page.getByRole('main')).toContainText('This page is for administrators.');
  }
});

test.describe('with JavaScript', { tag: '@with-script' }, () => {
  test('a double click sends once, errors appear in the dialog', async ({
    page,
    admin,
    person,
    signInElsewhere,
    watch,
  }) => {
    watch.expect(refusedWith(500), NO_ANSWER);
    await signInElsewhere(person, FIREFOX_ON_MACOS);
    await signIn(page, admin, `${PATH}?role=broker&ask=end_listed`);
    const question = new ConfirmDialog(page, 'End 1 session?');
    await question.reason.fill(LOST);
    let sent = 0;
    let answer = () => {};
    const held = new Promise<void>(resolve => (answer = resolve));
    await page.route('**/api/admin_end_sessions', async route => {
      sent += 1;
      await held;
      await route.fulfill({ status: 500, body: 'Internal Server Error' });
    });
    await question.confirm('End 1 session').dblclick();
    await expect(question.box.getByRole('button', { name: 'One moment…' })).toBeVisible();
    answer();
    await expect(question.problem).toHaveText('Something went wrong on our side. Nothing was lost. Try again.');
    expect(sent).toBe(1);
    await page.unroute('**/api/admin_end_sessions');
    await page.route('**/api/admin_end_sessions', route => route.abort('internetdisconnected'));
    await question.confirm('End 1 session').click();
    await expect(question.problem).toHaveText('The portal could not be reached. Check your connection and try again.');
    await expect(question.reason).toHaveValue(LOST);
    expect(await live(page, '&role=broker')).toEqual([OTHER]);
    await page.unroute('**/api/admin_end_sessions');
    await question.confirm('End 1 session').click();
    await expect(new AdminSessionsPage(page).outcome('1 session ended.')).toBeVisible();
  });

  test('many sessions end in batches with progress', async ({
    page,
    portal,
    admin,
    person,
  }) => {
    await insertSessions(portal, person, 600);
    await signIn(page, admin, `${PATH}?role=broker`);
    const review = new AdminSessionsPage(page);
    await review.shows(600);
    await review.revokeListed.click();
    const question = new ConfirmDialog(page, 'End 600 sessions?');
    let sent = 0;
    let go = () => {};
    const held = new Promise<void>(resolve => (go = resolve));
    // As if the first request had reached its deadline after one batch.
    await page.route('**/api/admin_end_sessions', async route => {
      sent += 1;
      if (sent === 1) {
        await portal.sql(`UPDATE sessions SET ended_at = now(), end_reason = 'revoked_by_admin' WHERE id IN (
          SELECT id FROM sessions WHERE ended_at IS NULL
          AND user_id = (SELECT id FROM users WHERE email = '${person.email}') LIMIT 250)`);
        await route.fulfill({ json: { message: '250 ended, 350 left.', next: PATH, ended: 250, left: 350 } });
      } else {
        await held;
        await route.continue();
      }
    });
    await question.confirm('End 600 sessions').click();
    await expect(question.progress).toContainText('250 ended, 350 left.');
    const bar = question.box.getByRole('progressbar');
    expect(await bar.evaluate((bar: HTMLProgressElement) => [bar.value, bar.max])).toEqual([250, 600]);
    go();
    await expect(new Toasts(page).words).toHaveText([/sessions ended\.$/]);
    await expect(question.box).toHaveCount(0);
    await review.shows(0);
    expect(sent).toBe(2);
  });

  test('live updates keep focus, input and dialog', async ({
    page,
    admin,
    person,
    signInElsewhere,
    openDesktop,
  }) => {
    await page.clock.install();
    await signIn(page, admin, PATH);
    const review = new AdminSessionsPage(page);
    await review.shows(1);
    await review.search.focus();
    await openDesktop(DESKTOP);
    await nextRefresh(page);
    await review.shows(2);
    await expect(review.row(DESKTOP)).toHaveCount(1);
    await expect(review.search).toBeFocused();

    await review.device(DESKTOP).click();
    await review.panel.revokeOne.click();
    const question = new ConfirmDialog(page);
    await question.reason.fill(LOST);
    await mark(page);
    await signInElsewhere(person, FIREFOX_ON_MACOS);
    await nextRefresh(page);
    expect(await isMarked(page), 'nothing is replaced').toBe(true);
    await expect(question.reason).toHaveValue(LOST);
    await question.cancel.click();
    await review.shows(3);
  });

  test('the list disappears when the administrator’s session ends', async ({
    page,
    portal,
    admin,
    person,
    openDesktop,
  }) => {
    await openDesktop(DESKTOP);
    await signIn(page, admin, PATH);
    const review = new AdminSessionsPage(page);
    await review.device(DESKTOP).click();
    await review.panel.revokeOne.click();
    await expect(new ConfirmDialog(page).box).toBeVisible();
    // A <wbr> may follow the @.
    const email = person.email.slice(0, person.email.indexOf('@') + 1);
    expect(await page.content()).toContain(email);
    await portal.command(['sessions', 'revoke', '--user', admin.email, '--reason', LOST]);
    const dialog = new SignedOutDialog(page);
    await dialog.says(/An administrator ended your session\./);
    expect(await page.locator('body').innerHTML()).not.toContain(email);
    expect(await page.locator('body').innerHTML()).not.toContain(DESKTOP);
    await dialog.signIn(admin);
    await expect(review.row(DESKTOP)).toHaveCount(1);
  });
});

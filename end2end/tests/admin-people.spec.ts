import type { Page } from '@playwright/test';

import { AdminSessionsPage, ConfirmDialog, test } from '../support/administration';
import { FIREFOX_ON_MACOS } from '../support/devices';
import { SignedOutDialog, SignInPage } from '../support/pages';
import type { TestUser } from '../support/portal';
import { expect, signIn } from '../support/test';
import { refusedWith } from '../support/watch';

const OTHER = 'Firefox on macOS';

test.beforeEach(({ watch }) => watch.expect(refusedWith(401), refusedWith(403), refusedWith(422)));

/** Signs the broker in on another browser and opens that session as the administrator. */
async function openPanel(page: Page, admin: TestUser, other: Page, person: TestUser): Promise<AdminSessionsPage> {
  await signIn(other, person);
  await signIn(page, admin, `${AdminSessionsPage.path}?state=all`);
  const review = new AdminSessionsPage(page);
  await review.device(OTHER).click();
  await expect(review.panel.title).toHaveText(OTHER);
  return review;
}

/** Confirms a dialog with its last button and waits for the result. */
async function answer(question: ConfirmDialog, button: string) {
  await question.confirm(button).click();
  await expect(question.box).toHaveCount(0);
}

test('disabling ends sessions, enabling allows sign-in', async ({
  page,
  admin,
  person,
  openBrowser,
  javaScriptEnabled: scripted,
}) => {
  const other = await openBrowser(FIREFOX_ON_MACOS);
  const review = await openPanel(page, admin, other, person);
  const disable = new ConfirmDialog(page, 'Disable the account of Maria Keller?');
  await review.panel.action('Disable the account…').click();
  await disable.cancel.click();
  await expect(disable.box).toHaveCount(0);
  await expect(review.panel.box.getByText('Disabled', { exact: true })).toHaveCount(0);

  await review.panel.action('Disable the account…').click();
  await answer(disable, 'Disable account');
  await expect(review.outcome('The account is disabled and signed out everywhere.')).toBeVisible();
  await expect(review.panel.box.getByText('Disabled', { exact: true })).toBeVisible();
  await expect(review.panel.action('Disable the account…')).toHaveCount(0);
  if (scripted) {
    await new SignedOutDialog(other).says(/This account cannot sign in/);
  }
  const signInPage = new SignInPage(other);
  await other.goto('/login');
  await signInPage.signIn(person);
  await expect(signInPage.problem).toContainText('The email or password is wrong.');

  await review.panel.action('Let sign in again…').click();
  await answer(new ConfirmDialog(page, 'Let Maria Keller sign in again?'), 'Let sign in again');
  await expect(review.panel.box.getByText('Disabled', { exact: true })).toHaveCount(0);
  await signInPage.signIn(person);
  await expect(other).toHaveURL('/dashboard');
});

test('a new role applies at once', async ({ page, admin, person, openBrowser }) => {
  const other = await openBrowser(FIREFOX_ON_MACOS);
  const review = await openPanel(page, admin, other, person);
  await review.panel.action('Change role…').click();
  const question = new ConfirmDialog(page, 'Change the role of Maria Keller');
  const role = question.box.getByRole('combobox', { name: 'Role' });
  await expect(role).toHaveValue('broker');
  await expect(role.getByRole('option')).toHaveText(['Guest', 'Employee', 'Vendor', 'Broker', /^Admin/]);
  await role.selectOption('vendor');
  await answer(question, 'Change role');
  await expect(review.outcome('The role has been changed. It applies from now on.')).toBeVisible();
  await expect(review.row(OTHER)).toContainText('Vendor');
  await other.reload();
  await expect(other.getByRole('main')).toContainText('You are signed in as a vendor');
});

test('a forced password change happens at sign-in', async ({
  page,
  admin,
  person,
  openBrowser,
  javaScriptEnabled: scripted,
}) => {
  const other = await openBrowser(FIREFOX_ON_MACOS);
  const review = await openPanel(page, admin, other, person);
  await review.panel.action('Ask for a new password…').click();
  await answer(new ConfirmDialog(page, 'Ask Maria Keller for a new password?'), 'Ask for a new password');
  await expect(review.panel.box.getByText('New password at the next sign-in')).toBeVisible();
  await expect(review.panel.action('Ask for a new password…')).toHaveCount(0);
  if (scripted) {
    await new SignedOutDialog(other).says(/An administrator ended your session\./);
  }

  await other.goto('/login');
  const signInPage = new SignInPage(other);
  const fresh = other.getByLabel('New password', { exact: true });
  const next = 'nine green lorries at dawn';
  await expect(fresh).toHaveCount(0);
  await signInPage.signIn({ email: person.email, password: 'not the password' });
  await expect(signInPage.problem).toContainText('The email or password is wrong.');
  await expect(fresh, 'nobody else is told').toHaveCount(0);
  await signInPage.signIn(person);
  await expect(signInPage.problem).toContainText('Your administrator asks you to choose a new password.');
  for (const weak of ['short', person.password]) {
    await signInPage.fill(person);
    await fresh.fill(weak);
    await signInPage.button.click();
    await expect(signInPage.problem).not.toContainText('Your administrator asks you');
    await expect(signInPage.problem).toContainText(/\S/);
    await expect(fresh).toBeVisible();
  }
  await signInPage.fill(person);
  await fresh.fill(next);
  await signInPage.button.click();
  await expect(other).toHaveURL('/dashboard');
  expect((await other.context().request.get('/api/v1/session_state')).status()).toBe(200);
  const old = await page.request.post('/api/v1/sessions', { data: { email: person.email, password: person.password } });
  expect(old.ok(), 'the old password is good for nothing').toBe(false);
  await page.reload();
  await expect(review.panel.box.getByText('New password at the next sign-in')).toHaveCount(0);
});

test('denied actions are hidden and explained on the page', async ({
  page,
  portal,
  admin,
  person,
  openBrowser,
}) => {
  await portal.register({ ...person, organization: 'Southwind Brokers', role: 'vendor' });
  const review = await openPanel(page, admin, await openBrowser(FIREFOX_ON_MACOS), person);
  await expect(review.panel.box).toContainText('This user also belongs to another organization');
  await expect(review.panel.action('Disable the account…')).toHaveCount(0);
  await expect(review.panel.action('Change role…')).toBeVisible();

  await review.row('This browser').getByRole('link').click();
  await expect(review.panel.box).toContainText('This is your own account. Another administrator can change your role');
  for (const name of ['Disable the account…', 'Change role…', 'Ask for a new password…']) {
    await expect(review.panel.action(name)).toHaveCount(0);
  }
  await expect(review.panel.revokeAll).toBeVisible();
});

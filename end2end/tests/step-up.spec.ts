import { createHash } from 'node:crypto';

import type { BrowserContext, Page } from '@playwright/test';

import { FIREFOX_ON_MACOS } from '../support/devices';
import { visit } from '../support/hydration';
import { PasswordQuestion, SettingsPage, SignInPage, SignOutAllQuestion, SignOutOthersQuestion } from '../support/pages';
import { expect, signIn as signInNow, test } from '../support/test';
import type { TestUser } from '../support/portal';
import { NO_ANSWER, refusedWith } from '../support/watch';

const HERE = 'Chrome on Windows';
const OTHER = 'Firefox on macOS';
const DESKTOP = "Maria's MacBook";

const CONFIRM = '/dashboard/confirm-password';

// Here a password check is too old after a second.
test.use({ environment: { PORTAL_REAUTH_SECONDS: '1' } });

/** Signs in and waits until the server asks for the password again. */
async function signIn(page: Page, person: TestUser, path = '/dashboard') {
  await signInNow(page, person, path);
  await expect
    .poll(async () => (await (await page.context().request.get('/api/v1/session_state')).json()).session.reauth_required)
    .toBe(true);
}

test.beforeEach(({ watch }) => watch.expect(refusedWith(401), refusedWith(403)));

test('signing out a device continues after the password', async ({
  page,
  person,
  openBrowser,
  openDesktop,
  javaScriptEnabled: scripted,
}) => {
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signInNow(other, person);
  await openDesktop(DESKTOP);
  await signIn(page, person, '/dashboard/settings');
  const settings = new SettingsPage(page);
  const question = new PasswordQuestion(page, Boolean(scripted));

  await settings.signOut(OTHER).click();
  await expect(question.box).toBeVisible();
  await expect(question.box).toContainText(OTHER);
  await expect(question.password).toBeFocused();
  await expect(question.password).toHaveAttribute('autocomplete', 'current-password');
  await expect(question.goOn(`Sign out ${OTHER}`)).toBeVisible();

  await question.cancel.click();
  await expect(question.box).toBeHidden();
  await settings.shows([HERE, OTHER, DESKTOP]);
  await expect(settings.section.getByRole('alert')).toHaveCount(0);
  if (scripted) {
    await expect(settings.signOut(OTHER), 'the focus is back where it was').toBeFocused();
  }

  await settings.signOut(OTHER).click();
  await question.password.fill('not the password');
  await question.goOn(`Sign out ${OTHER}`).click();
  await expect(question.problem).toHaveText('That password is wrong.');
  await expect(question.password).toBeFocused();
  await expect(question.password).toHaveAccessibleDescription(/That password is wrong\./);
  await expect(question.password).toHaveAttribute('aria-invalid', 'true');

  await question.password.fill(person.password);
  await question.password.press('Enter');
  await settings.shows([HERE, DESKTOP]);
  await expect(settings.notice).toContainText('has been signed out.');
  await expect(page).toHaveURL('/dashboard/settings');
  if (scripted) {
    await expect(settings.section.getByRole('heading', { name: 'Active sessions' })).toBeFocused();
  }
  await other.reload();
  await expect(other).toHaveURL(/\/login\?.*reason=revoked/);
});

test('signing out other devices continues after the password', async ({
  page,
  person,
  openBrowser,
  openDesktop,
  javaScriptEnabled: scripted,
}) => {
  await signInNow(await openBrowser(FIREFOX_ON_MACOS), person);
  await openDesktop(DESKTOP);
  await signIn(page, person, '/dashboard/settings');
  const settings = new SettingsPage(page);
  const others = new SignOutOthersQuestion(page, Boolean(scripted));
  await settings.signOutOthers.click();
  await others.confirm(2).click();
  // With JavaScript the dialog stays; without, another page opens.
  const box = scripted ? others.box : new PasswordQuestion(page, false).box;
  const password = box.getByLabel('Password', { exact: true });
  await expect(password).toBeFocused();
  await expect(box).toContainText('This signs out 2 devices.');
  await box.getByRole(scripted ? 'button' : 'link', { name: 'Cancel' }).click();
  await settings.shows([HERE, OTHER, DESKTOP]);

  await settings.signOutOthers.click();
  await others.confirm(2).click();
  await password.fill(person.password);
  await box.getByRole('button', { name: 'Sign out of 2 devices', exact: true }).click();
  await settings.shows([HERE]);
  await expect(settings.notice).toContainText('This browser stays signed in.');
});

test('Sign Out All Devices asks for the password in its dialog', async ({
  page,
  person,
  openDesktop,
  javaScriptEnabled: scripted,
}) => {
  const desktop = await openDesktop(DESKTOP);
  await signIn(page, person, '/dashboard/settings');
  await new SettingsPage(page).signOutAll.click();
  const all = new SignOutAllQuestion(page, Boolean(scripted));
  await expect(all.box.getByLabel('Password', { exact: true })).toHaveCount(0);
  await all.confirm(2).click();
  // With JavaScript the dialog stays; without, another page opens.
  const box = scripted ? all.box : new PasswordQuestion(page, false).box;
  const password = box.getByLabel('Password', { exact: true });
  await expect(password).toBeFocused();
  await expect(box.getByRole('listitem')).toHaveCount(2);

  await password.fill('not the password');
  await password.press('Enter');
  await expect(box.getByRole('alert').filter({ hasText: 'That password is wrong.' })).toBeVisible();
  await expect(password).toBeFocused();
  expect((await desktop.get('/api/v1/session_state')).status).toBe(200);

  await password.fill(person.password);
  await box.getByRole('button', { name: 'Sign out of 2 devices', exact: true }).click();
  await expect(page).toHaveURL(/\/login\?reason=signed_out_everywhere/);
  await expect(new SignInPage(page).reason).toHaveText('All your devices have been signed out.');
  expect((await desktop.get('/api/v1/session_state')).status).toBe(401);
});

test('after too many wrong passwords the dialog shows the wait', async ({
  page,
  person,
  openDesktop,
  javaScriptEnabled: scripted,
  watch,
}) => {
  watch.expect(refusedWith(429));
  await openDesktop(DESKTOP);
  await signIn(page, person, '/dashboard/settings');
  await useUpPasswords(page.context());
  await new SettingsPage(page).signOut(DESKTOP).click();
  const question = new PasswordQuestion(page, Boolean(scripted));
  await question.password.fill(person.password);
  await question.goOn(`Sign out ${DESKTOP}`).click();
  await expect(question.problem).toHaveText(/^Too many wrong passwords\. Try again in \d+ minutes?\.$/);
  await question.cancel.click();
  await new SettingsPage(page).shows([HERE, DESKTOP]);
});

/** Enters five wrong passwords, which is the limit of a session. */
async function useUpPasswords(context: BrowserContext) {
  for (let tries = 0; tries < 5; tries += 1) {
    const answer = await context.request.post('/api/sign_out_other_devices', { form: { password: 'not this one' } });
    expect(answer.status()).toBe(401);
  }
}

test('Escape closes the dialog and signs out nothing', { tag: '@with-script' }, async ({
  page,
  person,
  openDesktop,
}) => {
  await openDesktop(DESKTOP);
  await signIn(page, person, '/dashboard/settings');
  const settings = new SettingsPage(page);
  const question = new PasswordQuestion(page, true);
  await settings.signOut(DESKTOP).click();
  await question.password.fill('half of a pass');
  await page.keyboard.press('Escape');
  await expect(question.box).toBeHidden();
  await settings.shows([HERE, DESKTOP]);
  await expect(settings.signOut(DESKTOP)).toBeFocused();
  await settings.signOut(DESKTOP).click();
  await expect(question.password, 'what was typed does not wait there').toHaveValue('');
});

test('a dialog stays open when the answer does not arrive', { tag: '@with-script' }, async ({
  page,
  person,
  openDesktop,
  watch,
}) => {
  watch.expect(NO_ANSWER);
  await openDesktop(DESKTOP);
  await signIn(page, person, '/dashboard/settings');
  const settings = new SettingsPage(page);
  const question = new PasswordQuestion(page, true);
  await settings.signOut(DESKTOP).click();
  await question.password.fill(person.password);
  await page.route('**/api/revoke_session', route => route.abort());
  await question.goOn(`Sign out ${DESKTOP}`).click();
  await expect(question.box.getByRole('alert').filter({ hasText: 'It is not known whether' })).toBeVisible();
  await expect(question.password).toHaveValue(person.password);
  await expect(question.password).not.toHaveAttribute('aria-invalid', 'true');
  await page.unroute('**/api/revoke_session');
  await question.goOn(`Sign out ${DESKTOP}`).click();
  await settings.shows([HERE]);
});

test('the page that asks for the password needs a session and something to confirm', async ({ page, person }) => {
  await page.goto(`${CONFIRM}?for=sign_out_all_devices`);
  await expect(page).toHaveURL(/\/login\?next=/);
  await signInNow(page, person);
  for (const query of [
    '',
    '?for=everything',
    '?for=revoke_session',
    '?for=revoke_session&session_id=018f0000-0000-7000-8000-000000000000',
    `?for=${encodeURIComponent('<script>owned</script>')}`,
    '?for=sign_out_other_devices',
  ]) {
    await page.goto(CONFIRM + query);
    await expect(page.getByRole('heading', { name: 'There is nothing to confirm here' })).toBeVisible();
    await expect(page.getByRole('main')).not.toContainText('owned');
  }
  await page.getByRole('link', { name: 'Back to your sessions' }).click();
  await expect(page).toHaveURL(/\/dashboard\/settings/);
});

test('an error is shown at its own form after it failed', async ({ page, person, portal }) => {
  const settings = async (path: string, code: string, isMarked: boolean) => {
    const error = new URLSearchParams({ __path: path, __err: btoa(JSON.stringify({ code })) });
    await page.context().clearCookies({ name: 'portal_form_error' });
    if (isMarked) {
      const lines = [...error].map(([name, value]) => `${name}=${value}\n`).join('');
      const value = createHash('sha256').update(lines).digest('base64url');
      await page.context().addCookies([{ name: 'portal_form_error', value, url: portal.url }]);
    }
    await visit(page, `/dashboard/settings?${error}`);
    return page.getByRole('alert').filter({ hasText: /\S/ });
  };
  await signInNow(page, person);
  const wrong = await settings('/api/change_password', 'invalid_credentials', true);
  await expect(wrong).toHaveText(['That is not your current password.']);
  await expect(await settings('/api/revoke_session', 'not_found', true)).toContainText(['Nothing was signed out.']);
  await expect(await settings('/api/sign_in', 'not_found', true)).toHaveCount(0);
  await expect(await settings('/api/change_password', 'invalid_credentials', false)).toHaveCount(0);
  await expect(page).toHaveURL('/dashboard/settings');
});

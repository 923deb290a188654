import { FIREFOX_ON_MACOS } from '../support/devices';
import { waitForHydration } from '../support/hydration';
import { PasswordSection, SettingsPage, SignInPage } from '../support/pages';
import { expect, signIn, test } from '../support/test';
import { NO_ANSWER, refusedWith } from '../support/watch';

const HERE = 'Chrome on Windows';
const OTHER = 'Firefox on macOS';
const FRESH = 'nine green lorries at dawn';

test('a password change signs out the other devices', async ({
  page,
  person,
  openBrowser,
  openDesktop,
  javaScriptEnabled: scripted,
  watch,
}) => {
  watch.expect(refusedWith(401));
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, person);
  await openDesktop();
  await signIn(page, person, '/dashboard/settings');
  const password = new PasswordSection(page);
  await expect(password.end).toBeChecked();
  await expect(password.current).toHaveAttribute('autocomplete', 'current-password');
  await expect(password.fresh).toHaveAttribute('autocomplete', 'new-password');
  const username = page.locator('input[form="password-form"][autocomplete="username"]');
  await expect(username, 'for password managers').toHaveValue(person.email);
  await expect(username).toBeHidden();
  await expect(password.fresh).toHaveAccessibleDescription(/At least 8 characters\./);

  await password.change(person.password, FRESH);
  await expect(password.done).toBeVisible();
  await expect(password.current).toHaveValue('');
  await expect(password.fresh).toHaveValue('');
  await new SettingsPage(page).shows([HERE]);
  if (scripted) {
    await expect(password.done).toContainText('2 other devices have been signed out.');
    await expect(page).toHaveURL('/dashboard/settings');
  } else {
    await expect(page).toHaveURL(/\/dashboard\/settings#password$/);
    await expect(password.done).toBeInViewport();
  }

  await other.reload();
  await expect(new SignInPage(other).reason).toHaveText(
    'Your password was changed, so this device was signed out.',
  );
  await new SignInPage(other).signIn(person);
  await expect(new SignInPage(other).problem).toContainText('The email or password is wrong.');
  await new SignInPage(other).signIn({ email: person.email, password: FRESH });
  await expect(other).toHaveURL('/dashboard');
});

test('a password change can keep other devices', async ({ page, person, openBrowser }) => {
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, person);
  await signIn(page, person, '/dashboard/settings');
  const password = new PasswordSection(page);
  await password.keep.check();
  await password.change(person.password, FRESH);
  await expect(password.done).toBeVisible();
  await new SettingsPage(page).shows([HERE, OTHER]);
  await other.reload();
  await expect(other).toHaveURL('/dashboard');
});

for (const { title, from, to, words, field, status } of [
  {
    title: 'a wrong current password',
    from: 'not the password',
    to: FRESH,
    words: 'That is not your current password.',
    field: 'current',
    status: 401,
  },
  {
    title: 'a new password that is too short',
    from: undefined,
    to: 'kurz',
    words: /^Use at least 8 characters\./,
    field: 'fresh',
    status: 422,
  },
  {
    title: 'a new password that everybody uses',
    from: undefined,
    to: 'password123',
    words: /^This password is easy to guess\./,
    field: 'fresh',
    status: 422,
  },
] as const) {
  test(`${title} is shown at its field only`, async ({
    page,
    person,
    javaScriptEnabled: scripted,
    watch,
  }) => {
    watch.expect(refusedWith(status));
    await signIn(page, person, '/dashboard/settings');
    const password = new PasswordSection(page);
    await password.change(from ?? person.password, to);
    await expect(password.alert).toHaveText(words);
    await expect(page.getByRole('alert').filter({ hasText: /\S/ }), 'no other form speaks of it').toHaveCount(1);
    await expect(password[field]).toHaveAttribute('aria-invalid', 'true');
    await expect(password[field]).toHaveAccessibleDescription(words instanceof RegExp ? new RegExp(words.source.slice(1)) : new RegExp(words));
    const right = field === 'current' ? password.fresh : password.current;
    await expect(right).not.toHaveAttribute('aria-invalid', 'true');
    if (scripted) {
      await expect(password[field]).toBeFocused();
      await expect(password.current).toHaveValue(from ?? person.password);
      await expect(password.fresh).toHaveValue(to);
    } else {
      await expect(page).toHaveURL(/#password$/);
      expect(page.url()).not.toContain(encodeURIComponent(to));
    }
    await waitForHydration(page);
    await password.change(person.password, FRESH);
    await expect(password.done).toBeVisible();
    await expect(password.alert).toHaveCount(0);
  });
}

test('a general error keeps the input', { tag: '@with-script' }, async ({
  page,
  person,
  watch,
}) => {
  watch.expect(NO_ANSWER, refusedWith(429), refusedWith(503));
  await signIn(page, person, '/dashboard/settings');
  const password = new PasswordSection(page);
  await page.route('**/api/change_password', route => route.abort());
  await password.change(person.password, FRESH);
  await expect(password.alert).toContainText('It is not known whether this was done.');
  await expect(password.alert).toContainText('The portal could not be reached.');
  await expect(password.fresh).toHaveValue(FRESH);
  for (const [status, json, words] of [
    [429, { code: 'too_many_attempts', retry_after_seconds: 90 }, /Try again in 2 minutes\./],
    [503, { code: 'busy' }, /Try again in a few seconds\./],
  ] as const) {
    await page.unroute('**/api/change_password');
    await page.route('**/api/change_password', route => route.fulfill({ status, json }));
    await password.button.click();
    await expect(password.alert).toHaveText(words);
    await expect(password.fresh).toHaveValue(FRESH);
  }
});

test('the button shows progress and sends once', { tag: '@with-script' }, async ({
  page,
  person,
}) => {
  let asked = 0;
  let answer = () => {};
  const held = new Promise<void>(resolve => (answer = resolve));
  await page.route('**/api/change_password', async route => {
    asked += 1;
    await held;
    await route.continue();
  });
  await signIn(page, person, '/dashboard/settings');
  const password = new PasswordSection(page);
  await password.change(person.password, FRESH);
  await expect(password.section.getByRole('button', { name: 'Changing…' })).toHaveAttribute('aria-busy', 'true');
  await password.fresh.press('Enter');
  answer();
  await expect(password.done).toContainText('No other device was signed in.');
  expect(asked).toBe(1);
});

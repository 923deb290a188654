import { waitForHydration, visit } from '../support/hydration';
import { SettingsPage, SignInPage } from '../support/pages';
import { expect, signIn, test } from '../support/test';
import { refusedWith } from '../support/watch';

const WRONG = 'The email or password is wrong. Check both and try again.';

test('a signed-out user reaches the requested page after sign-in', async ({
  page,
  person,
}) => {
  await page.goto('/dashboard/settings');
  await expect(page).toHaveURL('/login?next=/dashboard/settings');
  const signInPage = new SignInPage(page);
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();
  await expect(signInPage.reason, 'nobody was signed out').toHaveCount(0);
  await signInPage.signIn(person);
  await expect(page).toHaveURL('/dashboard/settings');
  await expect(page.getByRole('heading', { name: 'Settings' })).toBeVisible();
});

test('the root URL leads through sign-in to the dashboard', async ({ page, person }) => {
  await page.goto('/');
  await expect(page).toHaveURL('/login?next=/dashboard');
  await new SignInPage(page).signIn(person);
  await expect(page).toHaveURL('/dashboard');
  await expect(page).toHaveTitle('Dashboard · Broker Portal');
  await expect(page.getByRole('main')).toContainText('You are signed in as a broker at Northwind Brokers.');
});

test('a signed-in user skips the sign-in page', async ({ page, person }) => {
  await signIn(page, person);
  await page.goto('/login?next=/dashboard/settings');
  await expect(page).toHaveURL('/dashboard/settings');
  await page.goto('/login');
  await expect(page).toHaveURL('/dashboard');
});

test('a wrong password and an unknown email get the same message', async ({
  page,
  person,
  watch,
  javaScriptEnabled: scripted,
}) => {
  watch.expect(refusedWith(401));
  const signInPage = new SignInPage(page);
  for (const wrong of [
    { email: person.email, password: 'not the password' },
    { email: 'nobody@example.com', password: person.password },
  ]) {
    await page.goto('/login');
    await signInPage.signIn(wrong);
    await expect(signInPage.problem).toContainText(WRONG);
    await expect(signInPage.email).toHaveValue(wrong.email);
    await expect(page).toHaveURL(/\/login/);
    expect(page.url()).not.toContain(encodeURIComponent(wrong.password));
    expect(page.url()).not.toContain(wrong.email.split('@')[0]);
  }
  const cookies = (await page.context().cookies()).map(cookie => cookie.name).sort();
  expect(cookies).toEqual([...(scripted ? [] : ['portal_form_error']), 'portal_probe', ...(scripted ? [] : ['portal_typed_email'])]);
});

test('the right password after a wrong one reaches the requested page', async ({ page, person, watch }) => {
  watch.expect(refusedWith(401));
  const signInPage = new SignInPage(page);
  await page.goto('/login?next=/dashboard/settings');
  await signInPage.signIn({ email: person.email, password: 'not the password' });
  await expect(signInPage.problem).toContainText(WRONG);
  await signInPage.signIn(person);
  await expect(page).toHaveURL('/dashboard/settings');
});

test(
  'a wrong password keeps the input and focuses the message',
  { tag: '@with-script' },
  async ({ page, person, watch }) => {
    watch.expect(refusedWith(401));
    await page.goto('/login');
    const signInPage = new SignInPage(page);
    await signInPage.signIn({ email: person.email, password: 'not the password' });
    await expect(signInPage.problem).toContainText(WRONG);
    await expect(signInPage.problem).toBeFocused();
    await expect(signInPage.email).toHaveValue(person.email);
    await expect(signInPage.email).toHaveAttribute('aria-invalid', 'true');
    await expect(signInPage.password).toHaveAccessibleDescription(/The email or password is wrong/);
    await expect(page).toHaveURL('/login');

    await page.keyboard.press('Tab');
    await expect(signInPage.email, 'the fields come next').toBeFocused();
    await signInPage.password.fill(person.password);
    await signInPage.password.press('Enter');
    await expect(page).toHaveURL('/dashboard');
  },
);

test('an empty field is required and nothing is sent', async ({ page, person }) => {
  const sent: string[] = [];
  page.on('request', request => request.method() === 'POST' && sent.push(request.url()));
  await visit(page, '/login');
  const signInPage = new SignInPage(page);
  await signInPage.email.fill(person.email);
  await signInPage.button.click();
  await expect(signInPage.password).toBeFocused();
  await expect(page).toHaveURL('/login');
  expect(sent).toEqual([]);
});

test('password managers recognise the fields', async ({ page }) => {
  await page.goto('/login');
  const signInPage = new SignInPage(page);
  await expect(signInPage.email).toHaveAttribute('autocomplete', 'username');
  await expect(signInPage.email).toHaveAttribute('type', 'email');
  await expect(signInPage.password).toHaveAttribute('autocomplete', 'current-password');
  await expect(signInPage.password).toHaveAttribute('type', 'password');
});

test('the password can be shown and hidden', { tag: '@with-script' }, async ({ page, person }) => {
  await visit(page, '/login');
  const { password } = new SignInPage(page);
  await password.fill(person.password);
  await page.getByRole('button', { name: 'Show password' }).click();
  await expect(password).toHaveAttribute('type', 'text');
  await expect(password).toHaveValue(person.password);
  await page.getByRole('button', { name: 'Hide password' }).click();
  await expect(password).toHaveAttribute('type', 'password');
  await expect(page).toHaveURL('/login');
});

test(
  'without JavaScript there is no useless button',
  { tag: '@without-script' },
  async ({ page }) => {
    await page.goto('/login');
    await expect(page.getByRole('button')).toHaveText([/^Sign in/]);
  },
);

test(
  'the sign-in button shows progress and sends once',
  { tag: '@with-script' },
  async ({ page, person }) => {
    let asked = 0;
    let answer = () => {};
    const held = new Promise<void>(resolve => (answer = resolve));
    await page.route('**/api/sign_in', async route => {
      asked += 1;
      await held;
      await route.continue();
    });
    await page.goto('/login');
    const signInPage = new SignInPage(page);
    await signInPage.fill(person);
    const submit = page.locator('button[type="submit"]');
    const { width } = (await submit.boundingBox())!;
    await signInPage.button.click();
    await expect(submit).toHaveAttribute('aria-busy', 'true');
    await expect(submit).toHaveAccessibleName('Signing in…');
    expect((await submit.boundingBox())!.width, 'the button does not jump').toBe(width);
    await signInPage.password.press('Enter');
    await submit.press('Enter');
    answer();
    await expect(page).toHaveURL('/dashboard');
    expect(asked).toBe(1);
  },
);

test(
  'an outage is explained and the input stays',
  { tag: '@with-script' },
  async ({ page, person, watch }) => {
    watch.expect(/Failed to load resource: net::ERR_/);
    await page.route('**/api/sign_in', route => route.abort());
    await page.goto('/login');
    const signInPage = new SignInPage(page);
    await signInPage.signIn(person);
    await expect(signInPage.problem).toContainText('The portal could not be reached.');
    await expect(signInPage.email).toHaveValue(person.email);
    await expect(signInPage.email).not.toHaveAttribute('aria-invalid', 'true');
    await page.unroute('**/api/sign_in');
    await signInPage.button.click();
    await expect(page).toHaveURL('/dashboard');
  },
);

test('every end reason has a message', async ({ page }) => {
  const reason = new SignInPage(page).reason;
  for (const [code, words] of [
    ['signed_out', 'You have signed out.'],
    ['signed_out_everywhere', 'Your session was ended from another device. Please sign in again.'],
    ['signed_out_everywhere&by=you', 'All your devices have been signed out.'],
    ['revoked', 'This session was ended from another device. Please sign in again.'],
    ['revoked_by_admin', 'An administrator ended your session.'],
    ['password_changed', 'Your password was changed, so this device was signed out.'],
    ['session_limit', /^You signed in on more devices than your role allows, so the least recently used one was/],
    ['account_disabled', 'This account cannot sign in. Contact your administrator.'],
    ['token_reuse', /^This session was ended because its refresh token was used twice\. Usually a response was lost/],
    ['client_changed', /^We saw this session used from somewhere it was not started, and ended it\./],
    ['unknown', 'Please sign in again.'],
  ] as const) {
    await page.goto(`/login?reason=${code}`);
    await expect(reason).toHaveText(words);
  }
});

test('a disabled account is signed out with the reason', async ({ page, person, portal }) => {
  await signIn(page, person);
  await portal.command(['user', 'disable', '--email', person.email]);
  await page.reload();
  await expect(new SignInPage(page).reason).toHaveText('This account cannot sign in. Contact your administrator.');
});

test('signing in again in the same browser leaves no second session behind', async ({ page, person }) => {
  await signIn(page, person);
  await signIn(page, person, '/dashboard/settings');
  await waitForHydration(page);
  await new SettingsPage(page).shows(['Chrome on Windows']);
});

test('after too many wrong passwords the page shows the wait', async ({
  page,
  person,
  javaScriptEnabled: scripted,
  watch,
}) => {
  watch.expect(refusedWith(429));
  for (let tries = 0; tries < 5; tries += 1) {
    const form = { email: person.email, password: 'not the password' };
    await page.context().request.post('/api/sign_in', { form });
  }
  await page.goto('/login');
  const signInPage = new SignInPage(page);
  await signInPage.signIn(person);
  await expect(signInPage.problem).toContainText(/Too many wrong passwords\. Try again in \d+ minutes?\./);
  if (scripted) {
    await expect(signInPage.email).toHaveValue(person.email);
  }
});

test('a busy portal says so and keeps the input', { tag: '@with-script' }, async ({
  page,
  person,
  watch,
}) => {
  watch.expect(refusedWith(503));
  await page.route('**/api/sign_in', route => route.fulfill({ status: 503, json: { code: 'busy' } }));
  await page.goto('/login');
  const signInPage = new SignInPage(page);
  await signInPage.signIn(person);
  await expect(signInPage.problem).toContainText('Many users are signing in right now. Try again in a few seconds.');
  await expect(signInPage.email).toHaveValue(person.email);
});

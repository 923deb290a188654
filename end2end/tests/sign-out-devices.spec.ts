import { CHROME_ON_WINDOWS, FIREFOX_ON_MACOS, SAFARI_ON_IPHONE } from '../support/devices';
import { waitForHydration, visit } from '../support/hydration';
import { SettingsPage, SignedOutDialog, SignInPage, SignOutAllQuestion, SignOutOthersQuestion } from '../support/pages';
import { expect, signIn, test } from '../support/test';
import { NO_ANSWER, refusedWith } from '../support/watch';

const ENDED_FROM_ELSEWHERE = 'Your session was ended from another device. Please sign in again.';
const THIS_ONE_ENDED = 'This session was ended from another device. Please sign in again.';

const HERE = 'Chrome on Windows';
const OTHER = 'Firefox on macOS';
const DESKTOP = "Maria's MacBook";

test('Settings lists every session and marks the current one', async ({
  page,
  person,
  openBrowser,
  openDesktop,
}) => {
  await page.goto('/login');
  await new SignInPage(page).signIn(person);
  await expect(page).toHaveURL('/dashboard');
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await other.goto('/login');
  await new SignInPage(other).signIn(person);
  await expect(other).toHaveURL('/dashboard');
  await openDesktop(DESKTOP);

  await visit(page, '/dashboard/settings');
  const settings = new SettingsPage(page);
  await settings.shows([HERE, OTHER, DESKTOP]);
  await expect(settings.thisBrowser).toHaveCount(1);
  await expect(settings.thisBrowser.getByRole('heading')).toContainText(HERE);
  await expect(settings.thisBrowser).toContainText('Active now');
  await expect(settings.thisBrowser).toContainText('203.0.113.7');
  await expect(settings.thisBrowser.getByRole('button')).toHaveCount(0);

  await expect(settings.row(OTHER)).toContainText('Firefox 140');
  await expect(settings.row(OTHER).getByText('Browser', { exact: true })).toBeVisible();
  await expect(settings.row(OTHER)).toContainText('198.51.100.20');
  await expect(settings.row(DESKTOP).getByText('Desktop app', { exact: true })).toBeVisible();
  await expect(settings.row(DESKTOP)).toContainText('macOS 15');
  await expect(settings.row(DESKTOP)).toContainText('198.51.100.4');

  await visit(other, '/dashboard/settings');
  await expect(new SettingsPage(other).thisBrowser.getByRole('heading')).toContainText(OTHER);
});

test('a single session offers nothing else to sign out', async ({
  page,
  person,
}) => {
  await signIn(page, person, '/dashboard/settings');
  const settings = new SettingsPage(page);
  await settings.shows([HERE]);
  await expect(settings.section).toContainText('Only this browser is signed in.');
  await expect(settings.signOutOthers).toHaveCount(0);
  await expect(settings.signOutAll).toBeVisible();
});

test('signing out one device ends only its session', async ({
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
  const desktop = await openDesktop(DESKTOP);
  await signIn(page, person, '/dashboard/settings');
  const settings = new SettingsPage(page);
  await settings.shows([HERE, OTHER, DESKTOP]);

  await settings.signOut(OTHER).click();
  await settings.shows([HERE, DESKTOP]);
  await expect(settings.notice).toContainText('has been signed out.');

  if (scripted) {
    await new SignedOutDialog(other).says(THIS_ONE_ENDED);
    await expect(other).toHaveURL('/dashboard');
  } else {
    await other.getByRole('link', { name: 'Settings' }).click();
    await expect(other).toHaveURL(/\/login\?.*reason=revoked/);
    await expect(new SignInPage(other).reason).toHaveText(THIS_ONE_ENDED);
  }
  expect((await desktop.get('/api/v1/session_state')).status).toBe(200);

  await settings.signOut(DESKTOP).click();
  await settings.shows([HERE]);
  // The row disappears first, the session ends a moment later.
  await expect.poll(() => desktop.get('/api/v1/session_state')).toMatchObject({
    status: 401,
    body: { code: 'session_ended', reason: 'revoked' },
  });
  await visit(page, '/dashboard/settings');
  await settings.shows([HERE]);
});

test(
  'a double click signs out one device only',
  { tag: '@with-script' },
  async ({ page, person, signInElsewhere, openDesktop }) => {
    await signInElsewhere(person, FIREFOX_ON_MACOS);
    await openDesktop(DESKTOP);
    await signIn(page, person, '/dashboard/settings');
    const settings = new SettingsPage(page);
    await settings.shows([HERE, DESKTOP, OTHER]);
    let answer = () => {};
    const held = new Promise<void>(resolve => (answer = resolve));
    await page.route('**/api/revoke_session', async route => {
      await held;
      await route.continue();
    });
    const { x, y, width, height } = (await settings.signOut(DESKTOP).boundingBox())!;
    await page.mouse.move(x + width / 2, y + height / 2);
    await page.mouse.down();
    await page.mouse.up();
    await settings.shows([HERE, OTHER]);
    const next = (await settings.signOut(OTHER).boundingBox())!;
    expect(Math.abs(next.y - y), 'the next row has moved up under the pointer').toBeLessThan(height / 2);
    await page.mouse.down({ clickCount: 2 });
    await page.mouse.up({ clickCount: 2 });
    answer();
    await expect(settings.notice).toBeVisible();
    await visit(page, '/dashboard/settings');
    await settings.shows([HERE, OTHER]);
  },
);

test('a signed-out device returns to its page after sign-in', async ({
  page,
  person,
  openBrowser,
  watch,
}) => {
  watch.expect(refusedWith(401));
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, person, '/dashboard/settings');
  await signIn(page, person, '/dashboard/settings');
  await new SettingsPage(page).signOut(OTHER).click();
  await expect(new SettingsPage(page).notice).toBeVisible();

  await other.reload();
  await expect(new SignInPage(other).reason).toHaveText(THIS_ONE_ENDED);
  await new SignInPage(other).signIn(person);
  await expect(other).toHaveURL('/dashboard/settings');
  await waitForHydration(other);
  await new SettingsPage(other).shows([HERE, OTHER]);
});

test('a device signed out elsewhere disappears without an error', async ({
  page,
  person,
  openBrowser,
  openDesktop,
  watch,
}) => {
  watch.expect(refusedWith(404), NO_ANSWER);
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, person, '/dashboard/settings');
  await openDesktop(DESKTOP);
  await signIn(page, person, '/dashboard/settings');
  // Nothing notifies this page, so its list is out of date.
  await other.route('**/api/v1/session/events*', route => route.abort());
  await visit(other, '/dashboard/settings');
  await new SettingsPage(page).signOut(DESKTOP).click();
  await expect(new SettingsPage(page).notice).toBeVisible();

  await new SettingsPage(other).signOut(DESKTOP).click();
  await new SettingsPage(other).shows([HERE, OTHER]);
});

test('signing out the other devices leaves this browser signed in', async ({
  page,
  person,
  openBrowser,
  openDesktop,
  javaScriptEnabled: scripted,
  watch,
}) => {
  watch.expect(refusedWith(401));
  const desktop = await openDesktop(DESKTOP);
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, person, '/dashboard/settings');
  await signIn(page, person, '/dashboard/settings');
  const settings = new SettingsPage(page);
  await settings.shows([HERE, OTHER, DESKTOP]);

  await settings.signOutOthers.click();
  const question = new SignOutOthersQuestion(page, Boolean(scripted));
  await expect(question.box).toContainText('This signs out 2 devices. This browser stays signed in.');
  await expect(question.devices).toHaveText([new RegExp(OTHER), new RegExp(DESKTOP)]);
  expect((await desktop.get('/api/v1/sessions')).status, 'nothing is signed out yet').toBe(200);
  await question.confirm(2).click();
  await settings.shows([HERE]);
  await expect(settings.notice).toContainText('This browser stays signed in.');
  await expect(settings.section).toContainText('Only this browser is signed in.');
  if (scripted) {
    await expect(question.box).toBeHidden();
    await expect(settings.section.getByRole('heading', { name: 'Active sessions' })).toBeFocused();
  }

  if (scripted) {
    await new SignedOutDialog(other).says(THIS_ONE_ENDED);
  } else {
    // Its list is out of date until its next request.
    await new SettingsPage(other).signOutOthers.click();
    await expect(other).toHaveURL(/\/login\?/);
    await expect(new SignInPage(other).reason).toHaveText(THIS_ONE_ENDED);
  }
  expect((await desktop.get('/api/v1/sessions')).body).toMatchObject({ code: 'session_ended', reason: 'revoked' });

  await visit(page, '/dashboard');
  await expect(page).toHaveURL('/dashboard');
});

test('the dialog about other devices can be closed and returns the focus', async ({
  page,
  person,
  openDesktop,
  javaScriptEnabled: scripted,
}) => {
  await openDesktop(DESKTOP);
  await signIn(page, person, '/dashboard/settings');
  const settings = new SettingsPage(page);
  const question = new SignOutOthersQuestion(page, Boolean(scripted));
  await settings.signOutOthers.focus();
  await settings.signOutOthers.press('Enter');
  await expect(question.box).toContainText('This signs out 1 device.');
  if (scripted) {
    await expect(question.cancel).toBeFocused();
    await expect(question.box).toHaveAccessibleDescription(/This browser stays signed in\./);
    await page.keyboard.press('Escape');
    await expect(question.box).toBeHidden();
    await expect(settings.signOutOthers).toBeFocused();
    await settings.signOutOthers.press('Enter');
  }
  await question.cancel.click();
  await settings.shows([HERE, DESKTOP]);
  await expect(page).toHaveURL(/\/dashboard\/settings(#sessions)?$/);
});

test('the confirmation page has nothing to ask with one device', async ({ page, person }) => {
  await signIn(page, person);
  await page.goto('/dashboard/settings/sign-out-others');
  await expect(page.getByRole('heading', { name: 'There is nothing to confirm here' })).toBeVisible();
});

test('Sign Out All Devices needs a confirmation', async ({
  page,
  person,
  openBrowser,
  openDesktop,
  javaScriptEnabled: scripted,
}) => {
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, person);
  const desktop = await openDesktop(DESKTOP);
  await signIn(page, person, '/dashboard/settings');
  const settings = new SettingsPage(page);
  const question = new SignOutAllQuestion(page, Boolean(scripted));

  await settings.signOutAll.click();
  await expect(question.box.getByRole('heading', { name: 'Sign out of all devices?' })).toBeVisible();
  await expect(question.box).toContainText('This ends 3 sessions, this browser included:');
  await expect(question.devices).toHaveCount(3);
  for (const device of [`${HERE} (this browser)`, OTHER, `${DESKTOP}, desktop app`]) {
    await expect(question.devices.getByText(device, { exact: true })).toBeVisible();
  }
  await expect(question.confirm(3)).toBeVisible();

  if (scripted) {
    await expect(page).toHaveURL('/dashboard/settings');
    await expect(question.cancel).toBeFocused();
    for (const key of ['Tab', 'Tab', 'Tab', 'Tab', 'Shift+Tab', 'Shift+Tab', 'Shift+Tab']) {
      await page.keyboard.press(key);
      const outside = await page.evaluate(
        () => document.activeElement !== document.body && !document.activeElement?.closest('dialog'),
      );
      expect(outside, `after ${key} the focus is on nothing behind the dialog`).toBe(false);
    }
    await page.keyboard.press('Escape');
    await expect(question.box).toBeHidden();
    await expect(settings.signOutAll).toBeFocused();
    await settings.shows([HERE, OTHER, DESKTOP]);
    await settings.signOutAll.click();
  } else {
    await expect(page).toHaveURL(/\/dashboard\/settings\/sign-out-all\??$/);
  }

  await question.cancel.click();
  await expect(question.box).toBeHidden();
  await settings.shows([HERE, OTHER, DESKTOP]);
  expect((await desktop.get('/api/v1/session_state')).status).toBe(200);
  await other.reload();
  await expect(other).toHaveURL('/dashboard');
});

test('Sign Out All Devices ends and explains every session', async ({
  page,
  person,
  openBrowser,
  openDesktop,
  javaScriptEnabled: scripted,
  watch,
}) => {
  watch.expect(refusedWith(401));
  const desktop = await openDesktop(DESKTOP);
  const reading = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(reading, person);
  const acting = await openBrowser(SAFARI_ON_IPHONE);
  await signIn(acting, person, '/dashboard/settings');
  await signIn(page, person, '/dashboard/settings');
  await new SettingsPage(page).signOutAll.click();
  const question = new SignOutAllQuestion(page, Boolean(scripted));
  await question.confirm(4).click();

  await expect(page).toHaveURL(/\/login\?reason=signed_out_everywhere/);
  await expect(new SignInPage(page).reason).toHaveText('All your devices have been signed out.');
  await page.goto('/dashboard/settings');
  await expect(page).toHaveURL('/login?next=/dashboard/settings');

  if (scripted) {
    await new SignedOutDialog(reading).says(ENDED_FROM_ELSEWHERE);
    await expect(reading).toHaveURL('/dashboard');
    await new SignedOutDialog(acting).says(ENDED_FROM_ELSEWHERE);
    await expect(acting).toHaveURL('/dashboard/settings');
  } else {
    // One device opens another page, one acts in its open page.
    await reading.getByRole('link', { name: 'Settings' }).click();
    await expect(reading).toHaveURL(/\/login\?.*reason=signed_out_everywhere/);
    await expect(new SignInPage(reading).reason).toHaveText(ENDED_FROM_ELSEWHERE);
    await new SettingsPage(acting).signOut(DESKTOP).click();
    await expect(acting).toHaveURL(/\/login\?/);
    await expect(new SignInPage(acting).reason).toHaveText(ENDED_FROM_ELSEWHERE);
  }
  expect(await desktop.get('/api/v1/sessions')).toMatchObject({
    status: 401,
    body: { code: 'session_ended', reason: 'signed_out_everywhere' },
  });

  await new SignInPage(page).signIn(person);
  await expect(page).toHaveURL('/dashboard/settings');
  await waitForHydration(page);
  await new SettingsPage(page).shows([HERE]);
});

test('with one device, the dialog names this browser only', async ({
  page,
  person,
  javaScriptEnabled: scripted,
}) => {
  await signIn(page, person, '/dashboard/settings');
  await new SettingsPage(page).signOutAll.click();
  const question = new SignOutAllQuestion(page, Boolean(scripted));
  await expect(question.box).toContainText('This ends the session in this browser:');
  await expect(question.box).toContainText('You must sign in again.');
  await question.confirm(1).click();
  await expect(new SignInPage(page).reason).toHaveText('All your devices have been signed out.');
});

test('the dialog lists a device that signed in later', async ({
  page,
  person,
  openDesktop,
  javaScriptEnabled: scripted,
}) => {
  await signIn(page, person, '/dashboard/settings');
  await openDesktop('The laptop at home');
  await new SettingsPage(page).signOutAll.click();
  const question = new SignOutAllQuestion(page, Boolean(scripted));
  await expect(question.devices).toHaveText([/Chrome on Windows/, /The laptop at home/]);
  await expect(question.confirm(2)).toBeVisible();
  if (scripted) {
    // The list refreshes behind the dialog; the focus stays.
    await expect(question.cancel).toBeFocused();
  }
});

test(
  'the main task works before the script arrives',
  { tag: '@with-script' },
  async ({ page, person, openDesktop, watch }) => {
    watch.expect(/\.wasm/, /Failed to fetch/);
    await page.route(/\.wasm$/, route => route.abort());
    await page.goto('/login');
    const signInPage = new SignInPage(page);
    await signInPage.email.fill(person.email);
    await signInPage.password.fill(person.password);
    await signInPage.button.click();
    await expect(page).toHaveURL('/dashboard');
    const desktop = await openDesktop(DESKTOP);
    await page.getByRole('link', { name: 'Settings' }).click();
    await new SettingsPage(page).shows([HERE, DESKTOP]);
    await new SettingsPage(page).signOutAll.click();
    await expect(page).toHaveURL(/\/dashboard\/settings\/sign-out-all\??$/);
    await new SignOutAllQuestion(page, false).confirm(2).click();
    await expect(signInPage.reason).toHaveText('All your devices have been signed out.');
    expect((await desktop.get('/api/v1/session_state')).status).toBe(401);
  },
);

test('the dialog distinguishes equal device names by address', async ({
  page,
  person,
  openBrowser,
  javaScriptEnabled: scripted,
}) => {
  const address = '198.51.100.99';
  const twin = await openBrowser({ ...CHROME_ON_WINDOWS, extraHTTPHeaders: { 'x-forwarded-for': address } });
  await signIn(twin, person);
  await signIn(page, person, '/dashboard/settings');
  await new SettingsPage(page).signOutAll.click();
  const question = new SignOutAllQuestion(page, Boolean(scripted));
  await expect(question.devices).toHaveText([/Chrome on Windows \(this browser\).*203\.0\.113\.7/, /198\.51\.100\.99/]);
});

test('a second click on another row counts', { tag: '@with-script' }, async ({
  page,
  person,
  signInElsewhere,
  openDesktop,
}) => {
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await openDesktop(DESKTOP);
  await signIn(page, person, '/dashboard/settings');
  const settings = new SettingsPage(page);
  await settings.signOut(OTHER).click();
  await settings.signOut(DESKTOP).click();
  await settings.shows([HERE]);
  await expect.poll(async () => (await page.context().request.get('/api/v1/sessions')).json()).toMatchObject({
    sessions: [{ is_current: true }],
  });
});

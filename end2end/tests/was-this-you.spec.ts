import { CHROME_ON_WINDOWS, FIREFOX_ON_MACOS, SAFARI_ON_IPHONE } from '../support/devices';
import { waitForHydration } from '../support/hydration';
import { PasswordQuestion, Questions, SettingsPage, SignInPage } from '../support/pages';
import { expect, signIn, test } from '../support/test';
import { refusedWith } from '../support/watch';

const HERE = 'Chrome on Windows';
const OTHER = 'Firefox on macOS';

test('the first sign-in raises no notice', async ({ page, person }) => {
  await signIn(page, person, '/dashboard/settings');
  await new SettingsPage(page).shows([HERE]);
  await expect(new Questions(page).card).toHaveCount(0);
});

test('confirming a sign-in in another browser closes the notice', async ({
  page,
  person,
  openBrowser,
  javaScriptEnabled: scripted,
}) => {
  await signIn(page, person);
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, person, '/dashboard/settings');
  await expect(new Questions(other).card, 'nobody is asked about their own session').toHaveCount(0);

  await page.goto('/dashboard/settings');
  const questions = new Questions(page);
  await expect(questions.items, 'one line until it is opened').toHaveCount(0);
  await expect(questions.card).toContainText('1 question');
  await questions.open();
  await expect(questions.items).toHaveCount(1);
  await expect(questions.card).toContainText(`New sign-in: ${OTHER}. Was this you?`);
  await expect(questions.card).toContainText('198.51.100.20');
  await expect(questions.card.locator('time')).toHaveCount(1);
  await questions.yes(OTHER).click();
  await expect(questions.card).toHaveCount(0);
  await new SettingsPage(page).shows([HERE, OTHER]);
  if (scripted) {
    await expect(questions.outcome).toHaveText(`Thank you. We will not ask about ${OTHER} again.`);
    await expect(questions.outcome).toBeFocused();
    await expect(page).toHaveURL('/dashboard/settings');
  }
  await page.reload();
  await expect(new SettingsPage(page).rows).toHaveCount(2);
  await expect(questions.card).toHaveCount(0);
});

test('denying a sign-in ends it and advises a password change', async ({
  page,
  person,
  openBrowser,
  openDesktop,
  javaScriptEnabled: scripted,
  watch,
}) => {
  watch.expect(refusedWith(401));
  await signIn(page, person);
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, person);
  await openDesktop("Maria's MacBook");
  await page.goto('/dashboard/settings');
  const questions = new Questions(page);
  await questions.open();
  await expect(questions.items).toHaveCount(2);
  await questions.no(OTHER).click();
  await new SettingsPage(page).shows([HERE, "Maria's MacBook"]);
  if (!scripted) {
    await questions.open();
  }
  await expect(questions.items).toHaveCount(1);
  if (scripted) {
    await expect(questions.outcome).toContainText(`${OTHER} has been signed out.`);
    await expect(questions.outcome).toBeFocused();
    await questions.outcome.getByRole('link', { name: 'Change your password' }).click();
    await expect(page.getByRole('region', { name: 'Password' })).toBeInViewport();
  } else {
    await expect(new SettingsPage(page).notice).toContainText('change your password');
  }
  await other.reload();
  await expect(new SignInPage(other).reason).toContainText('This session was ended from another device.');
});

test('a notice about an ended session offers no sign-out', async ({
  page,
  person,
  portal,
  openBrowser,
}) => {
  await signIn(page, person);
  const other = await openBrowser(FIREFOX_ON_MACOS);
  await signIn(other, person);
  const copied = (await other.context().cookies()).find(cookie => cookie.name === 'portal_session')!;
  const thief = await fetch(`${portal.url}/dashboard`, {
    headers: {
      cookie: `${copied.name}=${copied.value}`,
      'user-agent': CHROME_ON_WINDOWS.userAgent,
      'x-forwarded-for': '192.0.2.66',
    },
    redirect: 'manual',
  });
  expect(thief.status).toBe(303);

  await page.goto('/dashboard/settings');
  const questions = new Questions(page);
  await questions.open();
  await expect(questions.items, 'the sign-in itself is over').toHaveCount(1);
  const ended = questions.items.filter({ hasText: `We signed out ${OTHER}` });
  await expect(ended).toHaveCount(1);
  await expect(questions.no(OTHER)).toHaveCount(0);
  await expect(ended.getByRole('link', { name: 'Change your password' })).toHaveAttribute('href', '#password');
  await ended.getByRole('button', { name: 'Understood' }).click();
  await expect(questions.card).toHaveCount(0);
});

test('a failed answer says so and can be repeated', { tag: '@with-script' }, async ({
  page,
  person,
  signInElsewhere,
  watch,
}) => {
  watch.expect(refusedWith(503), refusedWith(403));
  await signIn(page, person);
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await page.goto('/dashboard/settings');
  await waitForHydration(page);
  const questions = new Questions(page);
  await questions.open();
  const unavailable = { status: 503, json: { code: 'unavailable' } };
  await page.route('**/api/dismiss_security_notice', route => route.fulfill(unavailable));
  await page.route('**/api/revoke_session', route => route.fulfill(unavailable));
  await questions.yes(OTHER).click();
  await expect(questions.card.getByRole('alert')).toContainText('The portal cannot reach its database right now.');
  await questions.no(OTHER).click();
  await expect(questions.card.getByRole('alert')).toContainText('Nothing was changed.');

  // The password may be required, as for any other sign-out.
  await page.unroute('**/api/revoke_session');
  await page.route('**/api/revoke_session', route => route.fulfill({ status: 403, json: { code: 'reauth_required' } }));
  await questions.no(OTHER).click();
  const password = new PasswordQuestion(page, true);
  await expect(password.box).toContainText(`Sign out ${OTHER}`);
  await password.cancel.click();
  await expect(questions.no(OTHER)).toBeFocused();
  await page.unroute('**/api/revoke_session');
  await questions.no(OTHER).click();
  await expect(questions.outcome).toContainText(`${OTHER} has been signed out.`);
});

test('a new browser confirms with the password', async ({
  page,
  person,
  openBrowser,
  signInElsewhere,
  javaScriptEnabled: scripted,
  watch,
}) => {
  watch.expect(refusedWith(403), refusedWith(401));
  await signIn(page, person);
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  const phone = await openBrowser(SAFARI_ON_IPHONE);
  await signIn(phone, person, '/dashboard/settings');
  const questions = new Questions(phone);
  await questions.open();
  await expect(questions.card).toContainText('Confirming requires your password');
  await questions.yes(OTHER).click();
  const password = new PasswordQuestion(phone, Boolean(scripted));
  await expect(password.box).toContainText(OTHER);
  await expect(password.password).toBeFocused();
  await password.password.fill('not the password');
  await password.goOn('Yes, it was me').click();
  await expect(password.problem).toHaveText('That password is wrong.');
  await password.password.fill(person.password);
  await password.goOn('Yes, it was me').click();
  await expect(questions.card).toHaveCount(0);
  await phone.reload();
  await expect(new SettingsPage(phone).rows).toHaveCount(3);
  await expect(questions.card).toHaveCount(0);
});

test('an open list of notices stays open during refreshes', { tag: '@with-script' }, async ({
  page,
  person,
  signInElsewhere,
}) => {
  await signIn(page, person, '/dashboard/settings');
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  const questions = new Questions(page);
  await questions.open();
  await questions.yes(OTHER).focus();
  await signInElsewhere(person, SAFARI_ON_IPHONE);
  await expect(questions.items).toHaveCount(2);
  await expect(questions.yes(OTHER)).toBeFocused();
});

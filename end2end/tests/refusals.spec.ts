import type { Page } from '@playwright/test';

import { FIREFOX_ON_MACOS } from '../support/devices';
import { visit } from '../support/hydration';
import { SettingsPage, SignOutAllQuestion, SignOutOthersQuestion } from '../support/pages';
import { expect, signIn, test } from '../support/test';
import { NO_ANSWER, refusedWith } from '../support/watch';

const HERE = 'Chrome on Windows';
const OTHER = 'Firefox on macOS';
const DESKTOP = "Maria's MacBook";

const UNAVAILABLE = 'The portal cannot reach its database right now. Nothing was changed.';
const UNREACHABLE = 'The portal could not be reached. Check your connection and try again.';

/** How a server function fails, and the message for each case. */
const REFUSALS = [
  {
    title: 'the database is away',
    words: UNAVAILABLE,
    console: refusedWith(503),
    refuse: (page: Page, path: string) =>
      page.route(path, route => route.fulfill({ status: 503, json: { code: 'unavailable' } })),
  },
  {
    title: 'the network is away',
    words: UNREACHABLE,
    console: NO_ANSWER,
    refuse: (page: Page, path: string) => page.route(path, route => route.abort('internetdisconnected')),
  },
];

/** Without a response the outcome is unknown. */
const undone = (words: string) =>
  words === UNREACHABLE ? 'It is not known whether this was done.' : 'Nothing was signed out.';

test.describe('with JavaScript the page stays as it was', { tag: '@with-script' }, () => {
  test.beforeEach(async ({ page, person, signInElsewhere, openDesktop, watch }) => {
    // A tab may check its session at the moment of its end.
    watch.expect(refusedWith(401));
    await signInElsewhere(person, FIREFOX_ON_MACOS);
    await openDesktop(DESKTOP);
    await signIn(page, person, '/dashboard/settings');
  });

  for (const { title, words, console, refuse } of REFUSALS) {
    test(`a row comes back with a message when ${title}`, async ({ page, watch }) => {
      watch.expect(console);
      const settings = new SettingsPage(page);
      await refuse(page, '**/api/revoke_session');
      await settings.signOut(OTHER).click();
      await expect(settings.row(OTHER).getByRole('alert')).toContainText(
        words === UNREACHABLE
          ? `It is not known whether ${OTHER} was signed out. ${words}`
          : `${OTHER} could not be signed out. ${words}`,
      );
      await settings.shows([HERE, OTHER, DESKTOP]);
      await expect(settings.row(DESKTOP).getByRole('alert')).toHaveCount(0);

      await page.unroute('**/api/revoke_session');
      await settings.signOut(OTHER).click();
      await settings.shows([HERE, DESKTOP]);
      await expect(settings.section.getByRole('alert')).toHaveCount(0);
    });

    test(`the dialog about other devices stays open with the error when ${title}`, async ({
      page,
      watch,
    }) => {
      watch.expect(console);
      const settings = new SettingsPage(page);
      await refuse(page, '**/api/sign_out_other_devices');
      const question = new SignOutOthersQuestion(page, true);
      await settings.signOutOthers.click();
      await question.confirm(2).click();
      await expect(question.box.getByRole('alert')).toContainText(undone(words));
      await expect(question.box.getByRole('alert')).toContainText(words);
      await expect(question.confirm(2)).toBeFocused();
      await question.cancel.click();
      await settings.shows([HERE, OTHER, DESKTOP]);

      await page.unroute('**/api/sign_out_other_devices');
      await settings.signOutOthers.click();
      await question.confirm(2).click();
      await settings.shows([HERE]);
      await expect(settings.section.getByRole('alert')).toHaveCount(0);
    });

    test(`the dialog stays open and says that nothing changed when ${title}`, async ({ page, watch }) => {
      watch.expect(console);
      const settings = new SettingsPage(page);
      const question = new SignOutAllQuestion(page, true);
      await refuse(page, '**/api/sign_out_all_devices');
      await settings.signOutAll.click();
      await question.confirm(3).click();
      await expect(question.box.getByRole('alert')).toContainText(undone(words));
      await expect(question.box.getByRole('alert')).toContainText(words);
      await expect(question.confirm(3)).toBeFocused();
      await expect(page).toHaveURL('/dashboard/settings');

      await question.cancel.click();
      await settings.signOutAll.click();
      await expect(question.box.getByRole('alert'), 'it is about the last time').toHaveCount(0);
      await page.unroute('**/api/sign_out_all_devices');
      await question.confirm(3).click();
      await expect(page).toHaveURL(/\/login\?reason=signed_out_everywhere/);
    });
  }

  test('a row disappears before the server answers', async ({ page }) => {
    let answer = () => {};
    const held = new Promise<void>(resolve => (answer = resolve));
    await page.route('**/api/revoke_session', async route => {
      await held;
      await route.continue();
    });
    const settings = new SettingsPage(page);
    await settings.signOut(OTHER).click();
    await settings.shows([HERE, DESKTOP]);
    await expect(settings.notice, 'nothing is promised yet').toHaveCount(0);
    answer();
    await expect(settings.notice).toHaveText(`${OTHER} has been signed out.`);
    await settings.shows([HERE, DESKTOP]);
  });

  test('two rows stay away when answers arrive out of order', async ({ page }) => {
    let answerFirst = () => {};
    const held = new Promise<void>(resolve => (answerFirst = resolve));
    let asked = 0;
    await page.route('**/api/revoke_session', async route => {
      asked += 1;
      if (asked === 1) {
        await held;
      }
      await route.continue();
    });
    const settings = new SettingsPage(page);
    await settings.signOut(OTHER).click();
    await settings.signOut(DESKTOP).click();
    await expect(settings.notice).toHaveText([`${DESKTOP} has been signed out.`]);
    await settings.shows([HERE]);
    answerFirst();
    await expect(settings.notice).toHaveText([`${DESKTOP} has been signed out.`, `${OTHER} has been signed out.`]);
    await settings.shows([HERE]);
  });

  test('the sign-out button shows progress and sends once', async ({ page }) => {
    let asked = 0;
    let answer = () => {};
    const held = new Promise<void>(resolve => (answer = resolve));
    await page.route('**/api/sign_out_all_devices', async route => {
      asked += 1;
      await held;
      await route.continue();
    });
    await new SettingsPage(page).signOutAll.click();
    const question = new SignOutAllQuestion(page, true);
    await question.confirm(3).click();
    const busy = question.box.getByRole('button', { name: 'Signing out…' });
    await expect(busy).toHaveAttribute('aria-busy', 'true');
    await busy.press('Enter');
    answer();
    await expect(page).toHaveURL(/\/login\?reason=signed_out_everywhere/);
    expect(asked).toBe(1);
  });

  test('a list stays when its refresh fails', async ({ page, watch }) => {
    watch.expect(refusedWith(503), NO_ANSWER);
    // Only an action of the user refreshes it.
    await page.route('**/api/v1/session/events*', route => route.abort());
    await visit(page, '/dashboard/settings');
    await page.route('**/api/list_active_sessions', route =>
      route.fulfill({ status: 503, json: { code: 'unavailable' } }),
    );
    const settings = new SettingsPage(page);
    await settings.signOut(OTHER).click();
    await expect(settings.section.getByRole('alert')).toContainText('Your sessions could not be loaded.');
    await settings.shows([HERE, DESKTOP]);
    await page.unroute('**/api/list_active_sessions');
    await settings.section.getByRole('link', { name: 'Try again' }).click();
    await expect(settings.section.getByRole('alert')).toHaveCount(0);
    await settings.shows([HERE, DESKTOP]);
  });

  test('a failed sign-out is shown in the menu', async ({ page, watch }) => {
    watch.expect(NO_ANSWER);
    await page.route('**/api/sign_out', route => route.abort());
    await page.locator('#menu-opener').click();
    await page.getByRole('button', { name: 'Sign out this browser' }).click();
    await expect(page.getByRole('alert')).toContainText(UNREACHABLE);
    await expect(page).toHaveURL('/dashboard/settings');
  });
});

test(
  'without JavaScript a failed sign-out is shown above the list',
  { tag: '@without-script' },
  async ({ page, person, openDesktop }) => {
    await openDesktop(DESKTOP);
    await signIn(page, person, '/dashboard/settings');
    // A foreign or unknown session: the server refuses the form and redirects back.
    await page.locator('input[name="session_id"]').evaluate(input => {
      (input as HTMLInputElement).value = '018f0000-0000-7000-8000-000000000000';
    });
    const settings = new SettingsPage(page);
    await settings.signOut(DESKTOP).click();
    await expect(page).toHaveURL(/\/dashboard\/settings\?/);
    await expect(settings.section.getByRole('alert')).toContainText('Nothing was signed out.');
    await expect(settings.section.getByRole('alert')).toContainText('That session no longer exists.');
    await settings.shows([HERE, DESKTOP]);
  },
);

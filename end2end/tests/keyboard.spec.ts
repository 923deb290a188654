import type { Locator, Page } from '@playwright/test';

import { FIREFOX_ON_MACOS } from '../support/devices';
import { waitForHydration, visit } from '../support/hydration';
import { AccountMenu, SettingsPage, SignInPage, SignOutAllQuestion } from '../support/pages';
import { expect, signIn, test } from '../support/test';

/** Describes the visible part of the focused element. `undefined`: no control has the focus. */
function focusSeen(page: Page) {
  return page.evaluate(() => {
    const focused = document.activeElement;
    if (!focused || focused === document.body) {
      return undefined;
    }
    const style = getComputedStyle(focused);
    const box = focused.getBoundingClientRect();
    const inView = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
    const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    return { element: focused.outerHTML.slice(0, 120), ring, inView: inView && box.width > 1 && box.height > 1 };
  });
}

/** Presses Tab until `target` has the focus, and checks that the focus is visible at every stop. */
async function tabTo(page: Page, target: Locator) {
  for (let stops = 0; stops < 30; stops += 1) {
    await page.keyboard.press('Tab');
    const seen = await focusSeen(page);
    if (seen) {
      expect(seen).toMatchObject({ ring: true, inView: true });
    }
    if (await target.evaluate(element => element === document.activeElement)) {
      return;
    }
  }
  throw new Error(`the Tab key does not lead to ${target}`);
}

test('sign-in and Sign Out All Devices work with the keyboard', async ({
  page,
  person,
  signInElsewhere,
  openDesktop,
  javaScriptEnabled: scripted,
}) => {
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await openDesktop();
  await visit(page, '/login');
  const signInPage = new SignInPage(page);
  await tabTo(page, signInPage.email);
  await page.keyboard.type(person.email);
  await tabTo(page, signInPage.password);
  await page.keyboard.type(person.password);
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL('/dashboard');
  await waitForHydration(page);

  await tabTo(page, page.getByRole('link', { name: 'Settings' }));
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL('/dashboard/settings');
  const settings = new SettingsPage(page);
  await settings.shows(['Chrome on Windows', 'Firefox on macOS', "Maria's MacBook"]);
  await waitForHydration(page);

  await tabTo(page, settings.signOut('Firefox on macOS'));
  await page.keyboard.press('Space');
  await settings.shows(['Chrome on Windows', "Maria's MacBook"]);

  const question = new SignOutAllQuestion(page, Boolean(scripted));
  if (scripted) {
    await tabTo(page, settings.signOutAll);
    await page.keyboard.press('Enter');
    await expect(question.cancel).toBeFocused();
    await page.keyboard.press('Escape');
    await expect(question.box).toBeHidden();
    await expect(settings.signOutAll).toBeFocused();
    await page.keyboard.press('Space');
    await expect(question.cancel).toBeFocused();
    await page.keyboard.press('Enter');
    await expect(question.box).toBeHidden();
    await page.keyboard.press('Enter');
  } else {
    await tabTo(page, settings.signOutAll);
    await page.keyboard.press('Enter');
    await expect(question.box).toBeVisible();
    await tabTo(page, question.cancel);
    await page.keyboard.press('Enter');
    await expect(question.box).toBeHidden();
    await tabTo(page, settings.signOutAll);
    await page.keyboard.press('Space');
  }
  await expect(question.box).toBeVisible();
  await tabTo(page, question.confirm(2));
  await page.keyboard.press('Enter');
  await expect(signInPage.reason).toHaveText('All your devices have been signed out.');
});

test('the focus stays in the list when a row disappears', { tag: '@with-script' }, async ({
  page,
  person,
  signInElsewhere,
  openDesktop,
}) => {
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await openDesktop();
  await signIn(page, person, '/dashboard/settings');
  const settings = new SettingsPage(page);
  await tabTo(page, settings.signOut('Firefox on macOS'));
  await page.keyboard.press('Enter');
  await settings.shows(['Chrome on Windows', "Maria's MacBook"]);
  await expect(settings.notice).toBeVisible();
  await expect
    .poll(() => page.evaluate(() => document.activeElement?.closest('section')?.id), {
      message: 'whoever cannot see the row go must not be thrown to the start of the page',
    })
    .toBe('sessions');
});

test('the first tab stop skips to the content', async ({ page, person }) => {
  await signIn(page, person, '/dashboard/settings');
  const skip = page.getByRole('link', { name: 'Skip to the content' });
  await page.keyboard.press('Tab');
  await expect(skip).toBeFocused();
  await expect(skip).toBeInViewport();
  expect(await focusSeen(page)).toMatchObject({ ring: true, inView: true });
  await page.keyboard.press('Enter');
  await expect(page.getByRole('main')).toBeFocused();
  await page.keyboard.press('Tab');
  expect(await page.evaluate(() => Boolean(document.activeElement?.closest('main')))).toBe(true);
});

test('the menu opens and closes with the keyboard', async ({ page, person }) => {
  await signIn(page, person);
  const menu = new AccountMenu(page);
  await tabTo(page, menu.opener);
  await page.keyboard.press('Enter');
  await expect(menu.signOut).toBeVisible();
  await tabTo(page, menu.theme('Dark'));
  await tabTo(page, menu.signOut);
  for (let back = 0; back < 4; back += 1) {
    await page.keyboard.press('Shift+Tab');
  }
  await expect(menu.opener).toBeFocused();
  await page.keyboard.press('Space');
  await expect(menu.signOut).toBeHidden();
});

import path from 'node:path';

import type { Page } from '@playwright/test';

import { type Appearance, Desktop, FIREFOX_ON_MACOS } from '../support/devices';
import { visit } from '../support/hydration';
import {
  expectHeaderInOrder,
  expectNoSidewaysScroll,
  expectNoViolation,
  expectRoomForFingers,
  expectToastsInWindow,
  fit,
  movesNoMore,
  SCREENSHOTS,
  WINDOWS,
} from '../support/inspection';
import {
  AccountMenu,
  OrganizationMenu,
  PasswordQuestion,
  PasswordSection,
  Questions,
  SettingsPage,
  SignedOutDialog,
  SignInPage,
  SignOutAllQuestion,
  SignOutOthersQuestion,
  Toasts,
} from '../support/pages';
import type { TestUser, Portal } from '../support/portal';
import { expect, signIn, test } from '../support/test';
import { refusedWith } from '../support/watch';

interface Scene {
  page: Page;
  person: TestUser;
  portal: Portal;
  scripted: boolean;
  signInElsewhere: (person: TestUser, from?: Appearance) => Promise<void>;
}

/** A state of a page. `both`: it looks different without JavaScript. */
interface State {
  name: string;
  both?: boolean;
  /** In both colours in every window. */
  allColours?: boolean;
  /** The screenshot shows the window only, for dialogs and menus over a long page. */
  onlyWindow?: boolean;
  arrange: (scene: Scene) => Promise<unknown>;
}

/** Signs the user in on two more devices. */
async function signInOnTwoMore({ person, portal, signInElsewhere }: Scene) {
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await Desktop.signIn(portal.url, person);
}

/** Opens the password dialog over the list. */
async function askForPassword(scene: Scene) {
  const { page } = scene;
  await signInOnTwoMore(scene);
  await signIn(page, scene.person, '/dashboard/settings');
  await page.route('**/api/revoke_session', route => route.fulfill({ status: 403, json: { code: 'reauth_required' } }));
  await new SettingsPage(page).signOut('Firefox on macOS').click();
  await expect(new PasswordQuestion(page, true).password).toBeFocused();
}

/** Signs in, opens the settings, and revokes the session as an operator. */
async function endSession({ page, person, portal }: Scene) {
  await signIn(page, person, '/dashboard/settings');
  await portal.command(['sessions', 'revoke', '--user', person.email, '--reason', 'The laptop was lost on a train']);
  await new SignedOutDialog(page).says(/The laptop was lost on a train$/);
}

const LONG = 'Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz';

const STATES: State[] = [
  { name: 'signed-out', onlyWindow: true, allColours: true, arrange: endSession },
  {
    name: 'signed-out-refused',
    onlyWindow: true,
    arrange: async scene => {
      await endSession(scene);
      const dialog = new SignedOutDialog(scene.page);
      await dialog.signIn({ email: scene.person.email, password: 'not the password' });
      await expect(dialog.problem).toContainText('The email or password is wrong.');
    },
  },
  {
    name: 'signed-out-disabled',
    onlyWindow: true,
    arrange: async ({ page, person, portal }) => {
      await signIn(page, person);
      await portal.command(['user', 'disable', '--email', person.email]);
      await new SignedOutDialog(page).says(/This account cannot sign in/);
    },
  },
  {
    name: 'toasts',
    onlyWindow: true,
    allColours: true,
    arrange: async scene => {
      const { page, person, portal } = scene;
      await signInOnTwoMore(scene);
      await signIn(page, person, '/dashboard/settings');
      await new SettingsPage(page).shows(['Chrome on Windows', 'Firefox on macOS', "Maria's MacBook"]);
      const toasts = new Toasts(page);
      await page.getByRole('heading', { name: 'Active sessions' }).scrollIntoViewIfNeeded();
      await Desktop.signIn(portal.url, person, `${LONG} of Maria`);
      await expect(toasts.saying('New sign-in')).toBeVisible();
      await new SettingsPage(page).signOut('Firefox on macOS').click();
      await expect(toasts.saying('has been signed out')).toBeVisible();
      // No toast disappears while one has the focus.
      await toasts.dismiss('New sign-in').focus();
    },
  },
  {
    name: 'settings-new-row',
    arrange: async ({ page, person, portal }) => {
      await signIn(page, person, '/dashboard/settings');
      await Desktop.signIn(portal.url, person);
      await expect(new SettingsPage(page).row("Maria's MacBook")).toContainText('New');
      const toasts = new Toasts(page);
      await toasts.dismiss('New sign-in').click();
      await expect(toasts.all).toHaveCount(0);
    },
  },
  {
    name: 'organizations',
    both: true,
    onlyWindow: true,
    allColours: true,
    arrange: async ({ page, person, portal }) => {
      await portal.register({ ...person, organization: 'Southwind Brokers', role: 'vendor' });
      await signIn(page, person);
      await new OrganizationMenu(page).open();
    },
  },
  {
    name: 'organizations-long-names',
    both: true,
    onlyWindow: true,
    arrange: async ({ page, portal }) => {
      const person = await portal.register({ name: `Maria ${LONG}`, organization: `${LONG} and Sons` });
      await portal.register({ ...person, organization: `${LONG} and Daughters`, role: 'vendor' });
      await signIn(page, person);
      await new OrganizationMenu(page).open();
    },
  },
  { name: 'login', both: true, arrange: ({ page }) => visit(page, '/login') },
  { name: 'login-reason', arrange: ({ page }) => visit(page, '/login?reason=signed_out_everywhere&next=/dashboard') },
  { name: 'login-warning', arrange: ({ page }) => visit(page, '/login?reason=token_reuse') },
  {
    name: 'login-error',
    both: true,
    arrange: async ({ page, person }) => {
      await page.goto('/login');
      const signInPage = new SignInPage(page);
      await signInPage.signIn({ email: person.email, password: 'not the password' });
      await expect(signInPage.problem).toContainText('The email or password is wrong.');
    },
  },
  {
    name: 'login-busy',
    arrange: async ({ page, person }) => {
      await page.route('**/api/sign_in', () => {});
      await page.goto('/login');
      await new SignInPage(page).signIn(person);
      await expect(page.getByRole('button', { name: 'Signing in…' })).toBeVisible();
    },
  },
  { name: 'dashboard-first', arrange: ({ page, person }) => signIn(page, person) },
  {
    name: 'dashboard',
    both: true,
    arrange: async scene => {
      const { page, person } = scene;
      await signInOnTwoMore(scene);
      for (const password of ['not the password', 'nor this one']) {
        await page.context().request.post('/api/sign_in', { form: { email: person.email, password } });
      }
      await signIn(page, person);
    },
  },
  {
    name: 'menu',
    both: true,
    onlyWindow: true,
    arrange: async ({ page, person }) => {
      await signIn(page, person);
      await new AccountMenu(page).open();
    },
  },
  {
    name: 'settings',
    both: true,
    arrange: async scene => {
      await signInOnTwoMore(scene);
      await signIn(scene.page, scene.person, '/dashboard/settings');
      await expect(new SettingsPage(scene.page).rows).toHaveCount(3);
    },
  },
  { name: 'settings-alone', arrange: ({ page, person }) => signIn(page, person, '/dashboard/settings') },
  {
    name: 'settings-done',
    both: true,
    arrange: async scene => {
      await signInOnTwoMore(scene);
      await signIn(scene.page, scene.person, '/dashboard/settings');
      const settings = new SettingsPage(scene.page);
      await settings.signOut('Firefox on macOS').click();
      await expect(settings.notice).toBeVisible();
      await expect(settings.rows).toHaveCount(2);
    },
  },
  {
    name: 'settings-refused',
    arrange: async scene => {
      const { page } = scene;
      await signInOnTwoMore(scene);
      await signIn(page, scene.person, '/dashboard/settings');
      const refuse = { status: 503, json: { code: 'unavailable' } };
      await page.route('**/api/revoke_session', route => route.fulfill(refuse));
      const settings = new SettingsPage(page);
      await settings.signOut("Maria's MacBook").click();
      await expect(settings.row("Maria's MacBook").getByRole('alert')).toBeVisible();
    },
  },
  {
    name: 'settings-long-names',
    arrange: async ({ page, portal }) => {
      const long = 'Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz';
      const person = await portal.register({ name: `Maria ${long}`, organization: `${long} and Sons` });
      await Desktop.signIn(portal.url, person, `${long} of Maria in the back office`);
      await signIn(page, person, '/dashboard/settings');
    },
  },
  {
    name: 'dialog',
    onlyWindow: true,
    arrange: async scene => {
      await signInOnTwoMore(scene);
      await signIn(scene.page, scene.person, '/dashboard/settings');
      await new SettingsPage(scene.page).signOutAll.click();
      await expect(new SignOutAllQuestion(scene.page, true).confirm(3)).toBeVisible();
    },
  },
  {
    name: 'dialog-others',
    onlyWindow: true,
    arrange: async scene => {
      await signInOnTwoMore(scene);
      await signIn(scene.page, scene.person, '/dashboard/settings');
      await new SettingsPage(scene.page).signOutOthers.click();
      await expect(new SignOutOthersQuestion(scene.page, true).confirm(2)).toBeVisible();
    },
  },
  {
    name: 'dialog-refused',
    onlyWindow: true,
    arrange: async scene => {
      const { page } = scene;
      await signInOnTwoMore(scene);
      await signIn(page, scene.person, '/dashboard/settings');
      await page.route('**/api/sign_out_all_devices', route =>
        route.fulfill({ status: 503, json: { code: 'unavailable' } }),
      );
      await new SettingsPage(page).signOutAll.click();
      const question = new SignOutAllQuestion(page, true);
      await question.confirm(3).click();
      await expect(question.box.getByRole('alert')).toBeVisible();
    },
  },
  {
    name: 'confirm',
    both: true,
    arrange: async scene => {
      await signInOnTwoMore(scene);
      await signIn(scene.page, scene.person);
      await scene.page.goto('/dashboard/settings/sign-out-all');
      await expect(new SignOutAllQuestion(scene.page, false).confirm(3)).toBeVisible();
    },
  },
  {
    name: 'confirm-others',
    both: true,
    arrange: async scene => {
      await signInOnTwoMore(scene);
      await signIn(scene.page, scene.person);
      await scene.page.goto('/dashboard/settings/sign-out-others');
      await expect(new SignOutOthersQuestion(scene.page, false).confirm(2)).toBeVisible();
    },
  },
  {
    name: 'settings-notice',
    both: true,
    arrange: async scene => {
      await signIn(scene.page, scene.person);
      await signInOnTwoMore(scene);
      await visit(scene.page, '/dashboard/settings');
      await expect(new Questions(scene.page).card).toContainText('2 questions');
    },
  },
  {
    name: 'settings-notice-open',
    both: true,
    arrange: async scene => {
      await signIn(scene.page, scene.person);
      await signInOnTwoMore(scene);
      await visit(scene.page, '/dashboard/settings');
      await new Questions(scene.page).open();
      await expect(new Questions(scene.page).items).toHaveCount(2);
    },
  },
  {
    name: 'settings-answered',
    arrange: async scene => {
      await signIn(scene.page, scene.person);
      await signInOnTwoMore(scene);
      await visit(scene.page, '/dashboard/settings');
      await new Questions(scene.page).open();
      await new Questions(scene.page).no('Firefox on macOS').click();
      await expect(new Questions(scene.page).outcome).toBeVisible();
      await expect(new Questions(scene.page).items).toHaveCount(1);
    },
  },
  {
    name: 'password-refused',
    both: true,
    arrange: async ({ page, person }) => {
      await signIn(page, person, '/dashboard/settings');
      const password = new PasswordSection(page);
      await password.change('not the password', 'nine green lorries at dawn');
      await expect(password.alert).toBeVisible();
    },
  },
  {
    name: 'password-dialog',
    onlyWindow: true,
    arrange: async scene => {
      await askForPassword(scene);
      const question = new PasswordQuestion(scene.page, true);
      await scene.page.unroute('**/api/revoke_session');
      await scene.page.route('**/api/revoke_session', route =>
        route.fulfill({ status: 401, json: { code: 'invalid_credentials' } }),
      );
      await question.password.fill('not the password');
      await question.password.press('Enter');
      await expect(question.problem).toBeVisible();
    },
  },
  {
    name: 'dialog-password',
    onlyWindow: true,
    arrange: async scene => {
      const { page } = scene;
      await signInOnTwoMore(scene);
      await signIn(page, scene.person, '/dashboard/settings');
      await page.route('**/api/sign_out_all_devices', route =>
        route.fulfill({ status: 403, json: { code: 'reauth_required' } }),
      );
      await new SettingsPage(page).signOutAll.click();
      const question = new SignOutAllQuestion(page, true);
      await question.confirm(3).click();
      await expect(question.box.getByLabel('Password', { exact: true })).toBeFocused();
    },
  },
  {
    name: 'confirm-password',
    both: true,
    arrange: async scene => {
      await signInOnTwoMore(scene);
      await signIn(scene.page, scene.person);
      await scene.page.goto('/dashboard/confirm-password?for=sign_out_other_devices');
      await expect(new PasswordQuestion(scene.page, false).goOn('Sign out of 2 devices')).toBeVisible();
    },
  },
  {
    name: 'nothing-to-confirm',
    arrange: async ({ page, person }) => {
      await signIn(page, person);
      await page.goto('/dashboard/confirm-password?for=something');
      await expect(page.getByRole('heading', { name: 'There is nothing to confirm here' })).toBeVisible();
    },
  },
  {
    name: 'not-found',
    both: true,
    arrange: async ({ page }) => {
      expect((await page.goto('/no-such-page'))?.status()).toBe(404);
      await expect(page.getByRole('heading', { name: 'This page does not exist' })).toBeVisible();
    },
  },
  {
    name: 'not-found-signed-in',
    arrange: async ({ page, person }) => {
      await signIn(page, person);
      expect((await page.goto('/dashboard/no-such-page'))?.status()).toBe(404);
      await expect(page.getByRole('heading', { name: 'This page does not exist' })).toBeVisible();
    },
  },
];

for (const { name, both, allColours, onlyWindow, arrange } of STATES) {
  test(`${name} is accessible in every window`, { tag: both ? [] : '@with-script' }, async ({
    page,
    person,
    portal,
    signInElsewhere,
    javaScriptEnabled,
    watch,
  }) => {
    watch.expect(refusedWith(401), refusedWith(403), refusedWith(404), refusedWith(503));
    const scripted = Boolean(javaScriptEnabled);
    await arrange({ page, person, portal, scripted, signInElsewhere });
    for (const window of WINDOWS) {
      await test.step(`${window.width} wide`, async () => {
        await fit(page, window);
        for (const colorScheme of allColours ? (['light', 'dark'] as const) : [window.colorScheme]) {
          await page.emulateMedia({ colorScheme });
          await movesNoMore(page);
          const file = `${name}${scripted ? '' : '-without-script'}-${window.width}-${colorScheme}.png`;
          await page.screenshot({ path: path.join(SCREENSHOTS, file), fullPage: !onlyWindow });
          if (scripted) {
            await expectNoViolation(page);
          }
        }
        // A screenshot of a whole page resets the window.
        await fit(page, window);
        await expectNoSidewaysScroll(page);
        await expectHeaderInOrder(page);
        await expectToastsInWindow(page);
        if (window.touch) {
          await expectRoomForFingers(page);
          await fit(page, { ...window, width: 320, height: 640 });
          await expectNoSidewaysScroll(page);
        }
      });
    }
  });
}

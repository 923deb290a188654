import type { Page } from '@playwright/test';

import { CHROME_ON_WINDOWS, Desktop, FIREFOX_ON_MACOS, SAFARI_ON_IPHONE } from '../support/devices';
import { visit } from '../support/hydration';
import {
  AccountMenu,
  PasswordSection,
  SettingsPage,
  SignedOutDialog,
  SignInPage,
  SignOutAllQuestion,
  SignOutOthersQuestion,
  Toasts,
} from '../support/pages';
import type { TestUser, Portal } from '../support/portal';
import { expect, signIn, test } from '../support/test';
import { NO_ANSWER, refusedWith } from '../support/watch';

const HERE = 'Chrome on Windows';
const OTHER = 'Firefox on macOS';
const PHONE = 'Safari on iPhone';
const DESKTOP = "Maria's MacBook";
/** Its name beside browsers. */
const THE_DESKTOP = `${DESKTOP}, desktop app`;

const ENDED_FROM_ELSEWHERE = 'Your session was ended from another device. Please sign in again.';
const THIS_ONE_ENDED = 'This session was ended from another device. Please sign in again.';

const FRESH = 'nine green lorries at dawn';

/** Opens another tab of the same browser. */
async function newTab(page: Page, path: string): Promise<Page> {
  const tab = await page.context().newPage();
  await visit(tab, path);
  return tab;
}

/** Sets a mark in the page, which a reload removes. */
async function mark(page: Page) {
  await page.evaluate(() => ((window as any).isStillHere = true));
}

async function expectNoReload(page: Page) {
  expect(await page.evaluate(() => (window as any).isStillHere), 'the page was not loaded anew').toBe(true);
}

/** Checks that private content is neither visible nor anywhere in the page or its data. */
async function expectNothingOf(page: Page, secrets: string[]) {
  const left = () =>
    page.evaluate(secrets => {
      const texts = {
        title: document.title,
        seen: document.body.innerText,
        text: document.documentElement.textContent,
        page: document.documentElement.outerHTML,
        data: JSON.stringify((window as any).__RESOLVED_RESOURCES),
      };
      return Object.entries(texts).flatMap(([where, text]) =>
        secrets.filter(secret => String(text).includes(secret)).map(secret => `${where}: ${secret}`),
      );
    }, secrets);
  // At once, not when it disappears by itself.
  await expect.poll(left, { timeout: 3_000 }).toEqual([]);
}

test.describe('with JavaScript', { tag: '@with-script' }, () => {
  test.beforeEach(({ watch }) => watch.expect(refusedWith(401)));

  test('a revocation elsewhere covers every tab', async ({
    page,
    person,
    openBrowser,
    openDesktop,
  }) => {
    await openDesktop(DESKTOP);
    const other = await openBrowser(FIREFOX_ON_MACOS);
    await signIn(other, person);
    const tabs = [
      other,
      await newTab(other, '/dashboard/settings'),
      await newTab(other, '/dashboard/settings'),
    ];
    const places = tabs.map(tab => tab.url());
    await new SettingsPage(tabs[1]).shows([OTHER, DESKTOP]);
    await signIn(page, person, '/dashboard/settings');
    for (const tab of tabs) {
      await expect(tab.getByText(person.name).first()).toBeVisible();
      await mark(tab);
    }

    await new SettingsPage(page).signOut(OTHER).click();
    for (const [i, tab] of tabs.entries()) {
      await new SignedOutDialog(tab).says(THIS_ONE_ENDED);
      await expect(tab.getByRole('main')).toBeHidden();
      await expectNothingOf(tab, [
        person.name,
        person.email,
        person.organization,
        HERE,
        OTHER,
        DESKTOP,
        '203.0.113.7',
        '198.51.100.20',
        '198.51.100.4',
      ]);
      expect(tab.url()).toBe(places[i]);
      await expectNoReload(tab);
    }
  });

  test('toasts about devices disappear with the session', async ({
    page,
    person,
    openBrowser,
    openDesktop,
  }) => {
    const other = await openBrowser(FIREFOX_ON_MACOS);
    await signIn(other, person, '/dashboard/settings');
    await new SettingsPage(other).shows([OTHER]);
    await openDesktop(DESKTOP);
    await expect(new Toasts(other).saying(THE_DESKTOP)).toBeVisible();
    await signIn(page, person, '/dashboard/settings');
    await new SettingsPage(page).signOut(OTHER).click();
    await new SignedOutDialog(other).says(THIS_ONE_ENDED);
    await expectNothingOf(other, [DESKTOP, HERE]);
  });

  /** A signed-in browser, and how its session ends. */
  interface Scene {
    /** A tab that shows the settings and does nothing. */
    idle: Page;
    /** Another tab of its browser. */
    beside: Page;
    person: TestUser;
    portal: Portal;
    openBrowser: (options?: typeof CHROME_ON_WINDOWS) => Promise<Page>;
  }

  const ENDS: { title: string; words: string | RegExp; end: (scene: Scene) => Promise<unknown> }[] = [
    {
      title: 'another tab signs out',
      words: 'You have signed out.',
      end: async ({ beside }) => {
        const menu = new AccountMenu(beside);
        await menu.open();
        await menu.signOut.click();
        await expect(new SignInPage(beside).reason).toHaveText('You have signed out.');
      },
    },
    {
      title: 'another tab signs all devices out',
      words: 'All your devices have been signed out.',
      end: async ({ beside }) => {
        await new SettingsPage(beside).signOutAll.click();
        await new SignOutAllQuestion(beside, true).confirm(1).click();
        await expect(new SignInPage(beside).reason).toHaveText('All your devices have been signed out.');
      },
    },
    {
      title: 'another device signs all devices out',
      words: ENDED_FROM_ELSEWHERE,
      end: async ({ openBrowser, person }) => {
        const other = await openBrowser(FIREFOX_ON_MACOS);
        await signIn(other, person, '/dashboard/settings');
        await new SettingsPage(other).signOutAll.click();
        await new SignOutAllQuestion(other, true).confirm(2).click();
      },
    },
    {
      title: 'another device signs it out',
      words: THIS_ONE_ENDED,
      end: async ({ openBrowser, person }) => {
        const other = await openBrowser(FIREFOX_ON_MACOS);
        await signIn(other, person, '/dashboard/settings');
        await new SettingsPage(other).signOut(HERE).click();
      },
    },
    {
      title: 'an operator ends it and says why',
      words: 'An administrator ended your session. Reason given: The laptop <b>was</b> lost',
      end: ({ portal, person }) =>
        portal.command(['sessions', 'revoke', '--user', person.email, '--reason', 'The laptop <b>was</b> lost']),
    },
    {
      title: 'an operator ends it without a word',
      words: 'An administrator ended your session.',
      end: ({ portal, person }) => portal.command(['sessions', 'revoke', '--user', person.email]),
    },
    {
      title: 'the password is changed on another device',
      words: 'Your password was changed, so this device was signed out.',
      end: async ({ openBrowser, person }) => {
        const other = await openBrowser(FIREFOX_ON_MACOS);
        await signIn(other, person, '/dashboard/settings');
        await new PasswordSection(other).change(person.password, FRESH);
        await expect(new PasswordSection(other).done).toBeVisible();
      },
    },
    {
      title: 'more devices sign in than the role allows',
      words: /^You signed in on more devices than your role allows, so the least recently used one was signed out\.$/,
      end: async ({ portal, person }) => {
        for (let device = 1; device <= 5; device += 1) {
          await Desktop.signIn(portal.url, person, `Desktop ${device}`);
        }
      },
    },
    {
      title: 'its cookie is used in another browser',
      words: /^We saw this session used from somewhere it was not started, and ended it\. If that was not you, change/,
      end: async ({ idle, portal }) => {
        const copied = (await idle.context().cookies()).find(cookie => cookie.name === 'portal_session')!;
        await fetch(`${portal.url}/dashboard`, {
          headers: {
            cookie: `${copied.name}=${copied.value}`,
            'user-agent': FIREFOX_ON_MACOS.userAgent,
            'x-forwarded-for': '192.0.2.66',
          },
          redirect: 'manual',
        });
      },
    },
  ];

  for (const { title, words, end } of ENDS) {
    test(`a tab says why its session is over when ${title}`, async ({ page, person, portal, openBrowser }) => {
      await signIn(page, person, '/dashboard/settings');
      const beside = await newTab(page, '/dashboard/settings');
      await mark(page);
      await end({ idle: page, beside, person, portal, openBrowser });
      const dialog = new SignedOutDialog(page);
      await dialog.says(words);
      await expect(dialog.button).toBeVisible();
      await expectNothingOf(page, [person.name, person.email]);
      await expectNoReload(page);
    });
  }

  test('a visible tab remembers that this browser signed out', async ({ page, person }) => {
    await signIn(page, person, '/dashboard/settings');
    const beside = await newTab(page, '/dashboard/settings');
    let answer = () => {};
    const held = new Promise<void>(resolve => (answer = resolve));
    await beside.route('**/api/sign_out_all_devices', async route => {
      await held;
      await route.continue();
    });
    await new SettingsPage(beside).signOutAll.click();
    await new SignOutAllQuestion(beside, true).confirm(1).click();
    // The tab checks its session, which is still live.
    const asked = page.waitForResponse('**/api/v1/session_state');
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    expect((await asked).status()).toBe(200);
    answer();
    await new SignedOutDialog(page).says('All your devices have been signed out.');
  });

  test('a tab of a disabled account explains it without a sign-in form', async ({
    page,
    person,
    portal,
  }) => {
    await signIn(page, person);
    await portal.command(['user', 'disable', '--email', person.email]);
    const dialog = new SignedOutDialog(page);
    await dialog.says('This account cannot sign in. Contact your administrator.');
    await expect(dialog.box.getByRole('textbox')).toHaveCount(0);
    await expect(dialog.button).toHaveCount(0);
    await expectNothingOf(page, [person.name, person.email]);
    await dialog.elsewhere.click();
    await expect(page).toHaveURL(/\/login/);
    await expect(new SignInPage(page).reason).toHaveText('This account cannot sign in. Contact your administrator.');
  });

  test('signing in again keeps the input and resumes every tab', async ({
    page,
    person,
    openBrowser,
  }) => {
    await signIn(page, person, '/dashboard/settings');
    const tabs = [await newTab(page, '/dashboard'), await newTab(page, '/dashboard/settings')];
    const before = (await (await page.context().request.get('/api/v1/session_state')).json()).session.id;
    const password = new PasswordSection(page);
    await password.keep.check();
    await password.current.fill(person.password);
    await password.fresh.fill(FRESH);
    for (const tab of [page, ...tabs]) {
      await mark(tab);
    }
    const other = await openBrowser(FIREFOX_ON_MACOS);
    await signIn(other, person, '/dashboard/settings');
    await new SettingsPage(other).signOut(HERE).click();
    const dialog = new SignedOutDialog(page);
    await dialog.says(THIS_ONE_ENDED);
    await expect(dialog.box.getByRole('heading')).toBeFocused();

    await dialog.signIn(person);
    await expect(dialog.box).toBeHidden();
    const settings = new SettingsPage(page);
    await settings.shows([HERE, OTHER]);
    await expect(settings.thisBrowser).toHaveCount(1);
    const after = (await (await page.context().request.get('/api/v1/session_state')).json()).session.id;
    expect(after).not.toBe(before);
    await expect(page.locator(`[id="sign-out-${before}"]`), 'the session before is no other device').toHaveCount(0);
    await expect(password.current).toHaveValue(person.password);
    await expect(password.fresh).toHaveValue(FRESH);
    await expect(password.keep).toBeChecked();
    await expect(password.fresh, 'the person was there before').toBeFocused();

    for (const tab of tabs) {
      await expect(new SignedOutDialog(tab).box).toBeHidden();
      await expect(tab.getByRole('main')).toBeVisible();
      await expect(tab.getByText(person.name).first()).toBeVisible();
      await expectNoReload(tab);
    }
    await new SettingsPage(tabs[1]).shows([HERE, OTHER]);

    // The page works, with what was typed before.
    await password.button.click();
    await expect(password.done).toContainText('Your other devices stay signed in.');
    await expectNoReload(page);
  });

  test('signing in again in a new tab resumes all tabs', async ({ page, person, portal }) => {
    await signIn(page, person, '/dashboard/settings');
    await mark(page);
    await portal.command(['sessions', 'revoke', '--user', person.email]);
    await new SignedOutDialog(page).says('An administrator ended your session.');
    const tab = await newTab(page, '/login');
    await new SignInPage(tab).signIn(person);
    await expect(tab).toHaveURL('/dashboard');
    await expect(new SignedOutDialog(page).box).toBeHidden();
    await new SettingsPage(page).shows([HERE]);
    await expectNoReload(page);
  });

  test('a wrong password in the dialog can be corrected', async ({ page, person, portal }) => {
    await signIn(page, person, '/dashboard/settings');
    await portal.command(['sessions', 'revoke', '--user', person.email]);
    const dialog = new SignedOutDialog(page);
    await dialog.says('An administrator ended your session.');
    await dialog.signIn({ email: person.email, password: 'not the password' });
    await expect(dialog.problem).toContainText('The email or password is wrong.');
    await expect(dialog.problem).toBeFocused();
    await expect(dialog.email).toHaveValue(person.email);
    await expect(dialog.password).toHaveAttribute('aria-invalid', 'true');
    await expectNothingOf(page, [person.name, HERE]);
    await dialog.password.fill(person.password);
    await dialog.password.press('Enter');
    await expect(dialog.box).toBeHidden();
    await new SettingsPage(page).shows([HERE]);
  });

  test('a second end shows the dialog with empty fields', async ({ page, person, portal }) => {
    await signIn(page, person, '/dashboard/settings');
    const dialog = new SignedOutDialog(page);
    for (const reason of ['The first time', 'The second time']) {
      await portal.command(['sessions', 'revoke', '--user', person.email, '--reason', reason]);
      await dialog.says(`An administrator ended your session. Reason given: ${reason}`);
      await expect(dialog.email).toHaveValue('');
      await expect(dialog.password).toHaveValue('');
      await expect(dialog.problem.filter({ hasText: /\S/ })).toHaveCount(0);
      await dialog.signIn(person);
      await expect(dialog.box).toBeHidden();
      await new SettingsPage(page).shows([HERE]);
    }
  });

  test('another user who signs in gets their own page in every tab', async ({
    page,
    person,
    portal,
  }) => {
    const ines = await portal.register({
      email: `ines.vogel+${Date.now()}@example.com`,
      name: 'Ines Vogel',
      organization: 'Southwind Brokers',
    });
    await signIn(page, person, '/dashboard/settings');
    const beside = await newTab(page, '/dashboard/settings');
    await new PasswordSection(page).current.fill(person.password);
    await portal.command(['sessions', 'revoke', '--user', person.email]);
    await new SignedOutDialog(page).says('An administrator ended your session.');
    await new SignedOutDialog(page).signIn(ines);
    for (const tab of [page, beside]) {
      await expect(tab).toHaveURL('/dashboard');
      await expect(tab.getByRole('main').getByText(ines.email)).toBeVisible();
      await expectNothingOf(tab, [person.name, person.email, person.organization]);
      expect(await tab.content(), 'nor in the data that the page came with').not.toContain(person.email);
      await expect(new SignedOutDialog(tab).box).toBeHidden();
    }
    await visit(page, '/dashboard/settings');
    await expect(new PasswordSection(page).current).toHaveValue('');
    await new SettingsPage(page).shows([HERE]);
  });

  test('the dialog stays and keeps the focus until sign-in', async ({ page, person, portal }) => {
    await signIn(page, person, '/dashboard/settings');
    const before = page.getByRole('link', { name: 'Settings' });
    await before.focus();
    await portal.command(['sessions', 'revoke', '--user', person.email]);
    const dialog = new SignedOutDialog(page);
    await dialog.says('An administrator ended your session.');
    await expect(dialog.box).toHaveAccessibleDescription('An administrator ended your session.');
    const isInside = () => dialog.box.evaluate(box => box.contains(document.activeElement));
    expect(await isInside(), 'the focus is in the dialog').toBe(true);
    for (let presses = 0; presses < 5; presses += 1) {
      await page.keyboard.press('Escape');
      await expect(dialog.box).toBeVisible();
      expect(await dialog.box.evaluate(box => box.matches(':modal')), 'nothing behind it can be used').toBe(true);
      expect(await isInside(), `after Escape, ${presses + 1} times`).toBe(true);
    }
    await page.mouse.click(5, 5);
    await expect(dialog.box).toBeVisible();
    for (const key of [...Array(12).fill('Tab'), ...Array(12).fill('Shift+Tab')]) {
      await page.keyboard.press(key);
      const outside = await page.evaluate(
        () => document.activeElement !== document.body && !document.activeElement?.closest('dialog'),
      );
      expect(outside, `after ${key} the focus is on nothing behind the dialog`).toBe(false);
    }
    await dialog.signIn(person);
    await expect(dialog.box).toBeHidden();
    await expect(before, 'the focus is back where it was').toBeFocused();
  });

  test('the focus in the list returns after signing in', async ({
    page,
    person,
    portal,
  }) => {
    await signIn(page, person, '/dashboard/settings');
    await new SettingsPage(page).signOutAll.focus();
    await portal.command(['sessions', 'revoke', '--user', person.email]);
    const dialog = new SignedOutDialog(page);
    await dialog.says('An administrator ended your session.');
    await dialog.signIn(person);
    await expect(dialog.box).toBeHidden();
    await new SettingsPage(page).shows([HERE]);
    // The button was replaced; the focus must not move to the start of the page.
    await expect
      .poll(() => page.evaluate(() => Boolean(document.activeElement?.closest('main'))))
      .toBe(true);
  });

  test('the dialog mentions kept input and sets the title', async ({
    page,
    person,
    portal,
  }) => {
    await signIn(page, person, '/dashboard/settings');
    const dialog = new SignedOutDialog(page);
    const promise = dialog.box.getByText('What you typed on this page is still there');
    const { current } = new PasswordSection(page);
    for (const typed of ['', 'half a word']) {
      await current.fill(typed);
      await portal.command(['sessions', 'revoke', '--user', person.email]);
      await dialog.says('An administrator ended your session.');
      await expect(page).toHaveTitle('Signed out · Broker Portal');
      await expect(promise).toHaveCount(typed ? 1 : 0);
      await dialog.signIn(person);
      await expect(dialog.box).toBeHidden();
      await expect(page).toHaveTitle('Settings · Broker Portal');
      await new SettingsPage(page).shows([HERE]);
      await expect(current).toHaveValue(typed);
    }
  });

  test('the dialog replaces an open confirmation', async ({ page, person, portal, openDesktop }) => {
    await openDesktop(DESKTOP);
    await signIn(page, person, '/dashboard/settings');
    await new SettingsPage(page).signOutAll.click();
    const question = new SignOutAllQuestion(page, true);
    await expect(question.confirm(2)).toBeVisible();
    await portal.command(['sessions', 'revoke', '--user', person.email]);
    const dialog = new SignedOutDialog(page);
    await dialog.says('An administrator ended your session.');
    await expect(question.box).toBeHidden();
    await expectNothingOf(page, [DESKTOP, HERE]);
    await dialog.signIn(person);
    await expect(dialog.box).toBeHidden();
    await new SettingsPage(page).shows([HERE]);
  });

  test('a tab on the sign-in page follows a sign-in in another tab', async ({ page, person }) => {
    await visit(page, '/login?next=/dashboard/settings');
    const tab = await newTab(page, '/login');
    await new SignInPage(tab).signIn(person);
    await expect(tab).toHaveURL('/dashboard');
    await expect(page).toHaveURL('/dashboard/settings');
    await new SettingsPage(page).shows([HERE]);
  });

  test('a tab on the sign-in page follows a sign-in in another tab’s dialog', async ({
    page,
    person,
    portal,
  }) => {
    await signIn(page, person, '/dashboard/settings');
    await portal.command(['sessions', 'revoke', '--user', person.email]);
    await new SignedOutDialog(page).says('An administrator ended your session.');
    const tab = await newTab(page, '/login?next=/dashboard/settings');
    await new SignedOutDialog(page).signIn(person);
    await expect(tab).toHaveURL('/dashboard/settings');
    await new SettingsPage(tab).shows([HERE]);
  });

  test('tabs exchange no secrets and the browser stores nothing', async ({
    page,
    person,
    portal,
    openDesktop,
  }) => {
    const said: string[] = [];
    await page.context().exposeFunction('noteSaid', (words: string) => said.push(words));
    await page.context().addInitScript(() => {
      const post = BroadcastChannel.prototype.postMessage;
      BroadcastChannel.prototype.postMessage = function (words) {
        (window as any).noteSaid(`${this.name} ${JSON.stringify(words)}`);
        return post.call(this, words);
      };
    });
    const cookies = new Set<string>();
    const noteCookies = async () => {
      for (const { value } of await page.context().cookies()) {
        cookies.add(value);
      }
    };
    await signIn(page, person, '/dashboard/settings');
    await noteCookies();
    const beside = await newTab(page, '/dashboard/settings');
    await openDesktop(DESKTOP);
    await new SettingsPage(beside).shows([HERE, DESKTOP]);
    await new SettingsPage(page).signOut(DESKTOP).click();
    await new SettingsPage(beside).shows([HERE]);
    await portal.command(['sessions', 'revoke', '--user', person.email, '--reason', 'Spring cleaning']);
    await new SignedOutDialog(page).says(/Spring cleaning/);
    await new SignedOutDialog(beside).says(/Spring cleaning/);
    await new SignedOutDialog(page).signIn(person);
    await expect(new SignedOutDialog(page).box).toBeHidden();
    await expect(new SignedOutDialog(beside).box).toBeHidden();
    await noteCookies();

    await expect.poll(() => said.join('\n')).toContain(' signed_in ');
    const all = said.join('\n');
    for (const word of ['hello', 'stream_opened', 'told sessions_changed', 'ended revoked_by_admin', 'live']) {
      expect(all, 'the tabs do speak').toContain(` ${word} `.trimEnd());
    }
    expect(cookies.size).toBeGreaterThanOrEqual(2);
    for (const secret of [
      ...cookies,
      person.email,
      person.name,
      person.password,
      person.organization,
      HERE,
      DESKTOP,
      '203.0.113.7',
      '198.51.100.4',
      'Spring cleaning',
    ]) {
      expect(all).not.toContain(secret);
    }
    // Numbers, fixed words, and a session's id, which authenticates nobody.
    for (const words of said) {
      expect(words).toMatch(/^broker-portal-session[\w-]* "\d+ [0-9a-f-]{36} \d+ [a-z_]+ ?[a-z0-9_ -]*"$/);
    }
    for (const tab of [page, beside]) {
      const kept = await tab.evaluate(async () => ({
        local: Object.entries(localStorage),
        session: Object.entries(sessionStorage),
        databases: await indexedDB.databases(),
        // Only in a secure context, which a loopback address is.
        caches: await caches.keys(),
        workers: (await navigator.serviceWorker.getRegistrations()).length,
        cookies: document.cookie,
        name: window.name,
      }));
      expect(kept).toEqual({ local: [], session: [], databases: [], caches: [], workers: 0, cookies: '', name: '' });
    }
  });
});

test.describe('with JavaScript the list of sessions updates live', { tag: '@with-script' }, () => {
  test('a sign-in elsewhere adds a row and keeps the focus', async ({
    page,
    person,
    signInElsewhere,
    openDesktop,
  }) => {
    await signInElsewhere(person, FIREFOX_ON_MACOS);
    await signIn(page, person, '/dashboard/settings');
    const settings = new SettingsPage(page);
    const toasts = new Toasts(page);
    await settings.shows([HERE, OTHER]);
    await settings.signOut(OTHER).focus();
    await mark(page);

    await openDesktop(DESKTOP);
    await settings.shows([HERE, OTHER, DESKTOP]);
    await expect(settings.row(DESKTOP).getByText('New', { exact: true })).toBeVisible();
    await expect(settings.row(OTHER).getByText('New', { exact: true })).toHaveCount(0);
    await expect(toasts.saying(`New sign-in: ${THE_DESKTOP}.`)).toHaveCount(1);
    await expect(settings.signOut(OTHER)).toBeFocused();

    await signInElsewhere(person, SAFARI_ON_IPHONE);
    await settings.shows([HERE, OTHER, DESKTOP, PHONE]);
    await expect(settings.row(PHONE).getByText('New', { exact: true })).toBeVisible();
    await expect(toasts.saying(`New sign-in: ${PHONE}.`)).toHaveCount(1);
    await expect(settings.signOut(OTHER)).toBeFocused();
    await expectNoReload(page);
  });

  test('an end elsewhere removes the row and keeps the focus', async ({
    page,
    person,
    openBrowser,
    openDesktop,
  }) => {
    const other = await openBrowser(FIREFOX_ON_MACOS);
    await signIn(other, person, '/dashboard/settings');
    await openDesktop(DESKTOP);
    await openDesktop('The laptop at home');
    await signIn(page, person, '/dashboard/settings');
    const settings = new SettingsPage(page);
    await settings.shows([HERE, OTHER, DESKTOP, 'The laptop at home']);
    await settings.signOut('The laptop at home').focus();
    await mark(page);

    await new SettingsPage(other).signOut(DESKTOP).click();
    await settings.shows([HERE, OTHER, 'The laptop at home']);
    await expect(new Toasts(page).saying(`${THE_DESKTOP} is no longer signed in.`)).toHaveCount(1);
    await expect(settings.signOut('The laptop at home')).toBeFocused();

    const menu = new AccountMenu(other);
    await menu.open();
    await menu.signOut.click();
    await settings.shows([HERE, 'The laptop at home']);
    await expect(new Toasts(page).saying(`${OTHER} is no longer signed in.`)).toHaveCount(1);
    await expect(settings.signOut('The laptop at home')).toBeFocused();
    await expectNoReload(page);
  });

  test('removing the focused row keeps the focus in the list', async ({ page, person, openBrowser, openDesktop }) => {
    const other = await openBrowser(FIREFOX_ON_MACOS);
    await signIn(other, person, '/dashboard/settings');
    await openDesktop(DESKTOP);
    await signIn(page, person, '/dashboard/settings');
    const settings = new SettingsPage(page);
    await settings.signOut(DESKTOP).focus();
    await new SettingsPage(other).signOut(DESKTOP).click();
    await settings.shows([HERE, OTHER]);
    await expect
      .poll(() => page.evaluate(() => document.activeElement?.closest('section')?.id), {
        message: 'whoever uses the keyboard must not be thrown to the start of the page',
      })
      .toBe('sessions');
  });

  test('the dashboard count updates live', async ({ page, person, openDesktop }) => {
    await signIn(page, person);
    const where = page.getByRole('region', { name: 'Where you are signed in' });
    await expect(where).toContainText('1 device');
    await openDesktop(DESKTOP);
    await expect(where).toContainText('2 devices');
    await expect(where).toContainText('1 browser and 1 desktop app');
  });
});

test.describe('with JavaScript a toast', { tag: '@with-script' }, () => {
  test.beforeEach(async ({ page, person, signInElsewhere, openDesktop }) => {
    await signInElsewhere(person, FIREFOX_ON_MACOS);
    await openDesktop(DESKTOP);
    await signIn(page, person, '/dashboard/settings');
    await new SettingsPage(page).shows([HERE, OTHER, DESKTOP]);
  });

  test('is announced, stacked and dismissible with the keyboard', async ({ page }) => {
    const settings = new SettingsPage(page);
    const toasts = new Toasts(page);
    await expect(toasts.region, 'there before its first message, to be read out').toHaveCount(1);
    await expect(toasts.all).toHaveCount(0);
    await settings.signOut(OTHER).click();
    await settings.signOut(DESKTOP).click();
    await expect(toasts.words).toHaveText([`${OTHER} has been signed out.`, `${DESKTOP} has been signed out.`]);
    const first = (await toasts.saying(OTHER).boundingBox())!;
    const second = (await toasts.saying(DESKTOP).boundingBox())!;
    expect(first.y + first.height, 'one stands above the other').toBeLessThanOrEqual(second.y);
    expect(second.y + second.height).toBeLessThanOrEqual(page.viewportSize()!.height);

    // The last element of the page, which Shift+Tab reaches first.
    await page.getByRole('link', { name: 'Skip to the content' }).focus();
    const dismiss = toasts.dismiss(DESKTOP);
    for (let stops = 0; stops < 40 && !(await dismiss.evaluate(it => it === document.activeElement)); stops += 1) {
      await page.keyboard.press('Tab');
    }
    await expect(dismiss).toBeFocused();
    await page.keyboard.press('Enter');
    await expect(toasts.saying(DESKTOP)).toHaveCount(0);
    await expect(toasts.saying(OTHER)).toHaveCount(1);
  });

  test('disappears after some seconds unless focused or hovered', async ({ page }) => {
    // From here on only the test advances the clock.
    await page.clock.install();
    await page.clock.pauseAt(Date.now() + 1_000);
    const settings = new SettingsPage(page);
    const toasts = new Toasts(page);
    await settings.signOut(OTHER).click();
    await expect(toasts.saying(OTHER)).toBeVisible();
    await toasts.dismiss(OTHER).focus();
    // Short enough that the stream, whose heartbeats come in real time, does not seem lost.
    await page.clock.runFor(20_000);
    await expect(toasts.saying(OTHER)).toBeVisible();
    await settings.signOut(DESKTOP).focus();
    await page.clock.runFor(10_000);
    await expect(toasts.all).toHaveCount(0);
  });

  test('announces a sign-out once, in one tab', async ({ page }) => {
    const beside = await newTab(page, '/dashboard/settings');
    await new SettingsPage(beside).shows([HERE, OTHER, DESKTOP]);
    await new SettingsPage(page).signOut(OTHER).click();
    await new SettingsPage(beside).shows([HERE, DESKTOP]);
    await expect(new Toasts(beside).all).toHaveCount(0);
    await expect(new Toasts(page).words).toHaveText([`${OTHER} has been signed out.`]);
    await new SettingsPage(page).signOutOthers.click();
    await new SignOutOthersQuestion(page, true).confirm(1).click();
    await expect(new Toasts(page).words).toHaveText([
      `${OTHER} has been signed out.`,
      '1 device has been signed out. This browser stays signed in.',
    ]);
    await new SettingsPage(beside).shows([HERE]);
    await expect(new Toasts(beside).all).toHaveCount(0);
  });

  test('does not list devices after the own password change', async ({ page, person }) => {
    await new PasswordSection(page).change(person.password, FRESH);
    await expect(new PasswordSection(page).done).toBeVisible();
    await new SettingsPage(page).shows([HERE]);
    await expect(new Toasts(page).all).toHaveCount(0);
  });
});

test('a browser without channels and locks notices the end', { tag: '@with-script' }, async ({
  page,
  person,
  portal,
  watch,
}) => {
  watch.expect(refusedWith(401));
  await page.context().addInitScript(() => {
    delete (window as any).BroadcastChannel;
    delete (Navigator.prototype as any).locks;
  });
  await signIn(page, person, '/dashboard/settings');
  const beside = await newTab(page, '/dashboard/settings');
  await portal.command(['sessions', 'revoke', '--user', person.email]);
  await new SignedOutDialog(page).says('An administrator ended your session.');
  await new SignedOutDialog(beside).says('An administrator ended your session.');
});

test('a browser without a stream notices the end when visible', { tag: '@with-script' }, async ({
  page,
  person,
  portal,
  watch,
}) => {
  watch.expect(refusedWith(401), NO_ANSWER);
  await page.context().route('**/api/v1/session/events*', route => route.abort());
  await signIn(page, person, '/dashboard/settings');
  await portal.command(['sessions', 'revoke', '--user', person.email]);
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await new SignedOutDialog(page).says('An administrator ended your session.');
});

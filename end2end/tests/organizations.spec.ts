import type { Page } from '@playwright/test';

import { FIREFOX_ON_MACOS } from '../support/devices';
import { visit } from '../support/hydration';
import { AccountMenu, OrganizationMenu, PasswordSection, Toasts } from '../support/pages';
import type { TestUser, Portal } from '../support/portal';
import { expect, signIn, test } from '../support/test';
import { NO_ANSWER, refusedWith } from '../support/watch';

const NORTH = 'Northwind Brokers';
const SOUTH = 'Southwind Brokers';
const EAST = 'Eastwind Vendors';

/** Adds the user to further organizations. */
async function join(portal: Portal, person: TestUser, ...organizations: string[]) {
  for (const organization of organizations) {
    await portal.register({ ...person, organization, role: 'vendor' });
  }
}

/** Returns the active organization of the page's session according to the server. */
async function lookedAt(page: Page): Promise<string> {
  return (await (await page.context().request.get('/api/v1/session_state')).json()).organization.name;
}

/** Holds the first response to a switch until the test releases it, and counts the requests. */
async function holdFirstSwitch(page: Page) {
  let answer = () => {};
  const held = new Promise<void>(resolve => (answer = resolve));
  const asked: string[] = [];
  await page.route('**/api/switch_organization', async route => {
    asked.push(route.request().postData() ?? '');
    if (asked.length === 1) {
      await held;
    }
    await route.continue();
  });
  return { answer, asked };
}

// Another role means another cookie. Requests with the previous one are refused and repeated.
test.beforeEach(({ watch }) => watch.expect(refusedWith(401)));

test('a user with one organization sees its name without a menu', async ({ page, person }) => {
  await signIn(page, person);
  await expect(page.getByRole('banner').getByText(NORTH).first()).toBeVisible();
  await expect(new OrganizationMenu(page).opener).toHaveCount(0);
  await expect(page.getByRole('banner').locator('summary')).toHaveCount(1);
});

test('switching the organization updates the whole page', async ({
  page,
  person,
  portal,
  openDesktop,
}) => {
  await join(portal, person, SOUTH);
  const desktop = await openDesktop();
  await signIn(page, person);
  const menu = new OrganizationMenu(page);
  const main = page.getByRole('main');
  await expect(main).toContainText(`You are signed in as a broker at ${NORTH}.`);
  await menu.open();
  await expect(menu.choices).toHaveText([/Northwind Brokers\s*Broker/, /Southwind Brokers\s*Vendor/]);
  await expect(menu.chosen).toHaveText(/Northwind Brokers/);

  await menu.choice(SOUTH).click();
  await expect(main).toContainText(`You are signed in as a vendor at ${SOUTH}.`);
  await expect(main).not.toContainText(NORTH);
  await expect(main).not.toContainText(/broker at/i);
  await expect(main.getByRole('definition').filter({ hasText: /^(Broker|Vendor)$/ })).toHaveText(['Vendor']);
  await expect(page).toHaveURL('/dashboard');
  await menu.shows(SOUTH);
  await expect(menu.choice(SOUTH), 'the menu is closed').toBeHidden();
  const account = new AccountMenu(page);
  await account.open();
  await expect(page.getByText(`Vendor at ${SOUTH}`, { exact: true })).toBeVisible();

  expect((await desktop.get('/api/v1/session_state')).body, 'another session stays where it is').toMatchObject({
    organization: { name: NORTH },
  });
  await page.reload();
  await menu.shows(SOUTH);
  await expect(main).toContainText(`You are signed in as a vendor at ${SOUTH}.`);
});

test('the settings stay open during a switch', async ({
  page,
  person,
  portal,
}) => {
  await join(portal, person, SOUTH);
  await signIn(page, person, '/dashboard/settings');
  const section = page.getByRole('region', { name: 'Organization' });
  const current = section.getByRole('listitem').filter({ hasText: 'Current' });
  await expect(current).toContainText([NORTH]);
  await new OrganizationMenu(page).choose(SOUTH);
  await expect(current).toContainText([SOUTH]);
  await expect(page).toHaveURL('/dashboard/settings');
});

test.describe('with JavaScript', { tag: '@with-script' }, () => {
  test('a choice shows at once, the page follows', async ({
    page,
    person,
    portal,
  }) => {
    await join(portal, person, SOUTH);
    await signIn(page, person);
    await page.evaluate(() => ((window as any).isStillHere = true));
    const menu = new OrganizationMenu(page);
    const { answer, asked } = await holdFirstSwitch(page);
    await menu.choose(SOUTH);
    await menu.shows(SOUTH);
    await expect(menu.choices.first()).toBeHidden();
    await expect(menu.opener).toBeFocused();
    await expect.poll(() => asked.length).toBe(1);
    expect(await lookedAt(page), 'the server has not heard of it').toBe(NORTH);
    await expect(page.getByRole('main'), 'nothing is promised yet').toContainText(`at ${NORTH}.`);
    answer();
    await expect(page.getByRole('main')).toContainText(`You are signed in as a vendor at ${SOUTH}.`);
    await menu.shows(SOUTH);
    await expect(menu.opener, 'the focus outlives the refresh of the page').toBeFocused();
    expect(await page.evaluate(() => (window as any).isStillHere), 'the page was not loaded anew').toBe(true);
  });

  for (const { title, words, console, answer } of [
    {
      title: 'the person does not belong to it any more',
      words: 'You no longer belong to it.',
      console: refusedWith(404),
      answer: (page: Page) =>
        page.route('**/api/switch_organization', route => route.fulfill({ status: 404, json: { code: 'not_found' } })),
    },
    {
      title: 'the database is away',
      words: 'The portal cannot reach its database right now. Nothing was changed. Try again in a minute.',
      console: refusedWith(503),
      answer: (page: Page) =>
        page.route('**/api/switch_organization', route =>
          route.fulfill({ status: 503, json: { code: 'unavailable' } }),
        ),
    },
    {
      title: 'the network is away',
      words: 'The portal could not be reached. Check your connection and try again.',
      console: NO_ANSWER,
      answer: (page: Page) => page.route('**/api/switch_organization', route => route.abort('internetdisconnected')),
    },
  ]) {
    test(`a choice is reverted with a message when ${title}`, async ({ page, person, portal, watch }) => {
      watch.expect(console);
      await join(portal, person, SOUTH);
      await signIn(page, person);
      await answer(page);
      const menu = new OrganizationMenu(page);
      const toasts = new Toasts(page);
      await menu.choose(SOUTH);
      await expect(toasts.words).toHaveText([`You were not switched to ${SOUTH}. ${words}`]);
      await menu.shows(NORTH);
      await expect(page.getByRole('main')).toContainText(`at ${NORTH}.`);
      expect(await lookedAt(page)).toBe(NORTH);

      await page.unroute('**/api/switch_organization');
      await menu.choose(SOUTH);
      await expect(page.getByRole('main')).toContainText(`at ${SOUTH}.`);
      await menu.shows(SOUTH);
    });
  }

  for (const { title, choices, last } of [
    { title: 'back to the first one', choices: [SOUTH, NORTH], last: NORTH },
    { title: 'on to a third one', choices: [SOUTH, EAST], last: EAST },
    { title: 'to and fro', choices: [SOUTH, EAST, NORTH, EAST, SOUTH], last: SOUTH },
  ]) {
    test(`the last of several quick choices wins: ${title}`, async ({ page, person, portal }) => {
      await join(portal, person, SOUTH, EAST);
      await signIn(page, person);
      const menu = new OrganizationMenu(page);
      const { answer, asked } = await holdFirstSwitch(page);
      for (const choice of choices) {
        await menu.choose(choice);
        await menu.shows(choice);
      }
      // From here on the header shows the last choice only.
      await page.evaluate(() => {
        const shown = () => document.querySelector('#organizations-opener .menu-name')?.textContent?.trim();
        const seen = ((window as any).seen = new Set([shown()]));
        new MutationObserver(() => seen.add(shown())).observe(document.querySelector('header')!, {
          subtree: true,
          childList: true,
          characterData: true,
        });
      });
      answer();
      await expect(page.getByRole('main')).toContainText(`at ${last}.`);
      // Choices in between are skipped: one request was in progress, one is wanted.
      await expect.poll(() => asked.length).toBe(2);
      await expect.poll(() => lookedAt(page)).toBe(last);
      await menu.shows(last);
      await expect(page.getByRole('main')).toContainText(`at ${last}.`);
      const seen = await page.evaluate(() => [...(window as any).seen].filter(Boolean));
      expect(seen, 'what the header showed on the way').toEqual([last]);
      await page.reload();
      await menu.shows(last);
    });
  }

  test('a choice while the page loads breaks nothing', async ({ page, person, portal }) => {
    const rounds = 40;
    await join(portal, person, SOUTH, EAST);
    await signIn(page, person);
    const menu = new OrganizationMenu(page);
    // Each response that names the user is followed by a choice, one task of the browser later than the one before, and
    // each choice by such a response.
    await page.evaluate(rounds => {
      const read = Response.prototype.text;
      let round = 0;
      const chooseAfter = (steps: number) => {
        if (steps > 0) {
          queueMicrotask(() => chooseAfter(steps - 1));
          return;
        }
        const others = document.querySelectorAll<HTMLElement>('.organization-menu button:not([aria-current])');
        others[round % others.length].click();
      };
      Response.prototype.text = function () {
        const answer = read.call(this);
        if (this.url.endsWith('/api/show_viewer') && round < rounds) {
          round += 1;
          void answer.then(() => chooseAfter(round - 1));
        }
        (window as any).rounds = round;
        return answer;
      };
    }, rounds);
    await menu.choose(SOUTH);
    await expect.poll(() => page.evaluate(() => (window as any).rounds), { timeout: 45_000 }).toBe(rounds);
    await menu.choose(NORTH);
    await menu.choose(EAST);
    await expect(page.getByRole('main')).toContainText(`at ${EAST}.`);
    await menu.shows(EAST);
  });

  test('the refusal of an outdated choice is not shown', async ({ page, person, portal, watch }) => {
    watch.expect(refusedWith(404));
    await join(portal, person, SOUTH, EAST);
    await signIn(page, person);
    let refuse = () => {};
    const held = new Promise<void>(resolve => (refuse = resolve));
    let asked = 0;
    await page.route('**/api/switch_organization', async route => {
      asked += 1;
      if (asked === 1) {
        await held;
        await route.fulfill({ status: 404, json: { code: 'not_found' } });
      } else {
        await route.continue();
      }
    });
    const menu = new OrganizationMenu(page);
    await menu.choose(SOUTH);
    await menu.choose(EAST);
    refuse();
    await expect(page.getByRole('main')).toContainText(`at ${EAST}.`);
    await menu.shows(EAST);
    await expect(new Toasts(page).all).toHaveCount(0);
  });

  test('other tabs follow, other browsers do not', async ({
    page,
    person,
    portal,
    openBrowser,
  }) => {
    await join(portal, person, SOUTH);
    await signIn(page, person);
    const beside = await page.context().newPage();
    await visit(beside, '/dashboard/settings');
    const third = await page.context().newPage();
    await visit(third, '/dashboard');
    const other = await openBrowser(FIREFOX_ON_MACOS);
    await signIn(other, person);
    const password = new PasswordSection(beside);
    await password.current.fill('what was typed');

    await new OrganizationMenu(page).choose(SOUTH);
    await expect(third.getByRole('main')).toContainText(`You are signed in as a vendor at ${SOUTH}.`);
    await expect(third.getByRole('main')).not.toContainText(NORTH);
    for (const tab of [beside, third]) {
      await new OrganizationMenu(tab).shows(SOUTH);
    }
    const section = beside.getByRole('region', { name: 'Organization' });
    await expect(section.getByRole('listitem').filter({ hasText: 'Current' })).toContainText([SOUTH]);
    await expect(password.current).toHaveValue('what was typed');

    // And back, from the other tab.
    await new OrganizationMenu(beside).choose(NORTH);
    for (const tab of [page, third]) {
      await new OrganizationMenu(tab).shows(NORTH);
      await expect(tab.getByRole('main')).toContainText(`You are signed in as a broker at ${NORTH}.`);
    }
    await new OrganizationMenu(beside).choose(SOUTH);
    await new OrganizationMenu(page).shows(SOUTH);
    await new OrganizationMenu(other).shows(NORTH);
    expect(await lookedAt(other)).toBe(NORTH);
  });

  test('choosing the active organization sends nothing', async ({ page, person, portal }) => {
    await join(portal, person, SOUTH);
    await signIn(page, person);
    const { asked } = await holdFirstSwitch(page);
    const menu = new OrganizationMenu(page);
    await menu.choose(NORTH);
    await expect(menu.choices.first()).toBeHidden();
    await menu.shows(NORTH);
    expect(asked).toEqual([]);
  });

  test('the menu can be used with the keyboard', async ({ page, person, portal }) => {
    await join(portal, person, SOUTH);
    await signIn(page, person);
    const menu = new OrganizationMenu(page);
    await menu.opener.focus();
    await page.keyboard.press('Enter');
    await expect(menu.choice(SOUTH)).toBeVisible();
    await page.keyboard.press('Tab');
    await expect(menu.choices.first()).toBeFocused();
    await page.keyboard.press('Escape');
    await expect(menu.choice(SOUTH)).toBeHidden();
    await expect(menu.opener).toBeFocused();

    await page.keyboard.press('Space');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await expect(menu.choice(SOUTH)).toBeFocused();
    await page.keyboard.press('Enter');
    await expect(menu.choice(SOUTH)).toBeHidden();
    await menu.shows(SOUTH);
    await expect(page.getByRole('main')).toContainText(`at ${SOUTH}.`);
    await expect(menu.opener).toBeFocused();
  });

  test('a touch outside closes the menu', async ({ page, person, portal }) => {
    await join(portal, person, SOUTH);
    await signIn(page, person);
    const menu = new OrganizationMenu(page);
    await menu.open();
    await page.getByRole('heading', { name: 'You', exact: true }).click();
    await expect(menu.choices.first()).toBeHidden();
    await menu.open();
    await new AccountMenu(page).open();
    await expect(menu.choices.first()).toBeHidden();
  });
});

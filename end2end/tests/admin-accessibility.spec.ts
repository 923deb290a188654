import path from 'node:path';

import type { Page } from '@playwright/test';

import { expirePasswordChecks, insertSessions, PeoplePage, AdminSessionsPage, ConfirmDialog, test } from '../support/administration';
import { Desktop } from '../support/devices';
import { visit } from '../support/hydration';
import {
  expectHeaderInOrder,
  expectNoSidewaysScroll,
  expectNoViolation,
  expectRoomForFingers,
  fit,
  movesNoMore,
  SCREENSHOTS,
  WINDOWS,
} from '../support/inspection';
import type { TestUser, Portal } from '../support/portal';
import { expect, signIn } from '../support/test';

const PATH = AdminSessionsPage.path;
const LONG = 'Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz';

interface Scene {
  page: Page;
  portal: Portal;
  admin: TestUser;
  /** The path of a page with an open panel. */
  panel: string;
  /** The id of a user in the list. */
  person: string;
}

/** The states of the admin pages, and how to reach them. The last one makes the password check too old. */
const STATES: { name: string; onlyWindow?: boolean; allColours?: boolean; arrange: (scene: Scene) => Promise<unknown> }[] = [
  { name: 'admin-sessions', allColours: true, arrange: ({ page }) => visit(page, PATH) },
  { name: 'admin-sessions-none', arrange: ({ page }) => visit(page, `${PATH}?q=nobody`) },
  { name: 'admin-sessions-ended', arrange: ({ page }) => visit(page, `${PATH}?state=all&kind=telephone`) },
  { name: 'admin-panel', arrange: ({ page, panel }) => visit(page, panel) },
  { name: 'admin-people', allColours: true, arrange: ({ page }) => visit(page, PeoplePage.path) },
  { name: 'admin-people-none', arrange: ({ page }) => visit(page, `${PeoplePage.path}?q=nobody&role=king`) },
  { name: 'admin-people-panel', arrange: ({ page, person }) => visit(page, `${PeoplePage.path}?person=${person}`) },
  {
    name: 'admin-people-ask-disable',
    onlyWindow: true,
    arrange: ({ page, person }) => visit(page, `${PeoplePage.path}?person=${person}&ask=disable`),
  },
  { name: 'admin-audit', arrange: ({ page }) => visit(page, '/dashboard/admin/audit') },
  {
    name: 'admin-health',
    allColours: true,
    arrange: async ({ page }) => {
      await visit(page, '/dashboard/admin/health');
      await page.getByText('Show as a table').first().click();
    },
  },
  ...['disable', 'change_role'].map(ask => ({
    name: `admin-ask-${ask.replace('_', '-')}`,
    onlyWindow: true,
    arrange: ({ page, panel }: Scene) => visit(page, `${panel}&ask=${ask}`),
  })),
  {
    name: 'admin-ask-end-listed',
    onlyWindow: true,
    allColours: true,
    arrange: async ({ page, portal, admin }) => {
      await expirePasswordChecks(portal, admin);
      await visit(page, `${PATH}?ask=end_listed`);
      await expect(new ConfirmDialog(page).password).toBeVisible();
    },
  },
];

test('admin pages and dialogs are accessible in every window', {
  tag: '@with-script',
}, async ({ page, portal, admin, organization }) => {
  test.slow();
  const person = await portal.register({ organization, name: `Maria ${LONG}` });
  await Desktop.signIn(portal.url, person, `${LONG} of Maria`);
  await insertSessions(portal, person, 55);
  await signIn(page, admin, `${PATH}?kind=desktop`);
  const id = await page.locator('a.device').getAttribute('id');
  const panel = `${PATH}?session=${id!.replace('session-', '')}`;
  for (const state of ['disabled_at = now()', 'password_change_required = true']) {
    const { email } = await portal.register({ organization, name: 'Bruno Never' });
    await portal.sql(`UPDATE users SET ${state} WHERE email = '${email}'`);
  }
  await page.goto(`${PeoplePage.path}?q=${LONG}`);
  const someone = await new PeoplePage(page).person(LONG).getAttribute('id');
  for (const { name, onlyWindow, allColours, arrange } of STATES) {
    await test.step(name, async () => {
      await arrange({ page, portal, admin, panel, person: someone!.replace('person-', '') });
      if (onlyWindow) {
        await expect(new ConfirmDialog(page).box).toBeVisible();
      }
      for (const window of WINDOWS) {
        const { width } = window;
        await fit(page, window);
        for (const colorScheme of allColours ? (['light', 'dark'] as const) : [window.colorScheme]) {
          await page.emulateMedia({ colorScheme });
          await movesNoMore(page);
          await page.screenshot({
            path: path.join(SCREENSHOTS, `${name}-${width}-${colorScheme}.png`),
            fullPage: !onlyWindow,
          });
          await soft(`${name}, ${width} wide, ${colorScheme}`, () => expectNoViolation(page));
        }
        // A screenshot of a whole page resets the window.
        await fit(page, window);
        await soft(`${name}, ${width} wide, sideways`, () => expectNoSidewaysScroll(page));
        await soft(`${name}, ${width} wide, header`, () => expectHeaderInOrder(page));
        if (window.touch) {
          await soft(`${name}, ${width} wide, fingers`, () => expectRoomForFingers(page));
          await fit(page, { ...window, width: 320, height: 640 });
          await soft(`${name}, 320 wide, sideways`, () => expectNoSidewaysScroll(page));
        }
      }
    });
  }
});

/** Reports a failure and continues, so that one state does not hide the next. */
async function soft(what: string, look: () => Promise<unknown>) {
  const trouble = await look().then(
    () => '',
    error => String(error.message),
  );
  expect.soft(trouble, what).toBe('');
}

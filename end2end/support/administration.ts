import type { Locator, Page } from '@playwright/test';

import type { TestUser, Portal } from './portal';
import { expect, test as base } from './test';

interface Fixtures {
  /** An organization for this test only. All users of the test belong to it. */
  organization: string;
  /** Its administrator. */
  admin: TestUser;
}

/** The test's user is a broker in the test's organization. */
export const test = base.extend<Fixtures>({
  organization: async ({}, use, { testId }) => use(`Westwind ${testId.slice(-8)}`),
  person: async ({ portal, organization }, use) => use(await portal.register({ organization })),
  admin: async ({ portal, organization }, use) =>
    use(await portal.register({ organization, role: 'admin', name: 'Ada Lindqvist' })),
});

/** Creates live sessions of a user, each a second older than the one before. Their cookies are unknown. */
export async function insertSessions(portal: Portal, person: TestUser, count: number) {
  await portal.sql(`
    INSERT INTO sessions (id, user_id, organization_id, kind, credential_hash, epoch, created_at, authenticated_at,
      last_active_at, last_seen_at, ip_address, user_agent, browser, os)
    SELECT gen_random_uuid(), u.id, m.organization_id, 'browser', sha256(gen_random_uuid()::text::bytea),
      u.session_epoch, at, at, at, at, '192.0.2.1'::inet + n, 'Opera', 'Opera ' || n, 'Linux'
    FROM generate_series(1, ${count}) n
    CROSS JOIN LATERAL (SELECT now() - n * interval '1 second' AS at) moments
    JOIN users u ON u.email = '${person.email}'
    JOIN memberships m ON m.user_id = u.id`);
}

/** Makes the user's password checks a day old. */
export async function expirePasswordChecks(portal: Portal, person: TestUser) {
  await portal.sql(
    `UPDATE sessions SET authenticated_at = authenticated_at - interval '1 day'
     WHERE user_id = (SELECT id FROM users WHERE email = '${person.email}')`,
  );
}

/** The admin page Sessions. */
export class AdminSessionsPage {
  static readonly path = '/dashboard/admin/sessions';

  readonly link: Locator;
  readonly main: Locator;
  readonly count: Locator;
  readonly rows: Locator;
  readonly search: Locator;
  readonly show: Locator;
  readonly clear: Locator;
  readonly next: Locator;
  readonly first: Locator;
  readonly exportCsv: Locator;
  readonly revokeListed: Locator;
  readonly panel: Panel;

  constructor(readonly page: Page) {
    this.link = page.getByRole('banner').getByRole('link', { name: 'Admin' });
    this.main = page.getByRole('main');
    this.count = this.main.getByRole('heading', { level: 2 }).getByRole('status');
    this.rows = this.main.locator('tbody').getByRole('row');
    this.search = this.main.getByRole('searchbox', { name: 'Search' });
    this.show = this.main.getByRole('button', { name: 'Show' });
    this.clear = this.main.getByRole('search').getByRole('link', { name: 'Clear' });
    this.next = this.main.getByRole('link', { name: 'Next page' });
    this.first = this.main.getByRole('link', { name: 'First page' });
    this.exportCsv = this.main.getByRole('link', { name: 'Export as CSV' });
    this.revokeListed = this.main.getByRole('link', { name: 'End all of these…' });
    this.panel = new Panel(page);
  }

  row(text: string | RegExp): Locator {
    return this.rows.filter({ hasText: text });
  }

  device(name: string): Locator {
    return this.rows.getByRole('link', { name });
  }

  choice(name: string): Locator {
    return this.main.getByRole('combobox', { name, exact: true });
  }

  /** Sets a filter, and without JavaScript applies it. */
  async choose(name: string, value: string, scripted: boolean) {
    await this.choice(name).selectOption(value);
    if (!scripted) {
      await this.show.click();
    }
  }

  async shows(count: number) {
    await expect(this.count).toHaveText(count === 1 ? '1 session' : `${count} sessions`);
  }

  /** The result of an action: a toast, and without JavaScript a message above the list. */
  outcome(words: string | RegExp): Locator {
    return this.page.getByRole('status').filter({ hasText: words });
  }
}

/** The admin page People. */
export class PeoplePage {
  static readonly path = '/dashboard/admin/people';

  readonly main: Locator;
  readonly count: Locator;
  readonly rows: Locator;
  readonly search: Locator;
  readonly show: Locator;
  readonly next: Locator;
  readonly first: Locator;
  readonly panel: Panel;

  constructor(readonly page: Page) {
    this.main = page.getByRole('main');
    this.count = this.main.getByRole('heading', { level: 2 }).getByRole('status');
    this.rows = this.main.locator('tbody').getByRole('row');
    this.search = this.main.getByRole('searchbox', { name: 'Search' });
    this.show = this.main.getByRole('button', { name: 'Show' });
    this.next = this.main.getByRole('link', { name: 'Next page' });
    this.first = this.main.getByRole('link', { name: 'First page' });
    this.panel = new Panel(page);
  }

  row(text: string | RegExp): Locator {
    return this.rows.filter({ hasText: text });
  }

  /** The link that opens a user's details. */
  person(name: string): Locator {
    return this.rows.getByRole('rowheader').getByRole('link', { name });
  }

  choice(name: string): Locator {
    return this.main.getByRole('combobox', { name, exact: true });
  }

  async shows(count: number) {
    await expect(this.count).toHaveText(count === 1 ? '1 person' : `${count} people`);
  }
}

/** The details panel of a session or user. */
export class Panel {
  readonly box: Locator;
  readonly title: Locator;
  readonly close: Locator;
  readonly history: Locator;
  readonly others: Locator;
  readonly revokeOne: Locator;
  readonly revokeAll: Locator;

  constructor(page: Page) {
    this.box = page.getByRole('complementary');
    this.title = this.box.getByRole('heading', { level: 2 });
    this.close = this.box.getByRole('link', { name: 'Close the details' });
    this.history = this.box.getByRole('region', { name: 'What happened' }).getByRole('listitem');
    this.others = this.box.locator('.other-sessions').getByRole('link');
    this.revokeOne = this.box.getByRole('link', { name: 'End this session…' });
    this.revokeAll = this.box.getByRole('link', { name: 'End all of their sessions…' });
  }

  action(name: string): Locator {
    return this.box.getByRole('link', { name });
  }
}

/** The confirmation dialog. */
export class ConfirmDialog {
  readonly box: Locator;
  readonly reason: Locator;
  readonly includeOwn: Locator;
  readonly password: Locator;
  readonly problem: Locator;
  readonly progress: Locator;
  readonly cancel: Locator;

  constructor(
    readonly page: Page,
    name?: string | RegExp,
  ) {
    this.box = page.getByRole('dialog', { name });
    this.reason = this.box.getByLabel('Reason shown to the users');
    this.includeOwn = this.box.getByRole('checkbox', { name: 'My own session too' });
    this.password = this.box.getByLabel('Your password');
    this.problem = this.box.getByRole('alert').and(page.locator('[data-problem]'));
    this.progress = this.box.getByRole('status');
    this.cancel = this.box.getByRole('link', { name: 'Cancel' });
  }

  confirm(name: string): Locator {
    return this.box.getByRole('button', { name, exact: true });
  }
}

import fs from 'node:fs';

import type { Locator, Page } from '@playwright/test';

import { AdminSessionsPage, ConfirmDialog, test } from '../support/administration';
import { FIREFOX_ON_MACOS } from '../support/devices';
import { visit } from '../support/hydration';
import { expect, signIn } from '../support/test';
import { refusedWith } from '../support/watch';

const PATH = '/dashboard/admin/audit';

/** `/dashboard/admin/audit` */
class AuditPage {
  readonly main: Locator;
  readonly rows: Locator;
  readonly person: Locator;
  readonly kind: Locator;
  readonly show: Locator;
  readonly older: Locator;
  readonly newest: Locator;
  readonly exported: Locator;

  constructor(page: Page) {
    this.main = page.getByRole('main');
    this.rows = this.main.locator('tbody').getByRole('row');
    this.person = this.main.getByRole('searchbox', { name: 'To whom' });
    this.kind = this.main.getByRole('combobox', { name: 'What' });
    this.show = this.main.getByRole('button', { name: 'Show' });
    this.older = this.main.getByRole('link', { name: 'Older' });
    this.newest = this.main.getByRole('link', { name: 'Newest' });
    this.exported = this.main.getByRole('link', { name: 'Export as JSON lines' });
  }
}

test('the audit log lists, filters and exports events', async ({
  page,
  portal,
  admin,
  person,
  signInElsewhere,
  javaScriptEnabled: scripted,
  watch,
}) => {
  watch.expect(refusedWith(401));
  const stranger = await portal.register({ organization: 'Elsewhere', name: 'Sven Stranger' });
  await signInElsewhere(stranger);
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await signIn(page, admin, `${AdminSessionsPage.path}?role=broker&ask=end_listed`);
  const question = new ConfirmDialog(page, 'End 1 session?');
  await question.reason.fill('The laptop was lost');
  await question.confirm('End 1 session').click();
  await expect(question.box).toHaveCount(0);

  await visit(page, PATH);
  const audit = new AuditPage(page);
  await expect(audit.main.getByRole('columnheader')).toHaveText([
    'What', 'To whom', 'By whom', 'From', 'When', 'Sealed',
  ]);
  const ended = audit.rows.filter({ hasText: 'Session ended' });
  await expect(ended).toHaveCount(1);
  await expect(ended.locator('td').first()).toHaveText(person.email);
  await expect(ended.locator('td').nth(1)).toHaveText(admin.email);
  await expect(ended.locator('td').nth(2)).toHaveText('203.0.113.7');
  await expect(audit.rows.filter({ hasText: 'Sessions ended by filter' })).toContainText('listed: 1');
  await expect(audit.main).not.toContainText(stranger.email);
  await expect(audit.main).toContainText(/(The whole log was verified on|The log has not been verified yet)/);
  await expect
    .poll(async () => (await page.reload(), (await audit.main.textContent())?.includes('Every row is sealed.')))
    .toBe(true);
  await expect(ended.locator('td').last()).toHaveText(/^No\. [\d,]+$/);

  await visit(page, PATH);
  await audit.kind.selectOption('signed_in');
  if (!scripted) {
    await audit.person.fill(person.email);
    await audit.show.click();
  } else {
    await expect(page).toHaveURL(/kind=signed_in/);
    await audit.person.fill(person.email);
  }
  await expect(audit.rows).toHaveCount(1);
  await expect(audit.rows).toContainText(person.email);
  await page.reload();
  await expect(audit.rows).toHaveCount(1);
  await expect(audit.person).toHaveValue(person.email);
  const download = page.waitForEvent('download');
  await audit.exported.click();
  const lines = fs.readFileSync(await (await download).path(), 'utf8').trim().split('\n').map(line => JSON.parse(line));
  const rows = lines.filter(line => 'kind' in line);
  expect(rows.map(row => [row.kind, row.user_email])).toEqual([['signed_in', person.email]]);

  await visit(page, `${PATH}?since=2001-01-01&until=2001-01-02`);
  await expect(audit.main).toContainText('Nothing fits this filter.');
  await visit(page, `${PATH}?since=yesterday`);
  await expect(audit.main).toContainText('“Since (UTC)” is not understood.');
});

test('a long audit log is paged', async ({ page, portal, admin, person }) => {
  await portal.sql(`INSERT INTO audit_events (at, kind, user_id, detail)
    SELECT now() - n * interval '1 second', 'reauthenticated', id, jsonb_build_object('number', n)
    FROM users, generate_series(1, 70) n WHERE email = '${person.email}'`);
  await signIn(page, admin, `${PATH}?kind=reauthenticated`);
  const audit = new AuditPage(page);
  await expect(audit.rows).toHaveCount(50);
  await audit.older.click();
  await expect(audit.rows).toHaveCount(20);
  await expect(audit.older).toHaveCount(0);
  await audit.newest.click();
  await expect(audit.rows).toHaveCount(50);
});

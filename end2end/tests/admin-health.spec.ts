import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

import type { Page } from '@playwright/test';

import { expirePasswordChecks, test as base } from '../support/administration';
import { visit } from '../support/hydration';
import { expect, signIn } from '../support/test';
import { refusedWith } from '../support/watch';

const PATH = '/dashboard/admin/health';

/** The receiver of alerts, which starts before the server. */
const test = base.extend<object, { told: string[]; receiver: string }>({
  told: [async ({}, use) => use([]), { scope: 'worker' }],
  receiver: [
    async ({ told }, use) => {
      const receiver = http.createServer(async (request, response) => {
        let body = '';
        for await (const part of request) {
          body += part;
        }
        told.push(body);
        response.end();
      });
      receiver.listen(0, '127.0.0.1');
      await once(receiver, 'listening');
      await use(`http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`);
      receiver.close();
    },
    { scope: 'worker' },
  ],
  environment: [
    async ({ receiver }, use) =>
      use({
        PORTAL_ALERT_WEBHOOK_URL: receiver,
        PORTAL_ALERT_WEBHOOK_SECRET: 'a secret for this test only',
        PORTAL_ALERT_INTERVAL: '1',
        PORTAL_ALERT_SIGN_IN_FAILURES: '1',
        PORTAL_ALERT_SIGN_IN_FAILURES_PERCENT: '1',
      }),
    { scope: 'worker' },
  ],
});

/** Checks that each chart has a text alternative and a table with a row for each step. */
async function expectCharts(page: Page, steps: number) {
  const charts = page.locator('section.chart');
  await expect(charts).not.toHaveCount(0);
  const signIns = page.getByRole('region', { name: 'Sign-ins', exact: true });
  const words = await signIns.getByRole('img').getAttribute('aria-label');
  expect(words).toMatch(/^Sign-ins\. .*\d+ at the end, \d+ at most.* The table below has every figure\.$/);
  await signIns.getByText('Show as a table').click();
  const table = signIns.getByRole('table');
  await expect(table.locator('tbody tr')).toHaveCount(steps);
  for (const [column, head] of (await table.getByRole('columnheader').allTextContents()).entries()) {
    if (column > 0) {
      const cells = await table.locator(`tbody td:nth-of-type(${column})`).allTextContents();
      const figures = cells.filter(cell => cell !== '–').map(cell => Number(cell.replace(',', '')));
      expect(words, 'the words have the figures of the table').toContain(
        `${head}: ${figures.at(-1) ?? 0} at the end, ${Math.max(0, ...figures)} at most`,
      );
    }
  }
}

test('charts have text and tables for day and month', async ({ page, admin }) => {
  await signIn(page, admin, PATH);
  await expectCharts(page, 24);
  await page.getByRole('navigation', { name: 'Time' }).getByRole('link', { name: '30 days' }).click();
  await expect(page.getByRole('heading', { name: 'The last 30 days' })).toBeVisible();
  await expect(page).toHaveURL(`${PATH}?period=month`);
  await expectCharts(page, 30);
  await expect(page.getByRole('region', { name: 'Alerts' }), 'alerts are for system administrators').toHaveCount(0);
});

test('a system administrator sees health and alerts and tests the webhook', async ({
  page,
  portal,
  person,
  told,
  javaScriptEnabled: scripted,
  watch,
}) => {
  watch.expect(refusedWith(401), refusedWith(403));
  const operator = await portal.register({ role: 'system_admin', name: 'Olga Operator' });
  for (const password of ['not the password', 'nor this one']) {
    await page.request.post('/api/sign_in', { form: { email: person.email, password } });
  }
  await signIn(page, operator, PATH);
  await expect(page.getByRole('region', { name: 'Now' }).getByRole('listitem')).not.toHaveCount(0);
  const alerts = page.getByRole('region', { name: 'Alerts' });
  await expect
    .poll(async () => (await visit(page, PATH), alerts.getByRole('listitem').filter({ hasText: 'Since' }).count()))
    .toBeGreaterThan(0);
  told.length = 0;
  await alerts.getByRole('button', { name: 'Send a test alert' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'A test alert has been queued.' })).toBeVisible();
  await expect.poll(() => told.filter(body => /test/.test(body)).length).toBe(1);
  await expect.poll(async () => (await visit(page, PATH), alerts.textContent())).toMatch(/Webhook, test: delivered/);

  await expirePasswordChecks(portal, operator);
  await visit(page, PATH);
  const password = alerts.getByLabel('Your password');
  await password.fill('not the password');
  await alerts.getByRole('button', { name: 'Send a test alert' }).click();
  if (scripted) {
    await expect(alerts.getByRole('alert')).toContainText('wrong');
  }
  expect(told.filter(body => /test/.test(body))).toHaveLength(1);
});

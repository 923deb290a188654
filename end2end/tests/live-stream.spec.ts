import type { BrowserContext, Page } from '@playwright/test';

import { visit } from '../support/hydration';
import { Live, SettingsPage } from '../support/pages';
import type { Portal } from '../support/portal';
import { CHECK, type Proxy, STREAM } from '../support/proxy';
import { freeze, put, sessionState, settled } from '../support/tabs';
import { expect, signIn, test, throughProxy } from '../support/test';
import { refusedWith } from '../support/watch';

test.use(throughProxy);

const HERE = 'Chrome on Windows';
const ENDED_BY_ADMIN = 'An administrator ended your session.';

/** Opens another tab of the same browser and waits until it follows the stream. */
async function openTab(context: BrowserContext): Promise<Page> {
  const tab = await context.newPage();
  await visit(tab, '/dashboard/settings');
  await new SettingsPage(tab).shows([HERE]);
  return tab;
}

const revoke = (portal: Portal, { email }: { email: string }) =>
  portal.command(['sessions', 'revoke', '--user', email]);

/** Checks that every tab shows the end of the session. */
async function allEnded(tabs: Page[]) {
  await Promise.all(tabs.map(tab => expect(new Live(tab).ended).toContainText(ENDED_BY_ADMIN)));
}

const streamsAre = (between: Proxy, count: number) => expect.poll(() => between.openStreams).toBe(count);

test('ten tabs share one stream', { tag: '@with-script' }, async ({
  page,
  person,
  portal,
  between,
}) => {
  await signIn(page, person, '/dashboard/settings');
  const tabs = [page];
  await streamsAre(between, 1);
  for (let count = 1; count < 10; count += 1) {
    tabs.push(await openTab(page.context()));
  }
  // Each new tab has asked for the leading tab and waited for its answer.
  await Promise.all(tabs.map(settled));
  expect(between.openStreams).toBe(1);
  expect(between.count(STREAM)).toBe(1);
  await revoke(portal, person);
  await allEnded(tabs);
  expect(between.count(STREAM), 'still the one').toBe(1);
  await streamsAre(between, 0);
});

test('another tab takes over the stream of a closed tab', { tag: '@with-script' }, async ({
  page,
  person,
  portal,
  between,
}) => {
  await signIn(page, person, '/dashboard/settings');
  await streamsAre(between, 1);
  const [second, third] = [await openTab(page.context()), await openTab(page.context())];
  expect(between.count(STREAM)).toBe(1);
  await page.close();
  await expect.poll(() => between.count(STREAM)).toBe(2);
  await streamsAre(between, 1);
  await second.close();
  await expect.poll(() => between.count(STREAM)).toBe(3);
  await streamsAre(between, 1);
  const fourth = await openTab(third.context());
  await revoke(portal, person);
  await allEnded([third, fourth]);
  expect(between.count(STREAM)).toBe(3);
});

test('no event is lost when another tab takes over', {
  tag: '@with-script',
}, async ({
  page,
  person,
  portal,
  between,
  watch,
}) => {
  watch.expect(refusedWith(401));
  await signIn(page, person, '/dashboard/settings');
  await streamsAre(between, 1);
  const second = await openTab(page.context());
  between.set(STREAM, 'hang');
  await page.close();
  await expect.poll(() => between.hanging(STREAM)).toBe(1);
  await revoke(portal, person);
  await settled(second);
  await expect(new Live(second).ended).toBeHidden();
  between.release(STREAM);
  await allEnded([second]);
});

test('one tab reopens a broken stream at once', { tag: '@with-script' }, async ({
  page,
  person,
  portal,
  between,
  watch,
}) => {
  watch.expect(/Failed to load resource: net::ERR_/);
  await signIn(page, person, '/dashboard/settings');
  await streamsAre(between, 1);
  const second = await openTab(page.context());
  for (const times of [2, 3]) {
    between.breakStreams();
    await expect.poll(() => between.count(STREAM)).toBe(times);
    await streamsAre(between, 1);
  }
  await expect(new Live(page).unreachable).toBeHidden();
  await revoke(portal, person);
  await allEnded([page, second]);
});

test('a frozen tab releases the stream and catches up', {
  tag: '@with-script',
}, async ({ page, person, portal, between, watch }) => {
  watch.expect(refusedWith(401));
  await signIn(page, person, '/dashboard/settings');
  await streamsAre(between, 1);
  const second = await openTab(page.context());
  expect(between.count(STREAM)).toBe(1);
  const thaw = await freeze(page);

  await put(second, 'visible');
  await expect.poll(() => between.count(STREAM), 'the other tab has a stream of its own').toBe(2);
  await revoke(portal, person);
  await allEnded([second]);

  await thaw();
  await allEnded([page]);
  await streamsAre(between, 0);
});

test('a thawed tab does not take the stream back', {
  tag: '@with-script',
}, async ({ page, person, portal, between, watch }) => {
  watch.expect(refusedWith(401));
  await signIn(page, person, '/dashboard/settings');
  await streamsAre(between, 1);
  const second = await openTab(page.context());
  const thaw = await freeze(page);
  await put(second, 'visible');
  await expect.poll(() => between.count(STREAM)).toBe(2);
  await thaw();
  await streamsAre(between, 1);
  await new Live(page).isAlive();
  await revoke(portal, person);
  await allEnded([page, second]);
});

const MISSING: [string, () => void][] = [
  ['Web Locks', () => Object.defineProperty(Navigator.prototype, 'locks', { get: () => undefined })],
  ['BroadcastChannel', () => delete (window as any).BroadcastChannel],
];

for (const [what, remove] of MISSING) {
  test(`in a browser without ${what} each visible tab has its own stream`, {
    tag: '@with-script',
  }, async ({ page, person, portal, between, watch }) => {
    watch.expect(refusedWith(401));
    await page.context().addInitScript(remove);
    await signIn(page, person, '/dashboard/settings');
    await streamsAre(between, 1);
    const second = await openTab(page.context());
    await streamsAre(between, 2);
    await put(second, 'hidden');
    await streamsAre(between, 1);
    await put(second, 'visible');
    await streamsAre(between, 2);
    await put(page, 'hidden');
    await streamsAre(between, 1);

    await revoke(portal, person);
    await allEnded([second]);
    await put(page, 'visible');
    await allEnded([page]);
    await streamsAre(between, 0);
  });
}

test('without server-sent events, checks notice the end', {
  tag: '@with-script',
}, async ({ page, person, portal, between, watch }) => {
  watch.expect(refusedWith(401));
  await page.context().addInitScript(() => delete (window as any).EventSource);
  await page.clock.install();
  await signIn(page, person, '/dashboard/settings');
  const second = await openTab(page.context());
  await put(second, 'hidden');
  expect(between.count(STREAM)).toBe(0);
  const before = between.count(CHECK);
  await page.clock.fastForward('01:01');
  await expect.poll(() => between.count(CHECK), 'a check each minute').toBeGreaterThan(before);
  await new Live(page).isAlive();

  await revoke(portal, person);
  await page.clock.fastForward('01:01');
  await allEnded([page]);
  // One tab that received it is enough.
  await allEnded([second]);
});

test('without any browser support, a visible tab notices the end', { tag: '@with-script' }, async ({
  page,
  person,
  portal,
  watch,
}) => {
  watch.expect(refusedWith(401));
  await page.context().addInitScript(() => {
    Object.defineProperty(Navigator.prototype, 'locks', { get: () => undefined });
    delete (window as any).BroadcastChannel;
    delete (window as any).EventSource;
  });
  await signIn(page, person, '/dashboard/settings');
  await new SettingsPage(page).shows([HERE]);
  await put(page, 'hidden');
  await revoke(portal, person);
  await put(page, 'visible');
  await allEnded([page]);
});

test('a revocation reaches tabs of another server', { tag: '@with-script' }, async ({
  page,
  person,
  portal,
  openBrowser,
  watch,
}) => {
  test.setTimeout(120_000);
  const node = await portal.secondNode();
  try {
    watch.alsoAt(node.url);
    const far = await openBrowser({ baseURL: node.url });
    await far.context().request.post(`${node.url}/api/sign_in`, {
      form: { email: person.email, password: person.password },
    });
    await visit(far, `${node.url}/dashboard/settings`);
    await new SettingsPage(far).shows([HERE]);
    await expect(new Live(far).ended).toBeHidden();
    const { id } = (await sessionState(far)).body.session;

    // Each receives what happens on the other.
    await signIn(page, person, '/dashboard/settings');
    await expect(new SettingsPage(far).rows).toHaveCount(2);
    await page.context().request.post('/api/revoke_session', { form: { session_id: id } });
    await expect(new Live(far).ended).toContainText('This session was ended from another device.');
    await new SettingsPage(page).shows([HERE]);
    await new Live(page).isAlive();
    await far.context().close();
  } finally {
    await node.stop();
  }
});

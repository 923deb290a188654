import { expect, type Page } from '@playwright/test';

import type { Proxy } from './proxy';

/** Puts a tab in front or behind others, as far as its page can tell: browsers without a screen do neither. */
export async function put(page: Page, where: 'visible' | 'hidden') {
  await page.evaluate(where => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => where });
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => where === 'hidden' });
    document.dispatchEvent(new Event('visibilitychange'));
  }, where);
}

/**
 * Has the tab's script stand still, as that of a frozen tab does, until what this gives is called. Browsers without a
 * screen freeze no tab: to them each is seen.
 */
export async function freeze(page: Page): Promise<() => Promise<void>> {
  const debug = await page.context().newCDPSession(page);
  await debug.send('Debugger.enable');
  const stopped = new Promise(resolve => debug.once('Debugger.paused', resolve));
  // It comes back when the tab does.
  page.evaluate('debugger').catch(() => {});
  await stopped;
  return async () => {
    await debug.send('Debugger.resume');
    await debug.detach();
  };
}

/** Waits until whatever the page has begun so far has come about: an answer of the server comes after it. */
export async function settled(page: Page) {
  await page.evaluate(async () => void (await (await fetch('/robots.txt', { cache: 'no-store' })).text()));
}

/** Waits until the tab has heard its stream: before that it asks each minute, and so it does where none beats. */
export async function hearsStream(page: Page, between: Proxy) {
  // A tab that has just been opened tells the others of its session first.
  await settled(page);
  await expect.poll(() => between.openStreams).toBeGreaterThan(0);
  // The tab with the stream passes on what it hears.
  await page.evaluate(() => {
    const channel = new BroadcastChannel('broker-portal-session-1');
    const beats = new Promise<void>(resolve => {
      channel.onmessage = ({ data }) => String(data).includes(' told heartbeat') && resolve();
    });
    (window as any).hasHeard = beats.then(() => channel.close());
  });
  between.beat();
  await page.evaluate(() => (window as any).hasHeard);
}

/**
 * Lets time pass on the clock of the browser's tabs while their stream beats. No time passes for the server: a check would
 * tell the tabs so, and the session would end as late as at first.
 */
export async function passesUnasked(page: Page, between: Proxy, seconds: number) {
  for (let left = seconds; left > 0; left -= 20) {
    for (const tab of page.context().pages()) {
      await hearsStream(tab, between);
    }
    // What is under way now would have taken all the time that passes, and count as unanswered.
    await expect.poll(() => between.unanswered).toBe(0);
    await settled(page);
    await page.clock.fastForward(Math.min(left, 20) * 1000);
  }
  await settled(page);
}

/** How the session of the page's browser stands. Asking is not activity. */
export async function sessionState(page: Page): Promise<any> {
  const answer = await page.context().request.get('/api/v1/session_state');
  return { status: answer.status(), body: await answer.json() };
}

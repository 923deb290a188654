import { expect, type Page } from '@playwright/test';

import type { Proxy } from './proxy';

/** Makes a tab visible or hidden for its page. Headless browsers do neither. */
export async function put(page: Page, where: 'visible' | 'hidden') {
  await page.evaluate(where => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => where });
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => where === 'hidden' });
    document.dispatchEvent(new Event('visibilitychange'));
  }, where);
}

/** Stops a tab's script, like a frozen tab, until the returned function is called. Headless browsers freeze no tab. */
export async function freeze(page: Page): Promise<() => Promise<void>> {
  const debug = await page.context().newCDPSession(page);
  await debug.send('Debugger.enable');
  const stopped = new Promise(resolve => debug.once('Debugger.paused', resolve));
  // Resolves when the tab continues.
  page.evaluate('debugger').catch(() => {});
  await stopped;
  return async () => {
    await debug.send('Debugger.resume');
    await debug.detach();
  };
}

/** Waits for the page's earlier requests: a response of the server comes after them. */
export async function settled(page: Page) {
  await page.evaluate(async () => void (await (await fetch('/robots.txt', { cache: 'no-store' })).text()));
}

/** Waits until the tab has received data of its stream. Without a stream it checks every minute. */
export async function hearsStream(page: Page, between: Proxy) {
  // A new tab first tells the others about its session.
  await settled(page);
  await expect.poll(() => between.openStreams).toBeGreaterThan(0);
  // The tab with the stream forwards what it receives.
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
 * Advances the clock of the browser's tabs while their stream sends heartbeats. The server's time does not advance, so
 * a check would reset the expiry.
 */
export async function passesUnasked(page: Page, between: Proxy, seconds: number) {
  for (let left = seconds; left > 0; left -= 20) {
    for (const tab of page.context().pages()) {
      await hearsStream(tab, between);
    }
    // A request in progress would appear to take all that time and time out.
    await expect.poll(() => between.unanswered).toBe(0);
    await settled(page);
    await page.clock.fastForward(Math.min(left, 20) * 1000);
  }
  await settled(page);
}

/** Loads the session state of the page's browser. This is no activity. */
export async function sessionState(page: Page): Promise<any> {
  const answer = await page.context().request.get('/api/v1/session_state');
  return { status: answer.status(), body: await answer.json() };
}

import type { Page } from '@playwright/test';

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

/** How the session of the page's browser stands. Asking is not activity. */
export async function sessionState(page: Page): Promise<any> {
  const answer = await page.context().request.get('/api/v1/session_state');
  return { status: answer.status(), body: await answer.json() };
}

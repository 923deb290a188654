import type { BrowserContext, Page } from '@playwright/test';

/**
 * Records elements with listeners, so that tests can wait for hydration. A form that is sent earlier loads a new page.
 */
export async function recordListeners(context: BrowserContext) {
  await context.addInitScript(() => {
    const withListener = new WeakSet<Element>();
    const add = EventTarget.prototype.addEventListener;
    EventTarget.prototype.addEventListener = function (this: EventTarget, ...rest: any[]) {
      if (this instanceof Element) {
        withListener.add(this);
      }
      return add.apply(this, rest as any);
    };
    // A form in a server-rendered fragment has no listener of its own; the fragment has.
    const isInFragment = (form: HTMLFormElement) => {
      const fragment = form.closest('.fragment');
      return fragment !== null && withListener.has(fragment);
    };
    (window as any).isHydrated = () => {
      // The confirmation page is for browsers without scripts; its form has no listener.
      const forms = [...document.forms].filter(form => !form.closest('main.confirm'));
      const isInteractive = (form: HTMLFormElement) =>
        withListener.has(form) || [...form.elements].some(control => withListener.has(control)) || isInFragment(form);
      return forms.length > 0 && forms.every(isInteractive);
    };
  });
}

/** Waits for hydration. Returns at once without JavaScript. */
export async function waitForHydration(page: Page) {
  const scripted = await page.evaluate(() => 'isHydrated' in window);
  if (scripted) {
    await page.waitForFunction(() => (window as any).isHydrated());
  }
}

/** Opens a page of the portal and waits for hydration. */
export async function visit(page: Page, path: string) {
  const response = await page.goto(path);
  await waitForHydration(page);
  return response;
}

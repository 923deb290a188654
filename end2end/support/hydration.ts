import type { BrowserContext, Page } from '@playwright/test';

/**
 * Lets tests wait until a page's own script answers, without a word in the page about it: forms work before that too,
 * by leaving the page, which is not what a test with JavaScript means to see.
 */
export async function noteListeners(context: BrowserContext) {
  await context.addInitScript(() => {
    const heard = new WeakSet<Element>();
    const add = EventTarget.prototype.addEventListener;
    EventTarget.prototype.addEventListener = function (this: EventTarget, ...rest: any[]) {
      if (this instanceof Element) {
        heard.add(this);
      }
      return add.apply(this, rest as any);
    };
    // What the server draws is listened to from around it.
    const isDrawn = (form: HTMLFormElement) => {
      const around = form.closest('.fragment');
      return around !== null && heard.has(around);
    };
    (window as any).isHydrated = () => {
      // The page that asks instead of the dialog is for browsers without scripts; its form has none.
      const forms = [...document.forms].filter(form => !form.closest('main.confirm'));
      const answers = (form: HTMLFormElement) =>
        heard.has(form) || [...form.elements].some(control => heard.has(control)) || isDrawn(form);
      return forms.length > 0 && forms.every(answers);
    };
  });
}

/** Waits until the page's script has taken over. Without JavaScript a page is ready as it is. */
export async function hydrated(page: Page) {
  const scripted = await page.evaluate(() => 'isHydrated' in window);
  if (scripted) {
    await page.waitForFunction(() => (window as any).isHydrated());
  }
}

/** Opens a page of the portal and waits until it answers. */
export async function visit(page: Page, path: string) {
  const response = await page.goto(path);
  await hydrated(page);
  return response;
}

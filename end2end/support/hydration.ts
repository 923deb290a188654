import type { BrowserContext, Page } from '@playwright/test';

/**
 * Lets tests wait for hydration. Forms work before that too, but load a new page, which tests with JavaScript do not
 * expect.
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
    // Listeners of HTML from the server are on its container.
    const isDrawn = (form: HTMLFormElement) => {
      const around = form.closest('.fragment');
      return around !== null && heard.has(around);
    };
    (window as any).isHydrated = () => {
      // The confirmation page is for browsers without scripts; its form has no listener.
      const forms = [...document.forms].filter(form => !form.closest('main.confirm'));
      const answers = (form: HTMLFormElement) =>
        heard.has(form) || [...form.elements].some(control => heard.has(control)) || isDrawn(form);
      return forms.length > 0 && forms.every(answers);
    };
  });
}

/** Waits for hydration. Without JavaScript a page is ready at once. */
export async function hydrated(page: Page) {
  const scripted = await page.evaluate(() => 'isHydrated' in window);
  if (scripted) {
    await page.waitForFunction(() => (window as any).isHydrated());
  }
}

/** Opens a page of the portal and waits for hydration. */
export async function visit(page: Page, path: string) {
  const response = await page.goto(path);
  await hydrated(page);
  return response;
}

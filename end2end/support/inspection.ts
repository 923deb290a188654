import path from 'node:path';

import AxeBuilder from '@axe-core/playwright';
import type { CDPSession, Page } from '@playwright/test';

import { expect } from './test';

export const SCREENSHOTS = path.join(__dirname, '../results/screenshots');

const STANDARDS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** A window in which pages are checked. */
export interface Window {
  width: number;
  height: number;
  colorScheme: 'light' | 'dark';
  touch: boolean;
}

/** A desktop and a telephone, each in one colour scheme. */
export const WINDOWS: Window[] = [
  { width: 1280, height: 800, colorScheme: 'dark', touch: false },
  { width: 390, height: 844, colorScheme: 'light', touch: true },
];

/** Browsers end the emulation with its session. */
const emulations = new WeakMap<Page, CDPSession>();

/** Gives a loaded page another window. To sign in and load it again for each window would take twice as long. */
export async function fit(page: Page, { width, height, touch }: Window) {
  const emulation = emulations.get(page) ?? (await page.context().newCDPSession(page));
  emulations.set(page, emulation);
  await page.setViewportSize({ width, height });
  await emulation.send('Emulation.setTouchEmulationEnabled', { enabled: touch, maxTouchPoints: 5 });
  await emulation.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: touch });
}

/** Waits until dialogs and colours have stopped moving. Progress indicators never end. */
export async function movesNoMore(page: Page) {
  await expect
    .poll(() =>
      page.evaluate(
        () =>
          document.getAnimations().filter(moving => moving.effect?.getComputedTiming().iterations !== Infinity).length,
      ),
    )
    .toBe(0);
}

/** Checks with axe. It is a script, so it runs with JavaScript only; the elements are the same without. */
export async function expectNoViolation(page: Page) {
  // The other mode checks frames on a separate page; the portal has none. Elements that pass are not reported, which takes a
  // third less time.
  const { violations } = await new AxeBuilder({ page })
    .setLegacyMode()
    .options({ runOnly: STANDARDS, resultTypes: ['violations'] })
    .analyze();
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(node => node.html).join(' ')}`);
  expect(found).toEqual([]);
}

export async function expectNoSidewaysScroll(page: Page) {
  const { wide, window } = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth,
    window: document.documentElement.clientWidth,
  }));
  expect(wide, 'nothing stands beyond the edge of the window').toBeLessThanOrEqual(window);
}

/** Fixed elements do not cause scrolling, so they must fit into the window. */
export async function expectToastsInWindow(page: Page) {
  const outside = await page.evaluate(() =>
    [...document.querySelectorAll('.toast')]
      .map(toast => ({ words: toast.textContent, box: toast.getBoundingClientRect() }))
      .filter(({ box }) => box.left < 0 || box.right > innerWidth || box.top < 0 || box.bottom > innerHeight)
      .map(({ words, box }) => `${Math.round(box.left)} to ${Math.round(box.right)}: ${words}`),
  );
  expect(outside, 'messages that stand beyond the edge of the window').toEqual([]);
}

/** Checks that nothing in the header overlaps, however long a name is. */
export async function expectHeaderInOrder(page: Page) {
  const overlaps = await page.evaluate(() => {
    const parts = [...document.querySelectorAll('.app-header .brand, .app-nav a, .organization, .menu summary')];
    const box = (part: Element) => part.getBoundingClientRect();
    const apart = (a: DOMRect, b: DOMRect) =>
      a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
    return parts.flatMap((part, i) =>
      parts
        .slice(i + 1)
        .filter(other => !apart(box(part), box(other)))
        .map(other => `${part.textContent} over ${other.textContent}`),
    );
  });
  expect(overlaps, 'parts of the header that overlap').toEqual([]);
}

/** Checks that every control is at least 44 px high and wide, except links within text. */
export async function expectRoomForFingers(page: Page) {
  const small = () =>
    page.evaluate(() => {
      const controls = [...document.querySelectorAll('a, button, input:not([type="hidden"]), summary')];
      const seen = controls.filter(control => control.checkVisibility({ visibilityProperty: true }));
      return seen
        .filter(control => !control.matches('.skip-link:not(:focus)') && getComputedStyle(control).display !== 'inline')
        .map(control => ({
          html: control.outerHTML.slice(0, 100),
          // The label of a radio button is part of it.
          box: (control.closest('label') ?? control).getBoundingClientRect(),
        }))
        .filter(({ box }) => box.height < 44 || box.width < 44)
        .map(({ html, box }) => `${Math.round(box.width)} x ${Math.round(box.height)}: ${html}`);
    });
  await expect.poll(() => page.evaluate(() => matchMedia('(pointer: coarse)').matches), 'a touch screen').toBe(true);
  expect(await small(), 'controls that are too small for fingers').toEqual([]);
}

import { expect, type Locator, type Page } from '@playwright/test';

import { waitForHydration } from './hydration';
import type { TestUser } from './portal';

/** `/login` */
export class SignInPage {
  readonly email: Locator;
  readonly password: Locator;
  readonly button: Locator;
  readonly problem: Locator;
  readonly reason: Locator;

  constructor(private readonly page: Page) {
    this.email = page.getByLabel('Email');
    this.password = page.getByLabel('Password', { exact: true });
    this.button = page.getByRole('button', { name: 'Sign in' });
    this.problem = page.getByRole('alert');
    this.reason = page.getByRole('main').getByRole('status');
  }

  async fill(person: Pick<TestUser, 'email' | 'password'>) {
    await waitForHydration(this.page);
    await this.email.fill(person.email);
    await this.password.fill(person.password);
  }

  async signIn(person: Pick<TestUser, 'email' | 'password'>) {
    await this.fill(person);
    await this.button.click();
  }
}

/** `/dashboard/settings` */
export class SettingsPage {
  readonly section: Locator;
  readonly rows: Locator;
  readonly thisBrowser: Locator;
  readonly count: Locator;
  readonly signOutOthers: Locator;
  readonly signOutAll: Locator;

  constructor(readonly page: Page) {
    this.section = page.getByRole('region', { name: 'Active sessions' });
    this.rows = this.section.getByRole('listitem').filter({ has: page.getByRole('heading') });
    this.thisBrowser = this.rows.filter({ hasText: 'This browser' });
    this.count = this.section.getByText(/^\d+ devices?$/);
    this.signOutOthers = this.section.getByRole('button', { name: 'Sign out other devices' });
    this.signOutAll = this.section.getByRole('button', { name: 'Sign Out All Devices' });
  }

  row(device: string): Locator {
    return this.rows.filter({ has: this.page.getByRole('heading', { name: device }) });
  }

  signOut(device: string): Locator {
    return this.row(device).getByRole('button', { name: `Sign out of ${device}` });
  }

  /** The result of an action: a toast, and without JavaScript a message above the list. */
  get notice(): Locator {
    const inSection = this.section.getByRole('status');
    return new Toasts(this.page).words.or(inSection).filter({ hasText: /signed out/ });
  }

  async shows(devices: string[]) {
    await expect(this.rows.getByRole('heading')).toHaveCount(devices.length);
    for (const device of devices) {
      await expect(this.row(device)).toHaveCount(1);
    }
    await expect(this.count).toHaveText(devices.length === 1 ? '1 device' : `${devices.length} devices`);
  }
}

/** Messages at the bottom of the page. */
export class Toasts {
  readonly region: Locator;
  readonly all: Locator;
  readonly words: Locator;

  constructor(page: Page) {
    // The container exists before its first message; otherwise that one is not announced.
    this.region = page.getByRole('status').and(page.locator('.toast-region'));
    this.all = this.region.locator('.toast');
    this.words = this.all.getByRole('paragraph');
  }

  saying(words: string): Locator {
    return this.all.filter({ hasText: words });
  }

  dismiss(words: string): Locator {
    return this.saying(words).getByRole('button', { name: 'Dismiss this message' });
  }
}

/** The dialog over a private page whose session has ended, with JavaScript. */
export class SignedOutDialog {
  readonly box: Locator;
  readonly why: Locator;
  readonly email: Locator;
  readonly password: Locator;
  readonly button: Locator;
  readonly problem: Locator;
  readonly elsewhere: Locator;

  constructor(readonly page: Page) {
    this.box = page.getByRole('dialog', { name: 'You are signed out' });
    this.why = this.box.locator('#session-ended-why');
    this.email = this.box.getByLabel('Email');
    this.password = this.box.getByLabel('Password', { exact: true });
    this.button = this.box.getByRole('button', { name: 'Sign in again' });
    this.problem = this.box.getByRole('alert');
    this.elsewhere = this.box.getByRole('link', { name: 'Go to the sign-in page' });
  }

  async says(reason: string | RegExp) {
    await expect(this.box).toBeVisible();
    await expect(this.why).toHaveText(reason);
  }

  async signIn(person: Pick<TestUser, 'email' | 'password'>) {
    await this.email.fill(person.email);
    await this.password.fill(person.password);
    await this.button.click();
  }
}

/** Asks before several devices are signed out: a dialog, and without JavaScript a page. */
class SignOutQuestion {
  readonly box: Locator;
  readonly devices: Locator;
  readonly cancel: Locator;

  constructor(
    readonly page: Page,
    scripted: boolean,
    name: string,
  ) {
    this.box = scripted ? page.getByRole('dialog', { name }) : page.getByRole('region', { name });
    this.devices = this.box.getByRole('listitem');
    this.cancel = this.box.getByRole(scripted ? 'button' : 'link', { name: 'Cancel' });
  }

  confirm(count: number): Locator {
    const devices = count === 1 ? '1 device' : `${count} devices`;
    return this.box.getByRole('button', { name: `Sign out of ${devices}`, exact: true });
  }
}

export class SignOutAllQuestion extends SignOutQuestion {
  constructor(page: Page, scripted: boolean) {
    super(page, scripted, 'Sign out of all devices?');
  }
}

export class SignOutOthersQuestion extends SignOutQuestion {
  constructor(page: Page, scripted: boolean) {
    super(page, scripted, 'Sign out of other devices?');
  }
}

/** Asks for the password during an action: a dialog, and without JavaScript a page. */
export class PasswordQuestion {
  readonly box: Locator;
  readonly password: Locator;
  readonly problem: Locator;
  readonly cancel: Locator;

  constructor(
    readonly page: Page,
    scripted: boolean,
  ) {
    const name = 'Enter your password to continue';
    this.box = scripted ? page.getByRole('dialog', { name }) : page.getByRole('region', { name });
    this.password = this.box.getByLabel('Password', { exact: true });
    this.problem = this.box.getByRole('alert').filter({ hasText: /\S/ });
    this.cancel = this.box.getByRole(scripted ? 'button' : 'link', { name: 'Cancel' });
  }

  /** The button that performs the action, by its label. */
  goOn(label: string): Locator {
    return this.box.getByRole('button', { name: label, exact: true });
  }
}

/** The security notices at the top of the settings. */
export class Questions {
  readonly card: Locator;
  readonly items: Locator;
  readonly outcome: Locator;

  constructor(readonly page: Page) {
    this.card = page.getByRole('region', { name: 'Unusual activity' });
    this.items = this.card.getByRole('listitem');
    this.outcome = page.getByRole('status').filter({ hasText: /has been signed out\.|We will not ask/ });
  }

  /** Opens the list of notices. */
  async open() {
    await this.card.locator('summary').click();
    await expect(this.items.first()).toBeVisible();
  }

  yes(device: string): Locator {
    return this.card.getByRole('button', { name: `Yes, it was me (${device})` });
  }

  no(device: string): Locator {
    return this.card.getByRole('button', { name: `No, sign it out (${device})` });
  }
}

/** The section for changing the password. */
export class PasswordSection {
  readonly section: Locator;
  readonly current: Locator;
  readonly fresh: Locator;
  readonly end: Locator;
  readonly keep: Locator;
  readonly button: Locator;
  readonly alert: Locator;
  readonly done: Locator;

  constructor(readonly page: Page) {
    this.section = page.getByRole('region', { name: 'Password' });
    this.current = this.section.getByLabel('Current password', { exact: true });
    this.fresh = this.section.getByLabel('New password', { exact: true });
    this.end = this.section.getByRole('radio', { name: /^Sign them out/ });
    this.keep = this.section.getByRole('radio', { name: /^Keep them signed in/ });
    this.button = this.section.getByRole('button', { name: 'Change password' });
    this.alert = this.section.getByRole('alert').filter({ hasText: /\S/ });
    this.done = this.section.getByRole('status').filter({ hasText: 'Your password has been changed.' });
  }

  async change(from: string, to: string) {
    await this.current.fill(from);
    await this.fresh.fill(to);
    await this.button.click();
  }
}

/** The organization menu in the header. */
export class OrganizationMenu {
  readonly opener: Locator;
  readonly choices: Locator;
  readonly chosen: Locator;

  constructor(readonly page: Page) {
    this.opener = page.locator('summary', { hasText: 'Organization:' });
    this.choices = page.getByRole('form', { name: 'Switch organization' }).getByRole('button');
    this.chosen = this.choices.and(page.locator('[aria-current="true"]'));
  }

  choice(name: string): Locator {
    return this.choices.filter({ hasText: name });
  }

  async open() {
    await this.opener.click();
    await expect(this.choices.first()).toBeVisible();
  }

  async choose(name: string) {
    await this.open();
    await this.choice(name).click();
  }

  /** Checks the name in the header and the selected entry. */
  async shows(name: string) {
    await expect(this.opener).toContainText(name);
    await expect(this.page.locator('summary + .menu-panel form button[aria-current="true"]')).toContainText([name]);
  }
}

/** What every private page shows about its session and connection. */
export class Live {
  /** The dialog over the page after the session has ended. */
  readonly ended: Locator;
  readonly unreachable: Locator;
  readonly tryNow: Locator;
  readonly warning: Locator;
  readonly stay: Locator;
  readonly dismiss: Locator;

  constructor(readonly page: Page) {
    this.ended = page.getByRole('dialog', { name: 'You are signed out' });
    this.tryNow = page.getByRole('button', { name: 'Try now' });
    this.unreachable = page.getByRole('status').filter({ has: this.tryNow });
    this.warning = page.getByRole('status').filter({ hasText: 'Your session ends in' });
    this.stay = this.warning.getByRole('button', { name: 'Stay signed in' });
    this.dismiss = this.warning.getByRole('button', { name: 'Dismiss' });
  }

  toast(text: string | RegExp): Locator {
    const dismiss = this.page.getByRole('button', { name: 'Dismiss this message' });
    return this.page.getByRole('status').filter({ has: dismiss }).getByText(text);
  }

  /** Checks that the page works normally. */
  async isAlive() {
    await expect(this.unreachable).toBeHidden();
    await expect(this.ended).toBeHidden();
    await expect(this.page).toHaveURL(/\/dashboard/);
  }
}

/** The account menu in the header. */
export class AccountMenu {
  readonly opener: Locator;
  readonly signOut: Locator;

  constructor(private readonly page: Page) {
    this.opener = page.locator('summary', { hasText: 'Your account' });
    this.signOut = page.getByRole('button', { name: 'Sign out this browser' });
  }

  theme(name: 'Light' | 'Dark' | 'System'): Locator {
    return this.page.getByRole('group', { name: 'Theme' }).getByRole('button', { name });
  }

  async open() {
    await this.opener.click();
    await expect(this.signOut).toBeVisible();
  }

  /** Selects a theme and waits until it is saved, which is after the page shows it. */
  async choose(name: 'Light' | 'Dark' | 'System') {
    const kept = this.page.waitForResponse('**/api/choose_theme');
    await this.theme(name).click();
    expect((await kept).ok() || (await kept).status() === 302).toBe(true);
  }
}

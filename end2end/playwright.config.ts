import { execFileSync } from 'node:child_process';
import path from 'node:path';

import { defineConfig } from '@playwright/test';

import { CHROME_ON_WINDOWS } from './support/devices';

const chromium =
  process.env.CHROMIUM ||
  execFileSync(path.join(__dirname, '../scripts/find-chromium.sh'), { encoding: 'utf8' }).trim();

// Every test runs in both projects unless its tag says otherwise.
export default defineConfig({
  testDir: 'tests',
  outputDir: 'results/artifacts',
  reporter: [['list'], ['./support/summary-reporter.ts']],
  fullyParallel: true,
  forbidOnly: Boolean(process.env.CI),
  workers: 2,
  retries: 0,
  // Generous, because other work may run on the same machine. No test waits for a fixed time.
  timeout: 60_000,
  expect: { timeout: 15_000 },
  use: {
    actionTimeout: 15_000,
    navigationTimeout: 30_000,
    screenshot: 'only-on-failure',
    trace: process.env.CI ? 'retain-on-failure' : 'off',
    locale: 'en-US',
    timezoneId: 'UTC',
    ...CHROME_ON_WINDOWS,
    launchOptions: {
      executablePath: chromium,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        // The first requests of a page may be sent before its context is set up.
        `--user-agent=${CHROME_ON_WINDOWS.userAgent}`,
      ],
    },
  },
  projects: [
    { name: 'with JavaScript', grepInvert: /@without-script/, use: { javaScriptEnabled: true } },
    { name: 'without JavaScript', grepInvert: /@with-script/, use: { javaScriptEnabled: false } },
  ],
});

// A real server on a free port with an empty database, and a real Chromium.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import {
  chromium,
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  type Page,
} from 'playwright-core';
import { expect } from 'vitest';

const required = (name: string): string => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; cargo xtask test e2e sets it`);
  return value;
};

const SCREENSHOTS = process.env['KEZ_SCREENSHOTS'];

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export class Home {
  #child: ChildProcess | undefined;
  private constructor(
    readonly url: string,
    readonly folder: string,
    readonly flags: readonly string[],
  ) {}

  static async start(flags: readonly string[] = []): Promise<Home> {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), 'kez-e2e-'));
    const url = `http://localhost:${port}`;
    const args = ['--bind', `127.0.0.1:${port}`, '--db', join(folder, 'kez-chat.db'), '--server', 'kez.lat'];
    const home = new Home(url, folder, [
      ...args,
      '--rate-limit',
      'off',
      '--sig-bind',
      '127.0.0.1:0',
      '--public-url',
      url,
      ...flags,
    ]);
    await home.up();
    return home;
  }

  /** Starts the program and waits until it answers. */
  async up(): Promise<void> {
    const child = spawn(required('KEZ_SERVER_PROGRAM'), this.flags, { stdio: 'ignore', cwd: this.folder });
    this.#child = child;
    let hasEnded = false;
    child.once('exit', () => (hasEnded = true));
    for (;;) {
      if (hasEnded) throw new Error('the server ended instead of listening');
      const answer = await fetch(`${this.url}/v1/healthz`).catch(() => undefined);
      if (answer?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Ends the program as a power cut would, and waits until it is gone. */
  async down(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  async end(): Promise<void> {
    await this.down();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: required('CHROMIUM'),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** A page of one person, with everything that it must never do written down. */
export interface Seat {
  readonly context: BrowserContext;
  readonly page: Page;
  /** Errors, refused policies, requests to others. */
  readonly faults: string[];
}

export async function seat(browser: Browser, home: Home, options: BrowserContextOptions = {}): Promise<Seat> {
  const context = await browser.newContext({ baseURL: home.url, locale: 'en-GB', ...options });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
  page.on('console', (message) => {
    // A lookup of a free name answers 404, which Chromium reports as an error of its own.
    if (message.type() === 'error' && !/status of (404|409)/.test(message.text()))
      faults.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(home.url) && !url.startsWith('data:') && !url.startsWith('blob:'))
      faults.push(`request: ${url}`);
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  return { context, page, faults };
}

export const PASSPHRASE = 'four ordinary words here';

/** Signs up by hand, as somebody would; returns the recovery words. */
export async function signUp(page: Page, name: string): Promise<readonly string[]> {
  await page.goto('/');
  await page.getByRole('link', { name: 'Take a name' }).click();
  await page.getByLabel('Name', { exact: true }).fill(name);
  await page.getByText(`${name}@kez.lat is free`).waitFor();
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByLabel('Passphrase', { exact: true }).last().fill(PASSPHRASE);
  await page.getByLabel('The same once more').fill(PASSPHRASE);
  await page.getByRole('button', { name: 'Create my key' }).click();
  const words = await wordsOn(page);
  await page.getByRole('button', { name: 'I have written them down' }).click();
  await recallOn(page, words);
  await page.getByRole('heading', { name: `${name}@kez.lat` }).waitFor();
  return words;
}

export async function wordsOn(page: Page): Promise<readonly string[]> {
  const items = page.locator('ol li');
  await items.nth(23).waitFor();
  return items.locator('span:last-child').allTextContents();
}

export async function recallOn(page: Page, words: readonly string[]): Promise<void> {
  await page
    .getByLabel(/Word \d+/)
    .last()
    .waitFor();
  for (const field of await page.getByLabel(/Word \d+/).all()) {
    const label = await field.evaluate((input: HTMLInputElement) => input.labels?.[0]?.textContent ?? '');
    const position = Number(/\d+/.exec(label)?.[0]);
    await field.fill(words[position - 1] ?? '');
  }
  await page.getByRole('button', { name: 'Finish' }).click();
}

const LOOKS = [
  { name: 'light-1280', width: 1280, height: 900, theme: 'light' },
  { name: 'dark-1280', width: 1280, height: 900, theme: 'dark' },
  { name: 'light-390', width: 390, height: 844, theme: 'light' },
  { name: 'dark-390', width: 390, height: 844, theme: 'dark' },
] as const;

/** Checks accessibility in both themes and that nothing sticks out, and keeps pictures to look at. */
export async function review(page: Page, name: string): Promise<void> {
  for (const look of LOOKS) {
    await page.setViewportSize({ width: look.width, height: look.height });
    await page.emulateMedia({ colorScheme: look.theme, reducedMotion: 'reduce' });
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow, `${name} ${look.name} is wider than the screen`).toBeLessThanOrEqual(0);
    if (SCREENSHOTS) {
      mkdirSync(SCREENSHOTS, { recursive: true });
      await page.screenshot({ path: join(SCREENSHOTS, `${name}-${look.name}.png`), fullPage: true });
    }
    if (look.width === 1280) {
      const { violations } = await new AxeBuilder({ page }).analyze();
      const findings = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
      expect(findings, `${name} ${look.name}`).toEqual([]);
    }
  }
  await page.setViewportSize({ width: 1280, height: 900 });
}

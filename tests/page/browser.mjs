/**
 * What every test of the monitor's page needs of a browser, whichever monitor serves the page.
 *
 * `CHROMIUM` names another browser than Debian's, and `PAGE_SHOTS` a folder for screenshots; without it none are kept.
 * Nothing here waits for a time: what is awaited is what the page shows, and playwright gives up after its own limit.
 */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const QUIET = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
];

/** What a browser logs by itself when a monitor is away or refuses something; a test that provokes this allows it. */
export const NETWORK = /WebSocket connection to|Failed to load resource/;

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: QUIET });

/**
 * Opens the page of the monitor at `url` in a context of its own.
 *
 * With `time` the page's clock starts there; `page.clock` then controls it. `faults` collects whatever a sound page
 * never does: console errors and warnings, refusals by the policy, exceptions, and requests to another origin.
 */
export async function openPage(browser, url, { width = 1440, height = 900, colorScheme = 'light', time, allow, before } = {}) {
    const context = await browser.newContext({
        viewport: { width, height }, colorScheme, reducedMotion: 'reduce', locale: 'en-GB', timezoneId: 'UTC',
    });
    const page = await context.newPage();
    const faults = [], origin = new URL(url).origin;
    page.setDefaultTimeout(15_000);
    page.on('console', message => {
        if (['error', 'warning'].includes(message.type()) && !allow?.test(message.text())) faults.push(message.text());
    });
    page.on('pageerror', error => faults.push(String(error)));
    page.on('request', request => {
        if (!request.url().startsWith('data:') && new URL(request.url()).origin !== origin) faults.push(`asked ${request.url()}`);
    });
    page.on('websocket', socket => {
        if (new URL(socket.url()).host !== new URL(url).host) faults.push(`asked ${socket.url()}`);
    });
    page.on('dialog', dialog => {
        faults.push(`opened a dialog: ${dialog.message()}`);
        dialog.dismiss();
    });
    if (time !== undefined) await page.clock.install({ time });
    await before?.(page);
    await page.goto(url);
    return { page, faults, close: () => context.close() };
}

/** The rows that are shown, narrowed by id, name, phase (the row's own) or state (the word that is shown). */
export function row(page, { id, name, phase, state } = {}) {
    const wanted = Object.entries({ id, phase, state }).filter(([, value]) => value !== undefined)
        .map(([key, value]) => `[data-${key}="${value}"]`).join('');
    const rows = page.locator(`tr[data-id]${wanted}:not([hidden])`);
    return name === undefined ? rows : rows.filter({ has: page.locator('.name bdi').getByText(name, { exact: true }) });
}

export async function waitForRow(page, wanted) {
    const found = row(page, wanted).first();
    await found.waitFor();
    return found;
}

/** Waits until nothing that the page has asked for is on its way any more. With a stopped clock that is not yet painted. */
export const waitForLoad = page => page.locator('table[aria-busy=false]').waitFor({ state: 'attached' });

/** Waits until the words of the connection are exactly these. */
export const waitForConnection = (page, words) => waitForText(page, '#connection', words);

/** Waits until an element's text is exactly this, or fits a pattern. */
export async function waitForText(page, selector, words) {
    const pattern = words instanceof RegExp ? words : new RegExp(`^${words.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
    try {
        await page.locator(selector).filter({ hasText: pattern }).first().waitFor({ state: 'attached' });
    } catch (error) {
        const texts = await page.locator(selector).allTextContents();
        throw new Error(`${selector} never was ${pattern}, but ${JSON.stringify(texts.slice(0, 3))}`, { cause: error });
    }
}

/** The text of a cell, such as `tool_calls`, of the row that is meant. */
export const cell = (found, key) => found.locator(`td.${key}`).textContent();

export async function assertFitsWidth(page) {
    const { inner, outer, wide, cut } = await page.evaluate(() => ({
        outer: document.documentElement.clientWidth,
        inner: document.documentElement.scrollWidth,
        wide: [...document.querySelectorAll('body *')].filter(node => node.getBoundingClientRect().right > innerWidth + 1
            && !node.closest('pre, thead, .unseen')).map(node => node.id || node.className || node.tagName),
        cut: [...document.querySelectorAll('button, h1, h2, p, dd, td:not(.name, .client)')].filter(node => node.checkVisibility()
            && !node.matches('.unseen, .name button') && node.scrollWidth > node.clientWidth + 1).map(node => node.textContent),
    }));
    assert.ok(inner <= outer, `the page is ${inner} px wide in a window of ${outer} px`);
    assert.deepEqual(wide, [], 'these stand out on the right');
    assert.deepEqual(cut, [], 'these texts are wider than their boxes');
}

/** Every text that is shown has the contrast that WCAG 2 wants of small text (AA, 4.5 to 1). */
export async function assertContrast(page) {
    const poor = await page.evaluate(() => {
        const parse = colour => colour.match(/[\d.]+/g).map(Number);
        const light = colour => parse(colour).slice(0, 3).map(c => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
        const ground = node => {
            for (let at = node; at; at = at.parentElement) {
                const colour = getComputedStyle(at).backgroundColor;
                if ((parse(colour)[3] ?? 1) > 0) return colour;
            }
            return 'rgb(255, 255, 255)';
        };
        const found = new Set();
        const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (texts.nextNode()) {
            const node = texts.currentNode.parentElement;
            if (!texts.currentNode.data.trim() || !node.checkVisibility() || node.closest('script, .unseen')) continue;
            const [high, low] = [light(getComputedStyle(node).color), light(ground(node))].sort((a, b) => b - a);
            const ratio = (high + 0.05) / (low + 0.05);
            if (ratio < 4.5) found.add(`${node.textContent.slice(0, 40)}: ${ratio.toFixed(2)}`);
        }
        return [...found];
    });
    assert.deepEqual(poor, []);
}

export async function screenshot(page, name) {
    if (!process.env.PAGE_SHOTS) return;
    mkdirSync(process.env.PAGE_SHOTS, { recursive: true });
    await page.screenshot({ path: join(process.env.PAGE_SHOTS, `${name}.png`), animations: 'disabled' });
}

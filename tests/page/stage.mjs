/** What every test against a mock of the monitor needs: a browser for all of them, a mock and its page for each. */
import { after, afterEach, before } from 'node:test';

import { launch, openPage, waitForConnection, waitForLoad } from './browser.mjs';
import { Mock, hour } from './mock.mjs';

export const MINUTE = 60_000;
export const NOW = Date.UTC(2026, 4, 12, 14, 30, 5);

let browser, opened = [];
/** The monitor of the running test. */
export let mock;
before(async () => { browser = await launch(); });
after(() => browser.close());
afterEach(async () => {
    for (const { close } of opened) await close();
    opened = [];
    await mock?.stop();
});

/** Starts a mock, lets `fill` make its rows, and opens its page at the time for which they are made. */
export async function show(fill = () => {}, options = {}) {
    mock = await new Mock(NOW).start();
    mock.history.minutes = hour(NOW);
    fill(mock);
    const tab = await openPage(browser, mock.url, { time: NOW, ...options });
    opened.push(tab);
    if (options.live !== false) {
        await waitForConnection(tab.page, 'live');
        await waitForLoad(tab.page);
    }
    return tab;
}

/** Stops the page's clock within the next second, and returns its time; from then on only the test moves it. */
export async function freeze(page) {
    const time = await page.evaluate(() => Math.ceil(Date.now() / 1_000) * 1_000 + 1_000);
    await page.clock.pauseAt(time);
    return time;
}

/** Lets seconds pass in which the monitor speaks, as the real one does every five. */
export async function runLive(page, seconds) {
    for (let left = seconds; left > 0; left -= 5) {
        await page.evaluate(() => { lastWord = 0; });
        mock.sendHealth();
        await page.waitForFunction(() => lastWord > 0);
        await page.clock.runFor(Math.min(5, left) * 1_000);
    }
}

/** What a mixed afternoon looks like. */
export function afternoon(monitor) {
    const created = minutes => NOW - minutes * MINUTE;
    const made = [
        { name: 'filesystem', client_name: 'Claude Code', client_version: '2.1.9', created_at: created(3), tool_calls: 12, last_active: NOW - 900 },
        { name: 'wallet', created_at: created(55), token_state: 'active', token_expires_at: NOW + 12 * MINUTE + 30_000, tool_calls: 208, restarts: 1, guidance_answers: 2, errors: 3 },
        { name: 'github', client_name: 'Cursor', client_version: '3.2', created_at: created(130), phase: 'degraded', restarts: 6, guidance_answers: 9, errors: 1, command: 'docker run -i --rm ghcr.io/github/github-mcp-server' },
        { name: 'everything', client_name: 'Visual Studio Code', client_version: '1.120.0', created_at: created(190), phase: 'waiting', restarts: 3, tool_calls: 1204 },
        { name: 'postgres', created_at: created(1500), phase: 'draining', token_state: 'active', token_expires_at: NOW + 95_000, api_state: 'unreachable', tool_calls: 88 },
        { name: 'weather', created_at: created(1), phase: 'starting', client_name: null, client_version: null, last_active: null, tool_calls: 0, requests: 1 },
        { name: 'billing', created_at: created(70), token_state: 'expired', token_expires_at: NOW - MINUTE, api_state: 'ok', guidance_answers: 4 },
        { name: 'memory', created_at: created(20), token_state: 'absent' },
        { name: 'notes', created_at: created(400), closed_at: created(80), alive_at: created(80), last_active: created(90), phase: 'stopped', close_reason: 'host_eof', token_state: 'active', api_state: 'locked' },
        { name: 'fetch', created_at: created(600), closed_at: created(300), alive_at: created(301), last_active: created(305), phase: 'serving', close_reason: 'lost' },
    ].map(changes => monitor.create(changes));
    const tell = (at, session, kind, text) => monitor.events.push({ session: made[session].id, at: NOW - at, kind, text });
    tell(95 * MINUTE, 3, 'started', 'pid 5120');
    tell(55 * MINUTE, 1, 'greeted', 'wallet-server 1.2.0, protocol 2025-06-18');
    tell(31 * MINUTE, 2, 'crashed', 'killed by signal 9 (SIGKILL), perhaps out of memory');
    tell(30.9 * MINUTE, 2, 'restarted', 'at once');
    tell(12 * MINUTE, 2, 'degraded', '6 crashes in 60 s; tried again every 60 s');
    tell(9 * MINUTE, 1, 'renewed', 'the session token, for another 30 min');
    tell(70_000, 6, 'expired', 'the session at http://127.0.0.1:3100 has expired');
    tell(8_000, 3, 'crashed', 'code 1');
    return made;
}

/** As many sessions as a busy machine has after days, in all phases. */
export function many(monitor, n) {
    const phases = ['serving', 'serving', 'serving', 'starting', 'waiting', 'degraded', 'draining'];
    for (let i = 0; i < n; i += 1) {
        monitor.create({
            name: `server-${i}`, phase: phases[i % phases.length], created_at: NOW - i * 7 * MINUTE, tool_calls: (i * 37) % 5000,
            client_name: ['Claude Desktop', 'Claude Code', 'Cursor'][i % 3], restarts: i % 11 === 0 ? 2 : 0, errors: i % 9 === 0 ? 1 : 0,
        });
    }
}

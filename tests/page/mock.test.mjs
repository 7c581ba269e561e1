/** The monitor's page against a mock of the monitor: what it shows, what it does, and how it bears a monitor that goes away. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, afterEach, before, describe, it } from 'node:test';

import {
    NETWORK, assertContrast, assertFitsWidth, cell, launch, openPage, row, screenshot, waitForConnection, waitForRow, waitForText,
} from './browser.mjs';
import { Mock, hour } from './mock.mjs';

const MINUTE = 60_000;
const NOW = Date.UTC(2026, 4, 12, 14, 30, 5);

let browser, mock, opened = [];
before(async () => { browser = await launch(); });
after(() => browser.close());
afterEach(async () => {
    for (const { close } of opened) await close();
    opened = [];
    await mock?.stop();
});

/** Starts a mock, lets `fill` make its rows, and opens its page at the time for which they are made. */
async function show(fill = () => {}, options = {}) {
    mock = await new Mock(NOW).start();
    mock.history.minutes = hour(NOW);
    fill(mock);
    const tab = await openPage(browser, mock.url, { time: NOW, ...options });
    opened.push(tab);
    if (options.live !== false) await waitForConnection(tab.page, 'live');
    return tab;
}

/** Stops the page's clock within the next second, and returns its time; from then on only the test moves it. */
async function freeze(page) {
    const time = await page.evaluate(() => Math.ceil(Date.now() / 1_000) * 1_000 + 1_000);
    await page.clock.pauseAt(time);
    return time;
}

/** Lets seconds pass in which the monitor speaks, as the real one does every five. */
async function runLive(page, seconds) {
    for (let left = seconds; left > 0; left -= 5) {
        await page.evaluate(() => { lastWord = 0; });
        mock.sendHealth();
        await page.waitForFunction(() => lastWord > 0);
        await page.clock.runFor(Math.min(5, left) * 1_000);
    }
}

/** What a mixed afternoon looks like. */
function afternoon(monitor) {
    const created = minutes => NOW - minutes * MINUTE;
    const made = [
        { name: 'filesystem', client_name: 'Claude Code', client_version: '2.1.9', created_at: created(3), tool_calls: 12, last_active: NOW - 900 },
        { name: 'wallet', created_at: created(55), token_state: 'active', token_expires_at: NOW + 12 * MINUTE + 30_000, tool_calls: 208, restarts: 1, guidance_answers: 2, errors: 3 },
        { name: 'github', client_name: 'Cursor', client_version: '3.2', created_at: created(130), phase: 'degraded', restarts: 6, guidance_answers: 9, errors: 1, command: 'docker run -i --rm ghcr.io/github/github-mcp-server' },
        { name: 'everything', client_name: 'Visual Studio Code', client_version: '1.120.0', created_at: created(190), phase: 'waiting', restarts: 3, tool_calls: 1204 },
        { name: 'postgres', created_at: created(1500), phase: 'draining', token_state: 'active', token_expires_at: NOW + 95_000, tool_calls: 88 },
        { name: 'weather', created_at: created(1), phase: 'starting', client_name: null, client_version: null, last_active: null, tool_calls: 0, requests: 1 },
        { name: 'billing', created_at: created(70), token_state: 'expired', token_expires_at: NOW - MINUTE, guidance_answers: 4 },
        { name: 'memory', created_at: created(20), token_state: 'absent' },
        { name: 'notes', created_at: created(400), closed_at: created(80), alive_at: created(80), last_active: created(90), phase: 'stopped', close_reason: 'host_eof' },
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
function many(monitor, n) {
    const phases = ['serving', 'serving', 'serving', 'starting', 'waiting', 'degraded', 'draining'];
    for (let i = 0; i < n; i += 1) {
        monitor.create({
            name: `server-${i}`, phase: phases[i % phases.length], created_at: NOW - i * 7 * MINUTE, tool_calls: (i * 37) % 5000,
            client_name: ['Claude Desktop', 'Claude Code', 'Cursor'][i % 3], restarts: i % 11 === 0 ? 2 : 0, errors: i % 9 === 0 ? 1 : 0,
        });
    }
}

describe('what it shows', () => {
    it('tells how to begin where nothing has run yet', async () => {
        const { page, faults } = await show(({ history }) => Object.assign(history, { minutes: [], since: NOW - 90_000 }));
        await waitForText(page, '#welcome pre', /"command": ".*mcp-supervise"/);
        assert.equal(await row(page).count(), 0);
        await waitForText(page, '#calls figcaption', '0tool calls in the last 1 min');
        await screenshot(page, 'empty');
        await assertContrast(page);
        assert.deepEqual(faults, []);
    });

    it('shows one session with all its figures', async () => {
        const { page, faults } = await show(monitor => monitor.create({
            name: 'wallet', tool_calls: 1204, restarts: 2, guidance_answers: 3, errors: 4, token_state: 'active', token_expires_at: NOW + 12.5 * MINUTE,
        }));
        const found = await waitForRow(page, { name: 'wallet', phase: 'serving', state: 'serving' });
        assert.equal(await cell(found, 'tool_calls'), '1,204');
        assert.equal(await cell(found, 'restarts'), '2');
        assert.equal(await cell(found, 'guidance_answers'), '3');
        assert.equal(await cell(found, 'errors'), '4');
        assert.equal(await cell(found, 'client'), 'Claude Desktop');
        assert.equal(await cell(found, 'uptime'), '42 min');
        assert.match(await cell(found, 'active'), /^1\d s ago$/);
        assert.equal(await cell(found, 'token'), 'expires in 12 min');
        await waitForText(page, '#summary', /^1 open, 0 closed, 1,204 tool calls, a session lasts 42 min/);
        await screenshot(page, 'one');
        assert.deepEqual(faults, []);
    });

    for (const colorScheme of ['light', 'dark']) {
        it(`reads well in ${colorScheme}, every state in words`, async () => {
            const { page, faults } = await show(afternoon, { colorScheme });
            for (const state of ['serving', 'degraded', 'waiting', 'draining', 'starting', 'closed', 'lost']) await waitForRow(page, { state });
            await waitForText(page, '#events li', /crashed.*everything.*code 1/);
            assert.equal(await cell(row(page, { name: 'billing' }), 'token'), 'expired');
            assert.equal(await cell(row(page, { name: 'memory' }), 'token'), 'no token');
            await screenshot(page, colorScheme);
            await row(page, { name: 'github' }).locator('.name button').click();
            await waitForText(page, '#detail ol li', /crashed.*SIGKILL/);
            await assertContrast(page);
            await screenshot(page, `${colorScheme}-detail`);
            assert.deepEqual(faults, []);
        });
    }

    it('fits a window of 360 px', async () => {
        const { page, faults } = await show(monitor => {
            afternoon(monitor);
            monitor.create({ name: 'a-name-without-any-place-to-break-it-that-is-longer-than-the-window', command: `node ${'x'.repeat(300)}` });
        }, { width: 360, height: 800 });
        const found = await waitForRow(page, { name: 'wallet' });
        await assertFitsWidth(page);
        await screenshot(page, 'narrow');
        await found.scrollIntoViewIfNeeded();
        await screenshot(page, 'narrow-rows');
        await row(page, { name: /^a-name/ }).locator('.name button').click();
        await waitForText(page, '#detail dd', /x{300}/);
        await assertFitsWidth(page);
        await screenshot(page, 'narrow-detail');
        assert.deepEqual(faults, []);
    });

    for (const width of [700, 1024, 1280]) {
        it(`fits a window of ${width} px`, async () => {
            const { page } = await show(afternoon, { width });
            await waitForRow(page, { name: 'wallet' });
            await assertFitsWidth(page);
            await screenshot(page, `width-${width}`);
        });
    }

    it('stays fast with two hundred sessions', async t => {
        const began = performance.now();
        const { page, faults } = await show(monitor => many(monitor, 200));
        await waitForRow(page, { name: 'server-199' });
        t.diagnostic(`200 rows are there after ${Math.round(performance.now() - began)} ms, start of the mock included`);
        assert.equal(await row(page).count(), 200);
        await screenshot(page, 'two-hundred');

        // Of a burst, only what changes is touched, and all of it within few frames.
        const ids = [...mock.rows.keys()];
        await page.evaluate(() => {
            window.touched = new Set();
            window.batches = 0;
            new MutationObserver(records => {
                window.batches += 1;
                for (const { target } of records) window.touched.add(target.parentElement?.closest('tr')?.dataset.id ?? target.closest?.('tr')?.dataset.id);
            }).observe(document.querySelector('#open'), { subtree: true, childList: true, characterData: true, attributes: true });
        });
        await freeze(page);
        await page.clock.runFor(1_100);
        await page.evaluate(() => { window.touched.clear(); window.batches = 0; });
        for (let i = 0; i < 500; i += 1) mock.update(ids[i % 5], { tool_calls: 10_000 + i });
        mock.event(ids[0], 'restarted', 'after the burst');
        await page.waitForFunction(() => dirty.size === 5 && events.size === 1);
        await page.clock.runFor(100);
        await waitForText(page, '#events li', /after the burst/);
        assert.equal(await cell(row(page, { id: ids[4] }), 'tool_calls'), '10,499');
        const { touched, batches } = await page.evaluate(() => ({ touched: [...window.touched], batches: window.batches }));
        assert.deepEqual(touched.sort(), ids.slice(0, 5).sort());
        assert.ok(batches <= 2, `${batches} paints for one burst`);
        assert.deepEqual(faults, []);
    });

    it('shows foreign text as text', async () => {
        const evil = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
        const { page, faults } = await show(monitor => {
            const { id } = monitor.create({ name: evil, command: evil, client_name: evil, server_name: evil });
            monitor.event(id, 'crashed', evil);
        });
        await (await waitForRow(page, { name: evil })).locator('.name button').click();
        await waitForText(page, '#detail h2', evil);
        await waitForText(page, '#detail ol p', evil);
        await waitForText(page, '#events ol p', evil);
        assert.equal(await page.locator('img').count(), 0);
        assert.equal(await page.locator('script').count(), 1);
        await screenshot(page, 'foreign');
        assert.deepEqual(faults, []);
    });

    it('draws the last hour, and says since when it counts', async () => {
        const { page } = await show(({ history }) => Object.assign(history, {
            since: NOW - 23 * MINUTE, minutes: [{ at: NOW - 5_000, tool_calls: 3, restarts: 1 }, { at: NOW - 5_000 - 4 * MINUTE, tool_calls: 9, restarts: 0 }],
        }));
        await waitForText(page, '#calls figcaption', '12tool calls in the last 23 min');
        await waitForText(page, '#calls .scale', /^counted since 14:07at most 9 a minutenow$/);
        await waitForText(page, '#restarts figcaption', '1restart in the last 23 min');
        await waitForText(page, '#calls rect title', '14:26: 9');
        assert.equal(await page.locator('#calls svg').getAttribute('aria-label'), '12 tool calls in the last 23 min, at most 9 a minute');
        mock.history.minutes = [{ at: await freeze(page), tool_calls: 40, restarts: 0 }];
        await runLive(page, 65);
        await waitForText(page, '#calls strong', '40');
    });

    it('draws what a session has counted before it was first heard', async () => {
        const { page } = await show(({ history }) => Object.assign(history, { minutes: [], since: NOW - 23 * MINUTE }));
        await waitForText(page, '#calls strong', '0');
        mock.history.minutes = [{ at: await freeze(page), tool_calls: 7, restarts: 0 }];
        mock.create({ tool_calls: 7 });
        await page.waitForFunction(() => rows.size === 1);
        await runLive(page, 5);
        await waitForText(page, '#calls strong', '7');
    });

    it('says which part of the monitor fails', async () => {
        const { page } = await show(monitor => {
            monitor.parts = { store: { status: 'failed', detail: 'database is locked' }, supervisors: { status: 'degraded', answering: 0, silent: 2 } };
        });
        await waitForText(page, '#health', 'The monitor is degraded. store: database is locked; 2 supervisors not answering.');
        mock.parts = {};
        mock.sendHealth();
        await page.locator('#health').waitFor({ state: 'hidden' });
    });

    it('counts the token down to its end', async () => {
        const { page } = await show(monitor => monitor.create({ token_state: 'active', token_expires_at: NOW + 6 * MINUTE }));
        const [id] = mock.rows.keys();
        await waitForRow(page, { id });
        const time = await freeze(page);
        mock.update(id, { token_expires_at: time + 61_000 });
        await page.waitForFunction(() => dirty.size === 1);
        await page.clock.runFor(100);
        await waitForText(page, 'td.token', 'expires in 1 min');
        await runLive(page, 2);
        await waitForText(page, 'td.token', /^expires in 5[89] s$/);
        await runLive(page, 58);
        await waitForText(page, 'td.token', /^expires in [01] s$/);
        await runLive(page, 2);
        await waitForText(page, 'td.token', 'expired');
    });
});

describe('what changes', () => {
    it('follows updates, new sessions and sessions that end', async () => {
        const { page, faults } = await show(afternoon);
        const { id } = [...mock.rows.values()].find(({ name }) => name === 'wallet');
        await waitForRow(page, { id });
        mock.update(id, { phase: 'crashed', tool_calls: 209 });
        const found = await waitForRow(page, { id, phase: 'crashed', state: 'crashed' });
        assert.equal(await cell(found, 'tool_calls'), '209');
        await waitForText(page, '#announcer', 'wallet: crashed');

        const created = mock.create({ name: 'brand-new', created_at: NOW });
        assert.equal(await (await waitForRow(page, { id: created.id })).evaluate(node => node.previousElementSibling), null, 'the newest is the first');
        mock.disconnect(created.id);
        const closed = await waitForRow(page, { id: created.id, state: 'closed' });
        assert.equal(await closed.evaluate(node => node.parentNode.id), 'closed');
        assert.equal(await closed.getByRole('button', { name: /^Restart/ }).count(), 0);
        assert.deepEqual(faults, []);
    });

    it('shows the events of the chosen session as they come', async () => {
        const { page, faults } = await show(afternoon);
        const github = [...mock.rows.values()].find(({ name }) => name === 'github');
        await row(page, { id: github.id }).click();
        await waitForText(page, '#detail dd', github.command);
        await waitForText(page, '#detail dd', `pid ${github.pid}`);
        await waitForText(page, '#detail dd', '1,263,104 bytes (1.2 MiB)');
        await waitForText(page, '#detail dd', '2025-06-18, stdio');
        await page.locator('#detail ol li').nth(2).waitFor();
        mock.event(github.id, 'recovered', 'up again');
        await waitForText(page, '#detail li:first-child', /recovered.*up again/);
        await waitForText(page, '#events li:first-child', /recovered.*github.*up again/);
        assert.equal(await page.locator('#detail ol li').count(), 4);
        assert.deepEqual(faults, []);
    });

    it('keeps what a message said when an older list arrives after it', async () => {
        mock = await new Mock(NOW).start();
        const kept = mock.create({ name: 'kept' }), gone = mock.create({ name: 'gone' });
        let release;
        const held = new Promise(done => { release = done; });
        mock.beforeAnswer = ({ search }) => (search.includes('active') ? held : undefined);
        const tab = await openPage(browser, mock.url, { time: NOW });
        opened.push(tab);
        await waitForConnection(tab.page, 'live');
        while (!mock.asked.some(path => path.includes('active'))) await once(mock, 'request');
        mock.update(kept.id, { tool_calls: 99, alive_at: kept.alive_at });
        mock.disconnect(gone.id);
        const fresh = mock.create({ name: 'fresh' });
        await waitForRow(tab.page, { id: fresh.id });
        release();
        await waitForText(tab.page, '#count-open', 'Open 2');
        assert.equal(await cell(row(tab.page, { id: kept.id }), 'tool_calls'), '99');
        await waitForRow(tab.page, { id: gone.id, state: 'closed' });
        await waitForRow(tab.page, { id: fresh.id });
        assert.deepEqual(tab.faults, []);
    });

    it('filters by words and by status, and loads older sessions page by page', async () => {
        const { page } = await show(monitor => {
            monitor.create({ name: 'open-one' });
            for (let i = 0; i < 120; i += 1) {
                monitor.create({ name: `old-${i}`, created_at: NOW - (i + 60) * MINUTE, closed_at: NOW - (i + 50) * MINUTE, alive_at: NOW - (i + 50) * MINUTE, phase: 'stopped', close_reason: 'host_eof' });
            }
        });
        await waitForRow(page, { name: 'old-49' });
        assert.equal(await row(page).count(), 51);
        const more = page.getByRole('button', { name: 'Load more' });
        await more.click();
        await waitForRow(page, { name: 'old-99' });
        await more.click();
        await waitForRow(page, { name: 'old-119' });
        await more.waitFor({ state: 'hidden' });
        assert.equal(await row(page).count(), 121);

        await page.getByRole('searchbox').fill('OLD-11');
        await row(page, { name: 'open-one' }).waitFor({ state: 'detached' });
        assert.equal(await row(page).count(), 11);
        assert.equal(await page.locator('tr[data-id]').filter({ visible: true }).count(), 11);
        await page.getByRole('searchbox').fill('nothing like it');
        await waitForText(page, '#none', 'No session that fits the filter');
        await page.getByRole('searchbox').fill('');
        await page.getByText('Open 1').click();
        await row(page, { name: 'old-1' }).waitFor({ state: 'detached' });
        assert.equal(await row(page).count(), 1);
        await page.getByText('Closed 120').click();
        await waitForRow(page, { name: 'old-1' });
        assert.equal(await row(page).count(), 120);
    });
});

describe('a restart', () => {
    const button = (page, name) => row(page, { name }).locator('td.action button');

    it('is asked for with the token of the run, and is shown until the phase changes', async () => {
        const { page, faults } = await show(monitor => monitor.create({ name: 'wallet' }));
        const [id] = mock.rows.keys();
        let release;
        mock.beforeAnswer = (url, method) => (method === 'POST' ? new Promise(done => { release = done; }) : undefined);
        await button(page, 'wallet').click();
        await waitForText(page, 'td.action button', 'Asking');
        while (!release) await once(mock, 'request');
        release();
        await waitForText(page, 'td.action button', 'Restarting');
        assert.ok(mock.asked.includes(`POST /api/sessions/${id}/restart`));
        mock.update(id, { phase: 'draining' });
        await waitForText(page, 'td.action button', 'Restart');
        assert.equal(await page.locator('#detail').isVisible(), false, 'the button opens nothing');
        assert.deepEqual(faults, []);
    });

    it('takes the new token of a monitor that was restarted, and asks again', async () => {
        const { page, faults } = await show(monitor => monitor.create({ name: 'wallet' }), { allow: NETWORK });
        mock.token = 'token-2';
        await button(page, 'wallet').click();
        await waitForText(page, 'td.action button', 'Restarting');
        const asked = mock.asked.filter(path => path.startsWith('POST') || path === 'GET /');
        assert.deepEqual(asked.map(path => path.replace(/\/api\S+/, '...')), ['GET /', 'POST ...', 'GET /', 'POST ...']);
        assert.deepEqual(faults, []);
    });

    it('asks to reload the page when the new token does not fit either', async () => {
        const { page } = await show(monitor => monitor.create({ name: 'wallet' }), { allow: NETWORK });
        mock.restartAnswer = () => [403, { error: 'the token is not that of this run', hint: 'Reload the page.' }];
        await button(page, 'wallet').click();
        await waitForText(page, '.trouble', 'Not restarted: the token is not that of this run. Reload the page.');
        assert.equal(mock.asked.filter(path => path.startsWith('POST')).length, 2, 'it is tried twice and not for ever');
    });

    it('that fails says why and what to do', async () => {
        const { page, faults } = await show(monitor => monitor.create({ name: 'wallet' }), { allow: NETWORK });
        mock.restartAnswer = () => [409, { error: 'the supervisor is gone', hint: 'Start the server anew in its host.' }];
        await button(page, 'wallet').click();
        await waitForText(page, '.trouble', 'Not restarted: the supervisor is gone. Start the server anew in its host.');
        await waitForText(page, '#announcer', /Not restarted: the supervisor is gone/);
        await waitForText(page, 'td.action button', 'Restart');
        await screenshot(page, 'restart-failed');
        assert.deepEqual(faults, []);
    });
});

describe('a monitor that goes away', () => {
    /** Makes the page believe that its tab is hidden, or shown again. */
    const setHidden = (page, hidden) => page.evaluate(value => {
        Object.defineProperty(document, 'hidden', { configurable: true, get: () => value });
        document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
    const lists = () => mock.asked.filter(path => path.startsWith('GET /api/sessions?status=active')).length;

    /** Lets `page` lose the socket and fail to get it again, up to the end of the backoff. */
    async function exhaust(page) {
        for (const seconds of [1, 2, 4, 8, 16]) {
            await waitForConnection(page, `reconnecting in ${seconds} s`);
            const before = mock.attempts;
            await page.clock.runFor(seconds * 1_000 - 1);
            await waitForConnection(page, 'reconnecting in 1 s');
            assert.equal(mock.attempts, before, `no attempt before ${seconds} s`);
            const attempt = once(mock, 'attempt');
            await page.clock.runFor(1);
            await attempt;
        }
    }

    it('is asked again after 1, 2, 4, 8 and 16 s, then polled, and live again when it is back', async () => {
        const { page, faults } = await show(monitor => monitor.create({ name: 'wallet' }), { allow: NETWORK });
        const [id] = mock.rows.keys();
        await waitForRow(page, { id });
        await freeze(page);
        mock.acceptsSockets = false;
        mock.hangUp();
        await exhaust(page);
        await waitForConnection(page, 'polling every 10 s');
        mock.update(id, { tool_calls: 77 }, { silent: true });
        let polls = lists();
        await page.clock.runFor(9_000);
        assert.equal(lists(), polls, 'no poll before 10 s');
        let attempt = once(mock, 'attempt');
        await page.clock.runFor(1_000);
        await attempt;
        await page.waitForFunction(seen => rows.get(seen).tool_calls === 77, id);
        assert.equal(lists(), polls + 1);

        await setHidden(page, true);
        await waitForConnection(page, 'polling every 30 s');
        polls = lists();
        await page.clock.runFor(29_000);
        assert.equal(lists(), polls, 'no poll before 30 s while hidden');
        attempt = once(mock, 'attempt');
        await page.clock.runFor(1_000);
        await attempt;
        await setHidden(page, false);
        await waitForConnection(page, 'polling every 10 s');

        mock.acceptsSockets = true;
        await page.clock.runFor(10_000);
        await waitForConnection(page, 'live');
        mock.update(id, { tool_calls: 78 });
        await page.waitForFunction(seen => rows.get(seen).tool_calls === 78, id);
        polls = lists();
        await page.clock.runFor(15_000);
        assert.equal(lists(), polls, 'no polls while live');

        mock.hangUp();
        await waitForConnection(page, 'reconnecting in 1 s');
        assert.deepEqual(faults, []);
    });

    it('is said to be not reachable when polls fail too, and everything missed is made good', async () => {
        const { page, faults } = await show(monitor => {
            monitor.create({ name: 'stays' });
            monitor.create({ name: 'ends' });
        }, { allow: NETWORK });
        const [stays, ends] = mock.rows.keys();
        await waitForRow(page, { id: ends });
        await freeze(page);
        await mock.stop();
        for (const seconds of [1, 2, 4, 8, 16]) {
            await waitForConnection(page, `reconnecting in ${seconds} s`);
            await page.clock.runFor(seconds * 1_000);
        }
        await waitForConnection(page, 'monitor not reachable');
        await page.clock.runFor(1_000);
        await waitForText(page, '#as-of', /^as of \d\d:\d\d:\d\d$/);
        await screenshot(page, 'not-reachable');
        mock.disconnect(ends, 'host_eof', { silent: true });
        mock.update(stays, { phase: 'degraded' }, { silent: true });
        const added = mock.create({ name: 'added' });
        // More than a page of sessions that ended later: the one that is missing is not on the first page.
        for (let i = 0; i < 60; i += 1) mock.create({ name: `short-${i}`, created_at: NOW - MINUTE, closed_at: NOW, phase: 'stopped', close_reason: 'host_eof' });
        mock.event(stays, 'degraded', 'while nobody looked');
        await mock.start();
        await page.clock.runFor(10_000);
        await waitForConnection(page, 'live');
        await page.waitForFunction(seen => rows.has(seen) && events.size === 1, added.id);
        await page.clock.runFor(1_000);
        await waitForRow(page, { id: ends, state: 'closed' });
        await waitForRow(page, { id: stays, state: 'degraded' });
        await waitForRow(page, { id: added.id });
        await waitForText(page, '#events li', /while nobody looked/);
        assert.deepEqual(faults, []);
    });

    it('counts the seconds to the next attempt down', async () => {
        const { page } = await show(() => {}, { allow: NETWORK });
        await freeze(page);
        mock.acceptsSockets = false;
        mock.hangUp();
        await waitForConnection(page, 'reconnecting in 1 s');
        await page.clock.runFor(1_000);
        await waitForConnection(page, 'reconnecting in 2 s');
        await page.clock.runFor(2_000);
        for (const left of [4, 3, 2, 1]) {
            await waitForConnection(page, `reconnecting in ${left} s`);
            if (left > 1) await page.clock.runFor(1_000);
        }
    });

    it('that says nothing any more is taken for gone', async () => {
        const { page } = await show(() => {}, { allow: NETWORK });
        await freeze(page);
        mock.acceptsSockets = false;
        await page.clock.runFor(15_000);
        await waitForConnection(page, 'live');
        await page.clock.runFor(5_000);
        await waitForConnection(page, /^reconnecting/);
    });

    it('that neither takes nor refuses a socket is taken for gone', async () => {
        const { page } = await show(monitor => { monitor.keepsSilent = true; }, { live: false, allow: NETWORK });
        await waitForConnection(page, 'connecting');
        await freeze(page);
        await page.clock.runFor(20_000);
        await waitForConnection(page, /^reconnecting/);
    });

    it('is read without a socket when there never was one', async () => {
        const { page } = await show(monitor => {
            monitor.acceptsSockets = false;
            monitor.create({ name: 'wallet' });
        }, { live: false, allow: NETWORK });
        await waitForRow(page, { name: 'wallet' });
        await waitForConnection(page, /^reconnecting/);
    });
});

describe('the keyboard', () => {
    it('reaches rows, opens details with Enter and closes them with Escape', async () => {
        const { page, faults } = await show(afternoon);
        await waitForRow(page, { name: 'weather' });
        const focused = () => page.evaluate(() => document.activeElement.closest('tr')?.querySelector('bdi').textContent ?? document.activeElement.id);
        const ring = () => page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);

        await page.keyboard.press('Tab');
        assert.equal(await focused(), 'filter');
        assert.notEqual(await ring(), 'none');
        await page.keyboard.press('Tab');
        assert.equal(await page.evaluate(() => document.activeElement.value), 'all');
        await page.keyboard.press('Tab');
        assert.equal(await focused(), 'weather');
        assert.notEqual(await ring(), 'none', 'the focus is seen');
        await page.keyboard.press('ArrowDown');
        assert.equal(await focused(), 'filesystem');
        await page.keyboard.press('Tab');
        assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Restart');
        await page.keyboard.press('Shift+Tab');
        await screenshot(page, 'focus');
        await page.keyboard.press('End');
        assert.equal(await focused(), 'fetch');
        await page.keyboard.press('Home');
        await page.keyboard.press('Enter');
        await page.locator('#detail').waitFor();
        assert.equal(await focused(), 'detail-name');
        await page.keyboard.press('Escape');
        await page.locator('#detail').waitFor({ state: 'hidden' });
        assert.equal(await focused(), 'weather', 'the focus comes back to the row');
        await page.keyboard.press('/');
        assert.equal(await focused(), 'filter');
        await page.keyboard.type('wallet');
        await row(page, { name: 'weather' }).waitFor({ state: 'detached' });
        await page.keyboard.press('Tab');
        await page.keyboard.press('Tab');
        assert.equal(await focused(), 'wallet', 'the row that is left can be reached');
        assert.deepEqual(faults, []);
    });

    it('keeps its place when the row under it moves', async () => {
        const { page } = await show(afternoon);
        const found = await waitForRow(page, { name: 'wallet' });
        await found.locator('.name button').focus();
        mock.disconnect(await found.getAttribute('data-id'));
        await waitForRow(page, { name: 'wallet', state: 'closed' });
        assert.equal(await page.evaluate(() => document.activeElement.textContent), 'wallet');
    });

    it('hears of a burst of changes in one sentence', async () => {
        const { page } = await show(monitor => many(monitor, 20));
        await waitForRow(page, { name: 'server-19' });
        await freeze(page);
        await page.clock.runFor(3_000);
        for (const id of mock.rows.keys()) mock.update(id, { phase: 'crashed' });
        await page.waitForFunction(() => dirty.size === 20);
        await page.clock.runFor(2_000);
        await waitForText(page, '#announcer', '20 changes. The last: server-19: crashed');
    });
});

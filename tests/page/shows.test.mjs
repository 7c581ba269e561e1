/** The monitor's page against a mock of the monitor: what it shows. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { assertContrast, assertFitsWidth, cell, row, screenshot, waitForRow, waitForText } from './browser.mjs';
import { MINUTE, NOW, afternoon, freeze, many, mock, runLive, show } from './stage.mjs';

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

    it('tells beside the state what keeps a server from its API, as long as it runs', async () => {
        const { page, faults } = await show(monitor => {
            const wallet = { token_state: 'active', token_expires_at: NOW + 90 * MINUTE };
            monitor.create({ name: 'locked', ...wallet, api_state: 'locked' });
            monitor.create({ name: 'well', ...wallet, api_state: 'ok' });
            monitor.create({ name: 'plain' });
            monitor.create({ name: 'over', ...wallet, api_state: 'locked', closed_at: NOW - MINUTE, phase: 'stopped', close_reason: 'host_eof' });
        });
        await waitForText(page, '.away', 'API locked');
        const [locked, well, plain, over] = await Promise.all(['locked', 'well', 'plain', 'over'].map(name => waitForRow(page, { name })));
        assert.deepEqual(await Promise.all([locked, well, plain, over].map(found => cell(found, 'state'))), ['serving', 'serving', 'serving', 'closed']);
        assert.deepEqual(await Promise.all([locked, well, plain, over].map(found => cell(found, 'away'))), ['API locked', '', '', '']);
        await waitForText(page, '#summary', /^3 open, 1 in trouble/);
        await assertFitsWidth(page);
        const api = async found => {
            await found.locator('.name button').click();
            return page.locator('dt', { hasText: /^API$/ }).locator('+ dd').textContent();
        };
        assert.deepEqual([await api(well), await api(plain), await api(over), await api(locked)], ['ok', 'none is known', 'no longer known', 'locked']);
        await waitForText(page, '#detail dd', 'serving, API locked');
        await screenshot(page, 'api');
        // What is told next is shown at once, and read out.
        mock.update([...mock.rows.values()].find(({ name }) => name === 'locked').id, { api_state: 'ok' });
        await waitForText(page, '#detail dd', 'serving');
        assert.equal(await cell(locked, 'away'), '');
        await page.clock.runFor(3_000);
        await waitForText(page, '#announcer', /locked: serving$/);
        assert.deepEqual(faults, []);
    });

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

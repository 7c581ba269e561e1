/** The monitor's page against a mock of the monitor: what it does, and how it bears a monitor that goes away. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';

import { NETWORK, cell, row, screenshot, waitForConnection, waitForLoad, waitForRow, waitForText } from './browser.mjs';
import { MINUTE, NOW, afternoon, freeze, many, mock, show } from './stage.mjs';

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
        let kept, gone, release;
        const held = new Promise(done => { release = done; });
        const tab = await show(monitor => {
            [kept, gone] = ['kept', 'gone'].map(name => monitor.create({ name }));
            monitor.beforeAnswer = ({ search }) => (search.includes('active') ? held : undefined);
        });
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
        await waitForLoad(page);
        mock.update(id, { tool_calls: 77 }, { silent: true });
        let polls = lists();
        await page.clock.runFor(9_000);
        assert.equal(lists(), polls, 'no poll before 10 s');
        let attempt = once(mock, 'attempt');
        await page.clock.runFor(1_000);
        await attempt;
        await page.waitForFunction(seen => rows.get(seen).tool_calls === 77, id);
        await waitForLoad(page);
        assert.equal(lists(), polls + 1);

        await setHidden(page, true);
        await waitForConnection(page, 'polling every 30 s');
        await waitForLoad(page);
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
        await waitForLoad(page);
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
        // With its clock stopped the page paints only while the test moves it: all that was missed has to be there first.
        await waitForLoad(page);
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

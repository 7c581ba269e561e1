/**
 * The page on the real monitor, over real supervisors and servers that are killed: what the mock cannot show.
 *
 * `BINARY` and `FIXTURE` name the supervisor and the fixture server. Everything is kept in a folder of its own. The last
 * screenshot, `monitor.png`, is the one of the README.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { NETWORK, assertFitsWidth, launch, openPage, row, screenshot, waitForConnection, waitForRow, waitForText } from './browser.mjs';

const { BINARY, FIXTURE } = process.env;
const folder = mkdtempSync(join(tmpdir(), 'page-'));
const places = ['--data-dir', join(folder, 'data'), '--runtime-dir', join(folder, 'run')];
const env = { PATH: process.env.PATH, HOME: folder };
const running = new Set();
let browser;

before(async () => {
    assert.ok(BINARY && FIXTURE, 'BINARY and FIXTURE name what is tested');
    mkdirSync(join(folder, 'run'), { mode: 0o700 });
    browser = await launch();
});

after(async () => {
    await browser?.close();
    for (const process of running) process.kill('SIGKILL');
    await Promise.all([...running].map(process => new Promise(gone => process.exitCode === null && process.signalCode === null ? process.once('exit', gone) : gone())));
    rmSync(folder, { recursive: true, force: true });
});

function start(words, stdio) {
    const process = spawn(BINARY, words, { env, stdio });
    running.add(process);
    process.once('exit', () => running.delete(process));
    return process;
}

const exit = process => new Promise(gone => process.once('exit', gone));

/** A monitor that listens, and where. */
async function monitor(port = 0) {
    const process = start(['monitor', '--listen', `127.0.0.1:${port}`, ...places], ['ignore', 'pipe', 'inherit']);
    for await (const line of createInterface({ input: process.stdout })) {
        return { process, url: line.replace('monitor: ', '') };
    }
    throw new Error('the monitor has ended');
}

/** A host with one server behind a supervisor, greeted. */
class Host {
    #waiting = new Map();
    #next = 0;

    static async start(name, { client = 'Claude Desktop', options = [], server = [FIXTURE] } = {}) {
        const host = new Host();
        host.process = start(['--name', name, ...options, ...places, '--', ...server], ['pipe', 'pipe', 'ignore']);
        host.process.stdin.on('error', () => {});
        createInterface({ input: host.process.stdout }).on('line', line => {
            const { id, method } = JSON.parse(line);
            if (method === undefined) host.#waiting.get(id)?.();
        });
        await host.ask('initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: client, version: '1.2' } });
        host.#say({ method: 'notifications/initialized' });
        return host;
    }

    #say(message) {
        this.process.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
    }

    ask(method, params = {}) {
        const id = this.#next++;
        const answered = new Promise(done => this.#waiting.set(id, done));
        this.#say({ id, method, params });
        return answered;
    }

    async call(times) {
        for (let time = 0; time < times; time++) await this.ask('tools/call', { name: 'pid', arguments: {} });
    }
}

const status = () => JSON.parse(execFileSync(BINARY, ['status', '--json', ...places], { env }));
const of = name => status().running.find(session => session.name === name);

async function killServer(name) {
    const pid = of(name).server_pid;
    process.kill(pid, 'SIGKILL');
    return pid;
}

test('what happens to three servers is seen as it happens', async () => {
    const hosts = await Promise.all([
        Host.start('notes'), Host.start('weather', { client: 'Cursor' }), Host.start('github', { client: 'Claude Code' }),
    ]);
    const { process: first, url } = await monitor();
    const { page, faults, close } = await openPage(browser, url, { allow: NETWORK });
    await waitForConnection(page, 'live');
    for (const name of ['notes', 'weather', 'github']) await waitForRow(page, { name, phase: 'serving' });

    // One is killed again and again, as soon as it serves: each time is seen, and the others go on.
    for (let number = 1; number <= 4; number++) {
        const pid = await killServer('notes');
        await waitForText(page, `tr[data-id="${of('notes').id}"] .restarts`, String(number));
        await hosts[0].call(1);
        assert.notEqual(of('notes').server_pid, pid);
        await waitForRow(page, { name: 'notes', phase: 'serving' });
        await waitForRow(page, { name: 'weather', phase: 'serving' });
    }

    // A server is killed: the row and the events tell, and the host has lost nothing.
    const github = await waitForRow(page, { name: 'github' });
    const restarts = number => page.waitForFunction(
        ([id, number]) => document.querySelector(`tr[data-id="${id}"] .restarts`)?.textContent.trim() === String(number),
        [of('github').id, number],
    );
    await killServer('github');
    await restarts(1);
    await page.getByText('killed by signal 9 (SIGKILL), perhaps out of memory').first().waitFor();
    await hosts[2].call(3);
    await waitForRow(page, { name: 'github', phase: 'serving' });

    // The button does the same on purpose.
    await github.getByRole('button', { name: /Restart/ }).click();
    await restarts(2);

    // The monitor itself goes away and comes back, with another token: the page says so, and works again.
    const port = new URL(url).port;
    first.kill('SIGKILL');
    await exit(first);
    await waitForText(page, '#connection', /reconnecting|not reachable/);
    const { process: second } = await monitor(port);
    await waitForConnection(page, 'live');
    await github.getByRole('button', { name: /Restart/ }).click();
    await restarts(3);

    // A supervisor is killed.
    hosts[1].process.kill('SIGKILL');
    await waitForRow(page, { name: 'weather', state: 'lost' });
    hosts[0].process.stdin.end();
    await waitForRow(page, { name: 'notes', state: 'closed' });
    assert.deepEqual(faults, []);
    await close();
    hosts[2].process.stdin.end();
    await exit(hosts[2].process);
    second.kill('SIGTERM');
    await exit(second);
});

test('two hundred sessions are shown and stay usable', async () => {
    const hosts = [];
    for (let batch = 0; batch < 20; batch++) {
        hosts.push(...await Promise.all(Array.from({ length: 10 }, (_, at) => Host.start(`server-${batch * 10 + at}`))));
    }
    const { process: seen, url } = await monitor();
    const began = performance.now();
    const { page, faults, close } = await openPage(browser, url);
    await waitForConnection(page, 'live');
    await page.waitForFunction(() => document.querySelectorAll('tr[data-phase="serving"]').length >= 200);
    console.log(`200 sessions are shown after ${Math.round(performance.now() - began)} ms`);
    await killServer('server-123');
    await page.getByText('killed by signal 9').first().waitFor();
    await assertFitsWidth(page);
    assert.deepEqual(faults, []);
    await screenshot(page, 'real-two-hundred');
    await close();
    for (const host of hosts) host.process.stdin.end();
    await Promise.all(hosts.map(host => exit(host.process)));
    seen.kill('SIGTERM');
    await exit(seen);
});

test('a picture for the README', async () => {
    const { process: shown, url } = await monitor();
    const { page, faults, close } = await openPage(browser, url, { width: 1280, height: 640, allow: NETWORK });
    await waitForConnection(page, 'live');
    const hosts = await Promise.all([
        Host.start('notes'), Host.start('filesystem', { client: 'Claude Code' }), Host.start('github', { client: 'Cursor' }),
        Host.start('weather', { client: 'Visual Studio Code', server: ['weather-server-that-is-not-installed'] }),
    ]);
    await hosts[0].call(41);
    await hosts[1].call(128);
    await hosts[3].call(2);
    await killServer('github');
    await hosts[2].call(17);
    await waitForRow(page, { name: 'weather', phase: 'degraded' });
    await page.getByText(/^Open/).first().click();
    await page.waitForFunction(() => [...document.querySelectorAll('tr[data-id]')].some(row => row.textContent.includes('128')));
    await row(page, { name: 'github' }).first().waitFor();
    // The charts follow the rows, and the sums follow the health.
    await waitForText(page, '#calls', /^188/);
    await page.getByText(/4 open/).first().waitFor();
    await page.mouse.move(0, 0);
    await screenshot(page, 'monitor');
    assert.deepEqual(faults, []);
    await close();
    for (const host of hosts) host.process.stdin.end();
    await Promise.all(hosts.map(host => exit(host.process)));
    shown.kill('SIGTERM');
    await exit(shown);
});

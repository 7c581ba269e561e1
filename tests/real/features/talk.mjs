/**
 * One conversation of a client of the SDK with a server, with the supervisor in between or without it, and its end.
 *
 * A conversation has a folder of its own: what its servers were told and have told (`recorder.mjs`), the supervisor's
 * stderr and state, and what a tool has done for good. When the client has left, the laws of the wire are checked, that
 * the log tells of the kills and of nothing else, and that no process is left.
 *
 * Nothing is read or written outside of that folder, and no process is ended that was not started here.
 */
import { existsSync, mkdirSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Asked } from './asked.mjs';
import { Failure, expect, patiently, until } from './check.mjs';
import { exists, processes } from './processes.mjs';
import { Wire, listened } from './wire.mjs';

/** @typedef {import('./wire.mjs').Message} Message */
/** @typedef {{ pid: number, ready: boolean, told: Message[], tells: Message[] }} Server a process, and its words */
/**
 * @typedef {object} Setting
 * @property {'everything' | 'small' | 'modern'} server
 * @property {Message} [capabilities] what the client can do
 * @property {Message} [client] further options of the client
 * @property {(client: any, talk: Talk) => void} [handlers] sets what the client answers with
 * @property {string[]} [options] further options of the supervisor
 * @property {RegExp} [log] what else may be in the log
 */

/**
 * Here a server is killed more often than one that is given up, and it is waited for on a busy machine too. Most servers
 * do not leave at the end of their input: they are soon sent SIGTERM, and then have the time that the client leaves. What
 * is kept on disk plays no part.
 */
const OPTIONS = [
    ...['--max-restarts', '1000', '--backoff-initial', '0', '--hold', '60s', '--no-store'],
    ...['--stop-grace', '200ms', '--term-grace', '1500ms'],
];

const here = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));

/** Where all this takes place, and what of it is counted. */
export class Place {
    kills = 0;
    sessions = 0;
    compared = 0;
    /** No conversation begins any more. */
    closed = false;
    /** The conversations that go on. @type {Set<Talk>} */
    talks = new Set();

    /** @param {string} binary @param {string} packages the folder with `node_modules` @param {string} folder */
    constructor(binary, packages, folder) {
        this.binary = binary;
        this.packages = packages;
        this.folder = folder;
        this.require = createRequire(join(packages, 'package.json'));
    }

    /** The command of a server. @param {Setting['server']} server */
    command(server) {
        const everything = join(this.packages, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js');
        const file = { everything, small: here('small.mjs'), modern: here('modern_server.mjs') }[server];
        return [process.execPath, '--import', here('recorder.mjs'), file];
    }

    /**
     * Has a conversation, and checks its end.
     * @template T
     * @param {string} name @param {Setting} setting @param {(talk: Talk) => Promise<T>} story @param {boolean} [direct]
     */
    async talk(name, setting, story, direct = false) {
        if (this.closed) throw new Failure(`${name} is not begun`);
        const talk = new Talk(this, name, setting, direct);
        this.talks.add(talk);
        try {
            await talk.connect();
            const result = await story(talk);
            await talk.end();
            return { talk, result };
        } finally {
            await talk.abandon();
            this.talks.delete(talk);
        }
    }
}

export class Talk {
    wire = new Wire();
    /** Process ids of servers that were killed. @type {number[]} */
    killed = [];
    /** What of the record is known, and how much of it has been read. @type {Server[]} */
    known = [];
    recorded = 0;

    /** @param {Place} place @param {string} name @param {Setting} setting @param {boolean} direct */
    constructor(place, name, setting, direct) {
        this.place = place;
        this.name = name;
        this.setting = setting;
        this.direct = direct;
        this.folder = join(place.folder, name);
        mkdirSync(this.folder);
        this.data = join(this.folder, 'data');
        this.files = Object.fromEntries(
            ['record', 'hold', 'stall', 'refuse', 'journal', 'gate', 'log'].map(file => [
                file,
                join(this.folder, file),
            ]),
        );
        this.modern = setting.server === 'modern';
    }

    /** The SDK's modules, by the era of the conversation. */
    sdk() {
        const { require } = this.place;
        if (this.modern) {
            return { ...require('@modelcontextprotocol/client'), ...require('@modelcontextprotocol/client/stdio') };
        }
        return {
            ...require('@modelcontextprotocol/sdk/client/index.js'),
            ...require('@modelcontextprotocol/sdk/client/stdio.js'),
            ...require('@modelcontextprotocol/sdk/types.js'),
            ...require('@modelcontextprotocol/sdk/experimental/tasks'),
        };
    }

    async connect() {
        const { place, files, setting } = this;
        const sdk = this.sdk();
        const server = place.command(setting.server);
        const supervisor = [
            place.binary,
            '--name',
            this.name,
            '--data-dir',
            this.data,
            ...OPTIONS,
            ...(setting.options ?? []),
            '--',
        ];
        const [command, ...args] = this.direct ? server : [...supervisor, ...server];
        const log = openSync(files.log, 'a');
        const env = {
            HOME: this.folder,
            FEATURES_RECORD: files.record,
            FEATURES_HOLD: files.hold,
            FEATURES_STALL: files.stall,
            FEATURES_REFUSE: files.refuse,
            FEATURES_JOURNAL: files.journal,
            FEATURES_GATE: files.gate,
            FEATURES_PACKAGES: place.packages,
        };
        this.transport = new (listened(sdk.StdioClientTransport, this.wire, () => this.ready()))({
            command,
            args,
            env,
            stderr: log,
        });
        const era = this.modern ? { versionNegotiation: { mode: { pin: '2026-07-28' } } } : {};
        const options = { capabilities: setting.capabilities ?? {}, ...era, ...setting.client };
        this.client = new sdk.Client({ name: 'features', version: '1.0.0' }, options);
        this.client.onerror = (/** @type {Error} */ error) => this.wire.errors.push(error);
        setting.handlers?.(this.client, this);
        try {
            await patiently(this.client.connect(this.transport), 'the server is greeted');
        } finally {
            closeSync(log);
        }
    }

    /** The servers so far, the first one first. @returns {Server[]} */
    servers() {
        // It is asked for often, and only what has been added is read.
        const record = existsSync(this.files.record) ? readFileSync(this.files.record) : Buffer.alloc(0);
        // What stands behind the last end of line is still being written.
        const end = record.lastIndexOf(10) + 1;
        const lines = record.subarray(this.recorded, end).toString().split('\n').slice(0, -1);
        this.recorded = end;
        for (const entry of lines) {
            const { pid, way, line } = JSON.parse(entry);
            let server = this.known.find(known => known.pid === pid);
            if (server === undefined) this.known.push((server = { pid, ready: false, told: [], tells: [] }));
            if (way === 'ready') server.ready = true;
            if (way === 'in') server.told.push(JSON.parse(line));
            if (way === 'out') server.tells.push(JSON.parse(line));
        }
        return this.known;
    }

    /** The first server reads: how long one may take to start is not shown here. */
    async ready() {
        await until(() => this.servers()[0]?.ready, `${this.name}: the server starts`);
    }

    /** The server of this number, as soon as it runs. @param {number} number @returns {Promise<Server>} */
    async server(number) {
        return until(() => this.servers()[number - 1], `server ${number} of ${this.name}`);
    }

    /**
     * Waits until the server of this number has been told something.
     * @param {number} number @param {(message: Message) => unknown} look @param {string} what
     */
    async told(number, look, what) {
        return until(
            () => this.servers()[number - 1]?.told.find(look),
            `${this.name}: server ${number} is told ${what}`,
        );
    }

    /**
     * Waits until the client has heard something.
     * @param {(message: Message) => unknown} look @param {string} what
     */
    async heard(look, what) {
        return until(() => this.wire.heard.find(look), `${this.name}: the client hears ${what}`);
    }

    /** Begins to ask for one thing. @param {(client: any) => Promise<unknown>} call */
    async begin(call) {
        const before = this.wire.requests().length;
        const settled = call(this.client).then(
            value => ({ value }),
            error => ({ error }),
        );
        const { id } = await until(() => this.wire.requests()[before], `${this.name}: the client sends its request`);
        return new Asked(this, id, settled);
    }

    /**
     * Asks for one thing, and gives the answer as it was on the wire.
     * @param {(client: any) => Promise<unknown>} call
     */
    async ask(call) {
        return (await this.begin(call)).answer();
    }

    /** Kills the server that runs, at this very moment. */
    strike() {
        const { pid } = this.servers().at(-1) ?? {};
        if (pid === undefined || this.killed.includes(pid)) throw new Failure(`${this.name}: no server to be killed`);
        process.kill(pid, 'SIGKILL');
        this.killed.push(pid);
        this.place.kills += 1;
        return pid;
    }

    /** Waits until the supervisor has taken note of all kills: it reaps the server then. */
    async noticed() {
        await until(() => !this.killed.some(exists), `${this.name}: a killed server is reaped`);
    }

    /** Kills the server, and waits until the supervisor has taken note. */
    async kill() {
        this.strike();
        await this.noticed();
    }

    /** From now on servers start and do not come to their own code. */
    hold() {
        writeFileSync(this.files.hold, '');
    }

    release() {
        rmSync(this.files.hold);
    }

    /** From now on servers do not start. */
    refuse() {
        writeFileSync(this.files.refuse, '');
    }

    allow() {
        rmSync(this.files.refuse);
    }

    /** From now on servers take no notice of requests of these methods. @param {string[]} methods */
    stall(methods) {
        writeFileSync(this.files.stall, methods.join('\n'));
    }

    unstall() {
        rmSync(this.files.stall);
    }

    /**
     * Asks for everything, kills the server while it has it all in hand, and gives the answers, which come from the next.
     * @param {string[]} methods what is asked for
     * @param {((client: any) => Promise<unknown>)[]} calls
     */
    async killWithInHand(methods, calls) {
        this.stall(methods);
        /** @type {Asked[]} */
        const asked = [];
        for (const call of calls) asked.push(await this.begin(call));
        for (const one of asked) await one.arrives(1);
        this.hold();
        await this.kill();
        this.unstall();
        this.release();
        const answers = [];
        for (const one of asked) answers.push(await one.answer());
        return { asked, answers };
    }

    /** What the tools of the servers have done for good, one line each time. */
    journal() {
        return existsSync(this.files.journal) ? readFileSync(this.files.journal, 'utf8').split('\n').slice(0, -1) : [];
    }

    /** Lets those go on that wait. */
    openGate() {
        writeFileSync(this.files.gate, '');
    }

    closeGate() {
        rmSync(this.files.gate);
    }

    /**
     * Whether a process belongs to this conversation: the supervisor and its guardian have the folder among their arguments.
     * @param {{ group: number, command: string }} process
     */
    owns({ group, command }) {
        return command.includes(` ${this.data} `) || this.servers().some(({ pid }) => pid === group);
    }

    async end() {
        await patiently(this.client.close(), `${this.name}: the client leaves`);
        if (this.direct) return;
        this.wire.check();
        // The guardian goes when it has seen that the supervisor has.
        const left = () => processes().filter(process => this.owns(process));
        await until(() => left().length === 0, `${this.name}: no process is left: ${JSON.stringify(left())}`);
        this.opened();
        const lines = readFileSync(this.files.log, 'utf8')
            .split('\n')
            .filter(line => line !== '');
        const kills = lines.filter(line => line.includes('the server ended') && line.includes('signal 9 (SIGKILL)'));
        const known = (/** @type {string} */ line) =>
            line === 'Starting default (STDIO) server...' ||
                /serving (again )?after/.test(line) ||
                this.setting.log?.test(line);
        const others = lines.filter(line => !kills.includes(line) && !known(line));
        expect([kills.length, others], [this.killed.length, []], `${this.name}: what is in the log`);
        this.place.sessions += 1;
    }

    /** Each server was opened as the client does it. One that was killed at once may have heard nothing. */
    opened() {
        const version = 'io.modelcontextprotocol/protocolVersion';
        for (const { told } of this.servers().filter(server => server.told.length > 0)) {
            const methods = told.map(({ method }) => method);
            const greetings = methods.filter(method =>
                ['initialize', 'notifications/initialized', 'ping'].includes(method),
            );
            if (this.modern) {
                expect(
                    [told[0].params?._meta?.[version], greetings],
                    ['2026-07-28', []],
                    `how a server is opened: ${methods}`,
                );
            } else {
                expect(
                    [methods[0], methods.filter(method => method === 'initialize').length],
                    ['initialize', 1],
                    `how a server is opened: ${methods}`,
                );
            }
        }
    }

    /** Leaves nothing behind, whatever has happened. */
    async abandon() {
        for (const file of [this.files.hold, this.files.stall, this.files.refuse]) rmSync(file, { force: true });
        await this.client?.close().catch(() => {});
        // A client that is not connected yet leaves its transport alone.
        await this.transport?.close().catch(() => {});
    }
}

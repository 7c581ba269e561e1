/**
 * A monitor without supervisors: it speaks the HTTP and WebSocket interface of the real one about rows that a test makes.
 *
 * It tells what it was asked by events: `request` (method and path), `attempt` (a WebSocket was asked for).
 */
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const part = name => readFileSync(new URL(`../../src/command/monitor/page/page.${name}`, import.meta.url), 'utf8');
const PAGE = part('html').replace('{{style}}', () => part('css')).replace('{{script}}', () => part('js'));
const MINUTE = 60_000;

export class Mock extends EventEmitter {
    rows = new Map();
    events = [];
    history = { minutes: [], since: 0 };
    parts = {};
    token = 'token-1';
    asked = [];
    attempts = 0;
    acceptsSockets = true;
    /** Whether who asks for a WebSocket gets no answer at all, as from a monitor that is stopped. */
    keepsSilent = false;
    #unanswered = [];
    /** What a restart with the right token is answered: status and body. */
    restartAnswer = () => [202, { status: 'restarting' }];
    /** Lets a test hold an answer back: awaited before the answer to a path is sent, and after it is made. */
    beforeAnswer = async () => {};

    constructor(now) {
        super();
        this.now = now;
        this.history.since = now - 3 * 60 * MINUTE;
    }

    async start() {
        this.sockets = new WebSocketServer({ noServer: true });
        this.server = createServer((request, response) => this.#answer(request, response));
        this.server.on('upgrade', (request, socket, head) => {
            this.attempts += 1;
            if (this.keepsSilent) {
                this.#unanswered.push(socket);
            } else if (this.acceptsSockets && request.url === '/ws/sessions') {
                this.sockets.handleUpgrade(request, socket, head, client => client.send(JSON.stringify(this.#healthUpdate())));
            } else {
                socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n');
            }
            this.emit('attempt');
        });
        // After a stop it comes back where it was.
        this.server.listen(this.port ?? 0, '127.0.0.1');
        await once(this.server, 'listening');
        this.port = this.server.address().port;
        this.url = `http://127.0.0.1:${this.port}/`;
        return this;
    }

    async stop() {
        this.hangUp();
        for (const socket of this.#unanswered.splice(0)) socket.destroy();
        this.server.closeAllConnections();
        if (this.server.listening) await new Promise(done => this.server.close(done));
    }

    hangUp() {
        for (const client of this.sockets.clients) client.terminate();
    }

    send(message) {
        for (const client of this.sockets.clients) client.send(JSON.stringify(message));
    }

    create(changes) {
        const made = session(this.now, changes);
        this.rows.set(made.id, made);
        this.send({ type: 'session_created', session: made });
        return made;
    }

    update(id, changes, { silent = false } = {}) {
        const made = { ...this.rows.get(id), alive_at: ++this.now, ...changes };
        this.rows.set(id, made);
        if (!silent) this.send({ type: made.closed_at ? 'session_disconnected' : 'session_updated', session: made });
        return made;
    }

    disconnect(id, close_reason = 'host_eof', options) {
        return this.update(id, { closed_at: ++this.now, close_reason, phase: 'stopped' }, options);
    }

    event(id, kind, text) {
        const event = { session: id, at: ++this.now, kind, text };
        this.events.push(event);
        this.send({ type: 'session_event', session: this.rows.get(id), event });
    }

    sendHealth() {
        this.send(this.#healthUpdate());
    }

    #list(query) {
        const status = query.get('status') ?? 'all', limit = Number(query.get('limit') ?? 50);
        const all = [...this.rows.values()]
            .filter(({ closed_at }) => status === 'all' || (closed_at === null) === (status === 'active'))
            .sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? 1 : -1));
        const start = Number(query.get('cursor') ?? 0), end = start + limit;
        return { sessions: all.slice(start, end), next_cursor: end < all.length ? String(end) : null };
    }

    #health() {
        const rows = [...this.rows.values()];
        const parts = {
            store: { status: 'ok', detail: null }, sockets: { status: 'ok', detail: null },
            supervisors: { status: 'ok', answering: rows.filter(row => row.closed_at === null).length, silent: 0 }, ...this.parts,
        };
        const seconds = rows.map(row => ((row.closed_at ?? this.now) - row.created_at) / 1000);
        return {
            status: Object.values(parts).every(part => part.status === 'ok') ? 'ok' : 'degraded', version: '0.1.0',
            mcpSessions: {
                total: rows.length, active: parts.supervisors.answering,
                avgDurationSeconds: rows.length ? seconds.reduce((a, b) => a + b, 0) / rows.length : null,
                totalToolCalls: rows.reduce((sum, row) => sum + row.tool_calls, 0),
            },
            parts,
        };
    }

    #healthUpdate() {
        return { type: 'health_update', health: this.#health() };
    }

    #restart(id, token) {
        if (token !== this.token) return [403, { error: 'the token is not that of this run', hint: 'Reload the page.' }];
        if (!this.rows.has(id)) return [404, { error: 'no such session', hint: 'See /api/sessions.' }];
        return this.restartAnswer(id);
    }

    #made(request, url) {
        const [, id, action] = url.pathname.match(/^\/api\/sessions\/([^/]+)(?:\/(restart))?$/) ?? [];
        if (request.method === 'POST' && action) return this.#restart(decodeURIComponent(id), request.headers['x-monitor-token']);
        if (id) {
            const found = this.rows.get(decodeURIComponent(id));
            if (!found) return [404, { error: 'no such session', hint: 'See /api/sessions.' }];
            return [200, { session: found, events: this.events.filter(event => event.session === id) }];
        }
        switch (url.pathname) {
            case '/api/sessions': return [200, this.#list(url.searchParams)];
            case '/api/events': return [200, {
                events: this.events.slice(-Number(url.searchParams.get('limit') ?? 50)).reverse()
                    .map(event => ({ ...event, name: this.rows.get(event.session)?.name ?? '' })),
            }];
            case '/api/history': return [200, this.history];
            case '/health/deep': return [200, this.#health()];
            default: return [404, { error: 'no such page', hint: 'See the manual.' }];
        }
    }

    async #answer(request, response) {
        const url = new URL(request.url, this.url);
        this.asked.push(`${request.method} ${url.pathname}${url.search}`);
        if (url.pathname === '/') {
            const nonce = randomBytes(16).toString('base64');
            const policy = `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'`;
            response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': policy });
            response.end(PAGE.replaceAll('{{nonce}}', nonce).replaceAll('{{token}}', this.token).replaceAll('{{version}}', '0.1.0'));
        } else {
            const [status, body] = this.#made(request, url);
            await this.beforeAnswer(url, request.method);
            response.writeHead(status, { 'Content-Type': 'application/json' });
            response.end(JSON.stringify(body));
        }
        this.emit('request', `${request.method} ${url.pathname}`);
    }
}

let made = 0;
/** A row as the monitor gives it: a server that serves and has been asked a little. */
export function session(now, changes = {}) {
    made += 1;
    return {
        id: `0198f0c2-0000-7000-8000-${String(made).padStart(12, '0')}`, name: 'notes', command: 'npx -y notes-server ***',
        transport: 'stdio', client_name: 'Claude Desktop', client_version: '1.4.2', protocol_version: '2025-06-18',
        server_name: 'notes-server', server_version: '2.0.1', pid: 4200 + made, pid_started: '81234',
        created_at: now - 42 * MINUTE, last_active: now - 12_000, alive_at: now - 2_000, phase: 'serving',
        tool_calls: 31, requests: 48, errors: 0, guidance_answers: 0, restarts: 0, noise_lines: 0,
        bytes_to_server: 18_204, bytes_to_host: 1_263_104, token_state: 'none', token_expires_at: null, api_state: 'unknown',
        closed_at: null, close_reason: null, ...changes,
    };
}

/** An hour of figures that ends at `now`, the same ones each time. */
export function hour(now, minutes = 60) {
    const last = Math.floor(now / MINUTE) * MINUTE;
    return Array.from({ length: minutes }, (_, i) => ({
        at: last - (minutes - 1 - i) * MINUTE,
        tool_calls: Math.max(0, Math.round(9 * Math.sin(i / 5) + 6 * Math.sin(i / 1.7) + 5)),
        restarts: i % 23 === 9 ? 2 : i % 17 === 5 ? 1 : 0,
    }));
}

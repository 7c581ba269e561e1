/**
 * Loaded into a server before its own code (`node --import`): writes down every line that it is told and tells, in the
 * process itself, so that the one that is killed is the server and nothing stands between it and the supervisor.
 *
 * - `FEATURES_RECORD` is the file: a line of JSON for the start of each process (`start`), for the moment from which it
 *   reads (`ready`), and for each line read (`in`) and written (`out`). It is written before the server sees the line, and stays when the process is killed.
 * - As long as the file `FEATURES_REFUSE` is there, a server that starts ends at once, and has not been there.
 * - As long as the file `FEATURES_HOLD` is there, a server that starts does not come to its own code: it is down.
 * - Requests of the methods that the file `FEATURES_STALL` names, one a line, are read and not handed on: they are in
 *   flight for as long as the server lives.
 *
 * It never changes a line, and never writes to the streams of the server.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';

const {
    FEATURES_RECORD: record,
    FEATURES_HOLD: hold,
    FEATURES_STALL: stall,
    FEATURES_REFUSE: refuse,
} = /** @type {Record<string, string>} */ (process.env);
const LOOK_EVERY_MS = 10;

/** @param {string} way @param {string} [line] */
function note(way, line) {
    appendFileSync(record, `${JSON.stringify({ pid: process.pid, way, line })}\n`);
}

/**
 * Cuts chunks into lines. Gives a function that takes a chunk and gives the lines that have become complete.
 * @returns {(chunk: Uint8Array | string) => string[]}
 */
function splitter() {
    let rest = Buffer.alloc(0);
    return chunk => {
        rest = Buffer.concat([rest, Buffer.from(chunk)]);
        const lines = [];
        for (let end; (end = rest.indexOf(10)) >= 0; rest = rest.subarray(end + 1)) {
            lines.push(rest.subarray(0, end).toString());
        }
        return lines;
    };
}

/** @param {string} line */
function stalled(line) {
    if (!existsSync(stall)) return false;
    const { method } = JSON.parse(line);
    return method !== undefined && readFileSync(stall, 'utf8').split('\n').includes(method);
}

if (existsSync(refuse)) process.exit(1);
note('start');
const sleeper = new Int32Array(new SharedArrayBuffer(4));
while (existsSync(hold)) Atomics.wait(sleeper, 0, 0, LOOK_EVERY_MS);

const on = process.stdin.on.bind(process.stdin);
process.stdin.on = (/** @type {any} */ event, /** @type {any} */ listener) => {
    if (event === 'data') note('ready');
    return on(event, listener);
};

const read = splitter();
const emit = process.stdin.emit.bind(process.stdin);
process.stdin.emit = (/** @type {any} */ event, /** @type {any[]} */ ...rest) => {
    if (event !== 'data') return emit(event, ...rest);
    const passed = read(rest[0]).filter(line => {
        note('in', line);
        return !stalled(line);
    });
    return passed.length === 0 || emit('data', Buffer.from(passed.map(line => `${line}\n`).join('')));
};

const written = splitter();
const write = process.stdout.write.bind(process.stdout);
process.stdout.write = (/** @type {any} */ chunk, /** @type {any[]} */ ...rest) => {
    for (const line of written(chunk)) note('out', line);
    return write(chunk, ...rest);
};

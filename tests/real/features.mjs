/**
 * The features of the protocol behind the supervisor, through real clients and servers, with a kill in the middle.
 *
 * `node features.mjs BINARY PACKAGES [ONLY]` drives the supervisor BINARY with the clients of the TypeScript SDK against
 * `server-everything` and two servers of our own; PACKAGES is the folder whose `node_modules` has them, and ONLY a
 * pattern for the titles of what is to be shown. For each feature there is a conversation that has to look the same
 * without the supervisor and with it, to the client and to the server, and one for each moment at which the server is
 * killed (kill -9), with the outcome that is promised for it.
 *
 * Kills come at an event, such as a dialog that has opened, and never after a time. A line is printed for each thing
 * that is shown; the program ends with 1 and a message at the first difference, and leaves no process and no file.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { Failure, expect, patiently } from './features/check.mjs';
import { Place } from './features/talk.mjs';
import { compare } from './features/wire.mjs';
import { cancellation } from './features/cancellation.mjs';
import { completion } from './features/completion.mjs';
import { down } from './features/down.mjs';
import { elicitation } from './features/elicitation.mjs';
import { logging } from './features/logging.mjs';
import { modern } from './features/modern.mjs';
import { progress } from './features/progress.mjs';
import { roots } from './features/roots.mjs';
import { sampling } from './features/sampling.mjs';
import { subscriptions } from './features/subscriptions.mjs';
import { clientTasks, tasks } from './features/tasks.mjs';

/** How many conversations go on at once: many of them wait, and on few cores more would make each other slow. */
const AT_A_TIME = 4;

/** For how long the whole may take before it is given up, in milliseconds: many times as long as it does on an idle machine. */
const LIFETIME_MS = 420_000;

/**
 * @typedef {import('./features/talk.mjs').Talk} Talk
 * @typedef {object} Same what looks the same with the supervisor and without
 * @property {(place: Place) => import('./features/talk.mjs').Setting} setting
 * @property {(talk: Talk) => Promise<unknown>} story
 * @property {(view: any) => any} [settle] takes out what differs from one time to the next
 *
 * @typedef {object} Feature
 * @property {Same} [same]
 * @property {Record<string, (place: Place, name: string) => Promise<string>>} kills by moment; gives what was shown
 */

/** @type {Record<string, Feature>} */
const FEATURES = {
    sampling,
    roots,
    elicitation,
    progress,
    cancellation,
    logging,
    subscriptions,
    completion,
    tasks,
    'tasks of the client': clientTasks,
    down,
    modern,
};

/**
 * A conversation without the supervisor, and the same with it.
 * @param {Place} place @param {string} name @param {Same} same
 */
async function looksTheSame(place, name, same) {
    const { story, settle = view => view } = same;
    // Each has a setting of its own, for its client may answer one thing after the other.
    const [direct, supervised] = await Promise.all([
        place.talk(`${name}-direct`, same.setting(place), story, true),
        place.talk(`${name}-supervised`, same.setting(place), story),
    ]);
    compare(supervised.talk.wire, direct.talk.wire, settle);
    const [server] = supervised.talk.servers();
    expect(server.told, supervised.talk.wire.said, 'the server is told what the client says');
    expect(supervised.talk.wire.heard, server.tells, 'the client hears what the server tells');
    place.compared += direct.talk.wire.heard.length + direct.talk.wire.said.length;
    const { said, heard } = direct.talk.wire;
    const counts = `${said.length} messages of the client and ${heard.length} of the server`;
    return `${counts} are the same without the supervisor and with it`;
}

/** All that is to be shown: its name, and how. @param {Place} place */
function* conversations(place) {
    for (const [feature, { same, kills }] of Object.entries(FEATURES)) {
        const slug = feature.replaceAll(' ', '-');
        if (same) yield { title: feature, show: () => looksTheSame(place, `${slug}-same`, same) };
        for (const [index, [moment, show]] of Object.entries(kills).entries()) {
            yield { title: `${feature}: ${moment}`, show: () => show(place, `${slug}-${index + 1}`) };
        }
    }
}

/** Shows everything, a few things at a time. @param {Place} place */
async function all(place) {
    const only = new RegExp(process.argv[4] ?? '');
    const waiting = [...conversations(place)].filter(({ title }) => only.test(title));
    const work = async () => {
        for (let next; (next = waiting.shift());) {
            try {
                console.log(`ok: ${next.title}: ${await next.show()}`);
            } catch (/** @type {any} */ error) {
                waiting.length = 0;
                throw new Failure(`${next.title}: ${error instanceof Failure ? error.message : error.stack}`);
            }
        }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, work));
}

const [binary, packages] = process.argv.slice(2);
if (packages === undefined) {
    console.error('usage: node features.mjs BINARY PACKAGES [ONLY]');
    process.exit(2);
}
const began = Date.now();
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'features-')));
// Nothing of the user's is to be read or written, by nobody that is started here.
process.env.HOME = folder;
const place = new Place(resolve(binary), resolve(packages), folder);
try {
    await patiently(all(place), 'the end of it all', LIFETIME_MS);
    const seconds = ((Date.now() - began) / 1000).toFixed(0);
    console.log(
        `${place.sessions} supervised sessions, ${place.kills} kills, ${place.compared} messages compared,` +
            ` no difference, no process left, in ${seconds} s`,
    );
} catch (/** @type {any} */ error) {
    console.error(`FAILED\n${error.message}`);
    process.exitCode = 1;
    // The others are ended in the middle of it, and no more begin.
    place.closed = true;
    await Promise.all([...place.talks].map(talk => talk.abandon()));
} finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}
process.exit();

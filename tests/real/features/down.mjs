/**
 * A server that does not come back for a while: what is asked meanwhile is held, and then answered in its stead, each
 * method in its own way; what it has missed it is told when it comes.
 */
import { expect, until } from './check.mjs';
import { guided, refused, textOf } from './guidance.mjs';

/** @typedef {import('./talk.mjs').Talk} Talk */
/** @typedef {import('./talk.mjs').Place} Place */

const uri = 'demo://resource/static/document/architecture.md';
const other = 'demo://resource/static/document/features.md';
const WAITED = { status: 'server_timeout', outcome: 'not_executed' };
/** What the log says of a server that is given up, and that fails when it is tried again. */
const GIVING_UP = /WARN .*(the server is not available; the host is answered with guidance|the server ended.*code 1)/;
const GIVEN_UP = { status: 'server_unavailable', outcome: 'not_executed' };
/** How often a server that is away is asked for again. */
const ASK_EVERY_MS = 100;

const put = (/** @type {any} */ client) => client.callTool({ name: 'put', arguments: {} });
const echo = (/** @type {any} */ client) => client.callTool({ name: 'echo', arguments: { message: 'm' } });
const prompt = { type: 'ref/prompt', name: 'completable-prompt' };

/** What is answered in the server's stead. @type {[string, (client: any) => Promise<unknown>, any][]} */
const ANSWERS = [
    ['ping', client => client.ping(), {}],
    [
        'completion/complete',
        client => client.complete({ ref: prompt, argument: { name: 'department', value: 'S' } }),
        { completion: { values: [], hasMore: false } },
    ],
    ['logging/setLevel', client => client.setLoggingLevel('error'), {}],
    ['resources/subscribe', client => client.subscribeResource({ uri: other }), {}],
    ['resources/unsubscribe', client => client.unsubscribeResource({ uri }), {}],
];

/** What is refused in its stead. @type {[string, (client: any) => Promise<unknown>][]} */
const REFUSALS = [
    ['resources/read', client => client.readResource({ uri })],
    ['prompts/get', client => client.getPrompt({ name: 'simple-prompt' })],
    ['tasks/get', client => client.experimental.tasks.getTask('t')],
    ['tasks/list', client => client.experimental.tasks.listTasks()],
    ['tasks/cancel', client => client.experimental.tasks.cancelTask('t')],
    [
        'tools/call of a tool with structured content',
        client => client.callTool({ name: 'get-structured-content', arguments: { location: 'Chicago' } }),
    ],
];

/** All that is answered in its stead, and how. @param {Talk} talk @param {object} why the guidance */
async function answersInItsStead(talk, why) {
    for (const [method, call, result] of ANSWERS) expect(await talk.ask(call), { result }, `the answer to ${method}`);
    for (const [, call] of REFUSALS) refused(talk, await talk.ask(call), why);
    guided(talk, await talk.ask(echo), why);
}

/** What was set while no server was there holds for the next one. @param {Talk} talk */
async function holds(talk) {
    const subscribed = await talk.told(2, ({ method }) => method === 'resources/subscribe', 'of a subscription');
    expect(subscribed.params.uri, other, 'the subscription that is left');
    const level = talk.servers()[1].told.find(({ method }) => method === 'logging/setLevel');
    expect(level?.params.level, 'error', 'the level that was set last');
    await talk.heard(({ params }) => params?.uri === other, 'that the resource may have changed');
}

/** What the client was given before, and has set. @param {Talk} talk */
async function before(talk) {
    const tools = await talk.ask(client => client.listTools());
    await talk.ask(client => client.subscribeResource({ uri }));
    await talk.ask(client => client.setLoggingLevel('debug'));
    return tools;
}

const SHOWN =
    `${ANSWERS.length} methods have an answer all the same, ${REFUSALS.length} are refused with guidance, the list is the one` +
    ' from before, and the level and the subscription set meanwhile hold for the next server';

export const down = {
    kills: {
        /** @param {Place} place @param {string} name */
        'killed, and down for longer than requests are held': async (place, name) => {
            await place.talk(name, { server: 'everything', options: ['--hold', '100ms'] }, async talk => {
                const tools = await before(talk);
                talk.hold();
                await talk.kill();
                await talk.server(2);
                await answersInItsStead(talk, WAITED);
                expect(await talk.ask(client => client.listTools()), tools, 'the list of tools');
                talk.release();
                await holds(talk);
                const told = talk.servers()[1].told.filter(({ id }) => typeof id === 'number');
                expect(told, [], 'what of the client the second server is told');
            });
            return SHOWN;
        },

        /** @param {Place} place @param {string} name */
        'killed, and given up': async (place, name) => {
            const options = ['--max-restarts', '0'];
            await place.talk(name, { server: 'everything', options, log: GIVING_UP }, async talk => {
                const tools = await before(talk);
                talk.refuse();
                await talk.kill();
                await answersInItsStead(talk, GIVEN_UP);
                expect(await talk.ask(client => client.listTools()), tools, 'the list of tools');
                talk.allow();
                // It is tried again when a call comes a while after the last attempt.
                await until(async () => textOf(await talk.ask(echo)) === 'Echo: m', 'it is tried again', ASK_EVERY_MS);
                await holds(talk);
            });
            return SHOWN;
        },

        /** @param {Place} place @param {string} name */
        'killed, and down for longer than requests are held, without a greeting': async (place, name) => {
            await place.talk(name, { server: 'modern', options: ['--hold', '100ms'] }, async talk => {
                const tools = await talk.ask(client => client.listTools());
                talk.hold();
                await talk.kill();
                await talk.server(2);
                const ref = { type: 'ref/prompt', name: 'spell' };
                const completed = await talk.ask(client =>
                    client.complete({ ref, argument: { name: 'word', value: 'al' } }),
                );
                const nothing = { resultType: 'complete', completion: { values: [], hasMore: false } };
                expect(completed, { result: nothing }, 'the answer to completion/complete');
                const listed = await talk.ask(client => client.listTools());
                expect(listed, { result: { ...tools.result, ttlMs: 0 } }, 'the list of tools');
                refused(
                    talk,
                    await talk.ask(client => client.getPrompt({ name: 'spell', arguments: { word: 'w' } })),
                    WAITED,
                );
                guided(talk, await talk.ask(put), WAITED);
                refused(talk, await talk.ask(client => client.callTool({ name: 'measure', arguments: {} })), WAITED);
                talk.release();
                talk.openGate();
                await until(async () => textOf(await talk.ask(put)) === 'put: done', 'it is there', ASK_EVERY_MS);
                expect(talk.journal(), ['put'], 'what was done');
            });
            return 'completion, lists, prompts and calls have the answers of the era, and what was answered so is not carried out';
        },
    },
};

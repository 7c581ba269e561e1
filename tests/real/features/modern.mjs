/**
 * The features in the era without a greeting (2026-07-28), where the server never asks by itself: what it needs of the
 * client it says in its answer, and the client calls again, which is a request of its own.
 */
import { expect, open, until } from './check.mjs';
import { givenUp, moments } from './cancellation.mjs';
import { guided, textOf } from './guidance.mjs';
import { safeCalls, unsafeCalls } from './progress.mjs';

/** @typedef {import('./talk.mjs').Talk} Talk */
/** @typedef {import('./talk.mjs').Place} Place */

/** What the client's user, its model and its workspace answer. @type {Record<string, object>} */
const ANSWERS = {
    'elicitation/create': { action: 'accept', content: { sure: true } },
    'sampling/createMessage': { role: 'assistant', model: 'none', content: { type: 'text', text: 'this' } },
    'roots/list': { roots: [{ uri: 'file:///a', name: 'a' }] },
};

/**
 * @param {(talk: Talk, method: string) => Promise<unknown>} [before] is awaited before each answer
 * @returns {import('./talk.mjs').Setting}
 */
const setting = (before = async () => {}) => ({
    server: 'modern',
    capabilities: { elicitation: { form: {} }, sampling: {}, roots: {} },
    handlers: (client, talk) => {
        for (const [method, answer] of Object.entries(ANSWERS)) {
            client.setRequestHandler(method, async () => {
                await before(talk, method);
                return answer;
            });
        }
    },
});

const call = (/** @type {string} */ name) => (/** @type {any} */ client) => client.callTool({ name, arguments: {} });
const tell = (/** @type {string} */ level) => (/** @type {any} */ client) =>
    client.callTool({ name: 'tell', arguments: {}, _meta: { 'io.modelcontextprotocol/logLevel': level } });
const complete = (/** @type {any} */ client) =>
    client.complete({ ref: { type: 'ref/prompt', name: 'spell' }, argument: { name: 'word', value: 'al' } });

/** The requests of the extension for tasks. */
const taskRequests = () => {
    const methods = ['tasks/get', 'tasks/update', 'tasks/cancel'];
    const params = { taskId: 'task-1' };
    return methods.map(method => (/** @type {any} */ client) => client.request({ method, params }, anything));
};

/** A schema that takes anything. */
const anything = {
    '~standard': { version: 1, vendor: 'features', validate: (/** @type {unknown} */ value) => ({ value }) },
};

/** The requests for a tool, by the client's own count. @param {Talk} talk @param {string} name */
const calls = (talk, name) => talk.wire.requests().filter(({ params }) => params?.name === name);

/** The answer to a request. @param {Talk} talk @param {unknown} id */
const answerTo = (talk, id) =>
    until(() => talk.wire.answers().find(answer => answer.id === id), `${talk.name}: request ${id} is answered`);

/**
 * Calls a tool that needs something, kills the server while the client sees to it, and gives the answer to the call that
 * follows.
 * @param {Talk} talk @param {string} name
 */
async function killedBetween(talk, name) {
    const begun = calls(talk, name).length;
    const first = await talk.begin(call(name));
    const { result } = await first.answer();
    expect(result.resultType, 'input_required', 'what the tool says first');
    const [, second] = calls(talk, name).slice(begun);
    const { id: _id, jsonrpc: _version, ...answer } = await answerTo(talk, second.id);
    const server = talk.servers().at(-1);
    const told = server?.told.filter(({ params }) => params?.name === name);
    expect(told, [second], 'what the next server is told of the call');
    return { state: result.requestState, second, answer };
}

export const modern = {
    same: {
        setting: () => setting(),
        settle: (/** @type {any} */ view) =>
            JSON.parse(JSON.stringify(view).replace(/"requestState":"[^"]*"/g, '"requestState":"signed"')),
        /** @param {Talk} talk */
        story: async talk => {
            await givenUp(talk);
            for (const name of ['book', 'vote', 'think', 'where'])
                await talk.begin(call(name)).then(({ settled }) => settled);
            for (const ask of [tell('info'), tell('error'), call('tell'), complete]) await talk.ask(ask);
            await talk.ask(call('start'));
            for (const ask of taskRequests()) await talk.ask(ask);
        },
    },

    kills: {
        /** @param {Place} place @param {string} name */
        'killed while the client sees to what a call needs': async (place, name) => {
            const struck = setting(async talk => talk.kill());
            await place.talk(name, struck, async talk => {
                await talk.ask(client => client.listTools());
                for (const tool of ['book', 'think', 'where']) {
                    const { state, second, answer } = await killedBetween(talk, tool);
                    expect(second.params.requestState, state, 'the state that the client sends back');
                    const { it } = JSON.parse(textOf(answer).slice(`${tool}: `.length))[0];
                    expect(second.params.inputResponses, { it }, 'what the next server is given');
                }
                const { answer } = await killedBetween(talk, 'vote');
                expect(answer.error?.code, -32602, `the refusal of the next server: ${JSON.stringify(answer)}`);
                expect(talk.journal(), ['book', 'think', 'where'], 'what was done, once each time');
            });
            return (
                'elicitation, sampling and roots: the second call is a request of its own, and the next server carries' +
                ' it out, or refuses by its own -32602 a state that it has not signed'
            );
        },

        /** @param {Place} place @param {string} name */
        'killed with the second call in flight': async (place, name) => {
            await place.talk(name, setting(), async talk => {
                await talk.ask(client => client.listTools());
                await talk.begin(call('order'));
                await until(() => talk.journal().length === 1, 'the order is carried out');
                await talk.kill();
                const [, { id }] = calls(talk, 'order');
                const { jsonrpc: _version, ...answer } = await answerTo(talk, id);
                guided(talk, { result: answer.result });
                await talk.ask(client => client.listTools());
                expect(talk.journal(), ['order'], 'what was done, once');
            });
            return 'it is not repeated, its outcome is unknown: guidance';
        },

        /** @param {Place} place @param {string} name */
        'killed between two steps of calls that are not safe': async (place, name) =>
            (await place.talk(name, setting(), unsafeCalls)).result,

        /** @param {Place} place @param {string} name */
        'killed between two steps of calls that are safe': async (place, name) =>
            (await place.talk(name, setting(), safeCalls)).result,

        ...moments(setting()),

        /** @param {Place} place @param {string} name */
        'killed with requests for completion, logging and tasks in flight': async (place, name) => {
            await place.talk(name, setting(), async talk => {
                await talk.ask(client => client.listTools());
                await talk.ask(call('start'));
                const wanted = await talk.ask(complete);
                const asks = [complete, tell('info'), ...taskRequests()];
                const methods = ['completion/complete', 'tools/call', 'tasks/get', 'tasks/update', 'tasks/cancel'];
                const { asked, answers } = await talk.killWithInHand(methods, asks);
                expect(answers[0], wanted, 'the completion');
                expect(textOf(answers[1]), 'told', 'the call that logs');
                const messages = talk.wire.notes('notifications/message').map(({ params }) => params.level);
                expect(messages, ['info', 'error'], 'the messages at the level that came with the call');
                const codes = answers.slice(2).map(({ error }) => error?.code);
                expect(
                    codes,
                    [-32602, -32602, -32602],
                    `the next server knows of no task: ${JSON.stringify(answers.slice(2))}`,
                );
                expect(
                    asked.map(one => one.times(2)),
                    asked.map(() => 1),
                    'how often each is asked again',
                );
            });
            return "completion is repeated, a safe call logs at its level, and the next server's own -32602 for a task passes through";
        },
    },
};

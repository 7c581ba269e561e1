/**
 * Completion, and all else that is asked for and changes nothing: in flight at a kill, it is asked again, and the
 * answer is what the server alone would have given.
 */
import { expect } from './check.mjs';

/** @typedef {import('./talk.mjs').Talk} Talk */
/** @typedef {import('./talk.mjs').Place} Place */

const prompt = { type: 'ref/prompt', name: 'completable-prompt' };
const uri = 'demo://resource/static/document/architecture.md';

/** @type {Record<string, (client: any) => Promise<unknown>>} */
const COMPLETIONS = {
    departments: client => client.complete({ ref: prompt, argument: { name: 'department', value: 'S' } }),
    names: client =>
        client.complete({
            ref: prompt,
            argument: { name: 'name', value: '' },
            context: { arguments: { department: 'Sales' } },
        }),
    template: client =>
        client.complete({
            ref: { type: 'ref/resource', uri: 'demo://resource/dynamic/text/{resourceId}' },
            argument: { name: 'resourceId', value: '7' },
        }),
    unknown: client =>
        client.complete({ ref: { ...prompt, name: 'no-such-prompt' }, argument: { name: 'a', value: '' } }),
};

/** Everything else that may be asked again, by its method. @type {Record<string, (client: any) => Promise<unknown>>} */
const READING = {
    'tools/list': client => client.listTools(),
    'prompts/list': client => client.listPrompts(),
    'prompts/get': client => client.getPrompt({ name: 'simple-prompt' }),
    'resources/list': client => client.listResources(),
    'resources/templates/list': client => client.listResourceTemplates(),
    'resources/read': client => client.readResource({ uri }),
    ping: client => client.ping(),
};

/** @type {import('./talk.mjs').Setting} */
const setting = { server: 'everything' };

/**
 * The answers of the next server to what one was killed with in hand, which is asked again as it was.
 * @param {Talk} talk @param {string[]} methods @param {((client: any) => Promise<unknown>)[]} calls
 */
async function inFlight(talk, methods, calls) {
    const { asked, answers } = await talk.killWithInHand(methods, calls);
    const [first, second] = talk
        .servers()
        .map(({ told }) => told.filter(({ id, method }) => method !== undefined && asked.some(one => one.id === id)));
    expect(second, first, 'what is asked again, and how');
    return answers;
}

/** @param {string[]} methods @param {Record<string, (client: any) => Promise<unknown>>} calls */
const repeated = (methods, calls) => async (/** @type {Place} */ place, /** @type {string} */ name) => {
    const list = Object.values(calls);
    const direct = await place.talk(
        `${name}-direct`,
        setting,
        async talk => {
            const answers = [];
            for (const call of list) answers.push(await talk.ask(call));
            return answers;
        },
        true,
    );
    const { result } = await place.talk(name, setting, talk => inFlight(talk, methods, list));
    expect(result, direct.result, 'the answers after the kill');
    place.compared += result.length;
    return `${result.length} requests are asked again, once and word for word, and answered as by the server alone`;
};

export const completion = {
    same: {
        setting: () => setting,
        /** @param {Talk} talk */
        story: async talk => {
            for (const call of Object.values(COMPLETIONS)) await talk.ask(call);
        },
    },
    kills: {
        'killed with completions in flight': repeated(['completion/complete'], COMPLETIONS),
        'killed with lists and readings in flight': repeated(Object.keys(READING), READING),
    },
};

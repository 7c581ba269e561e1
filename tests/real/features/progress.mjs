/**
 * Progress: of calls that are repeated it never goes backwards, calls that must not be repeated are not, and what the
 * client reports to the server about its own work reaches the server that asked, and no other.
 */
import { Failure, expect, open, until } from './check.mjs';
import { calledOff, guided, refused, textOf } from './guidance.mjs';

/** @typedef {import('./talk.mjs').Talk} Talk */
/** @typedef {import('./talk.mjs').Place} Place */

/**
 * Calls a tool, and kills the server at a step of its progress.
 * @param {Talk} talk @param {string} name @param {object} args @param {number} step
 */
export async function killedAt(talk, name, args, step) {
    let struck = false;
    const onprogress = (/** @type {{ progress: number }} */ { progress }) => {
        if (progress < step || struck) return;
        struck = true;
        talk.strike();
    };
    return talk.begin(client => call(talk, client, name, args, { onprogress }));
}

/**
 * The steps that the client was told of, for a request.
 * @param {Talk} talk @param {import('./asked.mjs').Asked} asked
 */
export function steps(talk, asked) {
    const told = talk.wire.notes('notifications/progress').filter(({ params }) => params.progressToken === asked.id);
    return told.map(({ params }) => params.progress);
}

/**
 * Calls a tool by the client of either era.
 * @param {Talk} talk @param {any} client @param {string} name @param {object} args @param {object} options
 */
export function call(talk, client, name, args, options) {
    const params = { name, arguments: args };
    return talk.modern ? client.callTool(params, options) : client.callTool(params, undefined, options);
}

/** What an unsafe call gets. @type {Record<string, (talk: Talk, answer: any) => void>} */
export const UNSAFE = { act: guided, write: guided, contradict: guided, measure: refused };

/** The unsafe tools, one after the other, each with a server of its own. @param {Talk} talk */
export async function unsafeCalls(talk) {
    await talk.ask(client => client.listTools());
    for (const [index, [name, gets]] of Object.entries(UNSAFE).entries()) {
        const asked = await killedAt(talk, name, {}, 2);
        gets(talk, await asked.answer());
        expect(steps(talk, asked), [1, 2], `the progress of ${name}`);
        const { value, error } = await asked.settled;
        expect(
            [value?.isError, error?.code],
            gets === guided ? [undefined, undefined] : [undefined, -32603],
            `what the SDK gives for ${name}`,
        );
        // The next server has heard whatever comes before the answer to this.
        await talk.ask(client => client.listTools());
        expect(asked.times(index + 2), 0, `how often ${name} is repeated`);
    }
    expect(talk.journal(), Object.keys(UNSAFE), 'what was done, once each time');
    return 'progress stops, each call was carried out once, its outcome is unknown: guidance, and -32603 where structured content is owed';
}

/** The safe tools, one after the other, each with a server of its own. @param {Talk} talk */
export async function safeCalls(talk) {
    await talk.ask(client => client.listTools());
    for (const [index, name] of ['look', 'put'].entries()) {
        const asked = await killedAt(talk, name, {}, 2);
        await until(() => talk.killed.length === index + 1, `${name} is under way`);
        await talk.noticed();
        talk.openGate();
        expect(textOf(await asked.answer()), `${name}: done`, 'the answer');
        talk.closeGate();
        expect(steps(talk, asked), [1, 2, 3], `the progress of ${name}`);
        expect(asked.times(index + 2), 1, `how often ${name} is repeated`);
        const again = talk.servers()[index + 1].tells.filter(({ params }) => params?.progressToken === asked.id);
        expect(
            again.map(({ params }) => params.progress),
            [1, 2, 3],
            'the progress of the repetition, as the server tells it',
        );
    }
    expect(talk.journal(), ['look', 'look', 'put', 'put'], 'what was done');
    return 'read-only and idempotent calls are repeated once, and their progress is told once and in order';
}

export const progress = {
    same: {
        setting: () => /** @type {const} */ ({ server: 'everything' }),
        /** @param {Talk} talk */
        story: async talk => {
            const params = { name: 'trigger-long-running-operation', arguments: { duration: 0.3, steps: 3 } };
            await talk.ask(client => client.callTool(params, undefined, { onprogress: () => {} }));
        },
    },

    kills: {
        /** @param {Place} place @param {string} name */
        'killed between two steps of a call that is safe': async (place, name) => {
            const { result } = await place.talk(name, { server: 'everything' }, async talk => {
                await talk.ask(client => client.listTools());
                const asked = await killedAt(talk, 'trigger-long-running-operation', { duration: 4, steps: 5 }, 2);
                expect(
                    textOf(await asked.answer()),
                    'Long running operation completed. Duration: 4 seconds, Steps: 5.',
                    'the answer',
                );
                expect(steps(talk, asked), [1, 2, 3, 4, 5], 'progress as the client sees it');
                const [first, second] = talk.servers();
                const told = [first, second].map(server => server.told.filter(({ id }) => id === asked.id));
                expect(told[1], told[0], 'the call as it is repeated');
                const tells = second.tells.filter(({ method }) => method === 'notifications/progress');
                expect(
                    tells.map(({ params }) => params.progress),
                    [1, 2, 3, 4, 5],
                    'progress as the second server tells it',
                );
                return tells.length;
            });
            return `the call is repeated as it was, and ${result} steps from its start on are told once and in order`;
        },

        /** @param {Place} place @param {string} name */
        'killed between two steps of calls that say they are safe': async (place, name) =>
            (await place.talk(name, { server: 'small' }, safeCalls)).result,

        /** @param {Place} place @param {string} name */
        'killed between two steps of calls that are not safe': async (place, name) =>
            (await place.talk(name, { server: 'small' }, unsafeCalls)).result,

        /** @param {Place} place @param {string} name */
        'killed between two steps of a call, and again at its repetition': async (place, name) => {
            await place.talk(name, { server: 'small' }, async talk => {
                await talk.ask(client => client.listTools());
                const asked = await killedAt(talk, 'look', {}, 2);
                await until(() => talk.journal().length === 2, 'the call is repeated');
                await talk.kill();
                guided(talk, await asked.answer());
                await talk.ask(client => client.listTools());
                expect(
                    [1, 2, 3].map(server => asked.times(server)),
                    [1, 1, 0],
                    'how often each server is told of it',
                );
                expect(steps(talk, asked), [1, 2], 'the progress that the client sees');
            });
            return 'it is not repeated once more: guidance';
        },

        /** @param {Place} place @param {string} name */
        'killed between two steps of what the client does': async (place, name) => {
            const works = [open(), open()];
            /** @type {import('./talk.mjs').Setting} */
            const setting = {
                server: 'small',
                capabilities: { sampling: {} },
                handlers: (client, talk) => {
                    let count = 0;
                    client.setRequestHandler(
                        talk.sdk().CreateMessageRequestSchema,
                        async (/** @type {any} */ _, /** @type {any} */ extra) => {
                            const work = works[count++];
                            const { progressToken } = extra._meta;
                            const report = (/** @type {number} */ progress) =>
                                client.notification({
                                    method: 'notifications/progress',
                                    params: { progressToken, progress },
                                });
                            await report(count * 10);
                            await work.promise;
                            await report(count * 10 + 1);
                            return {
                                role: 'assistant',
                                model: 'none',
                                content: { type: 'text', text: `work ${count}` },
                            };
                        },
                    );
                },
            };
            await place.talk(name, setting, async talk => {
                await talk.ask(client => client.listTools());
                const first = await talk.begin(client => client.callTool({ name: 'ask', arguments: {} }));
                await talk.told(1, ({ params }) => params?.progress === 10, 'of progress');
                await talk.kill();
                guided(talk, await first.answer());
                await calledOff(talk, [0]);

                const second = await talk.begin(client => client.callTool({ name: 'ask', arguments: {} }));
                await talk.told(2, ({ params }) => params?.progress === 20, 'of progress');
                // The dead server's work goes on, and its token is that of the living one's.
                works[0].resolve(undefined);
                await late(talk, 0);
                works[1].resolve(undefined);
                expect(textOf(await second.answer()), 'work 2', 'the answer');
                const told = talk
                    .servers()
                    .map(server => server.told.filter(({ method }) => method === 'notifications/progress'));
                const wanted = [
                    [[0, 10]],
                    [
                        [0, 20],
                        [0, 21],
                    ],
                ];
                expect(
                    told.map(notes => notes.map(({ params }) => [params.progressToken, params.progress])),
                    wanted,
                    'the progress that the servers get',
                );
                const tokens = talk.wire.asked().map(({ params }) => params._meta.progressToken);
                expect(tokens, [0, 'mcp-supervise:g2:0'], 'the tokens that the client sees');
            });
            return 'what is reported to the dead server reaches no other; the next one, with the same token, gets its own';
        },
    },
};

/** Waits until the client has sent its late answer to a request. @param {Talk} talk @param {unknown} id */
export async function late(talk, id) {
    await until(() => talk.wire.replies(id).length > 0, `the late answer to ${id}`);
    if (talk.wire.replies(id).length > 1) throw new Failure(`request ${id} is answered twice by the client`);
}

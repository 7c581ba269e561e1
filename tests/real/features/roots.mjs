/**
 * Roots: each server asks for them, with the same id; answers go to the server that asked.
 */
import { expect, open } from './check.mjs';
import { calledOff, given, textOf } from './guidance.mjs';
import { late } from './progress.mjs';

/** @typedef {import('./talk.mjs').Talk} Talk */
/** @typedef {import('./talk.mjs').Place} Place */

const folders = (/** @type {string[]} */ ...names) => ({
    roots: names.map(name => ({ uri: `file:///${name}`, name })),
});
const look = (/** @type {any} */ client) => client.callTool({ name: 'get-roots-list', arguments: {} });

/** @param {(talk: Talk) => unknown} workspace @returns {import('./talk.mjs').Setting} */
const setting = workspace => ({
    server: 'everything',
    capabilities: { roots: { listChanged: true } },
    handlers: (client, talk) => {
        client.setRequestHandler(talk.sdk().ListRootsRequestSchema, () => workspace(talk));
    },
});

/** Waits until the server says that it has got so many roots. @param {Talk} talk @param {number} count */
const updated = (talk, count) =>
    talk.heard(({ params }) => params?.data?.startsWith?.(`Roots updated: ${count} `), `of ${count} roots`);

export const roots = {
    same: {
        setting: () => {
            const answers = [folders('a'), folders('a', 'b')];
            return setting(() => answers.shift());
        },
        /** @param {Talk} talk */
        story: async talk => {
            await updated(talk, 1);
            await talk.ask(look);
            await talk.client.sendRootsListChanged();
            await updated(talk, 2);
            await talk.ask(look);
        },
    },

    kills: {
        /** @param {Place} place @param {string} name */
        'killed while the roots are asked for': async (place, name) => {
            const answers = [open(), open()];
            const waiting = [...answers];
            const asked = setting(talk => {
                const answer = waiting.shift();
                if (answer === answers[0]) talk.strike();
                return answer?.promise ?? folders('e', 'f', 'g');
            });
            await place.talk(name, asked, async talk => {
                await talk.ask(client => client.listTools());
                await calledOff(talk, [0]);
                await talk.heard(({ id }) => id === 'mcp-supervise:g2:0', 'the second server ask');
                answers[0].resolve(folders('late'));
                await late(talk, 0);
                answers[1].resolve(folders('c', 'd'));
                await updated(talk, 2);
                const shown = textOf(await talk.ask(look));
                expect(
                    [shown.includes('file:///c'), shown.includes('late')],
                    [true, false],
                    `the roots of the second server: ${shown}`,
                );

                await talk.client.sendRootsListChanged();
                await updated(talk, 3);
                const wanted = [folders('c', 'd'), folders('e', 'f', 'g')].map((result, id) => ({
                    jsonrpc: '2.0',
                    id,
                    result,
                }));
                expect(given(talk, 2), wanted, 'what the second server is given');
                const ids = [0, 'mcp-supervise:g2:0', 'mcp-supervise:g2:1'];
                expect(
                    talk.wire.asked().map(({ id }) => id),
                    ids,
                    'the ids that the client sees',
                );
            });
            return 'the late answer reaches nobody, the second server gets the answer to its own id 0, and asks again after a change';
        },

        /** @param {Place} place @param {string} name */
        'killed, and they change while it is down': async (place, name) => {
            const answers = [folders('a'), folders('a', 'b')];
            await place.talk(
                name,
                setting(() => answers.shift()),
                async talk => {
                    await updated(talk, 1);
                    talk.hold();
                    await talk.kill();
                    await talk.server(2);
                    await talk.client.sendRootsListChanged();
                    // The supervisor has read the notification when it has answered what comes behind it.
                    await talk.ask(client => client.ping());
                    talk.release();
                    await updated(talk, 2);
                    const methods = talk.servers()[1].told.map(({ method }) => method);
                    expect(
                        methods,
                        ['initialize', 'notifications/initialized', undefined],
                        'what the second server is told',
                    );
                },
            );
            return 'it is not told of the change, for it asks by itself';
        },
    },
};

/**
 * Elicitation: the server asks the user. A dialog of a dead server is called off, and what the user answers all the
 * same reaches no other server, not even one that waits for an answer to a request of the same id.
 */
import { expect, open } from './check.mjs';
import { calledOff, given, guided, textOf } from './guidance.mjs';
import { late } from './progress.mjs';

/** @typedef {import('./talk.mjs').Talk} Talk */
/** @typedef {import('./talk.mjs').Place} Place */

const accept = (/** @type {string} */ name) => ({ action: 'accept', content: { name } });
const ask = (/** @type {any} */ client) => client.callTool({ name: 'trigger-elicitation-request', arguments: {} });
const visit = (/** @type {any} */ client) =>
    client.callTool({
        name: 'trigger-url-elicitation',
        arguments: { url: 'https://example.com/', elicitationId: 'e', errorPath: true },
    });

/** @param {(request: any, talk: Talk) => unknown} user @returns {import('./talk.mjs').Setting} */
const setting = user => ({
    server: 'everything',
    capabilities: { elicitation: { form: {}, url: {} } },
    handlers: (client, talk) => {
        client.setRequestHandler(talk.sdk().ElicitRequestSchema, (/** @type {any} */ request) => user(request, talk));
    },
});

/** Answers one after the other. */
const inTurn = () => {
    const answers = [accept('Ada'), { action: 'decline' }, { action: 'accept' }, { action: 'cancel' }];
    return () => answers.shift();
};

export const elicitation = {
    same: {
        setting: () => setting(inTurn()),
        /** @param {Talk} talk */
        story: async talk => {
            await talk.ask(client => client.listTools());
            for (const call of [ask, ask, visit, visit, ask]) await talk.ask(call);
        },
    },

    kills: {
        /** @param {Place} place @param {string} name */
        'killed while a dialog is open': async (place, name) => {
            const dialogs = [open(), open()];
            const waiting = [...dialogs];
            await place.talk(
                name,
                setting(() => waiting.shift()?.promise),
                async talk => {
                    await talk.ask(client => client.listTools());
                    const first = await talk.begin(ask);
                    await talk.heard(({ id }) => id === 0 && waiting.length === 1, 'the first dialog');
                    await talk.kill();
                    guided(talk, await first.answer());
                    await calledOff(talk, [0]);

                    const second = await talk.begin(ask);
                    await talk.heard(({ id }) => id === 'mcp-supervise:g2:0', 'the second dialog');
                    dialogs[0].resolve(accept('Too Late'));
                    await late(talk, 0);
                    dialogs[1].resolve(accept('In Time'));
                    expect(textOf(await second.answer()).includes('provided'), true, 'the second call is answered');
                    const wanted = [{ jsonrpc: '2.0', id: 0, result: accept('In Time') }];
                    expect(given(talk, 2), wanted, 'what the second server is given');
                },
            );
            return 'it is called off; answered all the same, it reaches nobody, and a second dialog with the same id gets its own answer';
        },

        /** @param {Place} place @param {string} name */
        'killed between the link that must be followed and the second try': async (place, name) => {
            await place.talk(
                name,
                setting(() => ({ action: 'accept' })),
                async talk => {
                    await talk.ask(client => client.listTools());
                    const first = await talk.ask(visit);
                    expect(first.error?.code, -32042, `the server's own error: ${JSON.stringify(first)}`);
                    await talk.kill();
                    const second = await talk.ask(visit);
                    expect(second.error?.code, -32042, `a fresh server knows of no link: ${JSON.stringify(second)}`);
                    expect(
                        textOf(await talk.ask(visit)).includes('completed the URL elicitation'),
                        true,
                        'then it goes on',
                    );
                    expect(talk.wire.notes('notifications/elicitation/complete'), [], 'nothing is made up');
                },
            );
            return 'the server asks for it again, by its own -32042, nothing is made up, and the next try succeeds';
        },
    },
};

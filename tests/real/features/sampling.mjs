/**
 * Sampling: the server asks the client's model. A model that runs for a dead server is called off, and what it would
 * have said reaches no other.
 */
import { expect, open, until } from './check.mjs';
import { calledOff, given, guided, textOf } from './guidance.mjs';

/** @typedef {import('./talk.mjs').Talk} Talk */
/** @typedef {import('./talk.mjs').Place} Place */

const said = (/** @type {string} */ text) => ({ role: 'assistant', model: 'none', content: { type: 'text', text } });
const ask = (/** @type {string} */ prompt) => (/** @type {any} */ client) =>
    client.callTool({ name: 'trigger-sampling-request', arguments: { prompt, maxTokens: 7 } });

/** @param {(request: any, extra: any, talk: Talk) => unknown} model @returns {import('./talk.mjs').Setting} */
const setting = model => ({
    server: 'everything',
    capabilities: { sampling: {} },
    handlers: (client, talk) => {
        const { CreateMessageRequestSchema } = talk.sdk();
        client.setRequestHandler(CreateMessageRequestSchema, (/** @type {any} */ request, /** @type {any} */ extra) =>
            model(request, extra, talk),
        );
    },
});

export const sampling = {
    same: {
        setting: () => setting(({ params }) => said(`heard ${params.messages[0].content.text}`)),
        /** @param {Talk} talk */
        story: async talk => {
            await talk.ask(client => client.listTools());
            expect(textOf(await talk.ask(ask('one'))).includes('context: one'), true, 'the model is asked');
            await talk.ask(ask('two'));
        },
    },

    kills: {
        /** @param {Place} place @param {string} name */
        'killed while the model runs': async (place, name) => {
            const model = open();
            /** @type {AbortSignal | undefined} */
            let signal;
            const running = setting(async ({ params }, extra, talk) => {
                if (!params.messages[0].content.text.includes('slow')) return said('quick');
                signal = extra.signal;
                talk.strike();
                return model.promise;
            });
            await place.talk(name, running, async talk => {
                await talk.ask(client => client.listTools());
                await talk.ask(ask('first'));
                guided(talk, await talk.ask(ask('slow')));
                await calledOff(talk, [1]);
                expect(signal?.aborted, true, 'the SDK tells the model to stop');
                model.resolve(said('late'));

                expect(textOf(await talk.ask(ask('again'))).includes('quick'), true, 'the next server asks the model');
                expect(
                    talk.wire.asked().map(({ id }) => id),
                    [0, 1, 'mcp-supervise:g2:0'],
                    'the ids the client sees',
                );
                expect(
                    given(talk, 2),
                    [{ jsonrpc: '2.0', id: 0, result: said('quick') }],
                    'what the next server is given',
                );
            });
            return 'the model is called off, the call gets guidance, and the next server gets the answer to its own id 0';
        },

        /** @param {Place} place @param {string} name */
        'killed, and the next server gives up what it asks for': async (place, name) => {
            /** @type {AbortSignal | undefined} */
            let signal;
            const model = open();
            const running = setting((_, extra) => {
                ({ signal } = extra);
                return model.promise;
            });
            await place.talk(name, { ...running, server: 'small' }, async talk => {
                await talk.kill();
                const control = new AbortController();
                const asked = await talk.begin(client =>
                    client.callTool({ name: 'ask', arguments: {} }, undefined, { signal: control.signal }),
                );
                await talk.heard(({ method }) => method === 'sampling/createMessage', 'the server ask');
                control.abort('enough');
                await asked.settled;
                const { params } = await talk.heard(
                    ({ method }) => method === 'notifications/cancelled',
                    'that the question is off',
                );
                expect(params.requestId, 'mcp-supervise:g2:0', 'the id that the client knows it by');
                await until(() => signal?.aborted, 'the SDK tells the model to stop');
                model.resolve(said('late'));
                await talk.ask(client => client.listTools());
                expect(given(talk, 2), [], 'what the next server is given');
            });
            return 'it takes its question back by its own id 0, and the client hears the id that it knows';
        },
    },
};

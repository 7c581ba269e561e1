/**
 * Subscriptions: each next server is told of those that are left, updates go on, and what may have changed while nobody
 * watched is told once for each.
 */
import { expect, until } from './check.mjs';

/** @typedef {import('./talk.mjs').Talk} Talk */
/** @typedef {import('./talk.mjs').Place} Place */

const [first, second, third] = ['architecture', 'features', 'startup'].map(
    name => `demo://resource/static/document/${name}.md`,
);
const subscribe = (/** @type {string} */ uri) => (/** @type {any} */ client) => client.subscribeResource({ uri });
const unsubscribe = (/** @type {string} */ uri) => (/** @type {any} */ client) => client.unsubscribeResource({ uri });

/** Begins to tell of changes, at once and then every few seconds, or ends it. */
const toggle = (/** @type {any} */ client) => client.callTool({ name: 'toggle-subscriber-updates', arguments: {} });

/** @type {import('./talk.mjs').Setting} */
const setting = { server: 'everything' };

/** The resources of whose changes the client has heard, in order. @param {Talk} talk */
const updates = talk => talk.wire.notes('notifications/resources/updated').map(({ params }) => params.uri);

/** Waits until the client has heard of these changes, and of no others. @param {Talk} talk @param {string[]} uris */
async function hears(talk, uris) {
    await until(
        () => updates(talk).length >= uris.length,
        `${talk.name}: ${uris.length} updates, got ${updates(talk)}`,
    );
    expect(updates(talk), uris, 'the updates');
}

/** The subscriptions that a server was told of. @param {Talk} talk @param {number} server */
const told = (talk, server) =>
    talk
        .servers()
        [server - 1].told.filter(({ method }) => method?.endsWith('subscribe'))
        .map(({ method, params }) => [method, params.uri]);

/**
 * Kills the server while it has a request in hand, which is answered all the same.
 * @param {Talk} talk @param {string} method @param {(client: any) => Promise<unknown>} call
 */
async function inFlight(talk, method, call) {
    const servers = talk.servers().length;
    talk.stall([method]);
    const asked = await talk.begin(call);
    await asked.arrives(servers);
    talk.hold();
    await talk.kill();
    talk.unstall();
    talk.release();
    expect(await asked.answer(), { result: {} }, `the answer to ${method}`);
    expect(asked.times(servers + 1), 1, `how often ${method} is repeated`);
    // What the restart has to tell has been told by the answer to this.
    await talk.ask(client => client.listTools());
}

export const subscriptions = {
    same: {
        setting: () => setting,
        /** @param {Talk} talk */
        story: async talk => {
            for (const call of [subscribe(first), subscribe(second), toggle]) await talk.ask(call);
            await hears(talk, [first, second]);
            for (const call of [toggle, unsubscribe(first), toggle]) await talk.ask(call);
            await hears(talk, [first, second, second]);
            await talk.ask(toggle);
        },
    },

    kills: {
        /** @param {Place} place @param {string} name */
        'killed after resources were subscribed to': async (place, name) => {
            await place.talk(name, setting, async talk => {
                for (const call of [subscribe(first), subscribe(third), subscribe(second), unsubscribe(third)])
                    await talk.ask(call);
                await talk.ask(client => client.listTools());
                await talk.kill();
                await hears(talk, [first, second]);
                await talk.ask(toggle);
                await hears(talk, [first, second, first, second]);
                await talk.ask(toggle);
                expect(
                    told(talk, 2),
                    [first, second].map(uri => ['resources/subscribe', uri]),
                    'what the second server is told',
                );

                await talk.ask(unsubscribe(first));
                await talk.kill();
                await hears(talk, [first, second, first, second, second]);
                await talk.ask(toggle);
                await hears(talk, [first, second, first, second, second, second]);
                await talk.ask(toggle);
                expect(told(talk, 3), [['resources/subscribe', second]], 'what the third server is told');
            });
            return 'those that are left are told to the next servers, and updated once each after the restart and whenever the server says so';
        },

        /** @param {Place} place @param {string} name */
        'killed while a subscription is made, and while one is ended': async (place, name) => {
            await place.talk(name, setting, async talk => {
                await inFlight(talk, 'resources/subscribe', subscribe(first));
                await talk.kill();
                await talk.ask(client => client.listTools());
                expect(told(talk, 3), [['resources/subscribe', first]], 'what the third server is told');
                await inFlight(talk, 'resources/unsubscribe', unsubscribe(first));
                const heard = updates(talk).length;
                await talk.kill();
                await talk.ask(client => client.listTools());
                expect(told(talk, 5), [], 'what the fifth server is told');
                expect(updates(talk).length, heard, 'how often the client hears of what it does not subscribe to');
            });
            return 'it is made, or ended, at the next server, answered once, and so kept for the one after';
        },
    },
};

/**
 * Logging: the level that the client has set is that of each next server, before anything else reaches it.
 */
import { expect } from './check.mjs';

/** @typedef {import('./talk.mjs').Talk} Talk */
/** @typedef {import('./talk.mjs').Place} Place */

const uri = 'demo://resource/static/document/architecture.md';
const level = (/** @type {string} */ name) => (/** @type {any} */ client) => client.setLoggingLevel(name);

/** The server tells, at the level `info`, of each of these. */
const subscribe = (/** @type {any} */ client) => client.subscribeResource({ uri });
const unsubscribe = (/** @type {any} */ client) => client.unsubscribeResource({ uri });

/** @type {import('./talk.mjs').Setting} */
const setting = { server: 'everything' };

/** The messages that the client has heard. @param {Talk} talk */
const messages = talk =>
    talk.wire.notes('notifications/message').map(({ params }) => [params.level, params.data.split(':')[0]]);
const SUBSCRIBED = ['info', 'Received Subscribe Resource request for URI'];
const UNSUBSCRIBED = ['info', 'Received Unsubscribe Resource request'];

/** What a server was told, but for the listing for comparison. @param {Talk} talk @param {number} server */
const told = (talk, server) =>
    talk.servers()[server - 1].told.map(({ method, params }) => [method, params?.level ?? params?.uri]);
const OPENING = [
    ['initialize', undefined],
    ['notifications/initialized', undefined],
];

export const logging = {
    same: {
        setting: () => setting,
        /** @param {Talk} talk */
        story: async talk => {
            for (const call of [level('error'), subscribe, level('info'), unsubscribe, level('warning'), subscribe])
                await talk.ask(call);
            expect(messages(talk), [UNSUBSCRIBED], 'messages at the level');
        },
    },

    kills: {
        /** @param {Place} place @param {string} name */
        'killed after the level was set': async (place, name) => {
            await place.talk(name, setting, async talk => {
                await talk.ask(level('debug'));
                await talk.ask(level('error'));
                await talk.kill();
                await talk.ask(subscribe);
                await talk.ask(unsubscribe);
                expect(messages(talk), [], 'messages below the level');
                await talk.ask(level('info'));
                await talk.kill();
                await talk.ask(subscribe);
                expect(messages(talk), [SUBSCRIBED], 'messages at the level');
                const second = [
                    ['logging/setLevel', 'error'],
                    ['resources/subscribe', uri],
                    ['resources/unsubscribe', uri],
                    ['logging/setLevel', 'info'],
                ];
                expect(told(talk, 2), [...OPENING, ...second], 'what the second server is told');
                const third = [
                    ['logging/setLevel', 'info'],
                    ['resources/subscribe', uri],
                ];
                expect(told(talk, 3), [...OPENING, ...third], 'what the third server is told');
            });
            return 'the next servers are told the last level, once and first; messages below it stay out, others arrive';
        },

        /** @param {Place} place @param {string} name */
        'killed while the level is being set': async (place, name) => {
            await place.talk(name, setting, async talk => {
                await talk.ask(level('debug'));
                talk.stall(['logging/setLevel']);
                const asked = await talk.begin(level('error'));
                await asked.arrives(1);
                talk.hold();
                await talk.kill();
                talk.unstall();
                talk.release();
                expect(await asked.answer(), { result: {} }, 'the answer');
                await talk.ask(subscribe);
                expect(messages(talk), [], 'messages below the level');
                await talk.kill();
                await talk.ask(unsubscribe);
                expect(messages(talk), [], 'messages below the level, of the third server');
                expect(
                    told(talk, 3).slice(0, 4),
                    [...OPENING, ['logging/setLevel', 'error'], ['resources/subscribe', uri]],
                    'what the third server is told',
                );
            });
            return 'it is set at the next server, answered once, and kept for the one after';
        },
    },
};

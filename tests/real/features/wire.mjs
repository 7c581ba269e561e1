/**
 * What a client and its server have said to each other, as the client's transport has it, and laws that hold for it.
 *
 * The transport is the SDK's own; it is only listened to. Nothing here changes a message or answers one.
 */
import { isDeepStrictEqual } from 'node:util';

import { Failure, expect } from './check.mjs';

/** @typedef {Record<string, any>} Message */

export class Wire {
    /** What the client has sent, in order. @type {Message[]} */
    said = [];
    /** What it has received, in order. @type {Message[]} */
    heard = [];
    /** What its SDK complains about: lines that are no message, answers that nobody waits for. @type {Error[]} */
    errors = [];

    /** What came for requests. */
    answers() {
        return this.heard.filter(message => message.method === undefined);
    }

    /** What the server asks of the client. */
    asked() {
        return this.heard.filter(message => message.method !== undefined && message.id !== undefined);
    }

    /** What the server tells, of one method or of all. @param {string} [method] */
    notes(method) {
        const notes = this.heard.filter(message => message.method !== undefined && message.id === undefined);
        return method === undefined ? notes : notes.filter(note => note.method === method);
    }

    /** The requests of the client. */
    requests() {
        return this.said.filter(message => message.method !== undefined && message.id !== undefined);
    }

    /** What the client has answered to the request of this id. @param {unknown} id */
    replies(id) {
        return this.said.filter(message => message.method === undefined && message.id === id);
    }

    /** Each request has one answer, or none if it was cancelled; progress increases; the client opens once. */
    check() {
        const requests = this.requests();
        const cancelled = this.said.filter(message => message.method === 'notifications/cancelled');
        const owed = requests.filter(({ id }) => !cancelled.some(({ params }) => params.requestId === id));
        expect(
            this.answers()
                .map(({ id }) => id)
                .sort(),
            owed.map(({ id }) => id).sort(),
            'which requests are answered',
        );
        const openings = requests.filter(({ method }) => ['initialize', 'server/discover'].includes(method));
        expect(openings.length, 1, 'how often the client opens the conversation');
        const seen = new Map();
        for (const { params } of this.notes('notifications/progress')) {
            const last = seen.get(params.progressToken) ?? -Infinity;
            if (params.progress <= last) throw new Failure(`progress goes from ${last} to ${params.progress}`);
            seen.set(params.progressToken, params.progress);
        }
        // The SDK hands on progress a little later than answers, and then has forgotten whose it was if both came at once.
        const messages = this.errors.map(error => error.message);
        expect(
            messages.filter(text => !text.includes('a progress notification for an unknown token')),
            [],
            'what the SDK complains about',
        );
    }

    /** All that a client can see of a conversation, by kind: between the kinds the order is a matter of chance. */
    view() {
        const order = this.requests().map(({ id }) => id);
        return {
            said: this.said.filter(message => message.method !== undefined),
            replies: this.said.filter(message => message.method === undefined),
            answers: this.answers().sort((a, b) => order.indexOf(a.id) - order.indexOf(b.id)),
            asked: this.asked(),
            notes: this.notes(),
        };
    }
}

/**
 * A message as it is in JSON, where members that are undefined are not there.
 * @param {Message} message @returns {Message}
 */
const asSent = message => JSON.parse(JSON.stringify(message));

/**
 * The SDK's transport, listened to.
 * @param {any} Transport @param {Wire} wire @param {() => Promise<unknown>} ready is awaited before anything is sent
 */
export function listened(Transport, wire, ready) {
    return class extends Transport {
        /** @param {object} command */
        constructor(command) {
            super(command);
            /** @type {Promise<unknown> | undefined} */
            this.ready = undefined;
            // The SDK may put a handler around the one that was there, which is then called with the same message.
            const seen = new WeakSet();
            /** @type {Function | undefined} */
            let handler;
            Object.defineProperty(this, 'onmessage', {
                set: value => {
                    handler = value;
                },
                get: () =>
                    handler &&
                    ((/** @type {Message} */ message, /** @type {unknown} */ extra) => {
                        if (!seen.has(message)) wire.heard.push(asSent(message));
                        seen.add(message);
                        return handler?.(message, extra);
                    }),
            });
        }

        /** @param {Message} message @param {unknown} [options] */
        async send(message, options) {
            this.ready ??= ready();
            await this.ready;
            wire.said.push(asSent(message));
            await super.send(message, options);
        }
    };
}

/**
 * The same text with ids of tasks, dates and times taken out, each different one by a name of its own.
 * @template T @param {T} value @returns {T}
 */
export function settled(value) {
    const random = /[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
    /** @type {string[]} */
    const names = [];
    const named = (/** @type {string} */ text) => {
        if (!names.includes(text)) names.push(text);
        return `random-${names.indexOf(text)}`;
    };
    const text = JSON.stringify(value)
        .replace(random, named)
        .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'date');
    return JSON.parse(text);
}

/**
 * Fails unless a client sees the same in both conversations.
 * @param {Wire} given @param {Wire} wanted @param {(view: any) => any} settle
 */
export function compare(given, wanted, settle) {
    const [left, right] = [given, wanted].map(wire => settle(settled(wire.view())));
    for (const kind of Object.keys(right)) {
        const at = right[kind].findIndex(
            (/** @type {any} */ one, /** @type {number} */ i) => !isDeepStrictEqual(left[kind][i], one),
        );
        expect(left[kind][at], right[kind][at], `with the supervisor in between, ${kind} ${at}`);
        expect(left[kind].length, right[kind].length, `with the supervisor in between, the number of ${kind}`);
    }
}

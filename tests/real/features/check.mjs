/**
 * What is told when something is not as it must be, and waiting for what must come.
 *
 * Nothing here sleeps and hopes: `until` looks for what is waited for, and fails when it does not come.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

/** For how long anything is waited for, in milliseconds: much longer than it takes, for the machine may be busy. */
export const PATIENCE_MS = 45_000;

/** How often is looked: nobody tells of a line in a file, or of the end of a process that is not ours. */
const LOOK_EVERY_MS = 5;

/** Something is not as it must be; the message says what. */
export class Failure extends Error {}

/**
 * Fails unless the two are the same.
 * @param {unknown} given @param {unknown} wanted @param {string} what
 */
export function expect(given, wanted, what) {
    if (isDeepStrictEqual(given, wanted)) return;
    throw new Failure(`${what}\n  expected ${JSON.stringify(wanted)}\n  got      ${JSON.stringify(given)}`);
}

/**
 * Waits until `look` finds something, and gives it.
 * @template T @param {() => T | undefined | null | false | Promise<T | undefined | null | false>} look
 * @param {string} what @param {number} [every] how often is looked, in milliseconds
 * @returns {Promise<T>}
 */
export async function until(look, what, every = LOOK_EVERY_MS) {
    for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await pause(every)) {
        const found = await look();
        if (found) return found;
    }
    throw new Failure(`waited ${PATIENCE_MS / 1000} s in vain: ${what}`);
}

/**
 * Awaits what must come, and fails if it does not.
 * @template T @param {Promise<T>} awaited @param {string} what @param {number} [patience] @returns {Promise<T>}
 */
export async function patiently(awaited, what, patience = PATIENCE_MS) {
    const alarm = new AbortController();
    const late = pause(patience, undefined, { signal: alarm.signal }).then(() => {
        throw new Failure(`waited ${patience / 1000} s in vain: ${what}`);
    });
    late.catch(() => {});
    try {
        return await Promise.race([awaited, late]);
    } finally {
        alarm.abort();
    }
}

/**
 * A promise that is settled from outside: a dialog that is open, a model that runs.
 * @template T @returns {{ promise: Promise<T>, resolve: (value: T) => void }}
 */
export function open() {
    /** @type {(value: T) => void} */
    let resolve = () => {};
    const promise = new Promise(settle => {
        resolve = settle;
    });
    return { promise, resolve };
}

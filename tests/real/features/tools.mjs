/**
 * The tools that the servers of both eras have: what `server-everything` does not have.
 *
 * They differ in what they declare. What they do for good is a line in the journal, and they report progress: whoever
 * has heard that knows that the call is being carried out. The unsafe ones never answer, the others when the gate is
 * open.
 */
import { appendFileSync, existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const { FEATURES_JOURNAL: journal, FEATURES_GATE: gate } = /** @type {Record<string, string>} */ (process.env);
const LOOK_EVERY_MS = 5;

/**
 * @typedef {object} Context what a handler needs, in either era
 * @property {AbortSignal} signal
 * @property {unknown} token of the progress that is wanted, if it is
 * @property {(notification: object) => Promise<void>} notify
 */

/** The result of a tool. @param {string} said */
export const text = said => ({ content: [{ type: 'text', text: said }] });

/** Writes a line down, for good. @param {string} line */
export const note = line => appendFileSync(journal, `${line}\n`);

/**
 * Registers the tools.
 * @param {any} server @param {any} z @param {(extra: any) => Context} context
 */
export function register(server, z, context) {
    /** Does something for good, and reports on it. @param {string} name @param {Context} work */
    const begin = async (name, work) => {
        note(name);
        work.signal.addEventListener('abort', () => note(`${name} cancelled`));
        await report(work, 1);
        await report(work, 2);
    };
    const unsafe = {
        act: {},
        write: { annotations: { readOnlyHint: false, idempotentHint: false } },
        contradict: { annotations: { readOnlyHint: true, destructiveHint: true } },
        measure: { outputSchema: z.object({ value: z.number() }) },
    };
    for (const [name, config] of Object.entries(unsafe)) {
        server.registerTool(name, config, async (/** @type {any} */ extra) => {
            await begin(name, context(extra));
            return new Promise(() => {});
        });
    }
    const safe = {
        look: { annotations: { readOnlyHint: true } },
        put: { annotations: { readOnlyHint: false, idempotentHint: true } },
    };
    for (const [name, config] of Object.entries(safe)) {
        server.registerTool(name, config, async (/** @type {any} */ extra) => {
            const work = context(extra);
            await begin(name, work);
            while (!existsSync(gate) && !work.signal.aborted) await pause(LOOK_EVERY_MS);
            await report(work, 3);
            return text(`${name}: done`);
        });
    }
}

/** Reports progress, if it is wanted. @param {Context} work @param {number} progress */
async function report({ token, notify }, progress) {
    if (token === undefined) return;
    await notify({ method: 'notifications/progress', params: { progressToken: token, progress, total: 3 } });
}

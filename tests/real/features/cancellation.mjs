/**
 * Cancellation: what the client has given up is neither answered nor carried out by the next server; a repetition that
 * is under way is cancelled where it runs.
 */
import { expect, until } from './check.mjs';
import { textOf } from './guidance.mjs';
import { call } from './progress.mjs';

/** @typedef {import('./talk.mjs').Talk} Talk */
/** @typedef {import('./talk.mjs').Place} Place */

/** Begins a call that can be given up. @param {Talk} talk @param {string} name */
const begin = (talk, name) =>
    beginThis(talk, (client, options) => call(talk, client, name, {}, { ...options, onprogress: () => {} }));

/**
 * Begins a request that can be given up.
 * @param {Talk} talk @param {(client: any, options: object) => Promise<unknown>} request
 */
async function beginThis(talk, request) {
    const control = new AbortController();
    const asked = await talk.begin(client => request(client, { signal: control.signal }));
    const giveUp = async () => {
        control.abort('changed my mind');
        await asked.settled;
        await until(() => said(talk, asked.id), 'the client says that it gives up');
    };
    return { asked, giveUp };
}

/** What the client has said of a request that it gives up. @param {Talk} talk @param {unknown} id */
const said = (talk, id) =>
    talk.wire.said.find(({ method, params }) => method === 'notifications/cancelled' && params.requestId === id);

/**
 * What a server was told, requests by their ids and notifications by their names.
 * @param {Talk} talk @param {number} server
 */
const told = (talk, server) => talk.servers()[server - 1].told.map(({ id, method }) => id ?? method);

/** Waits until the journal has so many lines. @param {Talk} talk @param {string[]} lines */
const journal = async (talk, lines) => {
    await until(() => talk.journal().length >= lines.length, `the journal of ${talk.name} has ${lines.length} lines`);
    expect(talk.journal(), lines, 'what was done');
};

/**
 * What is in flight is given up while no server is there, a call waits behind it and is given up too, a third is wanted.
 * @param {Talk} talk
 */
export async function whileDown(talk) {
    await talk.ask(client => client.listTools());
    const inFlight = await (talk.modern ? spelling(talk) : looking(talk));
    talk.hold();
    await talk.kill();
    await talk.server(2);
    const queued = await begin(talk, 'look');
    const wanted = await begin(talk, 'put');
    talk.openGate();
    await queued.giveUp();
    await inFlight.giveUp();
    // The supervisor has read this when it has answered what comes behind it. The modern era has no such question.
    if (!talk.modern) await talk.ask(client => client.ping());
    talk.release();
    expect(textOf(await wanted.asked.answer()), 'put: done', 'the call that is wanted');
    // Without a greeting, the repetition is what the next server is opened with: it has been written to it before.
    const opening = talk.modern ? [inFlight.asked.id, 'notifications/cancelled'] : [];
    // The greeting, and the listing for comparison, have ids of the supervisor's.
    const ids = told(talk, 2).filter(id => typeof id === 'number' || id === 'notifications/cancelled');
    expect(ids, [...opening, wanted.asked.id], 'what of the client the second server is told');
    expect(talk.journal().slice(-1), ['put'], 'what was done last');
    const first = talk.modern ? 'is cancelled there' : 'neither';
    return `the call that waits does not reach the next server, what was in flight ${first}, and neither is answered; a third is`;
}

/** Begins a call that is safe, and is carried out. @param {Talk} talk */
async function looking(talk) {
    const inFlight = await begin(talk, 'look');
    await journal(talk, ['look']);
    return inFlight;
}

/**
 * Begins a request whose answer is not long in coming, and does not come: in the modern era the others wait for it.
 * @param {Talk} talk
 */
async function spelling(talk) {
    talk.stall(['completion/complete']);
    const params = { ref: { type: 'ref/prompt', name: 'spell' }, argument: { name: 'word', value: 'al' } };
    const inFlight = await beginThis(talk, (client, options) => client.complete(params, options));
    await inFlight.asked.arrives(1);
    return inFlight;
}

/** A repetition is given up where it runs. @param {Talk} talk */
export async function afterRepetition(talk) {
    await talk.ask(client => client.listTools());
    const repeated = await begin(talk, 'look');
    await journal(talk, ['look']);
    await talk.kill();
    await journal(talk, ['look', 'look']);
    await repeated.giveUp();
    await journal(talk, ['look', 'look', 'look cancelled']);
    const given = talk.servers()[1].told.find(({ method }) => method === 'notifications/cancelled');
    expect(given, said(talk, repeated.asked.id), 'the second server is told what the client says');
    talk.openGate();
    const next = await begin(talk, 'look');
    expect(textOf(await next.asked.answer()), 'look: done', 'the next call');
    return 'the second server is told what the client says, stops, and nothing is answered';
}

/** A call was given up before its server is killed. @param {Talk} talk */
export async function afterGivingUp(talk) {
    await talk.ask(client => client.listTools());
    const unsafe = await begin(talk, 'act');
    await journal(talk, ['act']);
    const safe = await begin(talk, 'look');
    await journal(talk, ['act', 'look']);
    await unsafe.giveUp();
    await safe.giveUp();
    await journal(talk, ['act', 'look', 'act cancelled', 'look cancelled']);
    await talk.kill();
    talk.openGate();
    const next = await begin(talk, 'put');
    expect(textOf(await next.asked.answer()), 'put: done', 'the next call');
    expect(
        [unsafe, safe].map(({ asked }) => asked.times(2)),
        [0, 0],
        'how often what was given up is repeated',
    );
    return 'a call that was given up before gets no guidance, and is not repeated';
}

export const cancellation = {
    same: {
        setting: () => /** @type {const} */ ({ server: 'small' }),
        story: givenUp,
    },
    kills: moments({ server: 'small' }),
};

/** A call is given up, and the conversation goes on. @param {Talk} talk */
export async function givenUp(talk) {
    await talk.ask(client => client.listTools());
    const unsafe = await begin(talk, 'act');
    await journal(talk, ['act']);
    // What a server reports after that is no longer handed on.
    await until(() => talk.wire.notes('notifications/progress').length === 2, 'its progress arrives');
    await unsafe.giveUp();
    await journal(talk, ['act', 'act cancelled']);
    talk.openGate();
    const next = await begin(talk, 'look');
    await next.asked.answer();
}

/** The moments, for servers of either era. @param {import('./talk.mjs').Setting} setting */
export function moments(setting) {
    /** @param {(talk: Talk) => Promise<string>} story */
    const shown = story => async (/** @type {Place} */ place, /** @type {string} */ name) =>
        (await place.talk(name, setting, story)).result;
    return {
        'killed, and what is in flight is given up while it is down': shown(whileDown),
        'killed, and a call is given up after its repetition': shown(afterRepetition),
        'killed after a call was given up': shown(afterGivingUp),
    };
}

/**
 * What the supervisor answers in a server's stead, checked member by member.
 */
import { Failure, expect } from './check.mjs';

/** @typedef {import('./wire.mjs').Message} Message */

/** A call that was in flight when its server was killed. */
const RESTARTED = { status: 'server_restarted', outcome: 'unknown', exit: 'signal 9' };

/**
 * An answer is guidance: an ordinary result that is no failure of the tool.
 * @param {import('./talk.mjs').Talk} talk @param {Message} answer @param {Message} [wanted]
 */
export function guided(talk, answer, wanted = RESTARTED) {
    const result = answer.result ?? {};
    expect(
        Object.keys(result).sort(),
        talk.modern ? ['content', 'resultType'] : ['content'],
        `the members of ${JSON.stringify(answer)}`,
    );
    if (talk.modern) expect(result.resultType, 'complete', 'the type of the result');
    expect(
        result.content.map((/** @type {Message} */ { type }) => type),
        ['text'],
        'the content of guidance',
    );
    tells(talk, JSON.parse(result.content[0].text), wanted);
}

/**
 * An answer is an error that carries guidance.
 * @param {import('./talk.mjs').Talk} talk @param {Message} answer @param {Message} [wanted]
 */
export function refused(talk, answer, wanted = RESTARTED) {
    expect(Object.keys(answer), ['error'], `the members of ${JSON.stringify(answer)}`);
    expect(answer.error.code, -32603, `the code of ${JSON.stringify(answer)}`);
    tells(talk, answer.error.data ?? {}, wanted);
    const { message, hint } = answer.error.data;
    expect(answer.error.message, `${message} ${hint}`, 'the message of the error');
}

/** @param {import('./talk.mjs').Talk} talk @param {Message} guidance @param {Message} wanted */
function tells(talk, guidance, wanted) {
    const whole = { ...wanted, server: talk.name };
    const told = Object.fromEntries(Object.keys(whole).map(name => [name, guidance[name]]));
    expect(told, whole, `the guidance ${JSON.stringify(guidance)}`);
    for (const name of ['message', 'hint']) {
        if (!guidance[name]) throw new Failure(`guidance without ${name}: ${JSON.stringify(guidance)}`);
    }
}

/**
 * The text of a tool's result.
 * @param {Message} answer @returns {string}
 */
export function textOf(answer) {
    const text = answer.result?.content?.[0]?.text;
    if (typeof text !== 'string') throw new Failure(`expected the text of a tool, got ${JSON.stringify(answer)}`);
    return text;
}

/**
 * The client was told, once, that what the server had asked of it is off.
 * @param {import('./talk.mjs').Talk} talk @param {unknown[]} ids
 */
export async function calledOff(talk, ids) {
    const off = () => talk.wire.notes('notifications/cancelled').map(({ params }) => params.requestId);
    for (const id of ids) await talk.heard(({ params }) => params?.requestId === id, `that request ${id} is off`);
    expect(off(), ids, 'what the server asked is called off');
    for (const { params } of talk.wire.notes('notifications/cancelled')) {
        expect(params.reason, 'the server process was restarted', 'the reason');
    }
}

/**
 * What a server was given as answers to its own requests.
 * @param {import('./talk.mjs').Talk} talk @param {number} server @returns {Message[]}
 */
export function given(talk, server) {
    return talk.servers()[server - 1].told.filter(({ method }) => method === undefined);
}

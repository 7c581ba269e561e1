/**
 * A small server of the era without a greeting (2026-07-28), made with the SDK: the tools of `tools.mjs`, some that
 * need something of the client first, one that logs, a prompt that completes, and the requests of the extension for tasks.
 *
 * What a tool needs is asked for in its answer, and the client calls again. `book` signs the state that goes with it by
 * a key that all processes have, `vote` by one of its own process.
 */
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { note, register, text } from './tools.mjs';

const require = createRequire(join(process.env.FEATURES_PACKAGES ?? '.', 'package.json'));
const { McpServer, completable, createRequestStateCodec, inputRequired } = require('@modelcontextprotocol/server');
const { serveStdio } = require('@modelcontextprotocol/server/stdio');
const { z } = createRequire(require.resolve('@modelcontextprotocol/server'))('zod');

const OWN = 'own:';
const shared = createRequestStateCodec({ key: 'the same for all processes of it' });
const own = createRequestStateCodec({ key: randomBytes(32) });
const verify = (/** @type {string} */ state, /** @type {any} */ ctx) =>
    state.startsWith(OWN) ? own.verify(state.slice(OWN.length), ctx) : shared.verify(state, ctx);

const confirm = {
    message: 'Sure?',
    requestedSchema: { type: 'object', properties: { sure: { type: 'boolean' } }, required: ['sure'] },
};
const question = { messages: [{ role: 'user', content: { type: 'text', text: 'What now?' } }], maxTokens: 7 };

/** What the tools need. @type {Record<string, { inputRequests: object, mint: () => Promise<string>, never?: boolean }>} */
const NEEDS = {
    book: { inputRequests: { it: inputRequired.elicit(confirm) }, mint: () => shared.mint({ step: 1 }) },
    vote: {
        inputRequests: { it: inputRequired.elicit(confirm) },
        mint: async () => OWN + (await own.mint({ step: 1 })),
    },
    think: { inputRequests: { it: inputRequired.createMessage(question) }, mint: () => shared.mint({ step: 1 }) },
    where: { inputRequests: { it: inputRequired.listRoots() }, mint: () => shared.mint({ step: 1 }) },
    order: { inputRequests: { it: inputRequired.elicit(confirm) }, mint: () => shared.mint({ step: 1 }), never: true },
};

serveStdio(() => {
    const capabilities = { logging: {}, extensions: { 'io.modelcontextprotocol/tasks': {} } };
    const server = new McpServer({ name: 'modern', version: '1.0.0' }, { capabilities, requestState: { verify } });
    register(server, z, ctx => ({
        signal: ctx.mcpReq.signal,
        token: ctx.mcpReq._meta?.progressToken,
        notify: ctx.mcpReq.notify,
    }));

    for (const [name, { inputRequests, mint, never }] of Object.entries(NEEDS)) {
        server.registerTool(name, {}, async (/** @type {any} */ ctx) => {
            const { inputResponses, requestState } = ctx.mcpReq;
            if (inputResponses === undefined) return inputRequired({ inputRequests, requestState: await mint() });
            note(name);
            if (never) return new Promise(() => {});
            return text(`${name}: ${JSON.stringify([inputResponses, requestState()])}`);
        });
    }

    server.registerTool('tell', { annotations: { readOnlyHint: true } }, async (/** @type {any} */ ctx) => {
        for (const level of ['debug', 'info', 'error']) await ctx.mcpReq.log(level, `a message: ${level}`);
        return text('told');
    });

    const letters = (/** @type {string} */ value) =>
        ['alpha', 'beta', 'alphabet'].filter(word => word.startsWith(value));
    const argsSchema = z.object({ word: completable(z.string(), letters) });
    server.registerPrompt('spell', { argsSchema }, (/** @type {any} */ { word }) => ({
        messages: [{ role: 'user', content: { type: 'text', text: `Spell ${word}.` } }],
    }));

    /** @type {Map<string, string>} */
    const tasks = new Map();
    server.registerTool('start', {}, async () => {
        tasks.set('task-1', 'working');
        return text('task-1');
    });
    const params = z.looseObject({ taskId: z.string() });
    const change = { 'tasks/get': undefined, 'tasks/update': 'updated', 'tasks/cancel': 'cancelled' };
    for (const [method, status] of Object.entries(change)) {
        server.server.setRequestHandler(method, { params }, async (/** @type {any} */ { taskId }) => {
            if (!tasks.has(taskId)) throw Object.assign(new Error(`Task not found: ${taskId}`), { code: -32602 });
            if (status !== undefined) tasks.set(taskId, status);
            return { taskId, status: tasks.get(taskId) };
        });
    }
    return server;
});

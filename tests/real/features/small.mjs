/**
 * A small server of the legacy era, made with the SDK: the tools of `tools.mjs`, and one that asks the client's model
 * and wants to know how far it is.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { register, text } from './tools.mjs';

const require = createRequire(join(process.env.FEATURES_PACKAGES ?? '.', 'package.json'));
const { McpServer } = require('@modelcontextprotocol/sdk/server/mcp.js');
const { StdioServerTransport } = require('@modelcontextprotocol/sdk/server/stdio.js');
const { z } = createRequire(require.resolve('@modelcontextprotocol/sdk/server/mcp.js'))('zod');

const server = new McpServer({ name: 'small', version: '1.0.0' });
register(server, z, extra => ({
    signal: extra.signal,
    token: extra._meta?.progressToken,
    notify: extra.sendNotification,
}));

server.registerTool('ask', {}, async (/** @type {any} */ extra) => {
    const question = { role: 'user', content: { type: 'text', text: 'How far?' } };
    // Whoever gives the call up gives up the question too.
    const options = { onprogress: () => {}, signal: extra.signal };
    const answer = await server.server.createMessage({ messages: [question], maxTokens: 1 }, options);
    return text(answer.content.text);
});

await server.connect(new StdioServerTransport());

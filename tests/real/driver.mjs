// A client on the TypeScript SDK that asks what it is told to: `driver.mjs SDK ERA COMMAND...`.
//
// SDK is `client`, the npm package of that name, or `sdk`, its forerunner, which knows the legacy era only. It starts
// COMMAND, opens the conversation as ERA says (`legacy`, `modern`, or `auto` for whichever the server knows), and prints
// one line of JSON for that and for each line on its stdin, in order. Such a line is a request, {"method", "params"}, and
// a list is asked for to its end. What is printed is what came out of the SDK: {"results": [...]}, or {"error": ...}.
// With the end of stdin it closes the connection and ends.
//
// It never asks for anything by itself. What the SDK adds, to check a result by the tool's schema for one, is the SDK's.

import { createInterface } from "node:readline";

// The SDK tells of what it did not ask for, and stdout is for answers.
console.debug = console.error;

const [sdk, era, command, ...args] = process.argv.slice(2);
const MODES = { legacy: "legacy", auto: "auto", modern: { pin: "2026-07-28" } };

const [{ Client }, { StdioClientTransport }] = await Promise.all(
    sdk === "client"
        ? [import("@modelcontextprotocol/client"), import("@modelcontextprotocol/client/stdio")]
        : [import("@modelcontextprotocol/sdk/client/index.js"), import("@modelcontextprotocol/sdk/client/stdio.js")],
);
const client = new Client({ name: "driver", version: "1" }, { versionNegotiation: { mode: MODES[era] } });

const LISTS = {
    "tools/list": (params) => client.listTools(params),
    "resources/list": (params) => client.listResources(params),
    "resources/templates/list": (params) => client.listResourceTemplates(params),
    "prompts/list": (params) => client.listPrompts(params),
};
const OTHERS = {
    "tools/call": (params) => client.callTool(params),
    "resources/read": (params) => client.readResource(params),
    "prompts/get": (params) => client.getPrompt(params),
    "completion/complete": (params) => client.complete(params),
    "logging/setLevel": ({ level }) => client.setLoggingLevel(level),
    ping: () => client.ping(),
};

// Asks for one thing, or for all pages of a list: the newer SDK turns them by itself.
async function ask({ method, params }) {
    if (method in OTHERS) {
        return [await OTHERS[method](params)];
    }
    const results = [await LISTS[method]()];
    while (results.at(-1).nextCursor !== undefined) {
        results.push(await LISTS[method]({ cursor: results.at(-1).nextCursor }));
    }
    return results;
}

function tell(what) {
    process.stdout.write(`${JSON.stringify(what)}\n`);
}

async function attempt(what) {
    try {
        tell({ results: await what() });
        return true;
    } catch (error) {
        tell({ error: { code: error.code, message: error.message, data: error.data } });
        return false;
    }
}

async function connect() {
    await client.connect(new StdioClientTransport({ command, args, stderr: "inherit" }));
    return [
        {
            server: client.getServerVersion(),
            capabilities: client.getServerCapabilities(),
            instructions: client.getInstructions(),
            version: client.getNegotiatedProtocolVersion?.(),
        },
    ];
}

if (await attempt(connect)) {
    for await (const line of createInterface({ input: process.stdin })) {
        await attempt(() => ask(JSON.parse(line)));
    }
}
await client.close();

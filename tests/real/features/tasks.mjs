/**
 * Tasks of the revision 2025-11-25, in both directions: they are lost with the server that ran them, and nothing is
 * made up in their place. What is asked about them is asked of the next server, whose own "not found" passes through.
 */
import { expect, open, until } from './check.mjs';
import { calledOff, given, guided, refused, textOf } from './guidance.mjs';
import { late } from './progress.mjs';

/** @typedef {import('./talk.mjs').Talk} Talk */
/** @typedef {import('./talk.mjs').Place} Place */

/**
 * A server of everything and a user who is asked to clear things up.
 * @param {(talk: Talk) => unknown} user @returns {import('./talk.mjs').Setting}
 */
const setting = user => ({
    server: 'everything',
    capabilities: { elicitation: { form: {} } },
    handlers: (client, talk) => {
        client.setRequestHandler(talk.sdk().ElicitRequestSchema, () => user(talk));
    },
});

const choice = { action: 'accept', content: { interpretation: 'snake' } };

/** Has a task created. @param {Talk} talk @param {boolean} ambiguous */
const creating = (talk, ambiguous) => (/** @type {any} */ client) => {
    const params = { name: 'simulate-research-query', arguments: { topic: 'python', ambiguous } };
    return client.request({ method: 'tools/call', params }, talk.sdk().CreateTaskResultSchema, {
        task: { ttl: 60_000 },
    });
};

/**
 * Has a task created, and gives its id.
 * @param {Talk} talk @param {boolean} [ambiguous] @returns {Promise<string>}
 */
async function create(talk, ambiguous = false) {
    const { result } = await talk.ask(creating(talk, ambiguous));
    return result.task.taskId;
}

/**
 * All that can be asked about a task.
 * @param {Talk} talk @param {string} id @returns {Record<string, (client: any) => Promise<unknown>>}
 */
const questions = (talk, id) => ({
    'tasks/get': client => client.experimental.tasks.getTask(id),
    'tasks/list': client => client.experimental.tasks.listTasks(),
    'tasks/cancel': client => client.experimental.tasks.cancelTask(id),
    'tasks/result': client => client.experimental.tasks.getTaskResult(id, talk.sdk().CallToolResultSchema),
});

/** What the server alone has said, which is asked once. @type {WeakMap<Place, Promise<(id: string) => any[]>>} */
const ALONE = new WeakMap();

/** What a server says that has never heard of a task. @param {Place} place */
function unheardOf(place) {
    const said = ALONE.get(place) ?? askAlone(place);
    ALONE.set(place, said);
    return said;
}

/** @param {Place} place @returns {Promise<(id: string) => any[]>} */
async function askAlone(place) {
    const id = '0'.repeat(32);
    const { result } = await place.talk(
        'tasks-unheard-of-direct',
        setting(() => choice),
        async talk => {
            const answers = [];
            for (const call of Object.values(questions(talk, id))) answers.push(await talk.ask(call));
            return answers;
        },
        true,
    );
    expect(
        result.map(({ error }) => error?.code),
        [-32602, undefined, -32602, -32602],
        'the codes of the server alone',
    );
    return (/** @type {string} */ other) => JSON.parse(JSON.stringify(result).replaceAll(id, other));
}

/** What the task is at depends on when it is asked. @param {any} view */
const settle = view =>
    JSON.parse(JSON.stringify(view).replace(/"statusMessage":"[^"]*\.\.\."/g, '"statusMessage":"at work"'));

export const tasks = {
    same: {
        setting: () => setting(() => choice),
        settle,
        /** @param {Talk} talk */
        story: async talk => {
            const id = await create(talk, true);
            const {
                'tasks/get': get,
                'tasks/list': list,
                'tasks/cancel': cancel,
                'tasks/result': result,
            } = questions(talk, id);
            expect((await talk.ask(get)).result.status, 'working', 'the task');
            await talk.ask(list);
            expect(textOf(await talk.ask(result)).includes('snake'), true, 'the result of the task');
            expect((await talk.ask(cancel)).error.code, -32602, 'a task that has ended cannot be cancelled');
            const other = questions(talk, await create(talk))['tasks/cancel'];
            expect((await talk.ask(other)).result.status, 'cancelled', 'another task');
        },
    },

    kills: {
        /** @param {Place} place @param {string} name */
        'killed after a task was created': async (place, name) => {
            const unheard = await unheardOf(place);
            await place.talk(
                name,
                setting(() => choice),
                async talk => {
                    const id = await create(talk);
                    await talk.kill();
                    const answers = [];
                    for (const call of Object.values(questions(talk, id))) answers.push(await talk.ask(call));
                    expect(answers, unheard(id), 'what the next server says');
                    const heard = talk.wire.notes('notifications/tasks/status');
                    const told = talk
                        .servers()[0]
                        .tells.filter(({ method }) => method === 'notifications/tasks/status');
                    expect(
                        heard,
                        told.slice(0, heard.length),
                        'what the client hears of its status is what the first server has told',
                    );
                    expect(
                        (await talk.ask(questions(talk, await create(talk))['tasks/cancel'])).result.status,
                        'cancelled',
                        'a task of the next server',
                    );
                },
            );
            return "the next server's own -32602 passes through, no status is made up, and new tasks are created";
        },

        /** @param {Place} place @param {string} name */
        'killed with everything in flight that can be asked about a task': async (place, name) => {
            const unheard = await unheardOf(place);
            await place.talk(
                name,
                setting(() => choice),
                async talk => {
                    const id = await create(talk);
                    const calls = questions(talk, id);
                    const { asked, answers } = await talk.killWithInHand(Object.keys(calls), Object.values(calls));
                    expect(answers, unheard(id), 'what the next server says');
                    expect(
                        asked.map(one => one.times(2)),
                        [1, 1, 1, 1],
                        'how often it is asked again',
                    );
                },
            );
            return "it is asked again once, and the next server's own answers pass through";
        },

        /** @param {Place} place @param {string} name */
        'killed while its result is awaited and the user is asked for it': async (place, name) => {
            const unheard = await unheardOf(place);
            const dialog = open();
            await place.talk(
                name,
                setting(() => dialog.promise),
                async talk => {
                    const id = await create(talk, true);
                    const result = await talk.begin(questions(talk, id)['tasks/result']);
                    const { params } = await talk.heard(({ method }) => method === 'elicitation/create', 'the dialog');
                    expect(
                        params._meta['io.modelcontextprotocol/related-task'],
                        { taskId: id },
                        'the task that the dialog belongs to',
                    );
                    await talk.kill();
                    await calledOff(talk, [0]);
                    expect(await result.answer(), unheard(id)[3], 'the result');
                    dialog.resolve(choice);
                    await late(talk, 0);
                    expect(
                        (await talk.ask(questions(talk, await create(talk))['tasks/cancel'])).result.status,
                        'cancelled',
                        'a task of the next server',
                    );
                    expect(given(talk, 2), [], 'what the next server is given');
                },
            );
            return "the dialog is called off, its answer reaches nobody, and the result is the next server's own -32602";
        },

        /** @param {Place} place @param {string} name */
        'killed while a task is created': async (place, name) => {
            await place.talk(
                name,
                setting(() => choice),
                async talk => {
                    await talk.ask(client => client.listTools());
                    talk.stall(['tools/call']);
                    const asked = await talk.begin(creating(talk, false));
                    await asked.arrives(1);
                    await talk.kill();
                    talk.unstall();
                    refused(talk, await asked.answer());
                    expect((await asked.settled).error?.code, -32603, 'what the SDK gives');
                    await talk.ask(client => client.listTools());
                    expect(asked.times(2), 0, 'how often it is created again');
                },
            );
            return 'it is not created again: -32603 tells that the outcome is unknown';
        },
    },
};

/**
 * A client that runs its model as a task.
 * @param {(talk: Talk, finish: (text: string) => Promise<void>) => void} begun
 */
const running = begun => ({
    /** @type {'everything'} */
    server: 'everything',
    capabilities: { sampling: {}, tasks: { list: {}, cancel: {}, requests: { sampling: { createMessage: {} } } } },
    handlers: (/** @type {any} */ client, /** @type {Talk} */ talk) => {
        const { CreateMessageRequestSchema } = talk.sdk();
        client.setRequestHandler(CreateMessageRequestSchema, async (/** @type {any} */ _, /** @type {any} */ extra) => {
            const task = await extra.taskStore.createTask({ ttl: 60_000 });
            const finish = (/** @type {string} */ text) =>
                extra.taskStore.storeTaskResult(task.taskId, 'completed', {
                    role: 'assistant',
                    model: 'none',
                    content: { type: 'text', text },
                });
            begun(talk, finish);
            return { task };
        });
    },
});

/** The client keeps the tasks that it runs. @param {Place} place */
const stores = place => {
    const { InMemoryTaskStore, InMemoryTaskMessageQueue } = place.require(
        '@modelcontextprotocol/sdk/experimental/tasks',
    );
    return { taskStore: new InMemoryTaskStore(), taskMessageQueue: new InMemoryTaskMessageQueue() };
};

const ask = (/** @type {any} */ client) =>
    client.callTool({ name: 'trigger-sampling-request-async', arguments: { prompt: 'p' } });

export const clientTasks = {
    same: {
        /** @param {Place} place */
        setting: place => ({ ...running((_, finish) => finish('done')), client: stores(place) }),
        /** @param {Talk} talk */
        story: async talk => expect(textOf(await talk.ask(ask)).includes('done'), true, 'the result of the task'),
    },

    kills: {
        /** @param {Place} place @param {string} name */
        'killed while the client runs a task for it': async (place, name) => {
            /** @type {((text: string) => Promise<void>)[]} */
            const finish = [];
            const setting = { ...running((_, done) => finish.push(done)), client: stores(place) };
            await place.talk(name, setting, async talk => {
                await talk.ask(client => client.listTools());
                const first = await talk.begin(ask);
                // The server asks how the task does, once a second.
                await talk.heard(({ method }) => method === 'tasks/get', 'a question about the task');
                await until(() => talk.wire.replies(1).length === 1, 'the client answers it');
                await talk.kill();
                guided(talk, await first.answer());
                await finish[0]('late');
                const lost = () => talk.wire.said.filter(({ method }) => method === 'notifications/tasks/status');
                expect(
                    lost().map(({ params }) => params.status),
                    ['completed'],
                    'what the client tells of its task',
                );

                const second = await talk.begin(ask);
                await until(() => finish.length === 2, 'the second task');
                await finish[1]('in time');
                expect(textOf(await second.answer()).includes('in time'), true, 'the result of the second task');
                const told = talk.servers()[1].told.filter(({ method }) => method === 'notifications/tasks/status');
                expect(told, lost().slice(1), 'what the second server is told of tasks');
                const ids = talk.wire.asked().map(({ id }) => id);
                expect(
                    ids.slice(-3),
                    ['g2:0', 'g2:1', 'g2:2'].map(id => `mcp-supervise:${id}`),
                    'the ids that the client sees',
                );
                expect(
                    given(talk, 2).map(({ id }) => id),
                    [0, 1, 2],
                    'the ids of what the second server is given',
                );
            });
            return 'its end is not told to the next server, which has a task of its own run, asks about it, and gets its result';
        },
    },
};

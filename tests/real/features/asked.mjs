/**
 * A request of a client that is under way, seen from both ends: the answer that the client hears, and how often each of
 * the servers was told of it.
 */
import { patiently, until } from './check.mjs';

/** @typedef {import('./wire.mjs').Message} Message */

/** A request of the client that is under way. */
export class Asked {
    /** @param {import('./talk.mjs').Talk} talk @param {unknown} id @param {Promise<{ value?: any, error?: any }>} settled */
    constructor(talk, id, settled) {
        this.talk = talk;
        this.id = id;
        /** What the client's code gets: a value or an error. */
        this.settled = settled;
    }

    /** The answer as it was on the wire, its id left out. @returns {Promise<Message>} */
    async answer() {
        const found = await until(
            () => this.talk.wire.answers().find(({ id }) => id === this.id),
            `${this.talk.name}: request ${this.id} is answered`,
        );
        await patiently(this.settled, `${this.talk.name}: the client is given the answer to request ${this.id}`);
        const { id: _id, jsonrpc: _version, ...answer } = found;
        return answer;
    }

    /** Waits until the server of this number has been told of it. @param {number} server */
    async arrives(server) {
        await this.talk.told(server, ({ id, method }) => id === this.id && method !== undefined, `request ${this.id}`);
    }

    /** How often it was told to the server of this number. @param {number} server */
    times(server) {
        const told = this.talk.servers()[server - 1]?.told ?? [];
        return told.filter(({ id, method }) => id === this.id && method !== undefined).length;
    }
}

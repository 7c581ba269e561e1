/**
 * Processes as the system lists them: whether one is there, and which are left. Nothing here ends one.
 */
import { execFileSync } from 'node:child_process';

/** Whether a process is there, be it one that has ended and was not yet reaped. @param {number} pid */
export function exists(pid) {
    try {
        process.kill(pid, 0);
        return true;
    } catch {
        return false;
    }
}

/** All processes that have not ended. `ps` tells the same on Linux and macOS. */
export function processes() {
    const listing = execFileSync('ps', ['-A', '-ww', '-o', 'pgid=,stat=,args='], { encoding: 'utf8' });
    return listing.split('\n').flatMap(line => {
        const [, group, state, command] = /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
        return group === undefined || state.startsWith('Z') ? [] : [{ group: Number(group), command }];
    });
}
